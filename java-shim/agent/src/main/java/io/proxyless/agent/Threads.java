// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

/**
 * Our own threads, and which others must not be blocked: Reactor's non-blocking ones and Netty's
 * event loops, told by name. Our own bring the answers that others wait for.
 */
final class Threads {
  private static final class Own extends Thread {
    Own(Runnable task, String name) {
      super(task, name);
      setDaemon(true);
      setContextClassLoader(null);
    }
  }

  private static final ClassValue<Boolean> EVENT_LOOP =
      new ClassValue<Boolean>() {
        @Override
        protected Boolean computeValue(Class<?> type) {
          for (Class<?> c = type; c != null; c = c.getSuperclass()) {
            if (c.getName().equals("io.netty.util.concurrent.FastThreadLocalThread")) {
              return true;
            }
            for (Class<?> face : c.getInterfaces()) {
              if (face.getName().equals("reactor.core.scheduler.NonBlocking")) {
                return true;
              }
            }
          }
          return false;
        }
      };

  private Threads() {}

  /** A daemon that keeps no application alive. */
  static Thread own(String name, Runnable task) {
    return new Own(task, name);
  }

  static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException nobodyInterruptsUs) {
      // Then it was a short pause.
    }
  }

  static boolean mayBlock(Thread thread) {
    return !(thread instanceof Own) && !EVENT_LOOP.get(thread.getClass());
  }
}
