// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.DynamicServerListLoadBalancer;
import com.netflix.loadbalancer.ILoadBalancer;
import com.netflix.loadbalancer.Server;
import io.proxyless.agent.api.Lists;
import io.proxyless.agent.api.Push;
import io.proxyless.agent.api.Registered;
import io.proxyless.agent.api.View;
import java.lang.ref.WeakReference;
import java.util.Collections;
import java.util.List;

/**
 * What we remember about one balancer, which is held weakly, and what follows by the policy {@code
 * registry-first}: a service that a registry knows is the application's own business; one that only
 * the mesh knows gets the mesh's list.
 */
final class Balancer extends WeakReference<Object> implements Push {
  final String service;

  private final Lists lists;
  private final Update update;
  private final Registered registered;
  private final Servers servers = new Servers();

  /** What registry and filter said last; null before they said anything. */
  private volatile List<?> registry;

  /** The list that the balancer has really taken over. */
  private volatile List<?> taken;

  /**
   * What this thread's update was given: a subclass that copies it has taken it over all the same.
   */
  private final ThreadLocal<List<?>> given = new ThreadLocal<>();

  /** Version of the list that was spoken of last. */
  private volatile long noted = -1;

  /** It was said that the application's rule chooses nobody. */
  private volatile boolean stoodIn;

  Balancer(Object owner, String service, Lists lists, Update update) {
    super(owner);
    this.service = service;
    this.lists = lists;
    this.update = update;
    this.registered = lists.registered(service);
  }

  void registryAnswered(List<?> servers) {
    if (!servers.isEmpty()) {
      registered.name();
    }
  }

  /** The list to take over instead of the one that is offered. */
  List<?> serverList(List<?> offered) {
    List<?> list = listFor(offered);
    given.set(list);
    return list;
  }

  private List<?> listFor(List<?> offered) {
    if (!(offered instanceof PushedList)) {
      registry = offered;
      registryAnswered(offered);
    }
    // A push takes what the registry says by now: a poll may have brought its first instance.
    List<?> newest = registry == null ? Collections.emptyList() : registry;
    if (registered.named()) {
      saysWhoServes(newest);
      return newest;
    }
    View view = lists.await(service);
    if (view.state == View.State.READY) {
      note(view);
      return new VersionedList(servers.of(view), view.version);
    }
    if (view.state == View.State.INVALID) {
      lists.say("invalid " + service + view.detail, service + " has no endpoints: " + view.detail);
    }
    // The registry has named nobody: an empty list, whatever the state.
    return new VersionedList(newest, view.version);
  }

  private void saysWhoServes(List<?> newest) {
    if (newest.isEmpty()) {
      lists.say(
          "nobody " + service,
          service
              + " is known to the registry, which names no instance now or whose instances the"
              + " application's filter leaves out: that is obeyed");
    }
    if (lists.view(service).state == View.State.READY) {
      lists.say(
          "both " + service,
          service
              + " is known to the registry and to the mesh: the registry serves it, the mesh stands by");
    }
  }

  void takenOver(List<?> list) {
    List<?> original = given.get();
    taken = original == null ? list : original;
  }

  /** True when the registry's failure is to be forgotten because the mesh serves. */
  boolean registryFailed(Throwable failure) {
    if (registered.named() || lists.await(service).state != View.State.READY) {
      return false;
    }
    lists.say(
        "registry " + service,
        "the registry has no answer for " + service + ", the mesh serves it: " + failure);
    Object owner = get();
    try {
      update.run(owner, new PushedList(Collections.emptyList()));
    } catch (Exception ofTheApplication) {
      lists.debug(service + ": " + ofTheApplication);
    }
    missed();
    return true;
  }

  /** After an update. */
  void updated() {
    given.remove();
    missed();
  }

  /** Another update may have been dropped because of the one that has ended. */
  private void missed() {
    if (!isCurrent()) {
      lists.push(this);
    }
  }

  /**
   * A balancer that has not got its first list yet will find the newest one when it asks; one whose
   * registry has never answered may have got it from the mesh.
   */
  boolean lags() {
    List<?> said = registry;
    if ((said == null && taken == null) || !(get() instanceof DynamicServerListLoadBalancer)) {
      return false;
    }
    if (said != null && registered.named()) {
      saysWhoServes(said);
    }
    return !isCurrent();
  }

  private boolean isCurrent() {
    List<?> said = registry;
    if (registered.named()) {
      return said == null || said.isEmpty() || taken == said;
    }
    View view = lists.view(service);
    return view.state == View.State.PENDING || takenVersion() >= view.version;
  }

  private long takenVersion() {
    List<?> list = taken;
    return list instanceof VersionedList ? ((VersionedList) list).version : -1;
  }

  @Override
  public boolean bringUpToDate() throws Exception {
    Object owner = get();
    if (owner == null || isCurrent()) {
      return true;
    }
    List<?> said = registry;
    update.run(owner, new PushedList(said == null ? Collections.emptyList() : said));
    return isCurrent();
  }

  /** The mesh's pick where the application's rule need not, or cannot, be asked; null otherwise. */
  Server choose(Object owner) {
    View view = serving(owner);
    if (view == null) {
      return null;
    }
    // With equal weights the application's own rule chooses, from the list that it was given.
    if (view.order.length == 0
        && owner instanceof DynamicServerListLoadBalancer
        && takenVersion() == view.version) {
      return null;
    }
    note(view);
    return servers.pick(view);
  }

  /** The mesh's pick after the application's rule has chosen nobody; null when it has none. */
  Server standIn(Object owner, Throwable thrown) {
    View view = serving(owner);
    if (view == null) {
      return null;
    }
    if (!stoodIn) {
      stoodIn = true;
      lists.say(
          "stand-in " + service,
          "the application's rule chooses nobody for "
              + service
              + (thrown == null ? "" : " (" + thrown + ")")
              + ", though the mesh's list is not empty: the mesh picks");
    }
    return servers.pick(view);
  }

  /** The mesh's list when it serves this balancer and is not empty. */
  private View serving(Object owner) {
    if (registered.named()) {
      return null;
    }
    if (!(owner instanceof DynamicServerListLoadBalancer) && hasServers(owner)) {
      registered.name();
      return null;
    }
    View view = lists.view(service);
    return view.state == View.State.READY && view.endpoints.length > 0 ? view : null;
  }

  private static boolean hasServers(Object owner) {
    List<Server> servers = ((ILoadBalancer) owner).getAllServers();
    return servers != null && !servers.isEmpty();
  }

  private void note(View view) {
    if (noted != view.version) {
      noted = view.version;
      lists.used(view);
    }
  }
}
