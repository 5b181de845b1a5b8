// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import io.proxyless.agent.api.BalancerAdapter;
import io.proxyless.agent.api.Lists;
import io.proxyless.agent.api.View;
import io.proxyless.agent.ribbon.RibbonDispatch;
import io.proxyless.bootstrap.Hooks;
import java.io.File;
import java.lang.instrument.Instrumentation;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.jar.JarFile;

/**
 * Puts the parts together. Called once, by the class on the system loader, when the switch is on.
 */
public final class Agent {
  /** Becomes unknown with the first answer of the control plane: a name that no mesh has. */
  private static final String PROBE = "proxyless-wait-ready.invalid";

  private Agent() {}

  public static void start(
      Instrumentation instrumentation, JarFile jar, File jarFile, URL place, String origin)
      throws Exception {
    if (!Hooks.claim()) {
      System.err.println(
          "[proxyless] another agent of this kind is already active; this one steps aside");
      return;
    }
    Settings settings = new Settings(System.getProperties(), System.getenv());
    AgentLog log = new AgentLog(settings.debug);
    try {
      Natives.load(jar, jarFile, settings.nativePath);
    } catch (Exception | LinkageError failure) {
      log.info("off, the application goes on without it: native library: " + failure.getMessage());
      return;
    }
    long handle;
    try {
      handle = NativeBridge.open(settings.coreOptions.getBytes(StandardCharsets.UTF_8));
    } catch (RuntimeException failure) {
      log.info("off, the application goes on without it: " + failure.getMessage());
      return;
    }
    ServiceTable table = new ServiceTable(log, service -> Discovery.watch(handle, service));
    RibbonDispatch ribbon =
        new RibbonDispatch(
            loader -> ribbonAdapter(jar, loader, table), failure -> report(log, failure));
    Hooks.connect(ribbon, failure -> report(log, failure));
    new Discovery(log, handle, table, ribbon::push).start();
    instrumentation.addTransformer(new Weaver(log), false);
    log.info(startLine(jar, origin, handle));
    waitReady(settings, table, log);
  }

  private static String startLine(JarFile jar, String origin, long handle) throws Exception {
    String version = jar.getManifest().getMainAttributes().getValue("Implementation-Version");
    String description = new String(NativeBridge.describe(handle), StandardCharsets.UTF_8);
    String warnings = field(description, "\"warnings\":[", "]");
    return version
        + " on by "
        + origin
        + ", control plane "
        + field(description, "\"server\":\"", "\"")
        + (warnings.isEmpty() ? "" : ", warnings: " + warnings);
  }

  private static String field(String json, String before, String after) {
    int start = json.indexOf(before);
    int end = start < 0 ? -1 : json.indexOf(after, start + before.length());
    return end < 0 ? "" : json.substring(start + before.length(), end);
  }

  private static BalancerAdapter ribbonAdapter(JarFile jar, ClassLoader application, Lists lists) {
    try {
      Class<?> adapter =
          Class.forName(
              "io.proxyless.adapter.ribbon.RibbonAdapter",
              true,
              new AdapterLoader(jar, "ribbon", application));
      return (BalancerAdapter) adapter.getConstructor(Lists.class).newInstance(lists);
    } catch (ReflectiveOperationException failure) {
      throw new IllegalStateException(failure);
    }
  }

  /** A failure of ours that was kept from the application. */
  private static void report(AgentLog log, Throwable failure) {
    log.once(
        "suppressed " + failure.getClass(),
        "suppressed "
            + failure
            + (failure.getStackTrace().length > 0 ? " at " + failure.getStackTrace()[0] : ""));
  }

  private static void waitReady(Settings settings, ServiceTable table, AgentLog log)
      throws InterruptedException {
    if (settings.waitReadyMillis == 0) {
      return;
    }
    long deadline = System.nanoTime() + settings.waitReadyMillis * 1_000_000;
    boolean ready;
    do {
      ready = table.view(PROBE).state != View.State.PENDING;
      for (String service : settings.waitFor) {
        ready &= table.view(service).state == View.State.READY;
      }
      if (!ready) {
        synchronized (table) {
          table.wait(50);
        }
      }
    } while (!ready && System.nanoTime() < deadline);
    if (!ready) {
      log.info(
          "not ready after "
              + settings.waitReadyMillis
              + " ms; the application starts all the same");
    }
  }
}
