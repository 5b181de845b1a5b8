// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.netflix.loadbalancer.Server;
import io.proxyless.agent.api.View;
import io.proxyless.agent.ribbon.RibbonDispatch;
import io.proxyless.agent.ribbon.RibbonWeaving;
import io.proxyless.bootstrap.Hooks;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.function.Predicate;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class WeavingTest {
  private static final String PACKAGE = "com.netflix.loadbalancer.";
  private static final String INTROSPECTOR =
      "org.springframework.cloud.netflix.ribbon.DefaultServerIntrospector";
  private static final ClassLoader LOADER = WeavingTest.class.getClassLoader();

  private static byte[] classFile(String name) throws IOException {
    try (InputStream in = LOADER.getResourceAsStream(name.replace('.', '/') + ".class")) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      for (int n = in.read(buffer); n > 0; n = in.read(buffer)) {
        out.write(buffer, 0, n);
      }
      return out.toByteArray();
    }
  }

  @Test
  @DisplayName("the balancers of Ribbon are woven and nothing else is")
  void the_balancers_are_woven() throws Exception {
    for (String name :
        new String[] {
          "DynamicServerListLoadBalancer",
          "BaseLoadBalancer",
          "ZoneAwareLoadBalancer",
          "NoOpLoadBalancer"
        }) {
      byte[] before = classFile(PACKAGE + name);
      byte[] woven = RibbonWeaving.weave(LOADER, PACKAGE + name, before);
      assertNotNull(woven, name);
      assertTrue(woven.length > before.length, name);
    }
    assertNull(RibbonWeaving.weave(LOADER, PACKAGE + "Server", classFile(PACKAGE + "Server")));
  }

  @Test
  @DisplayName("an endpoint of the mesh on port 8443 is not secure for that, a server of others is")
  @SuppressWarnings("unchecked")
  void a_port_does_not_make_an_endpoint_secure() throws Exception {
    byte[] woven = RibbonWeaving.weave(LOADER, INTROSPECTOR, classFile(INTROSPECTOR));
    Class<?> type =
        new ClassLoader(LOADER) {
          Class<?> define() {
            return defineClass(INTROSPECTOR, woven, 0, woven.length);
          }
        }.define();
    Predicate<Server> isSecure = (Predicate<Server>) type.getDeclaredConstructor().newInstance();
    Server ofTheMesh = new RibbonServer(new View.Endpoint("10.0.0.1", 8443, ""));
    Server other = new Server("10.9.9.9", 8443);
    assertTrue(isSecure.test(ofTheMesh), "without an agent");
    Hooks.connect(new RibbonDispatch(loader -> null, failure -> {}), null);
    try {
      assertFalse(isSecure.test(ofTheMesh));
      assertTrue(isSecure.test(other));
    } finally {
      Hooks.connect(null, null);
    }
  }

  @Test
  @DisplayName(
      "a class of that name without the expected members is left alone, and the error names them")
  void a_strange_class_is_left_alone() throws IOException {
    byte[] other = classFile(PACKAGE + "Server");
    Throwable failure =
        assertThrows(
            Throwable.class,
            () -> RibbonWeaving.weave(LOADER, PACKAGE + "ZoneAwareLoadBalancer", other));
    assertTrue(
        failure.getMessage().contains("chooseServer(Ljava/lang/Object;)"), failure.toString());
  }
}
