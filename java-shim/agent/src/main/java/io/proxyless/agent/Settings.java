// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;

/**
 * The agent's own settings; everything else under {@code proxyless.} is passed on to the core,
 * which validates it.
 */
final class Settings {
  private static final List<String> OWN =
      Arrays.asList("log", "native-path", "wait-ready", "wait-for");

  private static final int MOST_SECONDS = 3600;

  final boolean debug;

  /** Explicit path of the native library; null for none. */
  final String nativePath;

  /** How long the start of the application waits for lists; 0: not at all. */
  final long waitReadyMillis;

  /** What it waits for besides the first answer. */
  final List<String> waitFor = new ArrayList<>();

  final String coreOptions;

  Settings(Properties properties, Map<String, String> environment) {
    Map<String, String> coreProperties = new TreeMap<>();
    Map<String, String> own = new TreeMap<>();
    Map<String, String> coreEnvironment = new TreeMap<>();
    for (Map.Entry<String, String> variable : environment.entrySet()) {
      String name = variable.getKey();
      String key =
          name.startsWith("PROXYLESS_")
              ? name.substring(10).toLowerCase(Locale.ROOT).replace('_', '-')
              : "";
      if (OWN.contains(key)) {
        own.put(key, variable.getValue());
      } else {
        coreEnvironment.put(name, variable.getValue());
      }
    }
    for (String name : properties.stringPropertyNames()) {
      if (!name.startsWith("proxyless.")) {
        continue;
      }
      String key = name.substring(10);
      if (OWN.contains(key)) {
        own.put(key, properties.getProperty(name));
      } else {
        coreProperties.put(name, properties.getProperty(name));
      }
    }
    debug = "debug".equalsIgnoreCase(own.get("log"));
    nativePath = own.get("native-path");
    waitReadyMillis = seconds(own.get("wait-ready"));
    for (String name : own.getOrDefault("wait-for", "").split(",")) {
      if (!name.trim().isEmpty()) {
        waitFor.add(name.trim());
      }
    }
    coreOptions =
        "{\"properties\":"
            + json(coreProperties)
            + ",\"environment\":"
            + json(coreEnvironment)
            + "}";
  }

  private static long seconds(String text) {
    try {
      double seconds = text == null ? 0 : Double.parseDouble(text.trim());
      if (seconds >= 0 && seconds <= MOST_SECONDS) {
        return (long) (seconds * 1000);
      }
    } catch (NumberFormatException bad) {
      // Below.
    }
    throw new IllegalArgumentException(
        "proxyless.wait-ready = \""
            + text
            + "\": a number of seconds is expected, "
            + MOST_SECONDS
            + " at most");
  }

  private static String json(Map<String, String> map) {
    StringBuilder out = new StringBuilder("{");
    for (Map.Entry<String, String> entry : map.entrySet()) {
      out.append(out.length() > 1 ? "," : "");
      quote(out, entry.getKey());
      out.append(':');
      quote(out, entry.getValue());
    }
    return out.append('}').toString();
  }

  private static void quote(StringBuilder out, String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '"' || c == '\\') {
        out.append('\\').append(c);
      } else if (c < 0x20 || Character.isSurrogate(c)) {
        // Lone surrogates cannot be written as UTF-8; escaped pairs are as good as plain ones.
        out.append(
            Character.isSurrogate(c) && !paired(text, i)
                ? "\\ufffd"
                : String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    out.append('"');
  }

  private static boolean paired(String text, int i) {
    return Character.isHighSurrogate(text.charAt(i))
        ? i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))
        : i > 0 && Character.isHighSurrogate(text.charAt(i - 1));
  }
}
