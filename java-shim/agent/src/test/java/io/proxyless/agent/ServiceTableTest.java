// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.util.concurrent.DefaultThreadFactory;
import io.proxyless.agent.api.View;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class ServiceTableTest {
  private final List<String> watched = new ArrayList<>();
  private final ServiceTable table =
      new ServiceTable(new AgentLog(false), watched::add, push -> {});

  private static byte[] golden() throws IOException {
    return Files.readAllBytes(Paths.get("../../tests/golden/flat-v1.bin"));
  }

  private void answer() throws IOException {
    table.accept(new FlatReader(golden()));
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
  @DisplayName("the thread that brings answers and event loops never wait for one")
  void some_threads_never_wait() throws Exception {
    table.view("go-sc-a");
    ThreadFactory[] factories = {
      task -> Threads.own("follower", task), new DefaultThreadFactory("event-loop", true),
    };
    for (ThreadFactory threads : factories) {
      FutureTask<View> asked = new FutureTask<>(() -> table.await("go-sc-a"));
      // Who waits needs this lock.
      synchronized (table) {
        threads.newThread(asked).start();
        assertEquals(View.State.PENDING, asked.get(60, TimeUnit.SECONDS).state);
      }
    }
  }

  @Test
  @DisplayName("a service that stays without an answer is waited for once")
  void a_service_is_waited_for_once() throws Exception {
    answer();
    assertEquals(View.State.PENDING, table.await("slow").state);
    Thread waiter = new Thread(() -> table.await("slow"));
    waiter.start();
    boolean waited = false;
    while (waiter.isAlive()) {
      waited |= waiter.getState() == Thread.State.TIMED_WAITING;
      Thread.yield();
    }
    assertFalse(waited, "the second caller does not wait");
  }

  @Test
  @DisplayName("an interrupted caller gets what is known and stays interrupted")
  void an_interrupt_ends_the_wait() {
    Thread.currentThread().interrupt();
    assertEquals(View.State.PENDING, table.await("go-sc-a").state);
    assertTrue(Thread.interrupted());
  }

  @Test
  @DisplayName("a push names the services that changed, and other services keep their view")
  void accept_names_what_changed() throws Exception {
    View other = table.view("other");
    assertEquals(
        new TreeSet<>(Arrays.asList("GO-SC-A", "go-sc-a", "go-sc-a/v9")),
        new TreeSet<>(table.accept(new FlatReader(golden()))));
    assertSame(other, table.view("other"));
  }

  @Test
  @DisplayName("a name that cannot be watched is pending, and asked for once")
  void a_refused_name_is_pending() {
    ServiceTable refusing =
        new ServiceTable(
            new AgentLog(false),
            service -> {
              watched.add(service);
              throw new IllegalArgumentException("not a name");
            },
            push -> {});
    assertEquals(View.State.PENDING, refusing.view("a b").state);
    assertEquals(View.State.PENDING, refusing.view("a b").state);
    assertEquals(Arrays.asList("a b"), watched);
  }

  @Test
  @DisplayName(
      "a name that was first seen while the heap was full is watched when it is seen again")
  void a_name_seen_with_a_full_heap_is_watched_later() {
    boolean[] full = {true};
    ServiceTable exhausted =
        new ServiceTable(
            new AgentLog(false),
            service -> {
              if (full[0]) {
                throw new OutOfMemoryError();
              }
              watched.add(service);
            },
            push -> {});
    assertThrows(OutOfMemoryError.class, () -> exhausted.view("orders"));
    full[0] = false;
    assertEquals(View.State.PENDING, exhausted.view("orders").state);
    assertEquals(Arrays.asList("orders"), watched);
  }

  @Test
  @DisplayName("what a registry has named is known in every spelling and to every balancer")
  void the_memory_is_per_service() {
    table.registered("ORDERS").name();
    assertTrue(table.registered("orders").named());
    assertFalse(table.registered("billing").named());
  }
}
