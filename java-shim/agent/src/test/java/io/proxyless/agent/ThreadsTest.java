// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.util.concurrent.DefaultEventExecutor;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.netty.util.concurrent.EventExecutor;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ThreadFactory;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

class ThreadsTest {
  private static final Callable<Boolean> MAY_BLOCK = () -> Threads.mayBlock(Thread.currentThread());

  private static boolean mayBlockOn(ThreadFactory threads) throws Exception {
    FutureTask<Boolean> task = new FutureTask<>(MAY_BLOCK);
    threads.newThread(task).start();
    return task.get();
  }

  @Test
  @DisplayName("an ordinary thread may wait")
  void ordinary_threads_may_wait() throws Exception {
    assertTrue(mayBlockOn(Thread::new));
    assertTrue(mayBlockOn(Executors.defaultThreadFactory()));
  }

  @Test
  @DisplayName("an event loop of Netty never waits")
  void netty_never_waits() throws Exception {
    assertFalse(mayBlockOn(new DefaultThreadFactory("loop", true)));
    EventExecutor loop = new DefaultEventExecutor();
    try {
      assertFalse(loop.submit(MAY_BLOCK).get());
    } finally {
      loop.shutdownGracefully();
    }
  }

  @Test
  @DisplayName("a non-blocking thread of Reactor never waits; one for blocking work may")
  void reactor_waits_where_it_may() {
    assertFalse(on(Schedulers.newParallel("parallel")));
    assertFalse(on(Schedulers.newSingle("single")));
    assertTrue(on(Schedulers.newBoundedElastic(1, 1, "elastic")));
  }

  private static boolean on(Scheduler scheduler) {
    Mono<Boolean> asked = Mono.fromCallable(MAY_BLOCK).subscribeOn(scheduler);
    try {
      return asked.toFuture().join();
    } finally {
      scheduler.dispose();
    }
  }
}
