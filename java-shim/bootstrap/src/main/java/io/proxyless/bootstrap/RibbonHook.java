// SPDX-License-Identifier: Apache-2.0
package io.proxyless.bootstrap;

import java.util.List;

/** What code woven into Ribbon asks. Implementations never throw. */
public interface RibbonHook {
  /** The list to use instead of what registry and filter gave. */
  List<?> serverList(Object balancer, List<?> registry);

  /** A balancer has taken over a list. */
  void applied(Object balancer, List<?> list);

  /** The registry failed; true when the mesh has stepped in and the failure is to be forgotten. */
  boolean listFailed(Object balancer, Throwable failure);

  /** A choice begins; a server makes the balancer's own choice unnecessary. */
  Object beginChoice(Object balancer, Object key);

  /** A choice has ended, one way or the other. */
  void endChoice();

  /** A balancer is no longer used. */
  void shutDown(Object balancer);
}
