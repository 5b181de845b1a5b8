// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.ribbon;

import static net.bytebuddy.matcher.ElementMatchers.named;
import static net.bytebuddy.matcher.ElementMatchers.takesArguments;
import static net.bytebuddy.matcher.ElementMatchers.takesNoArguments;

import io.proxyless.bootstrap.Hooks;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import net.bytebuddy.ByteBuddy;
import net.bytebuddy.asm.Advice;
import net.bytebuddy.asm.AsmVisitorWrapper;
import net.bytebuddy.description.method.MethodDescription;
import net.bytebuddy.description.type.TypeDescription;
import net.bytebuddy.dynamic.ClassFileLocator;
import net.bytebuddy.dynamic.DynamicType;
import net.bytebuddy.dynamic.scaffold.TypeValidation;
import net.bytebuddy.implementation.bytecode.member.MethodInvocation;
import net.bytebuddy.jar.asm.ClassWriter;
import net.bytebuddy.matcher.ElementMatcher;
import net.bytebuddy.pool.TypePool;

/** Weaves the advices into Ribbon's classes: method bodies only, no member is added. */
public final class RibbonWeaving {
  private static final String PACKAGE = "com.netflix.loadbalancer.";

  private static final class Point {
    final String method;
    final String descriptor;
    final ElementMatcher<? super MethodDescription> matcher;
    final Class<?> advice;

    Point(
        String method,
        String descriptor,
        ElementMatcher<? super MethodDescription> matcher,
        Class<?> advice) {
      this.method = method;
      this.descriptor = descriptor;
      this.matcher = matcher;
      this.advice = advice;
    }
  }

  private static final Point CHOOSE =
      new Point(
          "chooseServer",
          "(Ljava/lang/Object;)Lcom/netflix/loadbalancer/Server;",
          named("chooseServer").and(takesArguments(Object.class)),
          Advices.ChooseServer.class);
  private static final Map<String, List<Point>> POINTS = new HashMap<>();

  static {
    POINTS.put(
        PACKAGE + "DynamicServerListLoadBalancer",
        Arrays.asList(
            new Point(
                "updateAllServerList",
                "(Ljava/util/List;)V",
                named("updateAllServerList").and(takesArguments(List.class)),
                Advices.UpdateAllServerList.class),
            new Point(
                "setServersList",
                "(Ljava/util/List;)V",
                named("setServersList").and(takesArguments(List.class)),
                Advices.SetServersList.class),
            new Point(
                "updateListOfServers",
                "()V",
                named("updateListOfServers").and(takesNoArguments()),
                Advices.UpdateListOfServers.class)));
    POINTS.put(
        PACKAGE + "BaseLoadBalancer",
        Arrays.asList(
            CHOOSE,
            new Point(
                "shutdown",
                "()V",
                named("shutdown").and(takesNoArguments()),
                Advices.ShutDown.class)));
    POINTS.put(PACKAGE + "ZoneAwareLoadBalancer", Arrays.asList(CHOOSE));
    POINTS.put(PACKAGE + "NoOpLoadBalancer", Arrays.asList(CHOOSE));
    POINTS.put(
        "org.springframework.cloud.netflix.ribbon.DefaultServerIntrospector",
        Arrays.asList(
            new Point(
                "isSecure",
                "(Lcom/netflix/loadbalancer/Server;)Z",
                named("isSecure").and(takesArguments(1)),
                Advices.IsSecure.class)));
  }

  private RibbonWeaving() {}

  /**
   * The woven class; null when it is none of ours. A class that is not as expected is left alone,
   * and the exception says why.
   */
  public static byte[] weave(ClassLoader loader, String className, byte[] bytes)
      throws ReflectiveOperationException {
    List<Point> points = POINTS.get(className);
    if (points == null) {
      return null;
    }
    Witness.sees(loader);
    ClassFileLocator locator =
        new ClassFileLocator.Compound(
            ClassFileLocator.Simple.of(className, bytes),
            ClassFileLocator.ForClassLoader.of(loader));
    TypePool pool = TypePool.Default.of(locator);
    TypeDescription type = pool.describe(className).resolve();
    for (Point point : points) {
      Witness.has(type, point.method + point.descriptor);
    }
    Witness.adapter(pool);
    ClassFileLocator ours =
        ClassFileLocator.ForClassLoader.of(RibbonWeaving.class.getClassLoader());
    Advice.ExceptionHandler handler =
        new Advice.ExceptionHandler.Simple(
            MethodInvocation.invoke(
                new MethodDescription.ForLoadedMethod(
                    Hooks.class.getMethod("suppressed", Throwable.class))));
    DynamicType.Builder<?> builder =
        new ByteBuddy().with(TypeValidation.DISABLED).decorate(type, locator);
    if (className.endsWith(".DynamicServerListLoadBalancer")) {
      builder =
          builder.visit(
              new AsmVisitorWrapper.ForDeclaredMethods()
                  .writerFlags(ClassWriter.COMPUTE_MAXS)
                  .method(named("updateListOfServers"), new RegistryAnswer()));
    }
    for (Point point : points) {
      builder =
          builder.visit(
              Advice.to(point.advice, ours).withExceptionHandler(handler).on(point.matcher));
    }
    return builder.make().getBytes();
  }
}
