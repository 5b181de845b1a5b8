// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.ribbon;

import io.proxyless.bootstrap.Hooks;
import java.util.LinkedHashMap;
import java.util.Map;
import net.bytebuddy.description.method.MethodDescription;
import net.bytebuddy.description.type.TypeDescription;
import net.bytebuddy.pool.TypePool;

/** Looks whether an application's Ribbon is the one that we know, before a class is changed. */
final class Witness {
  private static final String PACKAGE = "com.netflix.loadbalancer.";

  /** What the adapter calls, beside what is woven. */
  private static final Map<String, String[]> ADAPTER = new LinkedHashMap<>();

  static {
    ADAPTER.put(
        "Server",
        new String[] {
          "<init>(Ljava/lang/String;I)V",
          "getHostPort()Ljava/lang/String;",
          "setZone(Ljava/lang/String;)V",
          "setAlive(Z)V",
          "setReadyToServe(Z)V"
        });
    ADAPTER.put("BaseLoadBalancer", new String[] {"getName()Ljava/lang/String;"});
    ADAPTER.put("ILoadBalancer", new String[] {"getAllServers()Ljava/util/List;"});
    ADAPTER.put(
        "DynamicServerListLoadBalancer",
        new String[] {"updateAllServerList(Ljava/util/List;)V", "updateListOfServers()V"});
  }

  private Witness() {}

  /** Woven code calls {@link Hooks}: a loader that does not find it must not get any. */
  static void sees(ClassLoader loader) {
    Class<?> found = null;
    try {
      found = Class.forName(Hooks.class.getName(), false, loader);
    } catch (ClassNotFoundException | LinkageError hidden) {
      // Below.
    }
    if (found != Hooks.class) {
      throw new IllegalStateException(
          "its class loader ("
              + loader.getClass().getName()
              + ") does not pass io.proxyless.bootstrap on to the boot loader: add that package to"
              + " org.osgi.framework.bootdelegation (OSGi) or jboss.modules.system.pkgs (JBoss)");
    }
  }

  static void adapter(TypePool pool) {
    for (Map.Entry<String, String[]> type : ADAPTER.entrySet()) {
      TypeDescription description = pool.describe(PACKAGE + type.getKey()).resolve();
      for (String member : type.getValue()) {
        has(description, member);
      }
    }
  }

  static void has(TypeDescription type, String member) {
    for (MethodDescription.InDefinedShape method : type.getDeclaredMethods()) {
      if ((method.getInternalName() + method.getDescriptor()).equals(member)) {
        return;
      }
    }
    throw new IllegalStateException(
        "this version of Ribbon is not known, " + type.getName() + " lacks " + member);
  }
}
