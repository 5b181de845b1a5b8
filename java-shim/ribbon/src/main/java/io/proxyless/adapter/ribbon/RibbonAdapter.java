// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.BaseLoadBalancer;
import io.proxyless.agent.api.BalancerAdapter;
import io.proxyless.agent.api.Lists;
import io.proxyless.agent.api.Push;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/** Leads each question about a balancer to what is remembered about it. */
public final class RibbonAdapter implements BalancerAdapter {
  /** Ribbon's name for a balancer without a configuration. */
  private static final String UNNAMED = "default";

  private final Balancers balancers;

  public RibbonAdapter(Lists lists) throws NoSuchMethodException {
    balancers = new Balancers(lists, new Update());
  }

  @Override
  public void registryAnswered(Object balancer, List<?> servers) {
    Balancer own = own(balancer);
    if (own != null && servers != null) {
      own.registryAnswered(servers);
    }
  }

  @Override
  public List<?> serverList(Object balancer, List<?> offered) {
    Balancer own = own(balancer);
    return own == null || offered == null ? offered : own.serverList(offered);
  }

  @Override
  public void takenOver(Object balancer, List<?> list) {
    Balancer own = own(balancer);
    if (own != null) {
      own.takenOver(list);
    }
  }

  @Override
  public void updated(Object balancer) {
    Balancer own = own(balancer);
    if (own != null) {
      own.updated();
    }
  }

  @Override
  public boolean listFailed(Object balancer, Throwable failure) {
    Balancer own = own(balancer);
    return own != null && own.registryFailed(failure);
  }

  @Override
  public Object choose(Object balancer) {
    Balancer own = own(balancer);
    return own == null ? null : own.choose(balancer);
  }

  @Override
  public Object standIn(Object balancer, Throwable thrown) {
    Balancer own = own(balancer);
    return own == null ? null : own.standIn(balancer, thrown);
  }

  @Override
  public void shutDown(Object balancer) {
    String service = service(balancer);
    if (service != null) {
      balancers.remove(balancer, service);
    }
  }

  @Override
  public Collection<? extends Push> lagging(String service) {
    List<Balancer> lagging = new ArrayList<>();
    for (Balancer own : balancers.of(service)) {
      if (own.lags()) {
        lagging.add(own);
      }
    }
    return lagging;
  }

  private Balancer own(Object balancer) {
    String service = service(balancer);
    return service == null ? null : balancers.of(balancer, service);
  }

  /** The name of the client that a balancer serves; null for one that was made without a name. */
  private static String service(Object balancer) {
    String name =
        balancer instanceof BaseLoadBalancer ? ((BaseLoadBalancer) balancer).getName() : null;
    return UNNAMED.equals(name) ? null : name;
  }
}
