// SPDX-License-Identifier: Apache-2.0
package org.springframework.cloud.netflix.ribbon;

import com.netflix.loadbalancer.Server;
import java.util.function.Predicate;

/** Takes a server for a secure one by its port, as the class of this name in Spring Cloud does. */
public class DefaultServerIntrospector implements Predicate<Server> {
  public boolean isSecure(Server server) {
    return server.getPort() % 1000 == 443;
  }

  /** For a test that has woven this class in a loader of its own. */
  @Override
  public boolean test(Server server) {
    return isSecure(server);
  }
}
