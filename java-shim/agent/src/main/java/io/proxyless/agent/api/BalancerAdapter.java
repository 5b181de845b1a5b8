// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.api;

import java.util.Collection;
import java.util.List;

/**
 * Code compiled against one application's balancers; see {@code io.proxyless.bootstrap.RibbonHook}
 * for the methods.
 */
public interface BalancerAdapter {
  void registryAnswered(Object balancer, List<?> servers);

  List<?> serverList(Object balancer, List<?> offered);

  void takenOver(Object balancer, List<?> list);

  void updated(Object balancer);

  boolean listFailed(Object balancer, Throwable failure);

  Object choose(Object balancer);

  Object standIn(Object balancer, Throwable thrown);

  void shutDown(Object balancer);

  /** The balancers of a service that lag behind. Runs no code of the application. */
  Collection<? extends Push> lagging(String service);
}
