// SPDX-License-Identifier: Apache-2.0
//! What end-to-end tests share: real processes that always end, real HTTP services, a control plane over a file.
//!
//! Every process carries the marker `PXL_TEST_RUN` of the run in its environment, so that one left behind can be found.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "a test that cannot go on has failed")]

mod authority;
mod c;
mod client;
mod http;
mod istiod;
mod mesh;
mod network;
mod process;
mod relay;

pub use authority::Authority;
pub use c::compile;
pub use client::{Mesh, PATIENCE, open, until};
pub use http::{Service, get};
pub use istiod::Istiod;
pub use mesh::{ControlPlane, Endpoint, MeshFile, with_policies};
pub use network::Network;
pub use process::{Process, eventually, java, jvm, repository, target, tool};
pub use relay::Relay;
