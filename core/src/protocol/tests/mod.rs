// SPDX-License-Identifier: Apache-2.0
//! The conformance catalogue as traces: what a client must do on one stream, in the state of the world (`c_…`) and in delta (`e_…`).

mod cache;
mod deletion;
mod delta;
mod failure;
mod names;
mod restating;
mod stream;
mod subscriptions;
mod timers;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;

use super::{
    Kind::{Cluster as CDS, Endpoints as EDS, Listener as LDS, Routes as RDS},
    Variant::{Delta, Sotw},
    trace_tests::*,
    *,
};
