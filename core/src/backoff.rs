// SPDX-License-Identifier: Apache-2.0
//! Delay before the next connection attempt: a pure function of the attempt and a random draw.

use std::time::Duration;

/// Exponential back-off with jitter and a cap (gRPC's figures: 1 s, ×1.6, ±20 %, 120 s).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Delay before the second attempt.
    pub initial: Duration,
    /// Upper bound before jitter.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(120) }
    }
}

impl Backoff {
    const FACTOR: f64 = 1.6;
    const JITTER: f64 = 0.2;

    /// The delay after `failures` failed attempts in a row (at least 1). `draw` is uniform in 0..1.
    pub fn delay(&self, failures: u32, draw: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let base = (self.initial.as_secs_f64() * Self::FACTOR.powi(exponent)).min(self.max.as_secs_f64());
        let jitter = 1.0 + Self::JITTER * (2.0 * draw.clamp(0.0, 1.0) - 1.0);
        Duration::from_secs_f64(base * jitter)
    }
}

/// A small seeded generator for jitter: not for secrets.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts from a seed; equal seeds give equal draws.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw, uniform in 0..1 (splitmix64).
    pub fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_by_the_factor_up_to_the_cap() {
        let backoff = Backoff::default();
        let middle = |failures| backoff.delay(failures, 0.5).as_secs_f64();
        assert!((middle(1) - 1.0).abs() < 1e-9);
        assert!((middle(2) - 1.6).abs() < 1e-9);
        assert!((middle(3) - 2.56).abs() < 1e-9);
        assert!((middle(40) - 120.0).abs() < 1e-9);
        assert!((middle(u32::MAX) - 120.0).abs() < 1e-9);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let backoff = Backoff::default();
        let mut jitter = Jitter::new(7);
        for _ in 0..1000 {
            let delay = backoff.delay(1, jitter.draw()).as_secs_f64();
            assert!((0.8..=1.2).contains(&delay), "{delay}");
        }
    }
}
