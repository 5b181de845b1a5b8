// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import java.io.PrintStream;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Lines on standard error: the application's logging is not ours to start. */
final class AgentLog {
  /** As it was at the start: what the application puts there later is code of the application. */
  private final PrintStream out = System.err;

  private final boolean debug;
  private final Set<String> said = ConcurrentHashMap.newKeySet();

  AgentLog(boolean debug) {
    this.debug = debug;
  }

  void info(String text) {
    out.println("[proxyless] " + text);
  }

  /** Once per key. */
  void once(String key, String text) {
    if (said.add(key)) {
      info(text);
    }
  }

  void debug(String text) {
    if (debug) {
      info(text);
    }
  }
}
