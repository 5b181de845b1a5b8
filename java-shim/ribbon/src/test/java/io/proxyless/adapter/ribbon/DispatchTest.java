// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import static java.util.Arrays.asList;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.netflix.loadbalancer.BaseLoadBalancer;
import com.netflix.loadbalancer.NoOpLoadBalancer;
import com.netflix.loadbalancer.Server;
import io.proxyless.agent.api.BalancerAdapter;
import io.proxyless.agent.api.Push;
import io.proxyless.agent.ribbon.RibbonDispatch;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class DispatchTest {
  private final List<Throwable> failures = new ArrayList<>();
  private final List<ClassLoader> loaders = new ArrayList<>();
  private final Recorder recorder = new Recorder();
  private final RibbonDispatch dispatch =
      new RibbonDispatch(
          loader -> {
            loaders.add(loader);
            return recorder;
          },
          failures::add);
  private final Object balancer = new BaseLoadBalancer();

  /** An adapter that answers what it is told to, or fails. */
  private static final class Recorder implements BalancerAdapter {
    final Server server = new Server("10.0.0.1", 1);
    int choices;
    Error failure;

    private <T> T answer(T value) {
      if (failure != null) {
        throw failure;
      }
      return value;
    }

    @Override
    public void registryAnswered(Object balancer, List<?> servers) {
      answer(null);
    }

    @Override
    public List<?> serverList(Object balancer, List<?> registry) {
      return answer(asList(server));
    }

    @Override
    public void takenOver(Object balancer, List<?> list) {
      answer(null);
    }

    @Override
    public void updated(Object balancer) {
      answer(null);
    }

    @Override
    public boolean listFailed(Object balancer, Throwable failure) {
      return answer(true);
    }

    @Override
    public Object choose(Object balancer) {
      choices++;
      return answer(server);
    }

    @Override
    public Object standIn(Object balancer, Throwable thrown) {
      return answer(server);
    }

    @Override
    public void shutDown(Object balancer) {
      answer(null);
    }

    @Override
    public List<Push> lagging(String service) {
      return answer(asList(() -> true));
    }
  }

  @Test
  @DisplayName("only the outermost choice is looked at, and the next one again")
  void only_the_outermost_choice_counts() {
    for (int round = 1; round <= 3; round++) {
      assertSame(recorder.server, dispatch.beginChoice(balancer, "default"));
      assertNull(dispatch.beginChoice(balancer, "default"), "a balancer for one zone");
      assertNull(dispatch.beginChoice(balancer, "default"));
      dispatch.endChoice();
      dispatch.endChoice();
      dispatch.endChoice();
      assertEquals(round, recorder.choices);
    }
  }

  @Test
  @DisplayName("a choice in one thread is the outermost there, whatever others do")
  void choices_of_other_threads_do_not_count() throws Exception {
    dispatch.beginChoice(balancer, "default");
    FutureTask<Object> other = new FutureTask<>(() -> dispatch.beginChoice(balancer, "default"));
    Thread thread = new Thread(other);
    thread.start();
    assertSame(recorder.server, other.get());
    thread.join();
    dispatch.endChoice();
  }

  @Test
  @DisplayName("a choice that fails in the adapter still ends")
  void a_failed_choice_ends() {
    recorder.failure = new LinkageError("broken");
    assertNull(dispatch.beginChoice(balancer, "default"));
    dispatch.endChoice();
    recorder.failure = null;
    assertSame(recorder.server, dispatch.beginChoice(balancer, "default"));
    dispatch.endChoice();
  }

  @Test
  @DisplayName(
      "whatever the adapter throws, the application's own answer stands, and it is told once")
  void failures_of_the_adapter_open() {
    dispatch.serverList(balancer, Collections.emptyList());
    recorder.failure = new NoClassDefFoundError("com/netflix/loadbalancer/Server");
    List<Server> registry = asList(new Server("10.9.9.9", 1));
    assertSame(registry, dispatch.serverList(balancer, registry));
    dispatch.registryAnswered(balancer, registry);
    dispatch.takenOver(balancer, registry);
    dispatch.updated(balancer);
    assertFalse(dispatch.listFailed(balancer, new IllegalStateException()));
    assertNull(dispatch.standIn(balancer, null));
    dispatch.shutDown(balancer);
    assertEquals(Collections.nCopies(7, recorder.failure), failures);
  }

  @Test
  @DisplayName("what is no balancer of Ribbon is left alone, and told")
  void what_is_no_balancer() {
    List<Server> registry = Collections.emptyList();
    assertSame(registry, dispatch.serverList("a text", registry));
    assertTrue(failures.get(0).getMessage().contains("java.lang.String"), failures.toString());
  }

  @Test
  @DisplayName("one adapter serves all balancers of an application")
  void one_adapter_for_an_application() {
    dispatch.takenOver(balancer, Collections.emptyList());
    dispatch.takenOver(new NoOpLoadBalancer(), Collections.emptyList());
    assertEquals(asList(BaseLoadBalancer.class.getClassLoader()), loaders);
  }

  @Test
  @DisplayName("the balancers that lag behind are those of every application")
  void those_of_every_application_lag() {
    assertTrue(dispatch.lagging("orders").isEmpty(), "there is no application yet");
    dispatch.takenOver(balancer, Collections.emptyList());
    assertEquals(1, dispatch.lagging("orders").size());
  }

  @Test
  @DisplayName("what is fatal to the application is not covered when it updates its list either")
  void a_fatal_error_is_not_covered() {
    assertTrue(dispatch.listFailed(balancer, new IllegalStateException("down")));
    assertTrue(dispatch.listFailed(balancer, new NoClassDefFoundError("of the registry")));
    for (Error fatal :
        asList(
            new OutOfMemoryError(),
            new StackOverflowError(),
            new AssertionError(),
            new ThreadDeath())) {
      assertFalse(dispatch.listFailed(balancer, fatal), fatal.toString());
    }
  }

  @Test
  @DisplayName("nobody stands in inside of a choice, nor when the virtual machine is exhausted")
  void where_nobody_stands_in() {
    Throwable missing = new NoSuchMethodError("of the application");
    assertSame(recorder.server, dispatch.standIn(balancer, null));
    assertSame(recorder.server, dispatch.standIn(balancer, missing));
    assertNull(dispatch.standIn(balancer, new OutOfMemoryError()));
    dispatch.beginChoice(balancer, "default");
    assertNull(dispatch.standIn(balancer, null), "the outer balancer may still find somebody");
    dispatch.endChoice();
  }
}
