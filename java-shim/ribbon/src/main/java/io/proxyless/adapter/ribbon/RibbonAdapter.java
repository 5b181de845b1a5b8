// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.BaseLoadBalancer;
import com.netflix.loadbalancer.DynamicServerListLoadBalancer;
import com.netflix.loadbalancer.ILoadBalancer;
import com.netflix.loadbalancer.Server;
import io.proxyless.agent.api.BalancerAdapter;
import io.proxyless.agent.api.Lists;
import io.proxyless.agent.api.View;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;

/**
 * Overlays Ribbon's lists with the mesh's, by the policy {@code registry-first}: a service that the registry knows is the
 * application's own business; one that only the mesh knows gets the mesh's list.
 */
public final class RibbonAdapter implements BalancerAdapter {
  private final Lists lists;
  private final Method update;
  private final Map<Object, Balancer> balancers = Collections.synchronizedMap(new WeakHashMap<>());

  public RibbonAdapter(Lists lists) throws NoSuchMethodException {
    this.lists = lists;
    update = DynamicServerListLoadBalancer.class.getDeclaredMethod("updateAllServerList", List.class);
    update.setAccessible(true);
  }

  @Override
  public List<?> serverList(Object balancer, List<?> registry) {
    Balancer own = balancer(balancer);
    String service = name(balancer);
    own.registry = registry;
    if (!registry.isEmpty()) {
      own.knownToRegistry = true;
    }
    if (own.knownToRegistry) {
      if (lists.view(service).state == View.State.READY) {
        lists.say("both " + service, service + " is known to the registry and to the mesh: the registry serves it, the mesh stands by");
      }
      return registry;
    }
    View view = lists.await(service);
    if (view.state == View.State.INVALID) {
      lists.say("invalid " + service + view.detail, service + " has no endpoints: " + view.detail);
    }
    List<Server> servers = own.servers(view);
    if (view.state == View.State.READY) {
      lists.used(view);
      return new VersionedList(servers, view.version);
    }
    // Unknown, pending, removed: the registry's own answer. Invalid: nothing, which is never widened; the registry has nothing.
    return new VersionedList(registry, view.version);
  }

  @Override
  public void applied(Object balancer, List<?> list) {
    if (list instanceof VersionedList) {
      balancer(balancer).applied = ((VersionedList) list).version;
    }
  }

  @Override
  public boolean listFailed(Object balancer) {
    Balancer own = balancer(balancer);
    if (own.knownToRegistry || lists.await(name(balancer)).state != View.State.READY) {
      return false;
    }
    return apply(balancer, own);
  }

  @Override
  public Object choose(Object balancer) {
    String service = name(balancer);
    if (service == null) {
      return null;
    }
    Balancer own = balancer(balancer);
    if (own.knownToRegistry) {
      return null;
    }
    boolean dynamic = balancer instanceof DynamicServerListLoadBalancer;
    if (!dynamic && !allServers(balancer).isEmpty()) {
      own.knownToRegistry = true;
      return null;
    }
    View view = lists.view(service);
    if (view.state != View.State.READY || view.endpoints.length == 0) {
      return null;
    }
    // With equal weights the application's own rule chooses, from the list that it was given.
    if (view.order.length == 0 && dynamic && own.applied == view.version) {
      return null;
    }
    lists.used(view);
    return own.pick(view);
  }

  @Override
  public void shutDown(Object balancer) {
    balancers.remove(balancer);
  }

  @Override
  public boolean push(String service) {
    List<Map.Entry<Object, Balancer>> snapshot;
    synchronized (balancers) {
      snapshot = new ArrayList<>();
      for (Map.Entry<Object, Balancer> entry : balancers.entrySet()) {
        snapshot.add(new java.util.AbstractMap.SimpleImmutableEntry<>(entry.getKey(), entry.getValue()));
      }
    }
    boolean done = true;
    for (Map.Entry<Object, Balancer> entry : snapshot) {
      Object balancer = entry.getKey();
      Balancer own = entry.getValue();
      if (balancer instanceof DynamicServerListLoadBalancer && service.equals(name(balancer)) && own.registry != null) {
        done &= own.knownToRegistry || apply(balancer, own);
      }
    }
    return done;
  }

  /** Runs an update through the woven method; false when it was dropped because another one is in flight. */
  private boolean apply(Object balancer, Balancer own) {
    List<?> registry = own.registry == null ? new ArrayList<>() : own.registry;
    long wanted = lists.view(name(balancer)).version;
    if (own.applied >= wanted && wanted > 0) {
      return true;
    }
    try {
      update.invoke(balancer, registry);
    } catch (IllegalAccessException | InvocationTargetException failure) {
      throw new IllegalStateException(failure);
    }
    return own.applied >= wanted;
  }

  private Balancer balancer(Object balancer) {
    return balancers.computeIfAbsent(balancer, key -> new Balancer());
  }

  private static String name(Object balancer) {
    return balancer instanceof BaseLoadBalancer ? ((BaseLoadBalancer) balancer).getName() : null;
  }

  private static List<Server> allServers(Object balancer) {
    List<Server> servers = ((ILoadBalancer) balancer).getAllServers();
    return servers == null ? Collections.<Server>emptyList() : servers;
  }
}
