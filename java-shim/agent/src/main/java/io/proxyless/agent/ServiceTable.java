// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import io.proxyless.agent.api.Lists;
import io.proxyless.agent.api.Push;
import io.proxyless.agent.api.Registered;
import io.proxyless.agent.api.View;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/**
 * The published lists. Reading is a volatile read and a map look-up: no native call, no lock, no
 * allocation. A service is watched when its name is first seen.
 */
final class ServiceTable implements Lists {
  /** The bound on every wait. */
  static final long WAIT_MILLIS = 1000;

  private final AgentLog log;
  private final Consumer<String> watch;
  private final Consumer<Push> push;
  private final Map<String, Registered> registered = new ConcurrentHashMap<>();
  private volatile Map<String, View> views = new HashMap<>();
  private volatile boolean answered;

  /**
   * Guarded by this: when waiting for the first answer of all ends, and who has had its own wait.
   */
  private long firstAnswerDeadline;

  private final Set<String> waited = new HashSet<>();

  /** Guarded by this: that there is no control plane has been said. */
  private boolean unreachable;

  ServiceTable(AgentLog log, Consumer<String> watch, Consumer<Push> push) {
    this.log = log;
    this.watch = watch;
    this.push = push;
  }

  @Override
  public View view(String service) {
    View known = views.get(service);
    return known != null ? known : firstSight(service);
  }

  @Override
  public View await(String service) {
    View view = view(service);
    if (view.state != View.State.PENDING || !Threads.mayBlock(Thread.currentThread())) {
      return view;
    }
    try {
      return awaitAnswer(service);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      return view(service);
    }
  }

  /** One budget per process until the first answer of all; after that one wait per service. */
  private synchronized View awaitAnswer(String service) throws InterruptedException {
    long now = System.nanoTime();
    long deadline = now + WAIT_MILLIS * 1_000_000;
    if (!answered) {
      if (firstAnswerDeadline == 0) {
        firstAnswerDeadline = deadline;
      }
      deadline = firstAnswerDeadline;
    } else if (!waited.add(service)) {
      return view(service);
    }
    View view = view(service);
    for (long left = deadline - now;
        view.state == View.State.PENDING && left > 0;
        left = deadline - System.nanoTime()) {
      wait(Math.max(1, left / 1_000_000));
      view = view(service);
    }
    return view;
  }

  /** Takes in what a snapshot says; returns the services that have changed. */
  synchronized Set<String> accept(FlatReader flat) {
    Map<String, View> fresh = flat.views();
    Map<String, View> next = new HashMap<>(views);
    next.putAll(fresh);
    views = next;
    for (View view : fresh.values()) {
      answered |= view.state != View.State.PENDING;
    }
    notifyAll();
    for (View view : fresh.values()) {
      sayWhyThereIsNoAnswer(view);
    }
    return fresh.keySet();
  }

  /**
   * Once, and again when it comes back after an answer: a wrong token or root is not to be guessed.
   */
  private void sayWhyThereIsNoAnswer(View view) {
    boolean waits = view.state == View.State.PENDING;
    if (waits && !unreachable && !view.detail.isEmpty()) {
      log.info(
          "no answer from the control plane, the application goes on without it: " + view.detail);
    }
    unreachable = waits && (unreachable || !view.detail.isEmpty());
  }

  private synchronized View firstSight(String service) {
    View known = views.get(service);
    if (known != null) {
      return known;
    }
    View pending = View.pending(service);
    Map<String, View> next = new HashMap<>(views);
    next.put(service, pending);
    try {
      watch.accept(service);
    } catch (RuntimeException refused) {
      log.debug(service + " cannot be watched: " + refused.getMessage());
    }
    // Last: a service that is published and not watched, for want of memory, would never be.
    views = next;
    return pending;
  }

  /** Registries differ in the case of names, so it does not count. */
  @Override
  public Registered registered(String service) {
    return registered.computeIfAbsent(service.toLowerCase(Locale.ROOT), name -> new Registered());
  }

  @Override
  public void push(Push balancer) {
    push.accept(balancer);
  }

  @Override
  public void used(View view) {
    log.once(
        "used " + view.name,
        view.name
            + " -> "
            + view.resolved
            + ": "
            + view.endpoints.length
            + (view.endpoints.length == 1 ? " endpoint" : " endpoints"));
    if (!view.detail.isEmpty()) {
      log.once("remark " + view.name + view.detail, view.name + ": " + view.detail);
    }
  }

  @Override
  public void say(String key, String text) {
    log.once(key, text);
  }

  @Override
  public void debug(String text) {
    log.debug(text);
  }
}
