// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.DynamicServerListLoadBalancer;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.List;

/** Ribbon's own way to a new list, which is woven. Runs rules, pings and listeners. */
final class Update {
  private final Method method;
  private final ClassLoader application;

  Update() throws NoSuchMethodException {
    method =
        DynamicServerListLoadBalancer.class.getDeclaredMethod("updateAllServerList", List.class);
    method.setAccessible(true);
    application = DynamicServerListLoadBalancer.class.getClassLoader();
  }

  /** Throws what the application's code throws. */
  void run(Object balancer, List<?> list) throws Exception {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    if (before == null) {
      thread.setContextClassLoader(application);
    }
    try {
      method.invoke(balancer, list);
    } catch (InvocationTargetException failure) {
      Throwable cause = failure.getCause();
      if (cause instanceof Error) {
        throw (Error) cause;
      }
      throw (Exception) cause;
    } finally {
      if (before == null) {
        thread.setContextClassLoader(null);
      }
    }
  }
}
