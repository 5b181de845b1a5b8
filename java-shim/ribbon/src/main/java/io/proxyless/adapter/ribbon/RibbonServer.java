// SPDX-License-Identifier: Apache-2.0
package io.proxyless.adapter.ribbon;

import com.netflix.loadbalancer.Server;
import io.proxyless.agent.api.MeshServer;
import io.proxyless.agent.api.View;

/**
 * An endpoint of the mesh as Ribbon knows servers. It has no scheme, because Ribbon would put it
 * over the caller's: https stays https, http stays http.
 */
final class RibbonServer extends Server implements MeshServer {
  RibbonServer(View.Endpoint endpoint) {
    super(endpoint.host, endpoint.port);
  }
}
