// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.api;

import java.util.List;

/**
 * Code compiled against one application's balancers; see {@code io.proxyless.bootstrap.RibbonHook}
 * for the methods.
 */
public interface BalancerAdapter {
  List<?> serverList(Object balancer, List<?> registry);

  void applied(Object balancer, List<?> list);

  boolean listFailed(Object balancer);

  Object choose(Object balancer);

  void shutDown(Object balancer);

  /** Brings every balancer of a service up to date; false when one of them must be tried again. */
  boolean push(String service);
}
