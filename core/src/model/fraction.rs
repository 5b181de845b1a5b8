// SPDX-License-Identifier: Apache-2.0
//! A part of all requests or hosts.

use serde::{Serialize, Serializer};

/// A fraction in parts per million; more than all is all. In JSON: percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fraction {
    per_million: u32,
}

impl Fraction {
    /// Everything.
    pub const ALL: Self = Self { per_million: 1_000_000 };

    /// `numerator` of `denominator`.
    pub fn new(numerator: u32, denominator: u32) -> Self {
        let parts = u64::from(numerator) * 1_000_000 / u64::from(denominator.max(1));
        Self { per_million: parts.min(1_000_000) as u32 }
    }

    /// From percent; what is not a number is nothing.
    pub fn from_percent(percent: f64) -> Self {
        Self { per_million: (percent.clamp(0.0, 100.0) * 10_000.0).round() as u32 }
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.per_million) / 10_000.0
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_kept_to_a_millionth_and_never_above_all() {
        assert_eq!(Fraction::new(125_000, 1_000_000).percent(), 12.5);
        assert_eq!(Fraction::new(30, 100), Fraction::from_percent(30.0));
        assert_eq!(Fraction::new(7, 5), Fraction::ALL);
        assert_eq!(Fraction::from_percent(f64::NAN), Fraction::default());
    }
}
