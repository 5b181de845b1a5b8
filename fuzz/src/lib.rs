// SPDX-License-Identifier: Apache-2.0
//! What each fuzz target does with its bytes. A panic is a finding, also one that the client would contain.
//!
//! `core/tests/fuzz.rs` runs the same functions over the seeds and over damaged seeds, in bounded number.

mod endpoints;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
pub use endpoints::endpoints;
use proxyless_core::{
    cache,
    config::{Config, Sources},
    protocol::{Decode, Effect, End, Engine, Kind, Lost, Settings, Variant},
    resource::{Limits, References, Resource, ResourceDecoder, kept_fields},
    target::Target,
};

/// State-of-the-world responses, each behind its length in two bytes.
pub fn sotw(data: &[u8]) {
    responses(Variant::Sotw, data);
}

/// Delta responses, each behind its length in two bytes.
pub fn delta(data: &[u8]) {
    responses(Variant::Delta, data);
}

fn responses(variant: Variant, data: &[u8]) {
    let settings = Settings::new(variant, Bytes::from_static(b"node"));
    let mut engine = Engine::new(settings, decoder());
    engine.subscribe_all(Kind::Cluster);
    for name in ["a", "outbound|80||a.default.svc.cluster.local", "a.default.svc.cluster.local:80"] {
        for kind in [Kind::Endpoints, Kind::Listener, Kind::Routes] {
            engine.subscribe(kind, &Arc::from(name));
        }
    }
    let mut effects = Vec::new();
    engine.on_open(Duration::ZERO, &mut effects);
    effects.clear();
    let (mut rest, mut now) = (data, Duration::ZERO);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let message = &after[..after.len().min(u16::from_le_bytes(*length).into())];
        rest = &after[message.len()..];
        now += Duration::from_secs(7);
        engine.on_tick(now, &mut effects);
        effects.clear();
        engine.on_response(now, Bytes::copy_from_slice(message), &mut effects);
        check(&effects);
        if effects.iter().any(|effect| matches!(effect, Effect::Close(_))) {
            let lost = Lost { reason: String::new(), how: End::Failed };
            engine.on_lost(now, &lost, &mut effects);
            engine.on_open(now, &mut effects);
        }
        effects.clear();
    }
    engine.flush(now, &mut effects);
}

/// A response is answered at most once, unless a NACK must be followed by the list or lists must be said anew; nothing panicked.
fn check(effects: &[Effect<Resource>]) {
    let mut answered = 0;
    for effect in effects {
        match effect {
            Effect::Reject { error, .. } => assert!(!error.contains("a defect of the client"), "{error}"),
            Effect::Answered(_) => answered += 1,
            _ => {}
        }
    }
    assert!(answered <= 1, "one response is answered {answered} times");
}

fn decoder() -> ResourceDecoder {
    ResourceDecoder::new(Limits::default(), References::new(["authority".to_owned()]))
}

/// A resource; the first byte says of which kind. What is kept on disk must mean the same.
pub fn resources(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let kind = Kind::ALL[usize::from(*kind) % 4];
    let body = Bytes::copy_from_slice(body);
    let mut decoder = decoder();
    let name = decoder.name(kind, &body).unwrap_or_default();
    if let Ok(value) = decoder.decode(kind, &name, &body) {
        let kept = kept_fields(kind, &body);
        assert_eq!(decoder.decode(kind, &name, &kept).as_ref(), Ok(&value), "what is kept means something else");
    }
}

/// Text as our own document, as a bootstrap and as the value of every variable.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // No file that the text may name is read, nor any that happens to be here.
    let root = "/nowhere".into();
    let _ = Config::load(&Sources { document: text.into(), root, ..Default::default() });
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let environment = [variable("GRPC_XDS_BOOTSTRAP_CONFIG", text)].into();
    let _ = Config::load(&Sources { environment, root: "/nowhere".into(), ..Default::default() });
    let (key, value) = text.split_once('\n').unwrap_or(("SERVER", text));
    let environment = [variable("PROXYLESS_SERVER", "http://h:1"), variable(&format!("PROXYLESS_{key}"), value)].into();
    let _ = Config::load(&Sources { environment, root: "/nowhere".into(), ..Default::default() });
}

/// A spelling of a target; its canonical form must parse to the same.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(target) = Target::parse(text) {
        let canonical = target.to_string();
        assert_eq!(Target::parse(&canonical).expect("canonical forms parse"), target, "{canonical}");
    }
}

/// A cache file: as it is, and as the contents behind a header that fits.
pub fn cache(data: &[u8]) {
    let _ = cache::parse(Bytes::copy_from_slice(data), "identity");
    let _ = cache::parse(cache::sealed(data), "identity");
}
