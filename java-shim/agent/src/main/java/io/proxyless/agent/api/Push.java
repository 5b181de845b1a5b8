// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.api;

/**
 * A balancer that may lag behind its service. Bringing it up to date runs code of the application,
 * which may block and may throw.
 */
public interface Push {
  /** False when the update was dropped and must be tried again. */
  boolean bringUpToDate() throws Exception;
}
