// SPDX-License-Identifier: Apache-2.0
//! Naming what a caller wants: the grammar, and finding host and port in the directory of what CDS lists. No I/O.

mod directory;
mod grammar;
mod naming;
mod near;

pub use directory::{Directory, Service};
pub use grammar::{Subject, Target};
pub use naming::{HostMatch, Naming};
pub use near::nearest;
