// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import io.proxyless.agent.api.Lists;
import io.proxyless.agent.api.Push;
import io.proxyless.agent.api.Registered;
import io.proxyless.agent.api.View;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Lists that a test gives, and what was said and asked. */
final class Mesh implements Lists {
  final Map<String, View> views = new HashMap<>();
  final List<String> asked = new ArrayList<>();
  final List<String> said = new ArrayList<>();
  final List<String> used = new ArrayList<>();
  final Deque<Push> pushes = new ArrayDeque<>();
  private final Map<String, Registered> registered = new HashMap<>();
  private long version;

  /** Endpoints as {@code host:port} or {@code host:port@zone}. */
  void ready(String service, String... endpoints) {
    weighted(service, new int[0], endpoints);
  }

  void weighted(String service, int[] order, String... endpoints) {
    View.Endpoint[] list = new View.Endpoint[endpoints.length];
    for (int i = 0; i < list.length; i++) {
      String[] parts = endpoints[i].split("[:@]");
      String zone = parts.length > 2 ? parts[2] : "";
      list[i] = new View.Endpoint(parts[0], Integer.parseInt(parts[1]), zone);
    }
    put(service, View.State.READY, "", list, order);
  }

  void state(String service, View.State state, String detail) {
    put(service, state, detail, new View.Endpoint[0], new int[0]);
  }

  private void put(
      String service, View.State state, String detail, View.Endpoint[] list, int[] order) {
    String resolved = service + ".default.svc.cluster.local:80";
    views.put(service, new View(service, state, resolved, detail, list, order, ++version));
  }

  @Override
  public View view(String service) {
    asked.add(service);
    return views.computeIfAbsent(service, View::pending);
  }

  @Override
  public View await(String service) {
    return view(service);
  }

  @Override
  public Registered registered(String service) {
    return registered.computeIfAbsent(service, name -> new Registered());
  }

  @Override
  public void push(Push balancer) {
    pushes.add(balancer);
  }

  @Override
  public void used(View view) {
    used.add(view.name);
  }

  @Override
  public void say(String key, String text) {
    said.add(text);
  }

  @Override
  public void debug(String text) {}
}
