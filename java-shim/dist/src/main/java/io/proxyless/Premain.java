// SPDX-License-Identifier: Apache-2.0
package io.proxyless;

import java.io.File;
import java.io.InputStream;
import java.lang.instrument.Instrumentation;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.jar.JarFile;

/**
 * The only class that the system class loader sees. Reads the switch; everything else happens in a
 * class loader of the agent's own. Whatever goes wrong here, the application starts as it would
 * without an agent.
 */
public final class Premain {
  private static final String SWITCH = "profile.micro.service.envoy.xds.enable";
  private static final String SWITCH_UPPER = "PROFILE_MICRO_SERVICE_ENVOY_XDS_ENABLE";
  private static final String BRIDGE = "io.proxyless.bootstrap.Hooks";

  private Premain() {}

  public static void premain(String arguments, Instrumentation instrumentation) {
    String origin = switchedOn();
    if (origin == null) {
      return;
    }
    try {
      start(instrumentation, origin);
    } catch (Throwable failure) {
      System.err.println("[proxyless] off, the application goes on without it: " + failure);
    }
  }

  /** What switched the agent on; null when it is off. The property wins over the environment. */
  private static String switchedOn() {
    String property = System.getProperty(SWITCH);
    if (property != null) {
      return Boolean.parseBoolean(property.trim()) ? "property " + SWITCH : null;
    }
    for (String name : new String[] {SWITCH, SWITCH_UPPER}) {
      String variable = System.getenv(name);
      if (variable != null) {
        return Boolean.parseBoolean(variable.trim()) ? "environment " + name : null;
      }
    }
    return null;
  }

  private static void start(Instrumentation instrumentation, String origin) throws Exception {
    URL place = Premain.class.getProtectionDomain().getCodeSource().getLocation();
    File file = new File(place.toURI());
    JarFile jar = new JarFile(file, false);
    provideBridge(instrumentation, jar);
    ClassLoader loader =
        new InnerLoader(jar, place, "inst/agent/", ClassLoader.getSystemClassLoader().getParent());
    Class<?> agent = Class.forName("io.proxyless.agent.Agent", true, loader);
    agent
        .getMethod(
            "start", Instrumentation.class, JarFile.class, File.class, URL.class, String.class)
        .invoke(null, instrumentation, jar, file, place, origin);
  }

  /**
   * The manifest puts the bridge beside the jar on the boot class path; when it is not there, the
   * copy inside serves.
   */
  private static void provideBridge(Instrumentation instrumentation, JarFile jar) throws Exception {
    try {
      Class.forName(BRIDGE, false, null);
      return;
    } catch (ClassNotFoundException missing) {
      // Below.
    }
    Path copy = Files.createTempFile("proxyless-bridge", ".jar");
    try (InputStream in = jar.getInputStream(jar.getEntry("proxyless-bridge.jar"))) {
      Files.copy(in, copy, StandardCopyOption.REPLACE_EXISTING);
    }
    instrumentation.appendToBootstrapClassLoaderSearch(new JarFile(copy.toFile()));
    copy.toFile().deleteOnExit();
  }
}
