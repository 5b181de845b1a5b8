// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Iterator;
import java.util.Set;
import java.util.function.Predicate;

/**
 * The one thread that follows the control plane: waits natively, decodes, publishes, pushes. A
 * daemon, so that the JVM may exit.
 */
final class Discovery {
  private static final long IDLE_MILLIS = 3_600_000;
  private static final long FIRST_RETRY_MILLIS = 2;
  private static final long LAST_RETRY_MILLIS = 200;

  private final AgentLog log;
  private final long handle;
  private final ServiceTable table;

  /** Pushes a service to its balancers; false: try again. */
  private final Predicate<String> push;

  Discovery(AgentLog log, long handle, ServiceTable table, Predicate<String> push) {
    this.log = log;
    this.handle = handle;
    this.table = table;
    this.push = push;
  }

  static void watch(long handle, String service) {
    NativeBridge.watch(handle, service.getBytes(StandardCharsets.UTF_8));
  }

  void start() {
    new Threads.Follower(this::run).start();
  }

  private void run() {
    try {
      follow();
    } catch (Throwable failure) {
      log.info("discovery has failed, the application's own goes on: " + failure);
      table.fail();
    }
  }

  private void follow() {
    long epoch = 0;
    Set<String> unpushed = new HashSet<>();
    long retry = FIRST_RETRY_MILLIS;
    while (true) {
      long newest =
          NativeBridge.awaitChange(handle, epoch, unpushed.isEmpty() ? IDLE_MILLIS : retry);
      if (newest < 0) {
        return;
      }
      byte[] bytes = newest > epoch ? NativeBridge.snapshot(handle, epoch) : null;
      if (bytes != null) {
        FlatReader flat = new FlatReader(bytes);
        unpushed.addAll(table.accept(flat));
        epoch = flat.epoch;
        retry = FIRST_RETRY_MILLIS;
      } else {
        retry = Math.min(2 * retry, LAST_RETRY_MILLIS);
      }
      for (Iterator<String> services = unpushed.iterator(); services.hasNext(); ) {
        if (push.test(services.next())) {
          services.remove();
        }
      }
    }
  }
}
