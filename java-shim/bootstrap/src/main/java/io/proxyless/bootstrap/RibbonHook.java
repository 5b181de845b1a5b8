// SPDX-License-Identifier: Apache-2.0
package io.proxyless.bootstrap;

import java.util.List;

/** What code woven into Ribbon asks. Implementations never throw. */
public interface RibbonHook {
  /** What the registry has answered, before any filter of the application. */
  void registryAnswered(Object balancer, List<?> servers);

  /** The list to use instead of what registry and filter gave. */
  List<?> serverList(Object balancer, List<?> offered);

  /** A balancer has taken over a list. */
  void takenOver(Object balancer, List<?> list);

  /** An update of a balancer has ended; its list was taken over, or dropped. */
  void updated(Object balancer);

  /** The registry failed; true when the mesh has stepped in and the failure is to be forgotten. */
  boolean listFailed(Object balancer, Throwable failure);

  /** A choice begins; a server makes the balancer's own choice unnecessary. */
  Object beginChoice(Object balancer, Object key);

  /** A choice has ended, one way or the other. */
  void endChoice();

  /** The balancer has chosen nobody, or failed; a server to use all the same, or null. */
  Object standIn(Object balancer, Throwable thrown);

  /** A server that comes from the mesh. */
  boolean isMeshServer(Object server);

  /** A balancer is no longer used. */
  void shutDown(Object balancer);
}
