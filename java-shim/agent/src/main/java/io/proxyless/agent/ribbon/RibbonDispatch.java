// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.ribbon;

import io.proxyless.agent.api.BalancerAdapter;
import io.proxyless.agent.api.MeshServer;
import io.proxyless.agent.api.Push;
import io.proxyless.bootstrap.RibbonHook;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Leads each balancer to the adapter of its class loader. The adapter hangs on Ribbon's own class,
 * so that it lives exactly as long as the application that it was made for.
 */
public final class RibbonDispatch implements RibbonHook {
  private static final String ANCHOR = "com.netflix.loadbalancer.AbstractLoadBalancer";

  private final ClassValue<Class<?>> anchors =
      new ClassValue<Class<?>>() {
        @Override
        protected Class<?> computeValue(Class<?> type) {
          for (Class<?> c = type; c != null; c = c.getSuperclass()) {
            if (c.getName().equals(ANCHOR)) {
              return c;
            }
          }
          throw new IllegalStateException(type.getName() + " is not a Ribbon balancer");
        }
      };
  private final ClassValue<BalancerAdapter> adapters;
  private final Set<BalancerAdapter> live =
      Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));
  private final ThreadLocal<int[]> depth = ThreadLocal.withInitial(() -> new int[1]);
  private final Consumer<Throwable> onFailure;

  public RibbonDispatch(
      Function<ClassLoader, BalancerAdapter> adapterFor, Consumer<Throwable> onFailure) {
    this.onFailure = onFailure;
    adapters =
        new ClassValue<BalancerAdapter>() {
          @Override
          protected BalancerAdapter computeValue(Class<?> anchor) {
            BalancerAdapter adapter = adapterFor.apply(anchor.getClassLoader());
            live.add(adapter);
            return adapter;
          }
        };
  }

  private BalancerAdapter adapter(Object balancer) {
    return adapters.get(anchors.get(balancer.getClass()));
  }

  @Override
  public void registryAnswered(Object balancer, List<?> servers) {
    try {
      adapter(balancer).registryAnswered(balancer, servers);
    } catch (Throwable failure) {
      onFailure.accept(failure);
    }
  }

  @Override
  public List<?> serverList(Object balancer, List<?> offered) {
    try {
      return adapter(balancer).serverList(balancer, offered);
    } catch (Throwable failure) {
      onFailure.accept(failure);
      return offered;
    }
  }

  @Override
  public void takenOver(Object balancer, List<?> list) {
    try {
      adapter(balancer).takenOver(balancer, list);
    } catch (Throwable failure) {
      onFailure.accept(failure);
    }
  }

  @Override
  public void updated(Object balancer) {
    try {
      adapter(balancer).updated(balancer);
    } catch (Throwable failure) {
      onFailure.accept(failure);
    }
  }

  @Override
  public boolean listFailed(Object balancer, Throwable failure) {
    if (isFatal(failure)) {
      return false;
    }
    try {
      return adapter(balancer).listFailed(balancer, failure);
    } catch (Throwable ours) {
      onFailure.accept(ours);
      return false;
    }
  }

  /** Only the outermost choice is looked at: a zone-aware balancer asks one balancer per zone. */
  @Override
  public Object beginChoice(Object balancer, Object key) {
    if (depth.get()[0]++ > 0) {
      return null;
    }
    try {
      return adapter(balancer).choose(balancer);
    } catch (Throwable failure) {
      onFailure.accept(failure);
      return null;
    }
  }

  @Override
  public void endChoice() {
    depth.get()[0]--;
  }

  /** An exhausted or broken virtual machine is the application's to know of. */
  private static boolean isFatal(Throwable thrown) {
    return thrown instanceof Error && !(thrown instanceof LinkageError);
  }

  @Override
  public Object standIn(Object balancer, Throwable thrown) {
    if (isFatal(thrown) || depth.get()[0] > 0) {
      return null;
    }
    try {
      return adapter(balancer).standIn(balancer, thrown);
    } catch (Throwable failure) {
      onFailure.accept(failure);
      return null;
    }
  }

  @Override
  public boolean isMeshServer(Object server) {
    return server instanceof MeshServer;
  }

  @Override
  public void shutDown(Object balancer) {
    try {
      adapter(balancer).shutDown(balancer);
    } catch (Throwable failure) {
      onFailure.accept(failure);
    }
  }

  /** The balancers of a service that lag behind, in every application. */
  public List<Push> lagging(String service) {
    List<Push> lagging = new ArrayList<>();
    for (BalancerAdapter adapter : live.toArray(new BalancerAdapter[0])) {
      if (adapter != null) {
        lagging.addAll(adapter.lagging(service));
      }
    }
    return lagging;
  }
}
