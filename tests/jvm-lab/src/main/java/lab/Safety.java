// SPDX-License-Identifier: Apache-2.0
package lab;

import com.netflix.client.config.CommonClientConfigKey;
import com.netflix.client.config.DefaultClientConfigImpl;
import com.netflix.client.config.IClientConfig;
import com.netflix.loadbalancer.AbstractLoadBalancerRule;
import com.netflix.loadbalancer.AvailabilityFilteringRule;
import com.netflix.loadbalancer.DummyPing;
import com.netflix.loadbalancer.DynamicServerListLoadBalancer;
import com.netflix.loadbalancer.ILoadBalancer;
import com.netflix.loadbalancer.IPing;
import com.netflix.loadbalancer.IRule;
import com.netflix.loadbalancer.LoadBalancerContext;
import com.netflix.loadbalancer.PollingServerListUpdater;
import com.netflix.loadbalancer.Server;
import com.netflix.loadbalancer.ServerList;
import com.netflix.loadbalancer.ServerListFilter;
import io.proxyless.bootstrap.Hooks;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;

/** Applications that are not kind to a library: one scenario per run, named by the first argument. */
public final class Safety {
  private static final int HOUR = 3_600_000;
  private static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));

  private Safety() {}

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "schemes":
        schemes();
        break;
      case "rule":
        rule(args[1]);
        break;
      case "push-beside-poll":
        pushBesidePoll(false);
        break;
      case "poll-dropped":
        pushBesidePoll(true);
        break;
      case "full-heap":
        fullHeap();
        break;
      case "hanging":
        hanging(args[1]);
        break;
      case "spellings":
        for (String spelling : Arrays.copyOfRange(args, 1, args.length)) {
          print(new Balancer(spelling, registry()));
        }
        break;
      case "filtered":
        print(new Balancer("go-sc-a", new AvailabilityFilteringRule(), new DummyPing(), registry("127.0.0.99:1"), all -> new ArrayList<>()));
        break;
      case "another-balancer":
        print(new Balancer("go-sc-a", registry("127.0.0.99:1")));
        print(new Balancer("GO-SC-A", registry()));
        break;
      case "first-picks":
        firstPicks();
        break;
      default:
        throw new IllegalArgumentException(args[0]);
    }
    System.out.println("suppressed " + Hooks.suppressedCount());
  }

  private static void schemes() {
    Balancer balancer = new Balancer("go-sc-a", registry());
    LoadBalancerContext context = new LoadBalancerContext(balancer, config("go-sc-a"));
    for (String scheme : new String[] {"http", "https", "ws", "wss"}) {
      URI uri = URI.create(scheme + "://go-sc-a/A?b=%2B");
      for (Server server : balancer.getAllServers()) {
        System.out.println(context.reconstructURIWithServer(server, uri));
      }
    }
  }

  private static void rule(String kind) {
    Balancer balancer = new Balancer("go-sc-a", new OwnRule(kind), new DummyPing(), registry(), null);
    Set<String> chosen = new TreeSet<>();
    try {
      for (int i = 0; i < 10; i++) {
        chosen.add(String.valueOf(balancer.chooseServer("default")));
      }
    } catch (OutOfMemoryError ofTheApplication) {
      chosen.add("" + ofTheApplication.getMessage());
    }
    System.out.println("chosen " + chosen);
  }

  /** A rule that does not look at the balancer's list, or takes its servers for its registry's. */
  private static final class OwnRule extends AbstractLoadBalancerRule {
    private final String kind;

    OwnRule(String kind) {
      this.kind = kind;
    }

    @Override
    public Server choose(Object key) {
      switch (kind) {
        case "null":
          return null;
        case "throws":
          throw new IllegalStateException("the registry knows no go-sc-a");
        case "casts":
          return (RegistryServer) getLoadBalancer().getAllServers().get(0);
        default:
          throw new OutOfMemoryError("of the application");
      }
    }

    @Override
    public void initWithNiwsConfig(IClientConfig config) {}
  }

  private static final class RegistryServer extends Server {
    RegistryServer(String host, int port) {
      super(host, port);
    }
  }

  /** A balancer whose pushes can be held, before Ribbon looks at them or in the middle. */
  private static final class Held extends Balancer {
    static final CountDownLatch BEGUN = new CountDownLatch(1);
    static final CountDownLatch RELEASE = new CountDownLatch(1);
    private final boolean inTheMiddle;

    Held(ServerList<Server> registry, boolean inTheMiddle) {
      super("go-sc-a", registry);
      this.inTheMiddle = inTheMiddle;
    }

    private void hold(boolean inTheMiddle) {
      if (Thread.currentThread().getName().startsWith("proxyless") && this.inTheMiddle == inTheMiddle) {
        BEGUN.countDown();
        awaits(RELEASE);
      }
    }

    @Override
    protected void updateAllServerList(List<Server> servers) {
      hold(false);
      super.updateAllServerList(servers);
    }

    @Override
    public void setServersList(List servers) {
      hold(true);
      super.setServersList(servers);
    }
  }

  /** A poll brings the registry's first instance while a push is held; in its middle, Ribbon drops the poll. */
  private static void pushBesidePoll(boolean inTheMiddle) throws Exception {
    List<Server> registry = new ArrayList<>();
    Balancer balancer = new Held(serverList(registry), inTheMiddle);
    print(balancer);
    Held.BEGUN.await();
    registry.add(new Server("127.0.0.99", 1));
    balancer.updateListOfServers();
    System.out.println("polled");
    Held.RELEASE.countDown();
    follow(balancer);
  }

  /** Fills the heap to the last byte, says so, and frees it when told. */
  private static void fullHeap() throws Exception {
    Balancer balancer = new Balancer("go-sc-a", registry());
    print(balancer);
    byte[] stdin = new byte[1];
    Object[] chain = null;
    byte[] full = "full\n".getBytes();
    for (int size = 1 << 20; size > 0; ) {
      try {
        chain = new Object[] {chain, new byte[size]};
      } catch (OutOfMemoryError full1) {
        size /= 2;
      }
    }
    System.out.write(full, 0, full.length);
    System.out.flush();
    // Keeps it full: whatever is freed meanwhile is taken, too.
    while (System.in.available() == 0) {
      try {
        chain = new Object[] {chain, new byte[64]};
      } catch (OutOfMemoryError still) {
        Thread.yield();
      }
    }
    chain = null;
    while (System.in.read(stdin) > 0 && stdin[0] != '\n') {}
    follow(balancer);
  }

  /** One balancer whose application never returns, or throws, beside an ordinary one. */
  private static void hanging(String what) throws Exception {
    CountDownLatch never = new CountDownLatch(1);
    boolean[] on = {false};
    IPing ping =
        server -> {
          if (on[0]) {
            awaits(never);
          }
          return true;
        };
    Balancer unkind =
        new Balancer("go-sc-a", new AvailabilityFilteringRule(), what.equals("ping") ? ping : new DummyPing(), registry(), null);
    if (what.equals("listener")) {
      unkind.addServerListChangeListener(
          (before, after) -> {
            throw new AssertionError("of the application");
          });
    } else if (what.equals("blocking-listener")) {
      unkind.addServerListChangeListener((before, after) -> awaits(never));
    }
    Balancer other = new Balancer("go-sc-a", registry());
    on[0] = true;
    for (String line = next(other, ""); line != null; line = IN.readLine()) {
      if (line.equals("end")) {
        return;
      }
      next(other, " unkind " + unkind.chooseServer("default"));
    }
  }

  private static String next(Balancer balancer, String more) {
    System.out.println("list " + addresses(balancer) + more);
    return "";
  }

  private static void firstPicks() {
    Set<String> picks = new TreeSet<>();
    for (int i = 0; i < 100; i++) {
      picks.add(new Balancer("go-sc-a", registry()).chooseServer("default").getHostPort());
    }
    System.out.println("first picks " + picks);
  }

  private static void follow(Balancer balancer) throws Exception {
    print(balancer);
    for (String line = IN.readLine(); line != null && !line.equals("end"); line = IN.readLine()) {
      print(balancer);
    }
  }

  private static void print(Balancer balancer) {
    System.out.println("list " + addresses(balancer));
  }

  private static Set<String> addresses(ILoadBalancer balancer) {
    Set<String> addresses = new TreeSet<>();
    for (Server server : balancer.getAllServers()) {
      addresses.add(server.getHostPort());
    }
    return addresses;
  }

  private static void awaits(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static class Balancer extends DynamicServerListLoadBalancer<Server> {
    Balancer(String service, ServerList<Server> registry) {
      this(service, new AvailabilityFilteringRule(), new DummyPing(), registry, null);
    }

    Balancer(String service, IRule rule, IPing ping, ServerList<Server> registry, ServerListFilter<Server> filter) {
      super(config(service), rule, ping, registry, filter, new PollingServerListUpdater(HOUR, HOUR));
    }
  }

  private static DefaultClientConfigImpl config(String service) {
    DefaultClientConfigImpl config = new DefaultClientConfigImpl();
    config.loadProperties(service);
    config.set(CommonClientConfigKey.ServerListRefreshInterval, HOUR);
    return config;
  }

  private static ServerList<Server> registry(String... servers) {
    List<Server> list = new ArrayList<>();
    for (String server : servers) {
      list.add(new Server(server));
    }
    return serverList(list);
  }

  private static ServerList<Server> serverList(List<Server> list) {
    return new ServerList<Server>() {
      @Override
      public List<Server> getInitialListOfServers() {
        return getUpdatedListOfServers();
      }

      @Override
      public List<Server> getUpdatedListOfServers() {
        return list.isEmpty() ? Collections.<Server>emptyList() : new ArrayList<>(list);
      }
    };
  }
}
