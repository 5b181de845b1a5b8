// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import io.proxyless.agent.api.Push;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Brings balancers up to date. That runs code of the application (rules, pings, listeners), so each
 * push has a thread of its own, and a balancer has one push at a time: one that hangs holds up
 * nobody but itself, and the next in line for {@link #PATIENCE_MILLIS}.
 */
final class Pusher {
  private static final long PATIENCE_MILLIS = 100;
  private static final long FIRST_RETRY_MILLIS = 2;
  private static final long LAST_RETRY_MILLIS = 10_000;

  /** About a minute. After that the balancer's own next update is what brings it up to date. */
  private static final int TRIES = 16;

  private final AgentLog log;
  private final Map<Push, Lane> lanes = new LinkedHashMap<>();

  Pusher(AgentLog log) {
    this.log = log;
  }

  /** The pushes of one balancer. Everything here is guarded by the pusher. */
  private final class Lane implements Runnable {
    final Push push;
    Thread worker;

    /** It has changed again while a push was under way. */
    boolean again;

    int tries;
    long due;

    Lane(Push push) {
      this.push = push;
    }

    @Override
    public void run() {
      boolean done = false;
      try {
        done = push.bringUpToDate();
      } catch (Throwable ofTheApplication) {
        say(ofTheApplication);
      } finally {
        ended(this, done);
      }
    }
  }

  void start() {
    Threads.own("proxyless-push", this::serve).start();
  }

  synchronized void want(Collection<? extends Push> pushes) {
    for (Push push : pushes) {
      want(push);
    }
  }

  /** Soon, from another thread. What a push itself asks for is what it is already doing. */
  synchronized void want(Push push) {
    Lane lane = lanes.get(push);
    if (lane == null) {
      lane = new Lane(push);
      lanes.put(push, lane);
    }
    if (lane.worker == null) {
      lane.tries = 0;
      lane.due = System.nanoTime();
      notifyAll();
    } else if (lane.worker != Thread.currentThread()) {
      lane.again = true;
    }
  }

  private void serve() {
    while (true) {
      try {
        begin(next()).join(PATIENCE_MILLIS);
      } catch (Throwable failure) {
        say(failure);
        Threads.pause(PATIENCE_MILLIS);
      }
    }
  }

  /** Waits for the lane that is due first. */
  private synchronized Lane next() throws InterruptedException {
    while (true) {
      Lane first = null;
      for (Lane lane : lanes.values()) {
        if (lane.worker == null && (first == null || lane.due - first.due < 0)) {
          first = lane;
        }
      }
      long left = first == null ? 0 : (first.due - System.nanoTime()) / 1_000_000;
      if (first != null && left <= 0) {
        return first;
      }
      wait(left);
    }
  }

  private synchronized Thread begin(Lane lane) {
    Thread worker = Threads.own("proxyless-push-one", lane);
    lane.again = false;
    lane.due = System.nanoTime() + PATIENCE_MILLIS * 1_000_000;
    worker.start();
    lane.worker = worker;
    return worker;
  }

  private synchronized void ended(Lane lane, boolean done) {
    lane.worker = null;
    lane.tries = lane.again ? 0 : lane.tries + 1;
    if (!lane.again && (done || lane.tries == TRIES)) {
      lanes.remove(lane.push);
      return;
    }
    long delay = Math.min(FIRST_RETRY_MILLIS << lane.tries, LAST_RETRY_MILLIS);
    lane.due = System.nanoTime() + delay * 1_000_000;
    notifyAll();
  }

  private void say(Throwable failure) {
    try {
      log.once(
          "push " + failure.getClass(),
          "a balancer does not take a new list, it is tried again: " + failure);
    } catch (Throwable noMemory) {
      // Not even for a line.
    }
  }
}
