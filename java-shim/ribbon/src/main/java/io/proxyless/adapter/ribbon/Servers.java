// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.Server;
import io.proxyless.agent.api.View;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;

/** The mesh's endpoints of one balancer as servers, and whose turn it is. */
final class Servers {
  /** Starts anywhere: else the first call of every process would go to the same endpoint. */
  private final AtomicInteger turn = new AtomicInteger(ThreadLocalRandom.current().nextInt());

  private volatile Made made = new Made(-1, Collections.<Server>emptyList());

  /** Servers of one version. */
  private static final class Made {
    final long version;
    final List<Server> servers;

    Made(long version, List<Server> servers) {
      this.version = version;
      this.servers = servers;
    }
  }

  /**
   * The servers of a view, in its order; the same list for the same version, the same server for
   * the same address.
   */
  List<Server> of(View view) {
    Made current = made;
    return current.version == view.version ? current.servers : make(view);
  }

  private synchronized List<Server> make(View view) {
    if (made.version == view.version) {
      return made.servers;
    }
    Map<String, Server> known = new HashMap<>();
    for (Server server : made.servers) {
      known.put(server.getHostPort(), server);
    }
    List<Server> servers = new ArrayList<>(view.endpoints.length);
    for (View.Endpoint endpoint : view.endpoints) {
      Server server = new RibbonServer(endpoint);
      // Ribbon keeps statistics by server: one that stays must stay the same object.
      Server before = known.get(server.getHostPort());
      Server kept = before == null ? server : before;
      if (!endpoint.zone.isEmpty()) {
        kept.setZone(endpoint.zone);
      }
      kept.setAlive(true);
      kept.setReadyToServe(true);
      servers.add(kept);
    }
    made = new Made(view.version, Collections.unmodifiableList(servers));
    return made.servers;
  }

  /** The next server by weight. */
  Server pick(View view) {
    List<Server> servers = of(view);
    int turn = this.turn.getAndIncrement() & Integer.MAX_VALUE;
    int index =
        view.order.length == 0 ? turn % servers.size() : view.order[turn % view.order.length];
    return servers.get(index);
  }
}
