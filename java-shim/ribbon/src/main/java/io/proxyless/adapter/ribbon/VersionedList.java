// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.Server;
import java.util.ArrayList;
import java.util.List;

/** A list that carries the version it was made from to the place where it is taken over. */
final class VersionedList extends ArrayList<Server> {
  final transient long version;

  VersionedList(List<?> servers, long version) {
    super(servers.size());
    for (Object server : servers) {
      add((Server) server);
    }
    this.version = version;
  }
}
