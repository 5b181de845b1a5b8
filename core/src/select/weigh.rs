// SPDX-License-Identifier: Apache-2.0
//! Endpoint weights under shares: the share of a part is divided among its endpoints, however many there are.

use crate::model::{Endpoint, Locality};

/// The chosen endpoints of one part.
pub(super) struct Group<'a> {
    pub(super) share: u32,
    /// Set when locality weights count.
    pub(super) localities: Option<&'a [Locality]>,
    pub(super) part: usize,
    pub(super) endpoints: Vec<Endpoint>,
}

/// Weights of every group's endpoints, in lowest terms.
///
/// An endpoint's fraction is share × (locality weight ÷ Σ locality weights) × (weight ÷ Σ weights of its locality); without
/// locality weighting the whole part counts as one locality. Exact while the common denominator fits, else rounded.
pub(super) fn weights(groups: &[Group<'_>]) -> Vec<Vec<u32>> {
    let fractions: Vec<Vec<(u128, u128)>> = groups.iter().map(fractions).collect();
    let all = || fractions.iter().flatten();
    let common = all().try_fold(1u128, |acc, (_, below)| lcm(acc, *below).filter(|l| *l < 1 << 62));
    let scaled: Vec<Vec<u128>> = fractions
        .iter()
        .map(|group| {
            group
                .iter()
                .map(|(above, below)| match common {
                    Some(common) => above.saturating_mul(common / below),
                    None => ((*above as f64 / *below as f64) * (1u64 << 32) as f64) as u128,
                })
                .map(|weight| weight.max(1))
                .collect()
        })
        .collect();
    let divisor = scaled.iter().flatten().fold(0, |acc, weight| gcd(acc, *weight)).max(1);
    let largest = scaled.iter().flatten().max().copied().unwrap_or(1) / divisor;
    let shrink = largest / u128::from(u32::MAX) + 1;
    let fit = |weight: u128| u32::try_from((weight / divisor / shrink).max(1)).unwrap_or(u32::MAX);
    scaled.into_iter().map(|group| group.into_iter().map(fit).collect()).collect()
}

fn fractions(group: &Group<'_>) -> Vec<(u128, u128)> {
    let share = u128::from(group.share);
    let Some(localities) = group.localities else {
        let total = group.endpoints.iter().map(|e| u128::from(e.weight)).sum::<u128>().max(1);
        return group.endpoints.iter().map(|e| (share * u128::from(e.weight), total)).collect();
    };
    let mut sums = vec![0u128; localities.len()];
    for endpoint in &group.endpoints {
        if let Some(sum) = sums.get_mut(usize::from(endpoint.locality)) {
            *sum += u128::from(endpoint.weight);
        }
    }
    let weight_of = |index: usize| u128::from(localities.get(index).map_or(0, |l| l.weight));
    let live: u128 = sums.iter().enumerate().filter(|(_, sum)| **sum > 0).map(|(index, _)| weight_of(index)).sum();
    group
        .endpoints
        .iter()
        .map(|e| {
            let index = usize::from(e.locality);
            let sum = sums.get(index).copied().unwrap_or(1).max(1);
            (share * weight_of(index) * u128::from(e.weight), live.max(1) * sum)
        })
        .collect()
}

pub(super) fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn lcm(a: u128, b: u128) -> Option<u128> {
    (a / gcd(a, b)).checked_mul(b)
}
