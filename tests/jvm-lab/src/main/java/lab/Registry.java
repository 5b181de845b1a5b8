// SPDX-License-Identifier: Apache-2.0
package lab;

import com.netflix.loadbalancer.AvailabilityFilteringRule;
import com.netflix.loadbalancer.DummyPing;
import com.netflix.loadbalancer.DynamicServerListLoadBalancer;
import com.netflix.loadbalancer.PollingServerListUpdater;
import com.netflix.loadbalancer.Server;
import com.netflix.loadbalancer.ServerList;
import com.netflix.loadbalancer.ZoneAwareLoadBalancer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** A registry that names instances, none, or fails, as standard input says, and a balancer that polls when it is told to. */
final class Registry implements ServerList<Server> {
  private volatile List<Server> servers = Collections.emptyList();
  private volatile boolean down;

  /** Every server that a list has had, numbered. */
  private final Map<Server, Integer> seen = new IdentityHashMap<>();

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

  /** Commands: "names" and an address, "empty", "down", "up", "poll", "servers", "choose", "end". */
  static void run(String service, String... first) throws Exception {
    Registry registry = new Registry();
    for (String command : first) {
      registry.obey(command, null);
    }
    DynamicServerListLoadBalancer<Server> balancer =
        new ZoneAwareLoadBalancer<>(
            Lab.config(service), new AvailabilityFilteringRule(), new DummyPing(), registry, null, new PollingServerListUpdater(Lab.HOUR, Lab.HOUR));
    System.out.println("built " + registry.describe(balancer));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null && !line.equals("end"); line = in.readLine()) {
      System.out.println(line + " -> " + registry.obey(line, balancer));
    }
  }

  private String obey(String command, DynamicServerListLoadBalancer<Server> balancer) {
    String[] words = command.split(" ");
    switch (words[0]) {
      case "names":
        servers = Collections.singletonList(new Server(words[1]));
        break;
      case "empty":
        servers = Collections.emptyList();
        break;
      case "down":
      case "up":
        down = words[0].equals("down");
        break;
      case "poll":
        try {
          balancer.updateListOfServers();
        } catch (IllegalStateException failure) {
          return failure.getMessage();
        }
        break;
      case "choose":
        return String.valueOf(balancer.chooseServer("default"));
      default:
        break;
    }
    return balancer == null ? "" : describe(balancer).toString();
  }

  /** Address, zone, and the number of the object. */
  private TreeSet<String> describe(DynamicServerListLoadBalancer<Server> balancer) {
    TreeSet<String> described = new TreeSet<>();
    for (Server server : new ArrayList<>(balancer.getAllServers())) {
      int number = seen.computeIfAbsent(server, added -> seen.size());
      described.add(server.getHostPort() + " " + server.getZone() + " #" + number);
    }
    return described;
  }
}
