// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.Server;
import java.util.ArrayList;
import java.util.List;

/**
 * The argument of an update that we start: not the registry's word, but the question for the newest
 * list. Holds what the registry said last, in case nobody answers.
 */
final class PushedList extends ArrayList<Server> {
  PushedList(List<?> registry) {
    super(registry.size());
    for (Object server : registry) {
      add((Server) server);
    }
  }
}
