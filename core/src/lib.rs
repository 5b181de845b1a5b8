// SPDX-License-Identifier: Apache-2.0
//! The core of proxyless: one ADS subscription per process, turned into subset-filtered endpoint lists.
//!
//! Start with [`Client`]: open it with a [`config::Config`], watch [`target::Target`]s, read [`store::Snapshot`]s.
//! `ARCHITECTURE.md` shows how the modules stand on one another; a module uses only those listed above it here.
#![forbid(unsafe_code)]

pub mod authority;
pub mod backoff;
#[cfg(feature = "net")]
pub mod cache;
#[cfg(feature = "net")]
pub mod catalog;
#[cfg(feature = "net")]
pub mod certificate;
#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod config;
#[cfg(feature = "net")]
mod driver;
pub mod error;
pub mod model;
pub mod observe;
pub mod protocol;
#[cfg(feature = "net")]
pub mod resource;
pub mod route;
pub mod select;
pub mod store;
pub mod target;
#[cfg(feature = "net")]
pub mod transport;
pub mod wire;

#[cfg(feature = "net")]
pub use client::Client;
pub use error::{Code, Error, Result};
