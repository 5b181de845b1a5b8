// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import io.proxyless.agent.api.Lists;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The balancers of one application by service, weakly held. Looking one up is a volatile read and a
 * map look-up.
 */
final class Balancers {
  private static final Balancer[] NONE = {};

  private final Lists lists;
  private final Update update;
  private volatile Map<String, Balancer[]> byService = new HashMap<>();

  Balancers(Lists lists, Update update) {
    this.lists = lists;
    this.update = update;
  }

  Balancer of(Object balancer, String service) {
    for (Balancer known : of(service)) {
      if (known.get() == balancer) {
        return known;
      }
    }
    return add(balancer, service);
  }

  Balancer[] of(String service) {
    Balancer[] found = byService.get(service);
    return found == null ? NONE : found;
  }

  void remove(Object balancer, String service) {
    replace(service, balancer, null);
  }

  private synchronized Balancer add(Object balancer, String service) {
    for (Balancer known : of(service)) {
      if (known.get() == balancer) {
        return known;
      }
    }
    Balancer added = new Balancer(balancer, service, lists, update);
    replace(service, null, added);
    return added;
  }

  /** Without {@code gone} and without those that nobody uses any more. */
  private synchronized void replace(String service, Object gone, Balancer added) {
    List<Balancer> kept = new ArrayList<>();
    for (Balancer known : of(service)) {
      Object owner = known.get();
      if (owner != null && owner != gone) {
        kept.add(known);
      }
    }
    if (added != null) {
      kept.add(added);
    }
    Map<String, Balancer[]> next = new HashMap<>(byService);
    if (kept.isEmpty()) {
      next.remove(service);
    } else {
      next.put(service, kept.toArray(NONE));
    }
    byService = next;
  }
}
