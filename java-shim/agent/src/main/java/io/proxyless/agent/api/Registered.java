// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.api;

/**
 * Whether a registry has ever named an instance of a service, whichever balancer it told. It stays
 * so through an outage of the registry.
 */
public final class Registered {
  private volatile boolean named;

  public boolean named() {
    return named;
  }

  public void name() {
    named = true;
  }
}
