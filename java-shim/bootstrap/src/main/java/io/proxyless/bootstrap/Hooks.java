// SPDX-License-Identifier: Apache-2.0
package io.proxyless.bootstrap;

import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * The only class that woven code calls. Lives on the boot class path, so that every application
 * class loader sees the same one; knows JDK types only. Without a hook everything is as it was
 * without the agent.
 */
public final class Hooks {
  private static final AtomicBoolean CLAIMED = new AtomicBoolean();
  private static final AtomicLong SUPPRESSED = new AtomicLong();

  private static volatile RibbonHook ribbon;
  private static volatile Consumer<Throwable> onSuppressed;

  private Hooks() {}

  /** True for the first agent of this JVM; a second one steps aside. */
  public static boolean claim() {
    return CLAIMED.compareAndSet(false, true);
  }

  /** Connects the agent. */
  public static void connect(RibbonHook hook, Consumer<Throwable> suppressedListener) {
    ribbon = hook;
    onSuppressed = suppressedListener;
  }

  /** Called in the middle of a method, where nothing would catch what this throws. */
  public static void registryAnswered(Object balancer, List<?> servers) {
    try {
      RibbonHook hook = ribbon;
      if (hook != null) {
        hook.registryAnswered(balancer, servers);
      }
    } catch (Throwable failure) {
      suppressed(failure);
    }
  }

  public static List<?> serverList(Object balancer, List<?> offered) {
    RibbonHook hook = ribbon;
    return hook == null ? offered : hook.serverList(balancer, offered);
  }

  public static void takenOver(Object balancer, List<?> list) {
    RibbonHook hook = ribbon;
    if (hook != null) {
      hook.takenOver(balancer, list);
    }
  }

  public static void updated(Object balancer) {
    RibbonHook hook = ribbon;
    if (hook != null) {
      hook.updated(balancer);
    }
  }

  public static boolean listFailed(Object balancer, Throwable failure) {
    RibbonHook hook = ribbon;
    return hook != null && hook.listFailed(balancer, failure);
  }

  public static Object beginChoice(Object balancer, Object key) {
    RibbonHook hook = ribbon;
    return hook == null ? null : hook.beginChoice(balancer, key);
  }

  public static void endChoice() {
    RibbonHook hook = ribbon;
    if (hook != null) {
      hook.endChoice();
    }
  }

  public static Object standIn(Object balancer, Throwable thrown) {
    RibbonHook hook = ribbon;
    return hook == null ? null : hook.standIn(balancer, thrown);
  }

  public static boolean isMeshServer(Object server) {
    RibbonHook hook = ribbon;
    return hook != null && hook.isMeshServer(server);
  }

  public static void shutDown(Object balancer) {
    RibbonHook hook = ribbon;
    if (hook != null) {
      hook.shutDown(balancer);
    }
  }

  /** Woven code failed; the application goes on as if it were not there. */
  public static void suppressed(Throwable failure) {
    SUPPRESSED.incrementAndGet();
    try {
      Consumer<Throwable> listener = onSuppressed;
      if (listener != null) {
        listener.accept(failure);
      }
    } catch (Throwable noMemory) {
      // Counted; the application must not meet it.
    }
  }

  /** How often woven code has failed. Zero, or there is a defect. */
  public static long suppressedCount() {
    return SUPPRESSED.get();
  }
}
