// SPDX-License-Identifier: Apache-2.0
package lab;

import com.netflix.client.config.CommonClientConfigKey;
import com.netflix.client.config.DefaultClientConfigImpl;
import com.netflix.loadbalancer.AvailabilityFilteringRule;
import com.netflix.loadbalancer.DummyPing;
import com.netflix.loadbalancer.DynamicServerListLoadBalancer;
import com.netflix.loadbalancer.PollingServerListUpdater;
import com.netflix.loadbalancer.Server;
import com.netflix.loadbalancer.ServerList;
import com.netflix.loadbalancer.ZoneAwareLoadBalancer;
import com.sun.management.ThreadMXBean;
import io.proxyless.bootstrap.Hooks;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;

/** One scenario per run, named by the first argument; each prints what the test that started it looks for. */
public final class Lab {
  static final int HOUR = 3_600_000;

  private Lab() {}

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "exit":
        System.out.println("list " + addresses(balancer("go-sc-a", registry())));
        break;
      case "follow":
        follow(args[1]);
        break;
      case "lost-update":
        lostUpdate();
        break;
      case "weights":
        weights();
        break;
      case "lookups":
        lookups();
        break;
      case "push-latency":
        pushLatency(Integer.parseInt(args[1]));
        break;
      case "registry-known":
        System.out.println("list " + addresses(balancer("go-sc-a", registry("127.0.0.99:1"))));
        break;
      case "registry":
        Registry.run("go-sc-a", Arrays.copyOfRange(args, 1, args.length));
        break;
      case "registry-down":
        System.out.println("list " + addresses(balancer("go-sc-a", brokenRegistry())));
        break;
      default:
        throw new IllegalArgumentException(args[0]);
    }
    System.out.println("suppressed " + Hooks.suppressedCount());
    // The agent's thread and Ribbon's are daemons: main ends, and so must the JVM.
  }

  /** Prints the list whenever it changes, for a line on standard input each time: "end" ends. */
  private static void follow(String service) throws Exception {
    DynamicServerListLoadBalancer<Server> balancer = balancer(service, registry());
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    System.out.println("list " + addresses(balancer));
    for (String line = in.readLine(); line != null && !line.equals("end"); line = in.readLine()) {
      Server chosen = balancer.chooseServer("default");
      System.out.println("list " + addresses(balancer) + " chosen " + (chosen != null));
    }
  }

  /** A balancer whose poll can be held in the middle of an update. */
  private static final class HeldBalancer extends DynamicServerListLoadBalancer<Server> {
    static final CountDownLatch IN_FLIGHT = new CountDownLatch(1);
    static final CountDownLatch RELEASE = new CountDownLatch(1);

    HeldBalancer() {
      super(config("go-sc-a"), new AvailabilityFilteringRule(), new DummyPing(), registry(), null, new PollingServerListUpdater(HOUR, HOUR));
    }

    @Override
    public void setServersList(List servers) {
      if (Thread.currentThread().getName().equals("poll")) {
        IN_FLIGHT.countDown();
        try {
          RELEASE.await();
        } catch (InterruptedException e) {
          throw new IllegalStateException(e);
        }
      }
      super.setServersList(servers);
    }
  }

  /** Holds one update in flight while the mesh changes: the push that meets it is dropped by Ribbon and must not be lost. */
  private static void lostUpdate() throws Exception {
    DynamicServerListLoadBalancer<Server> balancer = new HeldBalancer();
    System.out.println("list " + addresses(balancer));
    // A poll that meets a push is dropped by Ribbon; this one must not be.
    Thread poll =
        new Thread(
            () -> {
              while (HeldBalancer.IN_FLIGHT.getCount() > 0) {
                balancer.updateListOfServers();
              }
            },
            "poll");
    poll.start();
    HeldBalancer.IN_FLIGHT.await();
    System.out.println("in flight");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    // The test changes the mesh, sees the push dropped for a while, then says go.
    in.readLine();
    System.out.println("held " + addresses(balancer));
    HeldBalancer.RELEASE.countDown();
    poll.join();
    for (String line = in.readLine(); line != null && !line.equals("end"); line = in.readLine()) {
      System.out.println("list " + addresses(balancer));
    }
  }

  private static void weights() {
    DynamicServerListLoadBalancer<Server> balancer = balancer("go-sc-a", registry());
    Map<String, Integer> counts = new TreeMap<>();
    for (int i = 0; i < 3000; i++) {
      counts.merge(balancer.chooseServer("default").getHostPort(), 1, Integer::sum);
    }
    System.out.println("counts " + counts);
  }

  /** The look-up and the pick, without Ribbon's own work around them. */
  private static void lookups() {
    DynamicServerListLoadBalancer<Server> balancer = balancer("go-sc-a", registry());
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long id = Thread.currentThread().getId();
    long picked = 0;
    long allocated = Long.MAX_VALUE;
    long nanos = Long.MAX_VALUE;
    for (int round = 0; round < 5; round++) {
      long before = threads.getThreadAllocatedBytes(id);
      long start = System.nanoTime();
      for (int i = 0; i < 1_000_000; i++) {
        picked += Hooks.beginChoice(balancer, "default") != null ? 1 : 0;
        Hooks.endChoice();
      }
      nanos = Math.min(nanos, System.nanoTime() - start);
      allocated = Math.min(allocated, threads.getThreadAllocatedBytes(id) - before);
    }
    System.out.println("lookups picked " + picked + " allocated " + allocated + " ns " + nanos / 1_000_000);
  }

  /** Prints the time at which a list with a new marker address became visible, in the machine's monotonic clock. */
  private static void pushLatency(int changes) {
    DynamicServerListLoadBalancer<Server> balancer = balancer("go-sc-a", registry());
    String last = addresses(balancer).toString();
    System.out.println("ready " + System.nanoTime());
    for (int seen = 0; seen < changes; ) {
      String now = addresses(balancer).toString();
      if (!now.equals(last)) {
        System.out.println("seen " + System.nanoTime() + " " + now);
        last = now;
        seen++;
      } else {
        Thread.yield();
      }
    }
  }

  private static DynamicServerListLoadBalancer<Server> balancer(String service, ServerList<Server> registry) {
    return new ZoneAwareLoadBalancer<>(
        config(service), new AvailabilityFilteringRule(), new DummyPing(), registry, null, new PollingServerListUpdater(HOUR, HOUR));
  }

  static DefaultClientConfigImpl config(String service) {
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
    return serverList(list, null);
  }

  private static ServerList<Server> brokenRegistry() {
    return serverList(Collections.<Server>emptyList(), new IllegalStateException("the registry is down"));
  }

  private static ServerList<Server> serverList(List<Server> list, RuntimeException failure) {
    return new ServerList<Server>() {
      @Override
      public List<Server> getInitialListOfServers() {
        return getUpdatedListOfServers();
      }

      @Override
      public List<Server> getUpdatedListOfServers() {
        if (failure != null) {
          throw failure;
        }
        return list;
      }
    };
  }

  private static TreeSet<String> addresses(DynamicServerListLoadBalancer<Server> balancer) {
    TreeSet<String> addresses = new TreeSet<>();
    for (Server server : balancer.getAllServers()) {
      addresses.add(server.getHostPort());
    }
    return addresses;
  }
}
