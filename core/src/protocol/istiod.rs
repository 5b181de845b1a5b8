// SPDX-License-Identifier: Apache-2.0
//! What gives istiod away: some things may be concluded from its answers that other servers' answers do not say.

/// A version as istiod makes it, `<RFC 3339 time>/<number>`, and a nonce that begins with it.
pub(super) fn is_istiods(version: &str, nonce: &str) -> bool {
    let Some((time, number)) = version.rsplit_once('/') else { return false };
    let pattern = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, wanted): (&u8, &u8)| if *wanted == b'd' { byte.is_ascii_digit() } else { byte == wanted };
    time.len() > pattern.len()
        && time.as_bytes().iter().zip(pattern).all(fits)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && nonce.starts_with(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istiod_is_known_by_its_versions_and_nonces() {
        for version in ["2026-08-27T12:45:20Z/7", "2026-08-27T12:45:20+02:00/31"] {
            assert!(is_istiods(version, &format!("{version}0b1c5e0a-6a0e-4f5a-8d3b-4b7f0e1f2a3b")));
            assert!(!is_istiods(version, "n1"));
        }
        for other in
            ["", "1", "/1", "2026-08-27T12:45:20Z", "2026-08-27T12:45:20Z/", "2026-08-27T12:45:20Z/x", "v2026-08-27T12:45:2/1"]
        {
            assert!(!is_istiods(other, &format!("{other}x")), "{other}");
        }
    }
}
