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
import java.util.Collections;
import java.util.List;

/**
 * Overlays Ribbon's lists with the mesh's, by the policy {@code registry-first}: a service that the
 * registry knows is the application's own business; one that only the mesh knows gets the mesh's
 * list.
 */
public final class RibbonAdapter implements BalancerAdapter {
  /** Ribbon's name for a balancer without a configuration. */
  private static final String UNNAMED = "default";

  private final Lists lists;
  private final Method update;
  private final Balancers balancers = new Balancers();

  public RibbonAdapter(Lists lists) throws NoSuchMethodException {
    this.lists = lists;
    update =
        DynamicServerListLoadBalancer.class.getDeclaredMethod("updateAllServerList", List.class);
    update.setAccessible(true);
  }

  @Override
  public List<?> serverList(Object balancer, List<?> registry) {
    String service = service(balancer);
    if (service == null) {
      return registry;
    }
    Balancer own = balancers.of(balancer, service);
    own.registry = registry;
    if (!registry.isEmpty()) {
      own.knownToRegistry = true;
    }
    if (own.knownToRegistry) {
      if (lists.view(service).state == View.State.READY) {
        lists.say(
            "both " + service,
            service
                + " is known to the registry and to the mesh: the registry serves it, the mesh stands by");
      }
      return registry;
    }
    View view = lists.await(service);
    if (view.state == View.State.INVALID) {
      lists.say("invalid " + service + view.detail, service + " has no endpoints: " + view.detail);
    }
    List<Server> servers = own.servers(view);
    if (view.state == View.State.READY) {
      note(own, view);
      return new VersionedList(servers, view.version);
    }
    // Unknown, pending, removed: the registry's own answer. Invalid: nothing, which is never
    // widened; the registry has nothing.
    return new VersionedList(registry, view.version);
  }

  @Override
  public void applied(Object balancer, List<?> list) {
    String service = service(balancer);
    if (service != null && list instanceof VersionedList) {
      balancers.of(balancer, service).applied = ((VersionedList) list).version;
    }
  }

  @Override
  public boolean listFailed(Object balancer) {
    String service = service(balancer);
    if (service == null) {
      return false;
    }
    Balancer own = balancers.of(balancer, service);
    if (own.knownToRegistry || lists.await(service).state != View.State.READY) {
      return false;
    }
    // Another thread may be applying the same list at this moment: then ours is dropped, and theirs
    // will be there shortly.
    for (int tries = 0; tries < 1000 && !apply(balancer, own, service); tries++) {
      Thread.yield();
    }
    return true;
  }

  @Override
  public Object choose(Object balancer) {
    String service = service(balancer);
    if (service == null) {
      return null;
    }
    Balancer own = balancers.of(balancer, service);
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
    note(own, view);
    return own.pick(view);
  }

  private void note(Balancer own, View view) {
    if (!own.noted) {
      own.noted = true;
      lists.used(view);
    }
  }

  @Override
  public void shutDown(Object balancer) {
    String service = service(balancer);
    if (service != null) {
      balancers.remove(balancer, service);
    }
  }

  @Override
  public boolean push(String service) {
    if (lists.view(service).state == View.State.PENDING) {
      return true;
    }
    boolean done = true;
    for (Balancer own : balancers.of(service)) {
      Object balancer = own.get();
      // A balancer that has not asked for its first list yet will find the newest one when it does.
      if (balancer instanceof DynamicServerListLoadBalancer
          && own.registry != null
          && !own.knownToRegistry) {
        done &= apply(balancer, own, service);
      }
    }
    return done;
  }

  /**
   * Runs an update through the woven method; false when it was dropped because another one is in
   * flight.
   */
  private boolean apply(Object balancer, Balancer own, String service) {
    long wanted = lists.view(service).version;
    if (own.applied >= wanted && wanted > 0) {
      return true;
    }
    List<?> registry = own.registry == null ? Collections.emptyList() : own.registry;
    try {
      update.invoke(balancer, registry);
    } catch (IllegalAccessException | InvocationTargetException failure) {
      throw new IllegalStateException(failure);
    }
    return own.applied >= wanted;
  }

  /** The name of the client that a balancer serves; null for one that was made without a name. */
  private static String service(Object balancer) {
    String name =
        balancer instanceof BaseLoadBalancer ? ((BaseLoadBalancer) balancer).getName() : null;
    return UNNAMED.equals(name) ? null : name;
  }

  private static List<Server> allServers(Object balancer) {
    List<Server> servers = ((ILoadBalancer) balancer).getAllServers();
    return servers == null ? Collections.<Server>emptyList() : servers;
  }
}
