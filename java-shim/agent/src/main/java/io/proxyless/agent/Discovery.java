// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.function.Consumer;

/**
 * The one thread that follows the control plane: waits natively, decodes, publishes, tells who has
 * changed. It runs no code of the application. Whatever it meets, the lists stay as they are, and
 * it goes on after a while. A daemon, so that the JVM may exit.
 */
final class Discovery {
  private static final long IDLE_MILLIS = 3_600_000;
  private static final long FIRST_PAUSE_MILLIS = 50;
  private static final long LAST_PAUSE_MILLIS = 10_000;

  private final AgentLog log;
  private final long handle;
  private final ServiceTable table;
  private final Consumer<Set<String>> changed;

  Discovery(AgentLog log, long handle, ServiceTable table, Consumer<Set<String>> changed) {
    this.log = log;
    this.handle = handle;
    this.table = table;
    this.changed = changed;
  }

  static void watch(long handle, String service) {
    NativeBridge.watch(handle, service.getBytes(StandardCharsets.UTF_8));
  }

  void start() {
    Threads.own("proxyless-discovery", this::follow).start();
  }

  private void follow() {
    long epoch = 0;
    long pause = FIRST_PAUSE_MILLIS;
    while (epoch >= 0) {
      try {
        epoch = step(epoch);
        pause = FIRST_PAUSE_MILLIS;
      } catch (Throwable failure) {
        say(failure);
        Threads.pause(pause);
        pause = Math.min(2 * pause, LAST_PAUSE_MILLIS);
      }
    }
  }

  /** Waits for the next change and publishes it; returns its epoch, negative once closed. */
  private long step(long epoch) {
    long newest = NativeBridge.awaitChange(handle, epoch, IDLE_MILLIS);
    byte[] bytes = newest > epoch ? NativeBridge.snapshot(handle, epoch) : null;
    if (bytes == null) {
      return Math.min(newest, epoch);
    }
    FlatReader flat = new FlatReader(bytes);
    changed.accept(table.accept(flat));
    return flat.epoch;
  }

  private void say(Throwable failure) {
    try {
      log.once(
          "discovery " + failure.getClass(),
          "the lists stay as they are for a moment, discovery is tried again: " + failure);
    } catch (Throwable noMemory) {
      // Not even for a line.
    }
  }
}
