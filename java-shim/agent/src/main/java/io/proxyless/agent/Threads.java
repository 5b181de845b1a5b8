// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

/**
 * Which threads must not be blocked: Reactor's non-blocking ones and Netty's event loops, told by
 * name, and our own, which brings the answers that others wait for.
 */
final class Threads {
  /** The thread that follows the control plane. */
  static final class Follower extends Thread {
    Follower(Runnable task) {
      super(task, "proxyless-discovery");
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

  static boolean mayBlock(Thread thread) {
    return !(thread instanceof Follower) && !EVENT_LOOP.get(thread.getClass());
  }
}
