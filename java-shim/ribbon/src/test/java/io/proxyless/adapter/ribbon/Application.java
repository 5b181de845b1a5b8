// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.client.config.CommonClientConfigKey;
import com.netflix.client.config.DefaultClientConfigImpl;
import com.netflix.loadbalancer.DummyPing;
import com.netflix.loadbalancer.DynamicServerListLoadBalancer;
import com.netflix.loadbalancer.PollingServerListUpdater;
import com.netflix.loadbalancer.RoundRobinRule;
import com.netflix.loadbalancer.Server;
import com.netflix.loadbalancer.ServerList;
import io.proxyless.agent.api.BalancerAdapter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A balancer of Ribbon whose methods call the adapter where woven code does, over a registry that a
 * test fills. It polls when it is told to.
 */
final class Application extends DynamicServerListLoadBalancer<Server> {
  private static final int HOUR = 3_600_000;

  /** What the constructors of Ribbon see; they run before a field of ours is set. */
  private static final ThreadLocal<BalancerAdapter> ADAPTER = new ThreadLocal<>();

  private final BalancerAdapter adapter = ADAPTER.get();

  /** How many of the next updates meet another one in flight, and are dropped. */
  volatile int dropped;

  /** It hands a copy on when it takes a list over. */
  volatile boolean copies;

  private Application(String service, Registry registry) {
    super(
        config(service),
        new RoundRobinRule(),
        new DummyPing(),
        registry,
        null,
        new PollingServerListUpdater(HOUR, HOUR));
  }

  static Application start(BalancerAdapter adapter, String service, Registry registry) {
    ADAPTER.set(adapter);
    try {
      return new Application(service, registry);
    } finally {
      ADAPTER.remove();
    }
  }

  private static DefaultClientConfigImpl config(String service) {
    DefaultClientConfigImpl config = new DefaultClientConfigImpl();
    config.loadProperties(service);
    config.set(CommonClientConfigKey.ServerListRefreshInterval, HOUR);
    return config;
  }

  private BalancerAdapter adapter() {
    return adapter == null ? ADAPTER.get() : adapter;
  }

  @Override
  public void updateListOfServers() {
    try {
      super.updateListOfServers();
    } catch (RuntimeException failure) {
      if (!adapter().listFailed(this, failure)) {
        throw failure;
      }
    }
  }

  @Override
  @SuppressWarnings("unchecked")
  protected void updateAllServerList(List<Server> servers) {
    List<Server> replaced = (List<Server>) adapter().serverList(this, servers);
    if (dropped > 0) {
      dropped--;
    } else {
      super.updateAllServerList(replaced);
    }
    adapter().updated(this);
  }

  @Override
  @SuppressWarnings({"unchecked", "rawtypes"})
  public void setServersList(List servers) {
    List taken = copies ? new ArrayList(servers) : servers;
    super.setServersList(taken);
    adapter().takenOver(this, taken);
  }

  @Override
  public Server chooseServer(Object key) {
    Object picked = adapter().choose(this);
    Object chosen = picked != null ? picked : super.chooseServer(key);
    return (Server) (chosen != null ? chosen : adapter().standIn(this, null));
  }

  /** Addresses in the order of the list. */
  List<String> addresses() {
    List<String> addresses = new ArrayList<>();
    for (Server server : getAllServers()) {
      addresses.add(server.getHostPort());
    }
    return addresses;
  }

  /** A registry that names what it is told to, or fails. */
  static final class Registry implements ServerList<Server> {
    volatile List<Server> servers;
    volatile boolean down;

    Registry(Server... servers) {
      this.servers = Arrays.asList(servers);
    }

    @Override
    public List<Server> getInitialListOfServers() {
      return getUpdatedListOfServers();
    }

    @Override
    public List<Server> getUpdatedListOfServers() {
      if (down) {
        throw new IllegalStateException("the registry is down");
      }
      return servers;
    }
  }
}
