// SPDX-License-Identifier: Apache-2.0
//! What a server speaks that could not be spoken to: asked once more, in plaintext HTTP/2, and judged by its first bytes.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::config::Place;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PATIENCE: Duration = Duration::from_secs(2);

/// What somebody answers at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// HTTP/2 in plaintext.
    Http2,
    /// An older HTTP in plaintext.
    Http1,
    Tls,
}

/// `None` where nobody answers, or something else.
pub(super) async fn probe(place: &Place) -> Option<Speech> {
    let (Place::Plaintext(authority) | Place::Tls(authority)) = place else { return None };
    tokio::time::timeout(PATIENCE, first_bytes(authority)).await.ok().flatten().and_then(|bytes| judge(&bytes))
}

/// What tells a person more than the error of a stack that met something else than it expects.
pub(super) fn mismatch(place: &Place, found: Speech) -> Option<&'static str> {
    match (place, found) {
        (Place::Plaintext(_), Speech::Tls) => Some("the server speaks TLS, and is asked in plaintext"),
        (Place::Tls(_), Speech::Http2) => Some("the server speaks plaintext, and is asked over TLS"),
        (Place::Plaintext(_) | Place::Tls(_), Speech::Http1) => Some("the server speaks HTTP/1 and no HTTP/2"),
        _ => None,
    }
}

async fn first_bytes(authority: &str) -> Option<[u8; 5]> {
    let mut stream = TcpStream::connect(authority).await.ok()?;
    stream.write_all(PREFACE).await.ok()?;
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

fn judge(bytes: &[u8; 5]) -> Option<Speech> {
    match bytes {
        b"HTTP/" => Some(Speech::Http1),
        // An alert or a handshake of any version of TLS.
        [0x15 | 0x16, 3, ..] => Some(Speech::Tls),
        // A server begins with its settings.
        [_, _, _, 4, _] => Some(Speech::Http2),
        _ => None,
    }
}
