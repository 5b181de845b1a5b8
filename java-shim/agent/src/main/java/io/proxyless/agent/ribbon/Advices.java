// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.ribbon;

import io.proxyless.bootstrap.Hooks;
import java.util.List;
import net.bytebuddy.asm.Advice;
import net.bytebuddy.implementation.bytecode.assign.Assigner;

/** What is woven into Ribbon: a few lines each, which call nothing but {@link Hooks}. */
final class Advices {
  private Advices() {}

  /** R1: the last step after registry and filter. */
  static final class UpdateAllServerList {
    private UpdateAllServerList() {}

    @Advice.OnMethodEnter(suppress = Throwable.class)
    static void enter(
        @Advice.This Object balancer,
        @Advice.Argument(value = 0, readOnly = false) List<?> servers) {
      servers = Hooks.serverList(balancer, servers);
    }

    @Advice.OnMethodExit(suppress = Throwable.class, onThrowable = Throwable.class)
    static void exit(@Advice.This Object balancer) {
      Hooks.updated(balancer);
    }
  }

  /**
   * R1: tells that a list was really taken over, and not dropped because another update was in
   * flight.
   */
  static final class SetServersList {
    private SetServersList() {}

    @Advice.OnMethodExit(suppress = Throwable.class)
    static void exit(@Advice.This Object balancer, @Advice.Argument(0) List<?> servers) {
      Hooks.takenOver(balancer, servers);
    }
  }

  /**
   * R2: a registry that is down must not keep a balancer from being built when the mesh knows the
   * service.
   */
  static final class UpdateListOfServers {
    private UpdateListOfServers() {}

    @Advice.OnMethodExit(suppress = Throwable.class, onThrowable = Throwable.class)
    static void exit(
        @Advice.This Object balancer,
        @Advice.Thrown(readOnly = false, typing = Assigner.Typing.DYNAMIC) Throwable thrown) {
      if (thrown != null && Hooks.listFailed(balancer, thrown)) {
        thrown = null;
      }
    }
  }

  /** R3: balancers are known from their first R1 on; this is the end. */
  static final class ShutDown {
    private ShutDown() {}

    @Advice.OnMethodEnter(suppress = Throwable.class)
    static void enter(@Advice.This Object balancer) {
      Hooks.shutDown(balancer);
    }
  }

  /**
   * A port such as 8443 does not make an endpoint of the mesh secure: the caller's scheme stays.
   */
  static final class IsSecure {
    private IsSecure() {}

    @Advice.OnMethodExit(suppress = Throwable.class)
    static void exit(
        @Advice.Argument(0) Object server, @Advice.Return(readOnly = false) boolean secure) {
      secure = secure && !Hooks.isMeshServer(server);
    }
  }

  /** R4: the one door of every choice. */
  static final class ChooseServer {
    private ChooseServer() {}

    @Advice.OnMethodEnter(suppress = Throwable.class, skipOn = Advice.OnNonDefaultValue.class)
    static Object enter(@Advice.This Object balancer, @Advice.Argument(0) Object key) {
      return Hooks.beginChoice(balancer, key);
    }

    @Advice.OnMethodExit(suppress = Throwable.class, onThrowable = Throwable.class)
    static void exit(
        @Advice.This Object balancer,
        @Advice.Enter Object picked,
        @Advice.Return(readOnly = false, typing = Assigner.Typing.DYNAMIC) Object chosen,
        @Advice.Thrown(readOnly = false, typing = Assigner.Typing.DYNAMIC) Throwable thrown) {
      Hooks.endChoice();
      Object server = picked;
      if (picked == null && chosen == null) {
        server = Hooks.standIn(balancer, thrown);
      }
      if (server != null) {
        chosen = server;
        thrown = null;
      }
    }
  }
}
