// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.proxyless.bootstrap.Hooks;
import io.proxyless.bootstrap.RibbonHook;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class HooksTest {
  private static final Object BALANCER = "a balancer";
  private static final List<?> REGISTRY = Collections.singletonList("of the registry");
  private static final List<?> MESH = Collections.singletonList("of the mesh");

  private final List<String> calls = new ArrayList<>();

  private final class Recorder implements RibbonHook {
    @Override
    public void registryAnswered(Object balancer, List<?> servers) {
      calls.add("answered " + balancer + servers);
    }

    @Override
    public List<?> serverList(Object balancer, List<?> registry) {
      assertSame(REGISTRY, registry);
      return MESH;
    }

    @Override
    public void takenOver(Object balancer, List<?> list) {
      calls.add("taken over " + balancer + list);
    }

    @Override
    public void updated(Object balancer) {
      calls.add("updated " + balancer);
    }

    @Override
    public boolean listFailed(Object balancer, Throwable failure) {
      calls.add("failed " + balancer + failure.getMessage());
      return true;
    }

    @Override
    public Object beginChoice(Object balancer, Object key) {
      calls.add("begin " + balancer + key);
      return MESH.get(0);
    }

    @Override
    public void endChoice() {
      calls.add("end");
    }

    @Override
    public Object standIn(Object balancer, Throwable thrown) {
      calls.add("stand in " + balancer + thrown.getMessage());
      return MESH.get(0);
    }

    @Override
    public boolean isMeshServer(Object server) {
      return server == MESH.get(0);
    }

    @Override
    public void shutDown(Object balancer) {
      calls.add("shut down " + balancer);
    }
  }

  @AfterEach
  void disconnect() {
    Hooks.connect(null, null);
  }

  @Test
  @DisplayName("one agent of a JVM is the first, and no other is")
  void only_one_agent_claims() {
    assertTrue(Hooks.claim());
    assertFalse(Hooks.claim());
    assertFalse(Hooks.claim());
  }

  @Test
  @DisplayName("without an agent every hook gives the application's own")
  void without_an_agent_nothing_changes() {
    assertSame(REGISTRY, Hooks.serverList(BALANCER, REGISTRY));
    assertFalse(Hooks.listFailed(BALANCER, new IllegalStateException()));
    assertNull(Hooks.beginChoice(BALANCER, "key"));
    assertNull(Hooks.standIn(BALANCER, null));
    assertFalse(Hooks.isMeshServer(MESH.get(0)));
    Hooks.registryAnswered(BALANCER, REGISTRY);
    Hooks.takenOver(BALANCER, REGISTRY);
    Hooks.updated(BALANCER);
    Hooks.endChoice();
    Hooks.shutDown(BALANCER);
  }

  @Test
  @DisplayName("every hook reaches the agent with what it was called with")
  void hooks_reach_the_agent() {
    Hooks.connect(new Recorder(), null);
    assertSame(MESH, Hooks.serverList(BALANCER, REGISTRY));
    Hooks.registryAnswered(BALANCER, REGISTRY);
    Hooks.takenOver(BALANCER, MESH);
    Hooks.updated(BALANCER);
    assertTrue(Hooks.listFailed(BALANCER, new IllegalStateException("down")));
    assertSame(MESH.get(0), Hooks.beginChoice(BALANCER, "key"));
    Hooks.endChoice();
    assertSame(MESH.get(0), Hooks.standIn(BALANCER, new IllegalStateException("nobody")));
    assertTrue(Hooks.isMeshServer(MESH.get(0)));
    Hooks.shutDown(BALANCER);
    assertEquals(
        "[answered a balancer[of the registry], taken over a balancer[of the mesh], updated a balancer,"
            + " failed a balancerdown, begin a balancerkey, end, stand in a balancernobody,"
            + " shut down a balancer]",
        calls.toString());
  }

  @Test
  @DisplayName("what woven code throws is counted and told, and throws no further")
  void suppressed_failures_are_counted() {
    long before = Hooks.suppressedCount();
    Hooks.suppressed(new IllegalStateException("nobody listens"));
    List<Throwable> told = new ArrayList<>();
    Hooks.connect(null, told::add);
    Throwable failure = new IllegalStateException("somebody does");
    Hooks.suppressed(failure);
    assertEquals(before + 2, Hooks.suppressedCount());
    assertEquals(Collections.singletonList(failure), told);
  }

  @Test
  @DisplayName("a listener that fails is kept from the application")
  void a_listener_that_fails_is_kept_from_the_application() {
    long before = Hooks.suppressedCount();
    Hooks.connect(
        null,
        failure -> {
          throw new InternalError();
        });
    Hooks.suppressed(new IllegalStateException());
    assertEquals(before + 1, Hooks.suppressedCount());
  }
}
