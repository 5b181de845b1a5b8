// SPDX-License-Identifier: Apache-2.0
//! A small, real ADS server.
//!
//! Two uses of one wire: [`Server`] serves what Istio YAML says ([`istio`]), hot-reloaded ([`watch`]); [`scripted`] hands both
//! directions of every stream to a test. The server side of the protocol ([`ads`]) is a value: requests and new states in,
//! responses out, no I/O.
#![forbid(unsafe_code)]

pub mod ads;
pub mod istio;
mod load;
pub mod scripted;
mod serve;
mod service;
mod wanted;
pub mod watch;

pub use load::{Files, LoadError};
pub use serve::Server;
