// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.proxyless.agent.api.View;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class ServiceTableTest {
  private final List<String> watched = new ArrayList<>();
  private final ServiceTable table = new ServiceTable(new AgentLog(false), watched::add);

  private void answer() throws Exception {
    table.accept(new FlatReader(Files.readAllBytes(Paths.get("../../tests/golden/flat-v1.bin"))));
  }

  @Test
  @DisplayName("a name is watched when it is first seen, once")
  void a_name_is_watched_once() throws Exception {
    assertEquals(View.State.PENDING, table.view("go-sc-a").state);
    table.view("go-sc-a");
    assertEquals(1, watched.size());
    answer();
    assertEquals(View.State.READY, table.view("go-sc-a").state);
    assertSame(table.view("go-sc-a"), table.view("go-sc-a"));
  }

  @Test
  @DisplayName("a waiting caller is woken by the answer")
  void a_waiter_is_woken() throws Exception {
    FutureTask<View> waiter = new FutureTask<>(() -> table.await("go-sc-a"));
    Thread thread = new Thread(waiter);
    thread.start();
    while (thread.getState() != Thread.State.TIMED_WAITING) {
      Thread.yield();
    }
    answer();
    assertEquals(View.State.READY, waiter.get().state);
  }

  @Test
  @DisplayName("the budget before the first answer is one for all callers")
  void the_first_budget_is_shared() {
    long start = System.nanoTime();
    for (int i = 0; i < 20; i++) {
      assertEquals(View.State.PENDING, table.await("service-" + i).state);
    }
    long waits = (System.nanoTime() - start) / 1_000_000 / ServiceTable.WAIT_MILLIS;
    assertTrue(waits < 10, "twenty callers waited " + waits + " times");
  }

  @Test
  @DisplayName("the thread that brings answers never waits for one")
  void the_follower_never_waits() throws Exception {
    FutureTask<View> follower = new FutureTask<>(() -> table.await("go-sc-a"));
    Thread thread = new Threads.Follower(follower);
    thread.start();
    thread.join(ServiceTable.WAIT_MILLIS * 20);
    assertEquals(View.State.PENDING, follower.get().state);
  }

  @Test
  @DisplayName("after a failure of the natives nobody waits and nothing is watched")
  void after_a_failure_everything_is_pending() throws Exception {
    answer();
    table.fail();
    assertEquals(View.State.PENDING, table.await("go-sc-a").state);
    assertEquals(0, watched.size());
  }
}
