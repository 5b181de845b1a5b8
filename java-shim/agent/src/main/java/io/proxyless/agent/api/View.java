// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.api;

/**
 * What is known about a service. Immutable; adapters may keep what they make of it until {@link
 * #version} changes.
 */
public final class View {
  /** The five states; see the table in docs/java.md for what an adapter may do in each. */
  public enum State {
    PENDING,
    UNKNOWN,
    READY,
    REMOVED,
    INVALID
  }

  /** One endpoint. */
  public static final class Endpoint {
    public final String host;
    public final int port;

    /** Lower case; empty when none is known. */
    public final String zone;

    public Endpoint(String host, int port, String zone) {
      this.host = host;
      this.port = port;
      this.zone = zone;
    }
  }

  private static final Endpoint[] NO_ENDPOINTS = {};
  private static final int[] NO_ORDER = {};

  public final String name;
  public final State state;
  public final String resolved;

  /** Why it is invalid, or a warning; often empty. */
  public final String detail;

  public final Endpoint[] endpoints;

  /** Indices into the endpoints as often as weights ask for; empty when all weights are equal. */
  public final int[] order;

  /** Grows with every change of this service. */
  public final long version;

  public View(
      String name,
      State state,
      String resolved,
      String detail,
      Endpoint[] endpoints,
      int[] order,
      long version) {
    this.name = name;
    this.state = state;
    this.resolved = resolved;
    this.detail = detail;
    this.endpoints = endpoints;
    this.order = order;
    this.version = version;
  }

  public static View pending(String name) {
    return new View(name, State.PENDING, "", "", NO_ENDPOINTS, NO_ORDER, 0);
  }
}
