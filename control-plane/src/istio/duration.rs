// SPDX-License-Identifier: Apache-2.0
//! Durations as Istio reads them: Go's `1h30m`, `1.5s`, `250ms`.

use std::time::Duration;

use envoy_types::pb::google::protobuf::Duration as ProtoDuration;
use serde::{Deserialize, Deserializer, de::Error};

/// What fits into every field that a duration is written to.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match parse(&text) {
        Some(duration) if duration <= LONGEST => Ok(Some(duration)),
        Some(_) => Err(D::Error::custom(format!("{text:?} is longer than {} s", LONGEST.as_secs()))),
        None => Err(D::Error::custom(format!("{text:?} is no duration; one like 1h30m, 1.5s or 250ms is expected"))),
    }
}

pub(super) fn to_proto(duration: Duration) -> ProtoDuration {
    ProtoDuration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}

/// Numbers with a unit each, one after the other.
fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, None);
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit].parse().ok()?;
        rest = &rest[unit..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[end..];
        total = Some(total.unwrap_or(Duration::ZERO).checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_that_fits_nowhere_is_refused_and_not_cut() {
        let read = |text: &str| duration(serde_json::Value::from(text)).map_err(|error| error.to_string());
        assert_eq!(read("4294967295s"), Ok(Some(LONGEST)));
        assert_eq!(read("4294967296s"), Err("\"4294967296s\" is longer than 4294967295 s".into()));
        assert!(read("5000000000000000h").is_err());
    }

    #[test]
    fn durations_read_as_go_writes_them_and_nothing_else_does() {
        for (text, millis) in [("0", 0), ("0s", 0), ("250ms", 250), ("1.5s", 1500), ("1h30m", 5_400_000), ("1m0.25s", 60_250)] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1s1", "1..5s", "99999999999999999999h", "1 s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
