// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import io.proxyless.agent.ribbon.RibbonWeaving;
import java.lang.instrument.ClassFileTransformer;
import java.security.ProtectionDomain;

/** Compares class names; Byte Buddy is not even loaded before the first hit. */
final class Weaver implements ClassFileTransformer {
  private static final String RIBBON = "com/netflix/loadbalancer/";

  private final AgentLog log;

  Weaver(AgentLog log) {
    this.log = log;
  }

  @Override
  public byte[] transform(
      ClassLoader loader, String name, Class<?> redefined, ProtectionDomain domain, byte[] bytes) {
    if (name == null
        || loader == null
        || !name.startsWith(RIBBON)
        || !name.endsWith("LoadBalancer")) {
      return null;
    }
    try {
      byte[] woven = RibbonWeaving.weave(loader, name.replace('/', '.'), bytes);
      if (woven != null) {
        log.debug("woven: " + name);
      }
      return woven;
    } catch (Throwable failure) {
      log.once("weave " + name, name.replace('/', '.') + " is left as it is: " + failure);
      return null;
    }
  }
}
