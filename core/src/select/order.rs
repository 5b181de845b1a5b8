// SPDX-License-Identifier: Apache-2.0
//! A weighted order: a sequence of indices that a picker walks through with a counter.

use super::weigh::gcd;
use crate::model::Endpoint;

/// Sequences longer than this are approximated, unless the list itself is long.
const MAX_LENGTH: u64 = 1024;

/// Each index as often as its weight asks for, evenly spread; empty when all weights are equal.
pub(super) fn spread(endpoints: &[Endpoint]) -> Box<[u32]> {
    let Some(first) = endpoints.first() else { return Box::default() };
    if endpoints.iter().all(|endpoint| endpoint.weight == first.weight) {
        return Box::default();
    }
    let divisor = endpoints.iter().fold(0, |acc, e| gcd(acc, u128::from(e.weight.max(1)))).max(1) as u64;
    let total: u64 = endpoints.iter().map(|e| u64::from(e.weight.max(1)) / divisor).sum();
    let limit = MAX_LENGTH.max(4 * endpoints.len() as u64);
    let count = |weight: u32| {
        let exact = u64::from(weight.max(1)) / divisor;
        if total <= limit { exact } else { (exact as f64 * limit as f64 / total as f64).round().max(1.0) as u64 }
    };
    let mut places: Vec<(f64, u32)> = Vec::new();
    for (index, endpoint) in (0u32..).zip(endpoints) {
        let count = count(endpoint.weight);
        places.extend((0..count).map(|turn| ((turn as f64 + 0.5) / count as f64, index)));
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    places.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u32]) -> Vec<u32> {
        let endpoints: Vec<Endpoint> =
            weights.iter().map(|weight| Endpoint { weight: *weight, ..Endpoint::at(([10, 0, 0, 1], 80).into()) }).collect();
        spread(&endpoints).into_vec()
    }

    fn counts(order: &[u32], n: usize) -> Vec<usize> {
        (0..n).map(|index| order.iter().filter(|i| **i == index as u32).count()).collect()
    }

    #[test]
    fn equal_weights_need_no_order() {
        assert!(order(&[]).is_empty());
        assert!(order(&[7, 7, 7]).is_empty());
    }

    #[test]
    fn each_index_comes_as_often_as_its_weight_and_evenly_spread() {
        assert_eq!(order(&[400, 100]), [0, 0, 1, 0, 0]);
        assert_eq!(counts(&order(&[4, 4, 4, 3]), 4), [4, 4, 4, 3]);
    }

    #[test]
    fn huge_weights_are_approximated_and_nobody_is_left_out() {
        let got = order(&[u32::MAX, u32::MAX / 3, 1]);
        assert!(got.len() <= 1026, "{}", got.len());
        let counts = counts(&got, 3);
        assert_eq!(counts[2], 1);
        let ratio = counts[0] as f64 / counts[1] as f64;
        assert!((ratio - 3.0).abs() < 0.05, "{ratio}");
    }
}
