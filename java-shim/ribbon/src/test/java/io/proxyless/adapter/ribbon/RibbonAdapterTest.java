// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import static java.util.Arrays.asList;
import static java.util.Collections.emptyList;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.netflix.loadbalancer.BaseLoadBalancer;
import com.netflix.loadbalancer.Server;
import io.proxyless.adapter.ribbon.Application.Registry;
import io.proxyless.agent.api.Push;
import io.proxyless.agent.api.View;
import java.util.ArrayList;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class RibbonAdapterTest {
  private static final String A = "10.0.0.1:8080";
  private static final String B = "10.0.0.2:8080";
  private static final String OLD = "10.9.9.9:7070";

  private final Mesh mesh = new Mesh();
  private final RibbonAdapter adapter = adapter();
  private final Registry registry = new Registry();

  private RibbonAdapter adapter() {
    try {
      return new RibbonAdapter(mesh);
    } catch (NoSuchMethodException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  private Application application() {
    return Application.start(adapter, "orders", registry);
  }

  /** What the pusher does once; false when a balancer still lags behind. */
  private boolean push(String service) {
    try {
      boolean done = true;
      for (Push balancer : adapter.lagging(service)) {
        done &= balancer.bringUpToDate();
      }
      return done;
    } catch (Exception ofTheApplication) {
      throw new IllegalStateException(ofTheApplication);
    }
  }

  private static Server old() {
    return new Server("10.9.9.9", 7070);
  }

  @Test
  @DisplayName("a service that only the mesh knows gets the mesh's list, and one line says so")
  void the_mesh_fills_an_empty_list() {
    mesh.ready("orders", A, B);
    assertEquals(asList(A, B), application().addresses());
    assertEquals(asList("orders"), mesh.used);
  }

  @Test
  @DisplayName("what the registry has named once stays its own through empty answers and choices")
  void an_empty_answer_of_the_registry_is_not_the_meshs_turn() {
    registry.servers = asList(old());
    mesh.ready("orders", A, B);
    Application application = application();
    assertEquals(asList(OLD), application.addresses());
    registry.servers = emptyList();
    for (int poll = 0; poll < 3; poll++) {
      application.updateListOfServers();
      assertEquals(emptyList(), application.addresses(), "poll " + poll);
      assertTrue(push("orders"), "there is nothing to try again");
      assertEquals(emptyList(), application.addresses(), "a push after poll " + poll);
      assertNull(application.chooseServer("default"), "a choice after poll " + poll);
    }
  }

  @Test
  @DisplayName(
      "a service of the registry is not served by the mesh when the registry fails, either")
  void a_failing_registry_keeps_what_it_knows() {
    registry.servers = asList(old());
    mesh.ready("orders", A);
    Application application = application();
    registry.down = true;
    assertThrows(IllegalStateException.class, application::updateListOfServers);
    assertEquals(asList(OLD), application.addresses());
  }

  @Test
  @DisplayName("that the mesh stands by is said for a service known to both, and only then")
  void the_mesh_stands_by() {
    registry.servers = asList(old());
    mesh.state("orders", View.State.UNKNOWN, "");
    Application application = application();
    assertEquals(emptyList(), mesh.said);
    mesh.ready("orders", A);
    application.updateListOfServers();
    assertEquals(1, mesh.said.size(), mesh.said.toString());
    assertTrue(mesh.said.get(0).contains("orders"), mesh.said.toString());
    assertTrue(mesh.said.get(0).contains("the mesh stands by"), mesh.said.toString());
    assertEquals(emptyList(), mesh.used);
  }

  @Test
  @DisplayName("a registry that is down leaves a service of the mesh callable")
  void a_registry_that_is_down() {
    registry.down = true;
    mesh.ready("orders", A, B);
    assertEquals(asList(A, B), application().addresses());
  }

  @Test
  @DisplayName("a registry that is down fails as without us when the mesh has nothing")
  void a_registry_that_is_down_and_no_mesh() {
    registry.down = true;
    for (View.State state : View.State.values()) {
      if (state != View.State.READY) {
        mesh.state("orders", state, "");
        assertThrows(IllegalStateException.class, this::application, state.name());
      }
    }
  }

  @Test
  @DisplayName("an update after a failure of the registry that Ribbon drops is pushed")
  void a_dropped_update_is_tried_again() throws Exception {
    mesh.ready("orders", A);
    Application application = application();
    mesh.ready("orders", B);
    registry.down = true;
    application.dropped = 1;
    application.updateListOfServers();
    assertEquals(asList(A), application.addresses());
    assertTrue(mesh.pushes.remove().bringUpToDate());
    assertEquals(asList(B), application.addresses());
  }

  @Test
  @DisplayName("a push that Ribbon drops asks to be tried again; one that is taken over does not")
  void a_dropped_push_is_reported() {
    mesh.ready("orders", A);
    Application application = application();
    mesh.ready("orders", B);
    application.dropped = 1;
    assertFalse(push("orders"));
    assertEquals(asList(A), application.addresses());
    assertTrue(push("orders"));
    assertEquals(asList(B), application.addresses());
  }

  @Test
  @DisplayName("an endpoint that stays is the same server over every update, with its statistics")
  void servers_keep_their_identity() {
    mesh.ready("orders", A, B);
    Application application = application();
    Server first = application.getAllServers().get(0);
    Server second = application.getAllServers().get(1);
    mesh.weighted("orders", new int[] {0, 1, 1}, B, A);
    push("orders");
    assertEquals(asList(B, A), application.addresses());
    assertSame(second, application.getAllServers().get(0));
    assertSame(first, application.getAllServers().get(1));
    mesh.ready("orders", A);
    push("orders");
    assertSame(first, application.getAllServers().get(0));
    assertSame(first, application.chooseServer("default"), "of the list and of the choice");
  }

  @Test
  @DisplayName("a server that came back is alive and ready")
  void a_server_is_alive() {
    mesh.ready("orders", A);
    Application application = application();
    application.getAllServers().get(0).setAlive(false);
    mesh.ready("orders", A, B);
    push("orders");
    for (Server server : application.getAllServers()) {
      assertTrue(server.isAlive() && server.isReadyToServe(), server.toString());
    }
  }

  @Test
  @DisplayName("servers have the zone of their endpoints, also when it changes")
  void zones_reach_the_servers() {
    mesh.ready("orders", A + "@zone-a", B);
    Application application = application();
    assertEquals("zone-a", application.getAllServers().get(0).getZone());
    assertEquals(Server.UNKNOWN_ZONE, application.getAllServers().get(1).getZone());
    mesh.ready("orders", A + "@zone-b", B + "@zone-a");
    push("orders");
    assertEquals("zone-b", application.getAllServers().get(0).getZone());
    assertEquals("zone-a", application.getAllServers().get(1).getZone());
    assertEquals(1, application.getLoadBalancerStats().getInstanceCount("zone-b"));
  }

  @Test
  @DisplayName("weights decide the choice")
  void weights_decide() {
    mesh.weighted("orders", new int[] {0, 1, 0, 0}, A, B);
    Application application = application();
    Map<String, Integer> counts = new TreeMap<>();
    for (int i = 0; i < 400; i++) {
      counts.merge(application.chooseServer("default").getHostPort(), 1, Integer::sum);
    }
    assertEquals("{" + A + "=300, " + B + "=100}", counts.toString());
  }

  @Test
  @DisplayName("a service whose target is invalid has no endpoints, never wider ones, and says why")
  void an_invalid_target_is_empty() {
    mesh.ready("orders", A);
    Application application = application();
    mesh.state("orders", View.State.INVALID, "no subset «v9»");
    push("orders");
    assertEquals(emptyList(), application.addresses());
    assertNull(application.chooseServer("default"));
    assertEquals(asList("orders has no endpoints: no subset «v9»"), mesh.said);
  }

  @Test
  @DisplayName("a removed service loses the mesh's list")
  void a_removed_service_is_empty() {
    mesh.ready("orders", A);
    Application application = application();
    mesh.state("orders", View.State.REMOVED, "");
    push("orders");
    assertEquals(emptyList(), application.addresses());
    assertNull(application.chooseServer("default"));
  }

  @Test
  @DisplayName("a balancer that was shut down is not pushed to any more")
  void a_balancer_that_was_shut_down() {
    mesh.ready("orders", A);
    Application gone = application();
    Application stays = application();
    adapter.shutDown(gone);
    mesh.ready("orders", B);
    assertTrue(push("orders"));
    assertEquals(asList(A), gone.addresses());
    assertEquals(asList(B), stays.addresses());
  }

  @Test
  @DisplayName("two balancers of one service have servers of their own")
  void servers_are_not_shared_by_balancers() {
    mesh.ready("orders", A);
    Server one = application().getAllServers().get(0);
    Server other = application().getAllServers().get(0);
    assertNotSame(one, other, "Ribbon marks servers as dead for the balancer that pings them");
  }

  @Test
  @DisplayName("a balancer without a name is none of ours")
  void a_balancer_without_a_name() {
    mesh.ready("default", A);
    BaseLoadBalancer nameless = new BaseLoadBalancer();
    assertNull(adapter.choose(nameless));
    assertSame(registry.servers, adapter.serverList(nameless, registry.servers));
    assertFalse(adapter.listFailed(nameless, new IllegalStateException()));
    assertEquals(emptyList(), mesh.asked);
  }

  @Test
  @DisplayName("a balancer with servers of its own that cannot be pushed to is left to itself")
  void a_fixed_list_is_the_applications_own() {
    mesh.ready("orders", A);
    BaseLoadBalancer fixed = new BaseLoadBalancer("orders", null, null, null);
    assertEquals(A, ((Server) adapter.choose(fixed)).getHostPort(), "it has none");
    BaseLoadBalancer filled = new BaseLoadBalancer("filled", null, null, null);
    mesh.ready("filled", A);
    filled.addServer(old());
    assertNull(adapter.choose(filled));
  }

  @Test
  @DisplayName("a poll that brings the registry's first instance wins over a push beside it")
  void the_registry_wins_over_a_push() throws Exception {
    mesh.ready("orders", A);
    Application application = application();
    mesh.ready("orders", B);
    Push push = adapter.lagging("orders").iterator().next();
    registry.servers = asList(old());
    application.dropped = 1;
    application.updateListOfServers();
    assertEquals(asList(A), application.addresses(), "Ribbon dropped the poll");
    assertTrue(push.bringUpToDate());
    assertEquals(asList(OLD), application.addresses());
    push.bringUpToDate();
    assertEquals(asList(OLD), application.addresses());
  }

  @Test
  @DisplayName("what one balancer heard from the registry is known to all of the service")
  void the_memory_is_per_service() {
    registry.servers = asList(old());
    mesh.ready("orders", A);
    application();
    registry.servers = emptyList();
    assertEquals(emptyList(), application().addresses());
  }

  @Test
  @DisplayName("what a registry says before a filter counts")
  void a_filter_that_lets_nobody_through() {
    mesh.ready("orders", A);
    Application application = application();
    adapter.registryAnswered(application, asList(old()));
    application.updateListOfServers();
    assertEquals(emptyList(), application.addresses());
    assertNull(application.chooseServer("default"));
  }

  @Test
  @DisplayName("a push reaches a balancer whose registry has never answered")
  void a_registry_that_was_always_down_and_a_push() {
    registry.down = true;
    mesh.ready("orders", A);
    Application application = application();
    assertEquals(asList(A), application.addresses());
    mesh.ready("orders", B);
    assertTrue(push("orders"));
    assertEquals(asList(B), application.addresses());
  }

  @Test
  @DisplayName("a balancer that copies its list has it, and is not pushed to again")
  void a_copy_of_a_list_is_that_list() {
    mesh.ready("orders", A);
    Application application = application();
    application.copies = true;
    mesh.ready("orders", B);
    assertTrue(push("orders"));
    registry.servers = asList(old());
    application.updateListOfServers();
    assertEquals(asList(OLD), application.addresses());
    assertEquals(emptyList(), new ArrayList<>(adapter.lagging("orders")));
  }

  @Test
  @DisplayName("a failure of the registry that the mesh covers is said")
  void a_registry_failure_is_said() {
    registry.down = true;
    mesh.ready("orders", A);
    application();
    assertEquals(1, mesh.said.size(), mesh.said.toString());
    assertTrue(mesh.said.get(0).contains("the registry is down"), mesh.said.toString());
  }

  @Test
  @DisplayName("a server of the mesh has no scheme that could replace the caller's")
  void servers_have_no_scheme() {
    mesh.ready("orders", A);
    assertNull(application().getAllServers().get(0).getScheme());
  }
}
