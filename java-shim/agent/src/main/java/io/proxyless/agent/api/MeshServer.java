// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.api;

/** Marks a balancer's server that comes from the mesh. */
public interface MeshServer {}
