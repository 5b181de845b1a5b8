// SPDX-License-Identifier: Apache-2.0
package lab;

import com.netflix.client.config.DefaultClientConfigImpl;
import com.netflix.loadbalancer.Server;
import com.netflix.loadbalancer.ZoneAwareLoadBalancer;
import io.proxyless.bootstrap.Hooks;
import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.Collections;

/** An application in a class loader that hides the agent's bridge, as OSGi and JBoss Modules do. */
public final class Isolated {
  private Isolated() {}

  public static void main(String[] args) throws Exception {
    ClassLoader hiding =
        new URLClassLoader(classPath(), ClassLoader.getSystemClassLoader().getParent()) {
          @Override
          protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (name.startsWith("io.proxyless.")) {
              throw new ClassNotFoundException(name);
            }
            return super.loadClass(name, resolve);
          }
        };
    Thread.currentThread().setContextClassLoader(hiding);
    Object list = Class.forName("lab.Isolated$Inside", true, hiding).getMethod("list").invoke(null);
    System.out.println("list " + list);
    System.out.println("suppressed " + Hooks.suppressedCount());
  }

  private static URL[] classPath() throws MalformedURLException {
    String[] parts = System.getProperty("java.class.path").split(File.pathSeparator);
    URL[] urls = new URL[parts.length];
    for (int i = 0; i < parts.length; i++) {
      urls[i] = new File(parts[i]).toURI().toURL();
    }
    return urls;
  }

  /** Inside of that loader. */
  public static final class Inside {
    private Inside() {}

    public static Object list() {
      DefaultClientConfigImpl config = new DefaultClientConfigImpl();
      config.loadProperties("go-sc-a");
      ZoneAwareLoadBalancer<Server> balancer = new ZoneAwareLoadBalancer<>();
      balancer.initWithNiwsConfig(config);
      balancer.setServersList(Collections.singletonList(new Server("127.0.0.98", 1)));
      return balancer.getAllServers() + " chosen " + balancer.chooseServer("default");
    }
  }
}
