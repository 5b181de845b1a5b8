// SPDX-License-Identifier: Apache-2.0
package io.proxyless;

import java.io.File;
import java.lang.instrument.Instrumentation;
import java.lang.reflect.InvocationTargetException;
import java.net.JarURLConnection;
import java.net.URL;
import java.security.CodeSource;
import java.util.jar.JarFile;

/**
 * All of the agent that the system class loader is asked for. Reads the switch; everything else
 * happens in a class loader of the agent's own. Whatever goes wrong here, the application starts as
 * it would without an agent.
 */
public final class Premain {
  private static final String SWITCH = "profile.micro.service.envoy.xds.enable";
  private static final String SWITCH_UPPER = "PROFILE_MICRO_SERVICE_ENVOY_XDS_ENABLE";

  private Premain() {}

  public static void premain(String arguments, Instrumentation instrumentation) {
    try {
      String origin = switchedOn();
      if (origin != null) {
        start(instrumentation, origin);
      }
    } catch (Throwable failure) {
      System.err.println("[proxyless] off, the application goes on without it: " + why(failure));
    }
  }

  private static String why(Throwable failure) {
    Throwable cause = failure;
    while (cause instanceof InvocationTargetException && cause.getCause() != null) {
      cause = cause.getCause();
    }
    if (cause instanceof SecurityException) {
      return cause.getMessage()
          + ": grant java.security.AllPermission to the agent's jar in the policy, or leave the"
          + " agent or the security manager away";
    }
    boolean prepared =
        cause.getClass() == RuntimeException.class
            || cause.getClass().getName().startsWith("java.lang.Illegal");
    return prepared && cause.getMessage() != null ? cause.getMessage() : cause.toString();
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
    File file = place();
    JarFile jar = new JarFile(file, false);
    // Made before the jar is on the boot loader's path too, so that it is of the same loader as
    // this.
    ClassLoader loader =
        new InnerLoader(
            jar,
            file.toURI().toURL(),
            "inst/agent/",
            ClassLoader.getSystemClassLoader().getParent());
    // Woven code of every class loader calls Hooks, which lies open in this jar.
    instrumentation.appendToBootstrapClassLoaderSearch(jar);
    Class.forName("io.proxyless.agent.Agent", true, loader)
        .getMethod("start", Instrumentation.class, JarFile.class, File.class, String.class)
        .invoke(null, instrumentation, jar, file, origin);
  }

  /** The jar that this class is from; the boot loader does not tell it by a code source. */
  private static File place() throws Exception {
    CodeSource source = Premain.class.getProtectionDomain().getCodeSource();
    if (source != null) {
      return new File(source.getLocation().toURI());
    }
    URL resource = ClassLoader.getSystemResource("io/proxyless/Premain.class");
    return new File(((JarURLConnection) resource.openConnection()).getJarFileURL().toURI());
  }
}
