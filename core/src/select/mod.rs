// SPDX-License-Identifier: Apache-2.0
//! From assignments to the effective list: health, priority, shares and weights.
//!
//! One priority level is in use: the first with a usable endpoint (gRFC A56); degraded endpoints serve when no healthy one is
//! left at any level. Knows no streams and no clusters, only assignments and their shares.

mod list;
mod order;
mod weigh;

use std::sync::Arc;

pub use list::{List, Part};

use crate::model::{Assignment, Endpoint, Health};

/// Merges the usable endpoints of every part into one list whose weights follow the shares.
///
/// A part without a usable endpoint leaves its share to the others. One part whose endpoints are all usable is not copied.
pub fn effective(parts: &[Part<'_>]) -> List {
    if let [part] = parts
        && is_whole(part.assignment)
        && (!part.locality_weighted || is_evenly_weighted(part.assignment))
    {
        let Assignment { endpoints, localities, extensions, .. } = &**part.assignment;
        return List::new(Arc::clone(endpoints), Arc::clone(localities), Arc::clone(extensions));
    }
    let groups: Vec<weigh::Group<'_>> =
        parts.iter().enumerate().map(|(index, part)| group(index, part)).filter(|group| !group.endpoints.is_empty()).collect();
    let (mut endpoints, mut localities, mut extensions) = (Vec::new(), Vec::new(), Vec::new());
    for (group, weights) in groups.iter().zip(weigh::weights(&groups)) {
        let assignment = parts[group.part].assignment;
        let (locality_base, extension_base) = (localities.len() as u16, extensions.len() as u32);
        localities.extend(assignment.localities.iter().cloned());
        extensions.extend(assignment.extensions.iter().cloned());
        for (endpoint, weight) in group.endpoints.iter().zip(weights) {
            endpoints.push(Endpoint {
                weight,
                locality: endpoint.locality.saturating_add(locality_base),
                extension: if endpoint.extension == 0 { 0 } else { endpoint.extension + extension_base },
                ..*endpoint
            });
        }
    }
    List::new(endpoints.into(), localities.into(), extensions.into())
}

/// Where locality weights count, a locality without a weight gets nothing; unless none in use has one: then they say nothing.
fn group<'a>(index: usize, part: &Part<'a>) -> weigh::Group<'a> {
    let localities = &part.assignment.localities[..];
    let has_weight = |endpoint: &Endpoint| localities.get(usize::from(endpoint.locality)).is_some_and(|l| l.weight > 0);
    let mut endpoints = usable(part.assignment);
    let counts = part.locality_weighted && endpoints.iter().any(has_weight);
    if counts {
        endpoints.retain(has_weight);
    }
    weigh::Group { share: part.share, localities: counts.then_some(localities), part: index, endpoints }
}

/// Every endpoint is usable and stands at the same priority.
fn is_whole(assignment: &Assignment) -> bool {
    let first = assignment.endpoints.first().map(|endpoint| endpoint.priority);
    assignment.endpoints.iter().all(|endpoint| Some(endpoint.priority) == first && endpoint.health().is_usable())
}

/// Every locality weighs what its endpoints weigh together, as istiod sends it unless told otherwise: weighting by locality
/// changes nothing.
fn is_evenly_weighted(assignment: &Assignment) -> bool {
    let mut sums = vec![0u64; assignment.localities.len()];
    for endpoint in &*assignment.endpoints {
        if let Some(sum) = sums.get_mut(usize::from(endpoint.locality)) {
            *sum += u64::from(endpoint.weight);
        }
    }
    assignment.localities.iter().zip(sums).all(|(locality, sum)| sum == 0 || sum == u64::from(locality.weight))
}

fn usable(assignment: &Assignment) -> Vec<Endpoint> {
    let level = |fit: fn(Health) -> bool| {
        let priority = assignment.endpoints.iter().filter(|e| fit(e.health())).map(|e| e.priority).min()?;
        Some(assignment.endpoints.iter().filter(|e| e.priority == priority && fit(e.health())).copied().collect::<Vec<_>>())
    };
    level(Health::is_usable).or_else(|| level(|health| health == Health::Degraded)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Extension, Family, Locality};

    fn endpoint(last: u8, priority: u8, health: Health, weight: u32) -> Endpoint {
        let mut ip = [0; 16];
        ip[..4].copy_from_slice(&[10, 0, 0, last]);
        Endpoint {
            ip,
            port: 80,
            family: Family::V4 as u8,
            health: health as u8,
            priority,
            flags: 0,
            locality: 0,
            weight,
            extension: 0,
        }
    }

    fn assignment(endpoints: &[Endpoint]) -> Arc<Assignment> {
        Arc::new(Assignment { endpoints: endpoints.into(), localities: Arc::new([Locality::default()]), ..Default::default() })
    }

    fn seen(list: &List) -> Vec<(u8, u32)> {
        list.endpoints().iter().map(|e| (e.ip[3], e.weight)).collect()
    }

    fn one(assignment: &Arc<Assignment>) -> List {
        effective(&[Part { assignment, share: 1, locality_weighted: false }])
    }

    #[test]
    fn a_wholly_usable_assignment_is_shared_not_copied() {
        let a = assignment(&[endpoint(1, 0, Health::Healthy, 3), endpoint(2, 0, Health::Unknown, 1)]);
        assert!(std::ptr::eq(one(&a).endpoints(), &*a.endpoints));
    }

    #[test]
    fn only_usable_endpoints_of_the_first_live_priority_are_listed() {
        let a = assignment(&[
            endpoint(1, 0, Health::Unhealthy, 1),
            endpoint(2, 0, Health::Degraded, 1),
            endpoint(3, 1, Health::Healthy, 1),
            endpoint(4, 1, Health::Draining, 1),
            endpoint(5, 2, Health::Healthy, 1),
        ]);
        assert_eq!(seen(&one(&a)), [(3, 1)]);
    }

    #[test]
    fn degraded_endpoints_serve_when_nothing_else_is_left() {
        let a = assignment(&[endpoint(1, 0, Health::Timeout, 1), endpoint(2, 1, Health::Degraded, 1)]);
        assert_eq!(seen(&one(&a)), [(2, 1)]);
        assert!(one(&assignment(&[endpoint(1, 0, Health::Unhealthy, 1)])).endpoints().is_empty());
    }

    #[test]
    fn shares_hold_over_unequal_numbers_of_instances() {
        let v1 = assignment(&[
            endpoint(1, 0, Health::Healthy, 1),
            endpoint(2, 0, Health::Healthy, 1),
            endpoint(3, 0, Health::Healthy, 1),
        ]);
        let v2 = assignment(&[endpoint(9, 0, Health::Healthy, 1)]);
        let list = effective(&[
            Part { assignment: &v1, share: 80, locality_weighted: false },
            Part { assignment: &v2, share: 20, locality_weighted: false },
        ]);
        assert_eq!(seen(&list), [(1, 4), (2, 4), (3, 4), (9, 3)], "12 : 3 is 80 : 20");
        assert_eq!(list.endpoints()[3].locality, 1, "localities of the second part follow those of the first");
    }

    #[test]
    fn locality_weights_divide_the_traffic_before_endpoint_weights_do() {
        let place = |locality, endpoint: Endpoint| Endpoint { locality, ..endpoint };
        let zone = |weight| Locality { weight, ..Default::default() };
        let endpoints = [
            place(0, endpoint(1, 0, Health::Healthy, 1)),
            place(0, endpoint(2, 0, Health::Healthy, 1)),
            place(1, endpoint(3, 0, Health::Healthy, 1)),
        ];
        let with = |weights: [u32; 2]| {
            Arc::new(Assignment { endpoints: endpoints.into(), localities: weights.map(zone).into(), ..Default::default() })
        };
        let list = |a: &Arc<Assignment>| effective(&[Part { assignment: a, share: 1, locality_weighted: true }]);
        assert_eq!(seen(&list(&with([1, 1]))), [(1, 1), (2, 1), (3, 2)], "half of the traffic for each zone");
        assert_eq!(seen(&list(&with([1, 0]))), [(1, 1), (2, 1)], "without a weight beside one that has it: nothing");
        assert_eq!(seen(&list(&with([0, 0]))), [(1, 1), (2, 1), (3, 1)], "none has a weight: the endpoints' own count");
        let even = with([2, 1]);
        assert!(std::ptr::eq(list(&even).endpoints(), &*even.endpoints), "nothing to change, nothing copied");
    }

    /// Nothing here measures time: a walk over all endpoints for each locality would take minutes.
    #[test]
    fn sixty_thousand_localities_share_as_their_weights_say() {
        let count = 60_000;
        let localities = (0..count).map(|index| Locality { weight: 1 + u32::from(index % 2 == 0), ..Default::default() }).collect();
        let endpoints = (0..count).map(|index| Endpoint { locality: index, port: index, ..endpoint(1, 0, Health::Healthy, 1) });
        let a = Arc::new(Assignment { endpoints: endpoints.collect(), localities, ..Default::default() });
        let list = effective(&[Part { assignment: &a, share: 1, locality_weighted: true }]);
        let weights: Vec<u32> = list.endpoints().iter().map(|endpoint| endpoint.weight).collect();
        assert!(weights.len() == usize::from(count) && weights.chunks(2).all(|pair| pair == [2, 1]), "{:?}", &weights[..4]);
    }

    #[test]
    fn localities_without_a_weight_in_the_level_in_use_keep_the_weights_of_their_endpoints() {
        let zone = |weight| Locality { weight, ..Default::default() };
        let far = Endpoint { locality: 1, ..endpoint(9, 1, Health::Healthy, 1) };
        let endpoints = [endpoint(1, 0, Health::Healthy, 3), endpoint(2, 0, Health::Healthy, 1), far];
        let a = Arc::new(Assignment { endpoints: endpoints.into(), localities: [zone(0), zone(7)].into(), ..Default::default() });
        assert_eq!(seen(&effective(&[Part { assignment: &a, share: 1, locality_weighted: true }])), [(1, 3), (2, 1)]);
    }

    #[test]
    fn what_is_said_about_an_endpoint_of_a_second_part_stays_its_own() {
        let named = |last, names: &[&str]| {
            let extension = |name: &&str| Extension { workload: (*name).into(), ..Default::default() };
            let endpoints = (1..).zip(names).map(|(extension, _)| Endpoint { extension, ..endpoint(last, 0, Health::Healthy, 1) });
            let extensions = names.iter().map(extension).collect();
            let (endpoints, localities) = (endpoints.collect(), Arc::new([Locality::default()]) as Arc<[_]>);
            Arc::new(Assignment { endpoints, localities, extensions, ..Default::default() })
        };
        let (v1, v2, v3) = (named(1, &["a", "b"]), assignment(&[endpoint(5, 0, Health::Healthy, 1)]), named(9, &["c", "d"]));
        let part = |assignment| Part { assignment, share: 1, locality_weighted: false };
        let list = effective(&[part(&v1), part(&v2), part(&v3)]);
        let workloads: Vec<_> = list.endpoints().iter().map(|e| list.extension(e).map(|extension| &*extension.workload)).collect();
        assert_eq!(workloads, [Some("a"), Some("b"), None, Some("c"), Some("d")]);
    }

    #[test]
    fn an_empty_part_leaves_its_share_to_the_others() {
        let v1 = assignment(&[endpoint(1, 0, Health::Healthy, 1)]);
        let v2 = assignment(&[]);
        let list = effective(&[
            Part { assignment: &v1, share: 1, locality_weighted: false },
            Part { assignment: &v2, share: 99, locality_weighted: false },
        ]);
        assert_eq!(seen(&list), [(1, 1)]);
    }
}
