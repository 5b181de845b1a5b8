// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class SettingsTest {
  private static Properties properties(String... pairs) {
    Properties properties = new Properties();
    for (int i = 0; i < pairs.length; i += 2) {
      properties.setProperty(pairs[i], pairs[i + 1]);
    }
    return properties;
  }

  @Test
  @DisplayName("the agent keeps its own settings and passes the others on")
  void own_settings_are_kept() {
    Map<String, String> environment = new HashMap<>();
    environment.put("PROXYLESS_WAIT_READY", "9");
    environment.put("PROXYLESS_SERVER", "http://a:1");
    Settings settings =
        new Settings(
            properties(
                "proxyless.wait-ready",
                "1.5",
                "proxyless.wait-for",
                "a, b",
                "proxyless.namespace",
                "n",
                "other",
                "x"),
            environment);
    assertEquals(1500, settings.waitReadyMillis, "the property wins");
    assertEquals(Arrays.asList("a", "b"), settings.waitFor);
    assertEquals(
        "{\"properties\":{\"proxyless.namespace\":\"n\"},\"environment\":{\"PROXYLESS_SERVER\":\"http://a:1\"}}",
        settings.coreOptions);
  }

  @Test
  @DisplayName("any text survives the way into JSON")
  void texts_are_quoted() {
    Settings settings =
        new Settings(
            properties("proxyless.a", "\"\\\n\u0001é\ud83d\ude00\ud800"), Collections.emptyMap());
    assertTrue(
        settings.coreOptions.contains("\"\\\"\\\\\\u000a\\u0001é\\ud83d\\ude00\\ufffd\""),
        settings.coreOptions);
  }

  @Test
  @DisplayName("a bad number names the setting and the value")
  void a_bad_number_is_named() {
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new Settings(properties("proxyless.wait-ready", "soon"), Collections.emptyMap()));
    assertTrue(error.getMessage().contains("wait-ready") && error.getMessage().contains("soon"));
  }

  @Test
  @DisplayName(
      "every setting of the agent's own has a property and a variable, and neither reaches the core")
  void own_settings_by_property_and_variable() {
    Map<String, String> environment = new HashMap<>();
    environment.put("PROXYLESS_LOG", "Debug");
    environment.put("PROXYLESS_NATIVE_PATH", "/lib/a.so");
    environment.put("PROXYLESS_WAIT_READY", " 2 ");
    environment.put("PROXYLESS_WAIT_FOR", ",a,, b ,");
    Settings variables = new Settings(properties(), environment);
    Settings values =
        new Settings(
            properties(
                "proxyless.log",
                "debug",
                "proxyless.native-path",
                "/lib/a.so",
                "proxyless.wait-ready",
                "2",
                "proxyless.wait-for",
                "a,b"),
            Collections.emptyMap());
    for (Settings settings : new Settings[] {variables, values}) {
      assertTrue(settings.debug);
      assertEquals("/lib/a.so", settings.nativePath);
      assertEquals(2000, settings.waitReadyMillis);
      assertEquals(Arrays.asList("a", "b"), settings.waitFor);
      assertEquals("{\"properties\":{},\"environment\":{}}", settings.coreOptions);
    }
  }

  @Test
  @DisplayName("without settings the agent is quiet, waits for nothing and looks for its library")
  void defaults() {
    Settings settings = new Settings(properties("proxyless.log", "info"), Collections.emptyMap());
    assertFalse(settings.debug);
    assertNull(settings.nativePath);
    assertEquals(0, settings.waitReadyMillis);
    assertEquals(Collections.emptyList(), settings.waitFor);
  }

  @Test
  @DisplayName(
      "the core sees the whole environment, where an istio-agent's variables are, and its own properties only")
  void the_core_sees_the_environment() {
    Settings settings =
        new Settings(
            properties("proxyless.server", "http://a:1", "user.name", "me"),
            Collections.singletonMap("POD_NAMESPACE", "shop"));
    assertEquals(
        "{\"properties\":{\"proxyless.server\":\"http://a:1\"},\"environment\":{\"POD_NAMESPACE\":\"shop\"}}",
        settings.coreOptions);
  }
}
