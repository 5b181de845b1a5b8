// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import io.proxyless.agent.api.BalancerAdapter;
import io.proxyless.agent.api.Lists;
import io.proxyless.agent.api.View;
import io.proxyless.agent.ribbon.RibbonDispatch;
import io.proxyless.bootstrap.Hooks;
import java.io.File;
import java.io.IOException;
import java.lang.instrument.Instrumentation;
import java.nio.charset.StandardCharsets;
import java.util.jar.JarFile;

/**
 * Puts the parts together. Called once, by the class on the system loader, when the switch is on.
 */
public final class Agent {
  /** Becomes unknown with the first answer of the control plane: a name that no mesh has. */
  private static final String PROBE = "proxyless-wait-ready.invalid";

  private Agent() {}

  /** Whatever fails here fails before a class is changed. */
  public static void start(
      Instrumentation instrumentation, JarFile jar, File jarFile, String origin) throws Exception {
    if (!Hooks.claim()) {
      System.err.println(
          "[proxyless] another agent of this kind is already active; this one steps aside");
      return;
    }
    Settings settings = new Settings(System.getProperties(), System.getenv());
    AgentLog log = new AgentLog(settings.debug);
    loadNatives(jar, jarFile, settings);
    long handle = NativeBridge.open(settings.coreOptions.getBytes(StandardCharsets.UTF_8));
    Pusher pusher = new Pusher(log);
    ServiceTable table =
        new ServiceTable(log, service -> Discovery.watch(handle, service), pusher::want);
    RibbonDispatch ribbon =
        new RibbonDispatch(loader -> ribbonAdapter(jar, loader, table), Hooks::suppressed);
    Discovery discovery =
        new Discovery(
            log,
            handle,
            table,
            services -> services.forEach(service -> pusher.want(ribbon.lagging(service))));
    String version = jar.getManifest().getMainAttributes().getValue("Implementation-Version");
    String summary = summary(handle);
    pusher.start();
    discovery.start();
    Hooks.connect(ribbon, failure -> report(log, failure));
    instrumentation.addTransformer(new Weaver(log), false);
    log.info(version + " on by " + origin + ", " + summary);
    waitReady(settings, table, log);
  }

  private static void loadNatives(JarFile jar, File jarFile, Settings settings) {
    try {
      Natives.load(jar, jarFile, settings.nativePath);
    } catch (IOException | LinkageError failure) {
      throw new IllegalStateException("native library: " + failure.getMessage(), failure);
    }
  }

  private static String summary(long handle) {
    String description = new String(NativeBridge.describe(handle), StandardCharsets.UTF_8);
    String warnings = field(description, "\"warnings\":[", "]");
    return "control plane "
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
    while (!ready(settings, table)) {
      if (System.nanoTime() - deadline >= 0) {
        log.info(
            "not ready after "
                + settings.waitReadyMillis
                + " ms; the application starts all the same");
        return;
      }
      synchronized (table) {
        table.wait(50);
      }
    }
  }

  private static boolean ready(Settings settings, ServiceTable table) {
    boolean ready = table.view(PROBE).state != View.State.PENDING;
    for (String service : settings.waitFor) {
      ready &= table.view(service).state == View.State.READY;
    }
    return ready;
  }
}
