// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.api;

/** What adapters may ask of the agent. */
public interface Lists {
  /**
   * The newest view of a service: a volatile read and a map look-up. A name that was never seen
   * before is watched from now on.
   */
  View view(String service);

  /**
   * As {@link #view}, but waits for a first answer, for a bounded time and only where blocking does
   * no harm.
   */
  View await(String service);

  /** What registries have said about a service, in this whole process. */
  Registered registered(String service);

  /** A balancer has missed an update: it is brought up to date soon, on another thread. */
  void push(Push balancer);

  /** A list that the mesh gives is used; said once, and again with every new remark. */
  void used(View view);

  /** Something the user should know once. */
  void say(String key, String text);

  /** Something of interest when looking for a problem. */
  void debug(String text);
}
