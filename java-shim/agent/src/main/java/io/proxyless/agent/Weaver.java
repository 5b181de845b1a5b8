// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import io.proxyless.agent.ribbon.RibbonWeaving;
import java.lang.instrument.ClassFileTransformer;
import java.security.ProtectionDomain;

/** Compares class names; Byte Buddy is not even loaded before the first hit. */
final class Weaver implements ClassFileTransformer {
  private static final String RIBBON = "com/netflix/loadbalancer/";
  private static final String SPRING =
      "org/springframework/cloud/netflix/ribbon/DefaultServerIntrospector";

  private final AgentLog log;

  Weaver(AgentLog log) {
    this.log = log;
  }

  @Override
  public byte[] transform(
      ClassLoader loader, String name, Class<?> redefined, ProtectionDomain domain, byte[] bytes) {
    if (name == null || loader == null || !isOurs(name)) {
      return null;
    }
    try {
      byte[] woven = RibbonWeaving.weave(loader, name.replace('/', '.'), bytes);
      if (woven != null) {
        log.debug("woven: " + name);
      }
      return woven;
    } catch (Throwable failure) {
      log.once(
          "weave " + failure.getMessage(),
          name.replace('/', '.') + " is left as it is: " + failure.getMessage());
      return null;
    }
  }

  private static boolean isOurs(String name) {
    return name.startsWith(RIBBON) && name.endsWith("LoadBalancer") || name.equals(SPRING);
  }
}
