// SPDX-License-Identifier: Apache-2.0
//! What targets become of what a control plane says, in which order, and when.

mod mesh;

use bytes::Bytes;

use super::*;
use crate::model::{
    Action, Condition, Endpoint, Forward, Health, Invalid, Locality, OtherAction, OutlierDetection, PathMatch, Policy, Route,
    Share, State, Tls, VirtualHost,
};
use mesh::*;

#[test]
fn a_target_is_pending_until_its_chain_is_complete() {
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    assert_eq!(mesh.state("go-sc-a"), State::Pending);
    let base = name(8080, "", HOST);
    mesh.apply(vec![cluster(&base), ANSWERED]);
    assert_eq!(mesh.subscribed, [format!("RDS {HOST}:8080"), format!("EDS {base}")]);
    mesh.apply(vec![assignment(&base, &[1])]);
    assert_eq!(mesh.state("go-sc-a"), State::Pending, "the route is not known yet");
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&base, 1)])]);
    assert_eq!((mesh.state("go-sc-a"), mesh.list("go-sc-a")), (State::Ready, vec![(1, 1)]));
    assert_eq!(&*mesh.said["go-sc-a"].resolved, "go-sc-a.demo.svc.cluster.local:8080");
}

#[test]
fn an_unknown_service_is_unknown_and_a_removed_one_is_removed() {
    let mut mesh = served("go-sc-a");
    mesh.watch("nobody");
    assert_eq!(mesh.state("nobody"), State::Unknown);
    mesh.apply(vec![
        gone(Kind::Cluster, &name(8080, "", HOST)),
        gone(Kind::Cluster, &name(8080, "v1", HOST)),
        gone(Kind::Cluster, &name(8080, "v2", HOST)),
    ]);
    assert_eq!((mesh.state("go-sc-a"), mesh.list("go-sc-a")), (State::Removed, vec![]), "the old list is not served");
    mesh.apply(vec![cluster(&name(8080, "", HOST))]);
    mesh.apply(vec![assignment(&name(8080, "", HOST), &[7])]);
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[])]);
    assert_eq!((mesh.state("go-sc-a"), mesh.list("go-sc-a")), (State::Ready, vec![(7, 1)]), "it may come back");
}

#[test]
fn the_listing_has_every_host_with_ports_and_subsets_and_clusters_of_other_names_apart() {
    let mut mesh = served("go-sc-a");
    assert!(Mesh::new().catalog.listing().hosts.is_empty());
    mesh.apply(vec![cluster("BlackHoleCluster"), cluster(&name(9090, "", "echo.prod.svc.cluster.local"))]);
    let listing = mesh.catalog.listing();
    let hosts: Vec<(&str, Vec<u16>)> = listing.hosts.iter().map(|(h, s)| (&**h, s.ports.keys().copied().collect())).collect();
    assert_eq!(hosts, [("echo.prod.svc.cluster.local", vec![9090]), (HOST, vec![8080])]);
    assert!(listing.hosts[HOST].lists(8080, "v2"), "with subsets: {:?}", listing.hosts[HOST]);
    assert_eq!(listing.clusters.iter().map(|name| &**name).collect::<Vec<_>>(), ["BlackHoleCluster"]);
    mesh.apply(vec![gone(Kind::Cluster, "BlackHoleCluster"), gone(Kind::Cluster, &name(9090, "", "echo.prod.svc.cluster.local"))]);
    assert_eq!((mesh.catalog.listing().hosts.len(), mesh.catalog.listing().clusters.len()), (1, 0), "what has gone is not listed");
}

#[test]
fn a_target_whose_every_route_has_a_condition_is_listed_whole_with_a_remark_and_its_routes() {
    let mut mesh = served("go-sc-a");
    let forward =
        Forward { clusters: vec![Share { cluster: name(8080, "v1", HOST).into(), weight: 1 }].into(), ..Default::default() };
    let condition = Condition { path: PathMatch::Path("/items".into()), ..Default::default() };
    let route = Route { name: "".into(), condition, action: Action::Forward(forward), fault: None };
    let host = VirtualHost { domains: Box::new(["*".into()]), routes: Arc::new([route]) };
    mesh.apply(vec![table(&format!("{HOST}:8080"), vec![host]), assignment(&name(8080, "", HOST), &[1, 2])]);
    assert_eq!((mesh.state("go-sc-a"), mesh.list("go-sc-a")), (State::Ready, vec![(1, 1), (2, 1)]));
    let said = &mesh.said["go-sc-a"];
    assert_eq!(&*said.detail, "no route takes every request; the whole service is listed");
    assert_eq!(said.traffic.as_ref().and_then(|traffic| traffic.routes.as_ref()).map(|routes| routes.len()), Some(1));
}

#[test]
fn an_outage_costs_an_unknown_target_no_look_at_every_host() {
    let mut mesh = served("go-sc-a");
    mesh.apply((0..500).map(|n| cluster(&name(80, "", &format!("service{n:02}.demo.svc.cluster.local")))).collect());
    mesh.watch("services");
    let hint = mesh.said["services"].detail.to_string();
    assert!(hint.starts_with("did you mean "), "{hint}");
    let used = allocation_counter::measure(|| mesh.apply(vec![Effect::Unreachable("down".into())]));
    assert!(used.count_total < 200, "{} allocations", used.count_total);
    assert_eq!(&*mesh.said["services"].detail, &*hint);
    mesh.apply(vec![cluster(&name(80, "", "services.shop.svc.cluster.local"))]);
    mesh.apply(vec![Effect::Unreachable("down again".into())]);
    assert!(mesh.said["services"].detail.starts_with("services.shop is listed"), "{}", mesh.said["services"].detail);
}

#[test]
fn a_host_that_is_listed_touches_only_the_targets_that_may_mean_it() {
    let mut mesh = served("go-sc-a");
    mesh.catalog.rules.naming.match_first_label = true;
    for target in ["echo", "stranger"] {
        mesh.watch(target);
    }
    mesh.catalog.touch_host(ClusterName { host: "echo.prod.svc.cluster.local", port: 80, subset: "" });
    assert_eq!(mesh.catalog.touched.len(), 1);
    mesh.apply(vec![cluster(&name(80, "", "echo.prod.svc.cluster.local"))]);
    assert!(mesh.subscribed.iter().any(|asked| asked.contains("echo.prod")), "{:?}", mesh.subscribed);
}

#[test]
fn an_undefined_subset_is_never_widened() {
    let mut mesh = served("go-sc-a");
    mesh.watch("go-sc-a/v9");
    assert_eq!(mesh.state("go-sc-a/v9"), State::Invalid(Invalid::UndefinedSubset));
    assert!(mesh.list("go-sc-a/v9").is_empty());
    assert!(mesh.said["go-sc-a/v9"].detail.contains("it has v1, v2"), "{}", mesh.said["go-sc-a/v9"].detail);
}

#[test]
fn a_subset_that_goes_takes_its_list_with_it() {
    let mut mesh = served("go-sc-a/v1");
    mesh.apply(vec![assignment(&name(8080, "v1", HOST), &[1])]);
    assert_eq!(mesh.list("go-sc-a/v1"), [(1, 1)]);
    mesh.apply(vec![gone(Kind::Cluster, &name(8080, "v1", HOST))]);
    assert_eq!(mesh.state("go-sc-a/v1"), State::Invalid(Invalid::UndefinedSubset));
    assert!(mesh.list("go-sc-a/v1").is_empty());
}

#[test]
fn an_explicit_port_that_does_not_exist_is_invalid_and_names_those_that_do() {
    let mut mesh = served("go-sc-a");
    mesh.watch("go-sc-a:9999");
    assert_eq!(mesh.state("go-sc-a:9999"), State::Invalid(Invalid::NoSuchPort));
    assert!(mesh.said["go-sc-a:9999"].detail.contains("it has 8080"));
}

#[test]
fn two_namespaces_with_one_name_stay_apart() {
    let mut mesh = Mesh::new();
    mesh.watch("echo");
    mesh.watch("echo.prod");
    let (ours, theirs) = ("echo.demo.svc.cluster.local", "echo.prod.svc.cluster.local");
    mesh.apply(vec![cluster(&name(80, "", ours)), cluster(&name(80, "", theirs)), ANSWERED]);
    mesh.apply(vec![
        routes(&format!("{ours}:80"), &[]),
        routes(&format!("{theirs}:80"), &[]),
        assignment(&name(80, "", ours), &[1]),
        assignment(&name(80, "", theirs), &[2]),
    ]);
    assert_eq!(mesh.list("echo"), [(1, 1)]);
    assert_eq!(mesh.list("echo.prod"), [(2, 1)]);
}

#[test]
fn the_route_decides_which_clusters_are_listed_and_how_they_share() {
    let mut mesh = served("go-sc-a");
    let (v1, v2) = (name(8080, "v1", HOST), name(8080, "v2", HOST));
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&v1, 80), (&v2, 20)])]);
    assert_eq!(mesh.list("go-sc-a"), [(1, 1), (2, 1)], "the old list stands until the new one is complete");
    mesh.apply(vec![assignment(&v1, &[11, 12, 13])]);
    assert_eq!(mesh.list("go-sc-a"), [(1, 1), (2, 1)]);
    mesh.apply(vec![assignment(&v2, &[21])]);
    assert_eq!(mesh.list("go-sc-a"), [(11, 4), (12, 4), (13, 4), (21, 3)]);
    assert!(!mesh.subscribed.contains(&format!("EDS {}", name(8080, "", HOST))), "what is no longer used is let go");
}

#[test]
fn what_an_old_answer_needs_stays_subscribed_while_it_stands_in() {
    let mut mesh = served("go-sc-a");
    let base = name(8080, "", HOST);
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&name(8080, "v1", HOST), 1)])]);
    assert!(mesh.subscribed.contains(&format!("EDS {base}")), "{:?}", mesh.subscribed);
}

#[test]
fn a_route_to_an_unknown_cluster_stands_in_for_a_while_and_then_is_invalid() {
    let mut mesh = served("go-sc-a");
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&name(8080, "v9", HOST), 1)])]);
    assert_eq!(mesh.list("go-sc-a"), [(1, 1), (2, 1)]);
    mesh.advance(Duration::from_secs(14));
    assert_eq!(mesh.state("go-sc-a"), State::Ready);
    mesh.advance(Duration::from_secs(1));
    assert_eq!(mesh.state("go-sc-a"), State::Invalid(Invalid::RouteToUnknownCluster));
    assert!(mesh.list("go-sc-a").is_empty());
}

#[test]
fn a_new_target_whose_route_leads_nowhere_is_invalid_at_once() {
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    mesh.apply(vec![cluster(&name(8080, "", HOST)), ANSWERED]);
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&name(8080, "v9", HOST), 1)])]);
    assert_eq!(mesh.state("go-sc-a"), State::Invalid(Invalid::RouteToUnknownCluster));
}

#[test]
fn routes_and_policies_stand_beside_the_list_and_their_change_is_told() {
    let mut mesh = served("go-sc-a");
    let base = name(8080, "", HOST);
    let traffic = mesh.said["go-sc-a"].traffic.clone().expect("ready");
    assert_eq!((&*traffic.clusters[0].cluster, traffic.routes.is_some()), (base.as_str(), true));
    let outlier_detection = Some(OutlierDetection { consecutive_5xx: Some(7), ..Default::default() });
    let policy = Arc::new(Policy { outlier_detection, ..Default::default() });
    let Effect::Update { kind, name, value: Resource::Cluster(cluster), body } = cluster(&base) else { panic!("a cluster") };
    let value = Resource::Cluster(Arc::new(Cluster { policy: Arc::clone(&policy), ..Cluster::clone(&cluster) }));
    mesh.said.clear();
    mesh.apply(vec![Effect::Update { kind, name, value, body }]);
    let said = mesh.said["go-sc-a"].traffic.clone().expect("ready");
    assert_eq!(said.clusters[0].policy, policy);
    assert_eq!(mesh.list("go-sc-a"), [(1, 1), (2, 1)]);
    mesh.watch("go-sc-a/v1");
    mesh.apply(vec![assignment(&self::name(8080, "v1", HOST), &[1])]);
    assert!(mesh.said["go-sc-a/v1"].traffic.as_ref().expect("ready").routes.is_none(), "a subset is asked for past all routes");
}

#[test]
fn a_headless_service_is_listed_and_what_has_no_list_by_nature_is_invalid() {
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    let base = name(8080, "", HOST);
    let discovery = Discovery::OriginalDst(base.as_str().into());
    let value = Cluster { discovery, tls: Tls::Off, locality_weighted: false, policy: Arc::default() };
    let value = Resource::Cluster(Arc::new(value));
    let cluster = Effect::Update { kind: Kind::Cluster, name: base.as_str().into(), value, body: Bytes::new() };
    mesh.apply(vec![cluster, ANSWERED]);
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&base, 1)])]);
    assert_eq!(mesh.state("go-sc-a"), State::Pending, "its list is asked for");
    mesh.apply(vec![assignment(&base, &[])]);
    assert_eq!(mesh.state("go-sc-a"), State::Invalid(Invalid::NoList));
    mesh.apply(vec![assignment(&base, &[1])]);
    assert_eq!(mesh.list("go-sc-a"), [(1, 1)]);
    mesh.apply(vec![gone(Kind::Endpoints, &base)]);
    assert_eq!(mesh.state("go-sc-a"), State::Invalid(Invalid::NoList));
}

#[test]
fn a_route_that_answers_every_request_itself_makes_the_target_invalid() {
    let mut mesh = served("go-sc-a");
    for (action, said) in [("direct_response", "direct_response 503"), ("redirect", "redirect 503")] {
        let other = OtherAction { action, status: Some(503) };
        mesh.apply(vec![table(&format!("{HOST}:8080"), vec![host("*", Action::Other(other))])]);
        assert_eq!((mesh.state("go-sc-a"), mesh.list("go-sc-a")), (State::Invalid(Invalid::NotForwarded), vec![]));
        let entry = &mesh.said["go-sc-a"];
        assert!(entry.detail.ends_with(said), "{}", entry.detail);
        let traffic = entry.traffic.as_ref().expect("the routes can still be read");
        assert_eq!((traffic.routes.as_ref().map(|routes| routes.len()), traffic.clusters.len()), (Some(1), 0));
    }
    let header = OtherAction { action: "cluster_header", status: None };
    mesh.apply(vec![table(&format!("{HOST}:8080"), vec![host("*", Action::Other(header))])]);
    assert_eq!(mesh.state("go-sc-a"), State::Invalid(Invalid::NoList), "who knows where each request goes");
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&name(8080, "", HOST), 1)])]);
    mesh.apply(vec![assignment(&name(8080, "", HOST), &[1])]);
    assert_eq!(mesh.state("go-sc-a"), State::Ready, "and back");
}

#[test]
fn routes_for_other_hosts_only_are_no_routes_for_the_target() {
    let mut mesh = served("go-sc-a");
    let to_others =
        || Action::Forward(Forward { clusters: Arc::new([Share { cluster: "others".into(), weight: 1 }]), ..Default::default() });
    let others = (0..7).map(|n| host(&format!("host-{n}"), to_others())).collect();
    mesh.apply(vec![table(&format!("{HOST}:8080"), others)]);
    assert_eq!((mesh.state("go-sc-a"), mesh.list("go-sc-a")), (State::Invalid(Invalid::NoList), vec![]));
    let detail = &mesh.said["go-sc-a"].detail;
    assert!(detail.contains("host-4 and 2 more") && !detail.contains("host-5"), "{detail}");
}

#[test]
fn an_empty_share_goes_to_the_others() {
    let mut mesh = served("go-sc-a");
    let (v1, v2) = (name(8080, "v1", HOST), name(8080, "v2", HOST));
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&v1, 50), (&v2, 50)]), assignment(&v1, &[11]), assignment(&v2, &[])]);
    assert_eq!((mesh.state("go-sc-a"), mesh.list("go-sc-a")), (State::Ready, vec![(11, 1)]));
}

#[test]
fn a_demand_for_tls_is_refused_unless_it_is_lifted() {
    let base = name(8080, "", HOST);
    let given = |allow: &[&str]| {
        let mut mesh = Mesh::with(|rules| rules.allow_plaintext = allow.iter().map(|s| (*s).to_owned()).collect());
        mesh.watch("go-sc-a");
        mesh.apply(vec![cluster_with_tls(&base, Tls::Required), ANSWERED]);
        mesh.apply(vec![routes(&format!("{HOST}:8080"), &[]), assignment(&base, &[1])]);
        mesh.state("go-sc-a")
    };
    assert_eq!(given(&[]), State::Invalid(Invalid::TlsRequired));
    assert_eq!(given(&[HOST]), State::Ready);
    assert_eq!(given(&["other"]), State::Invalid(Invalid::TlsRequired));
}

fn two_ports(http: &[u16]) -> Mesh {
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    let ports = [5432, 9090];
    mesh.apply(ports.iter().map(|port| cluster(&name(*port, "", HOST))).chain([ANSWERED]).collect());
    let table = |port: &u16| {
        let own = name(*port, "", HOST);
        let shares = [(own.as_str(), 1)];
        routes(&format!("{HOST}:{port}"), if http.contains(port) { &shares } else { &[] })
    };
    mesh.apply(ports.iter().map(table).collect());
    mesh.apply(ports.iter().map(|port| assignment(&name(*port, "", HOST), &[*port as u8])).collect());
    mesh
}

#[test]
fn without_a_port_the_only_http_port_is_chosen() {
    assert_eq!(&*two_ports(&[9090]).said["go-sc-a"].resolved, "go-sc-a.demo.svc.cluster.local:9090");
}

#[test]
fn without_any_http_port_the_lowest_is_chosen() {
    assert_eq!(&*two_ports(&[]).said["go-sc-a"].resolved, "go-sc-a.demo.svc.cluster.local:5432");
}

#[test]
fn a_port_choice_does_not_wait_for_routes_for_ever() {
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    mesh.apply(vec![cluster(&name(81, "", HOST)), cluster(&name(80, "", HOST)), ANSWERED]);
    assert_eq!(mesh.subscribed.len(), 2, "routes of both ports");
    mesh.advance(Duration::from_secs(1));
    assert_eq!(mesh.subscribed, [format!("RDS {HOST}:80"), format!("EDS {}", name(80, "", HOST))]);
}

#[test]
fn a_wait_that_lost_its_reason_does_not_go_on() {
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    mesh.apply(vec![cluster(&name(81, "", HOST)), cluster(&name(80, "", HOST)), ANSWERED]);
    mesh.apply(vec![gone(Kind::Cluster, &name(81, "", HOST)), gone(Kind::Cluster, &name(80, "", HOST))]);
    mesh.advance(Duration::from_secs(2));
    assert_eq!((mesh.state("go-sc-a"), mesh.catalog.next_deadline()), (State::Unknown, None));

    let mut mesh = served("go-sc-a");
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&name(8080, "v9", HOST), 1)])]);
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&name(8080, "v1", HOST), 1)])]);
    mesh.advance(Duration::from_secs(20));
    assert_eq!((mesh.list("go-sc-a").len(), mesh.catalog.next_deadline()), (2, None), "the old list stands, nothing ticks");
}

#[test]
fn a_management_port_is_not_taken_for_the_service_and_the_choice_is_said_once() {
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    mesh.apply([9000, 8081, 9464].iter().map(|port| cluster(&name(*port, "", HOST))).chain([ANSWERED]).collect());
    for port in [9000, 8081, 9464] {
        mesh.apply(vec![routes(&format!("{HOST}:{port}"), &[(&name(port, "", HOST), 1)])]);
    }
    mesh.apply(vec![assignment(&name(9000, "", HOST), &[1])]);
    assert_eq!((&*mesh.said["go-sc-a"].resolved, mesh.list("go-sc-a")), ("go-sc-a.demo.svc.cluster.local:9000", vec![(1, 1)]));
    mesh.apply(vec![assignment(&name(9000, "", HOST), &[1, 2])]);
    let said: Vec<_> = mesh.notes.iter().filter(|note| note.contains("names no port")).collect();
    assert!(said.len() == 1 && said[0].contains("8081, 9000, 9464: 9000 is taken"), "{said:?}");
    assert!(!two_ports(&[9090]).notes.iter().any(|note| note.contains("names no port")), "the only HTTP port is no guess");
}

#[test]
fn an_old_list_says_what_is_waited_for_and_for_how_long_it_stands() {
    let mut mesh = served("go-sc-a");
    let (v1, v9) = (name(8080, "v1", HOST), name(8080, "v9", HOST));
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&v1, 1)])]);
    let said = |mesh: &Mesh| (mesh.state("go-sc-a"), mesh.list("go-sc-a"), mesh.said["go-sc-a"].detail.to_string());
    let old = vec![(1, 1), (2, 1)];
    assert_eq!(said(&mesh), (State::Ready, old.clone(), format!("the last list stands; not answered yet: EDS {v1}")));
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&v9, 1)])]);
    let (state, list, detail) = said(&mesh);
    assert_eq!((state, list), (State::Ready, old));
    assert!(detail.starts_with("the last list stands for 15 s at most: the route leads to ") && detail.contains(&v9), "{detail}");
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&v1, 1)]), assignment(&v1, &[7])]);
    assert_eq!(said(&mesh), (State::Ready, vec![(7, 1)], String::new()));
}

#[test]
fn an_unknown_name_says_which_hosts_may_be_meant() {
    let mut mesh = Mesh::new();
    mesh.watch("echo");
    mesh.watch("ehco.prod");
    mesh.apply(vec![cluster(&name(80, "", "echo.prod.svc.cluster.local")), ANSWERED]);
    assert_eq!(mesh.state("echo"), State::Unknown);
    assert!(mesh.said["echo"].detail.contains("echo.prod is listed, in another namespace"), "{}", mesh.said["echo"].detail);
    assert_eq!(&*mesh.said["ehco.prod"].detail, "did you mean echo.prod?");
}

#[test]
fn hosts_with_capitals_are_found_and_their_routes_apply() {
    const SPELLED: &str = "Billing.DEFAULT-GROUP.Nacos";
    let mut mesh = Mesh::with(|rules| rules.allow_plaintext = vec!["billing.default-group.nacos".into()]);
    mesh.watch("billing.default-group.nacos");
    mesh.watch("BILLING.DEFAULT-GROUP.NACOS:80/v2");
    let (base, v2) = (name(80, "", SPELLED), name(80, "v2", SPELLED));
    mesh.apply(vec![cluster(&base), cluster_with_tls(&v2, Tls::Required), ANSWERED]);
    let routes_name = "billing.default-group.nacos:80";
    assert!(mesh.subscribed.contains(&format!("RDS {routes_name}")), "istiod lowers hosts there: {:?}", mesh.subscribed);
    // As it does inside of them.
    mesh.apply(vec![routes(routes_name, &[(&v2.to_lowercase(), 1)])]);
    assert!(mesh.subscribed.contains(&format!("EDS {v2}")), "assignments have the name of the cluster: {:?}", mesh.subscribed);
    mesh.apply(vec![assignment(&v2, &[2])]);
    for target in ["billing.default-group.nacos", "billing.default-group.nacos:80/v2"] {
        assert_eq!((mesh.state(target), mesh.list(target)), (State::Ready, vec![(2, 1)]), "{target}");
    }
    mesh.apply(vec![gone(Kind::Cluster, &v2)]);
    mesh.advance(Duration::from_secs(15));
    assert_eq!(mesh.state("billing.default-group.nacos"), State::Invalid(Invalid::RouteToUnknownCluster));
}

/// Two zones of one and two endpoints; both weigh the same, or only the first has a weight.
fn zones(cluster: &str, weights: [u32; 2]) -> Effect<Resource> {
    let Effect::Update { kind, name, body, value: Resource::Assignment(plain) } = assignment(cluster, &[1, 2, 3]) else {
        panic!("an assignment")
    };
    let endpoints = plain.endpoints.iter().zip([0, 1, 1]).map(|(endpoint, locality)| Endpoint { locality, ..*endpoint }).collect();
    let localities = weights.map(|weight| Locality { weight, ..Default::default() }).into();
    let value = Resource::Assignment(Arc::new(Assignment { endpoints, localities, ..Default::default() }));
    Effect::Update { kind, name, value, body }
}

#[test]
fn weights_of_localities_count_where_the_cluster_says_so() {
    let base = name(8080, "", HOST);
    let mut mesh = served("go-sc-a");
    mesh.apply(vec![zones(&base, [1, 1])]);
    assert_eq!(mesh.list("go-sc-a"), [(1, 1), (2, 1), (3, 1)]);
    let Effect::Update { kind, name, body, value: Resource::Cluster(plain) } = cluster(&base) else { panic!("a cluster") };
    let value = Resource::Cluster(Arc::new(Cluster { locality_weighted: true, ..Cluster::clone(&plain) }));
    mesh.apply(vec![Effect::Update { kind, name, value, body }]);
    assert_eq!(mesh.list("go-sc-a"), [(1, 2), (2, 1), (3, 1)], "half of the traffic for each zone");
    mesh.apply(vec![zones(&base, [1, 0])]);
    assert_eq!(mesh.list("go-sc-a"), [(1, 1)], "nothing for a zone without a weight");
}

#[test]
fn an_address_that_is_listed_twice_is_said_once() {
    let mut mesh = served("go-sc-a");
    let twice = |octets| {
        let Effect::Update { kind, name, body, value: Resource::Assignment(plain) } = assignment(&name(8080, "", HOST), octets)
        else {
            panic!("an assignment")
        };
        let value = Resource::Assignment(Arc::new(Assignment { repeated: 2, ..Assignment::clone(&plain) }));
        Effect::Update { kind, name, value, body }
    };
    mesh.apply(vec![twice(&[1])]);
    mesh.apply(vec![twice(&[1, 2])]);
    let said: Vec<_> = mesh.notes.iter().filter(|note| note.contains("address that is there before")).collect();
    assert!(said.len() == 1 && said[0].ends_with("left out: 2"), "{said:?}");
}

#[test]
fn what_the_control_plane_calls_unhealthy_is_left_out() {
    let base = name(8080, "", HOST);
    let mut mesh = served("go-sc-a");
    let Effect::Update { kind, name, body, value: Resource::Assignment(plain) } = assignment(&base, &[1, 2]) else {
        panic!("an assignment")
    };
    let mut endpoints = plain.endpoints.to_vec();
    endpoints[0].health = Health::Unhealthy as u8;
    let value = Resource::Assignment(Arc::new(Assignment { endpoints: endpoints.into(), ..Assignment::clone(&plain) }));
    mesh.apply(vec![Effect::Update { kind, name, value, body }]);
    assert_eq!(mesh.list("go-sc-a"), [(2, 1)]);
}

#[test]
fn a_cluster_can_be_named_outright() {
    let mut mesh = Mesh::with(|rules| rules.routes = false);
    mesh.watch("cluster:Free Form");
    mesh.apply(vec![ANSWERED]);
    assert_eq!(mesh.state("cluster:Free Form"), State::Unknown);
    mesh.apply(vec![cluster("Free Form")]);
    mesh.apply(vec![assignment("Free Form", &[5])]);
    assert_eq!(mesh.list("cluster:Free Form"), [(5, 1)]);
}

#[test]
fn targets_of_one_service_share_one_subscription_until_the_last_goes() {
    let mut mesh = served("go-sc-a");
    mesh.watch("go-sc-a.demo:8080");
    let before = mesh.subscribed.clone();
    let mut unwatch = |target: &str| {
        let mut changes = Changes::default();
        mesh.catalog.unwatch(&Target::parse(target).expect("valid"), &mut changes);
        mesh.settle(changes);
        mesh.subscribed.clone()
    };
    assert_eq!(unwatch("go-sc-a"), before);
    assert!(unwatch("go-sc-a.demo:8080").is_empty());
    assert!(mesh.catalog.users.is_empty() && mesh.catalog.by_candidate.is_empty(), "nothing is left behind");
}

#[test]
fn a_change_looks_only_at_the_targets_it_touches() {
    let mut mesh = served("go-sc-a");
    mesh.watch("nobody");
    let mut changes = Changes::default();
    mesh.catalog.apply(assignment(&name(8080, "", HOST), &[3]), &mut changes);
    assert_eq!(mesh.catalog.touched.len(), 1);
}

mod by_name {
    use super::*;
    use crate::model::ListenerRoutes;

    const NAME: &str = "go-sc-a.demo.svc.cluster.local:8080";

    fn mesh() -> Mesh {
        Mesh::with(|rules| {
            rules.by_name = true;
            rules.name_wait = Duration::ZERO;
            rules.listeners.authorities.insert("auth".into(), "xdstp://auth/envoy.config.listener.v3.Listener/%s".into());
        })
    }

    fn listener(name: &str, routes: ListenerRoutes) -> Effect<Resource> {
        Effect::Update { kind: Kind::Listener, name: name.into(), value: Resource::Listener(Arc::new(routes)), body: Bytes::new() }
    }

    fn sorted(mesh: &Mesh) -> Vec<String> {
        let mut subscribed = mesh.subscribed.clone();
        subscribed.sort();
        subscribed
    }

    #[test]
    fn the_listener_leads_to_routes_clusters_and_endpoints() {
        let mut mesh = mesh();
        mesh.watch("go-sc-a:8080");
        assert!(mesh.subscribed.contains(&format!("LDS {NAME}")), "{:?}", mesh.subscribed);
        let base = name(8080, "", HOST);
        mesh.apply(vec![listener(NAME, ListenerRoutes::Rds("r".into()))]);
        assert!(mesh.subscribed.contains(&"RDS r".to_owned()));
        mesh.apply(vec![routes("r", &[(&base, 1)])]);
        assert!(mesh.subscribed.contains(&format!("CDS {base}")));
        mesh.apply(vec![cluster(&base)]);
        assert_eq!(mesh.state("go-sc-a:8080"), State::Pending);
        mesh.apply(vec![assignment(&base, &[1])]);
        assert_eq!((mesh.state("go-sc-a:8080"), mesh.list("go-sc-a:8080")), (State::Ready, vec![(1, 1)]));
    }

    /// Of a table with many hosts, first another one.
    fn shared_table(name: &str) -> Effect<Resource> {
        let to =
            |cluster: &str| Forward { clusters: Arc::new([Share { cluster: cluster.into(), weight: 1 }]), ..Default::default() };
        let hosts = [("ads.example", "ads"), ("*.local", "wide"), (NAME, "pay")];
        table(name, hosts.map(|(domain, cluster)| host(domain, Action::Forward(to(cluster)))).into())
    }

    #[test]
    fn of_many_virtual_hosts_the_one_whose_domain_fits_best_is_followed() {
        let mut mesh = mesh();
        mesh.watch("go-sc-a:8080");
        mesh.watch("xds://auth/ads.example:81");
        mesh.watch("xds://auth/stranger:81");
        mesh.apply(vec![
            listener(NAME, ListenerRoutes::Rds("shared".into())),
            listener(&mesh_listener("ads.example:81"), ListenerRoutes::Rds("shared".into())),
            listener(&mesh_listener("stranger:81"), ListenerRoutes::Rds("shared".into())),
            shared_table("shared"),
        ]);
        let mut clusters: Vec<_> = mesh.subscribed.iter().filter(|name| name.starts_with("CDS")).cloned().collect();
        clusters.sort();
        assert_eq!(clusters, ["CDS ads", "CDS pay"]);
        assert_eq!(mesh.state("xds://auth/stranger:81"), State::Invalid(Invalid::NoList));
        let detail = &mesh.said["xds://auth/stranger:81"].detail;
        assert!(detail.contains("no virtual host is for stranger:81") && detail.contains("ads.example"), "{detail}");
    }

    #[test]
    fn the_routes_inside_a_listener_are_chosen_by_domain_too() {
        let mut mesh = mesh();
        mesh.watch("go-sc-a:8080");
        let Effect::Update { value: Resource::Routes(table), .. } = shared_table("r") else { panic!("routes") };
        mesh.apply(vec![listener(NAME, ListenerRoutes::Inline(table))]);
        assert!(mesh.subscribed.contains(&"CDS pay".to_owned()), "{:?}", mesh.subscribed);
    }

    #[test]
    fn a_better_name_is_waited_for_a_moment_before_a_lesser_one_is_published() {
        let ready = |mesh: &mut Mesh, listener_name: &str, cluster_name: &str, octet| {
            let table = format!("routes of {cluster_name}");
            mesh.apply(vec![
                listener(listener_name, ListenerRoutes::Rds(table.as_str().into())),
                routes(&table, &[(cluster_name, 1)]),
            ]);
            mesh.apply(vec![cluster(cluster_name), assignment(cluster_name, &[octet])]);
        };
        let patient = || {
            let mut mesh = mesh();
            mesh.catalog.rules.name_wait = Duration::from_millis(200);
            mesh
        };
        let mut mesh = patient();
        mesh.watch("go-sc-a:8080");
        ready(&mut mesh, NAME, "lesser", 1);
        assert_eq!(mesh.state("go-sc-a:8080"), State::Pending, "go-sc-a:8080 itself is not answered");
        mesh.advance(Duration::from_millis(200));
        assert_eq!(mesh.list("go-sc-a:8080"), [(1, 1)], "a server may never say that there is none");
        ready(&mut mesh, "go-sc-a:8080", "better", 2);
        assert_eq!(mesh.list("go-sc-a:8080"), [(2, 1)]);

        let mut mesh = patient();
        mesh.watch("go-sc-a:8080");
        mesh.apply(vec![gone(Kind::Listener, "go-sc-a:8080")]);
        ready(&mut mesh, NAME, "only", 1);
        assert_eq!(mesh.list("go-sc-a:8080"), [(1, 1)], "nothing to wait for");
    }

    #[test]
    fn weights_of_localities_always_count_and_one_without_gets_nothing() {
        let mut mesh = mesh();
        mesh.watch("cluster:c");
        mesh.apply(vec![cluster("c"), zones("c", [1, 1])]);
        assert_eq!(mesh.list("cluster:c"), [(1, 2), (2, 1), (3, 1)]);
        mesh.apply(vec![zones("c", [1, 0])]);
        assert_eq!(mesh.list("cluster:c"), [(1, 1)]);
        mesh.apply(vec![zones("c", [0, 0])]);
        assert_eq!(mesh.list("cluster:c"), [(1, 1), (2, 1), (3, 1)], "none has a weight");
    }

    #[test]
    fn a_server_that_says_nothing_about_any_listener_may_withhold_its_snapshot_and_that_is_said() {
        let unanswered = |name: &str| Effect::Remove { kind: Kind::Listener, name: name.into(), gone: Gone::Unanswered };
        let mut mesh = mesh();
        mesh.watch("go-sc-a:8080");
        mesh.apply(vec![unanswered("go-sc-a:8080"), unanswered(NAME)]);
        assert_eq!(mesh.state("go-sc-a:8080"), State::Unknown);
        assert!(mesh.said["go-sc-a:8080"].detail.contains("go-control-plane"), "{}", mesh.said["go-sc-a:8080"].detail);
        assert_eq!(mesh.notes.iter().filter(|note| note.contains("snapshots whole")).count(), 2, "and the state: {:?}", mesh.notes);
        mesh.apply(vec![listener(NAME, ListenerRoutes::Rds("r".into()))]);
        mesh.watch("other:80");
        mesh.apply(vec![unanswered("other:80"), unanswered("other.demo.svc.cluster.local:80")]);
        assert_eq!((mesh.state("other:80"), &*mesh.said["other:80"].detail), (State::Unknown, ""), "it does answer");
    }

    fn mesh_listener(target: &str) -> String {
        format!("xdstp://auth/envoy.config.listener.v3.Listener/{target}")
    }

    #[test]
    fn a_name_without_a_listener_is_unknown_and_a_subset_without_a_cluster_undefined() {
        let mut mesh = mesh();
        mesh.watch("nobody:80");
        for name in mesh.subscribed.clone() {
            mesh.apply(vec![gone(Kind::Listener, name.strip_prefix("LDS ").expect("only listeners are asked for"))]);
        }
        assert_eq!(mesh.state("nobody:80"), State::Unknown);
        mesh.watch("go-sc-a:8080/v9");
        mesh.apply(vec![listener(NAME, ListenerRoutes::Rds("r".into()))]);
        mesh.apply(vec![gone(Kind::Cluster, &name(8080, "v9", HOST))]);
        assert_eq!(mesh.state("go-sc-a:8080/v9"), State::Invalid(Invalid::UndefinedSubset));
    }

    #[test]
    fn c_031_a_socket_listener_is_an_error_of_its_target_and_lets_its_routes_go() {
        let mut mesh = mesh();
        mesh.watch("go-sc-a:8080");
        let base = name(8080, "", HOST);
        mesh.apply(vec![listener(NAME, ListenerRoutes::Rds("r".into())), routes("r", &[(&base, 1)]), cluster(&base)]);
        mesh.apply(vec![assignment(&base, &[1])]);
        assert_eq!(mesh.state("go-sc-a:8080"), State::Ready);
        mesh.apply(vec![listener(NAME, ListenerRoutes::None("it is not an API listener".into()))]);
        assert_eq!(mesh.state("go-sc-a:8080"), State::Invalid(Invalid::NoList));
        assert!(mesh.said["go-sc-a:8080"].detail.contains("not an API listener"));
        assert!(!mesh.subscribed.iter().any(|s| !s.starts_with("LDS ")), "{:?}", mesh.subscribed);
    }

    #[test]
    fn c_095_children_of_what_is_gone_are_let_go() {
        let mut mesh = mesh();
        mesh.watch("go-sc-a:8080");
        let base = name(8080, "", HOST);
        mesh.apply(vec![listener(NAME, ListenerRoutes::Rds("r".into())), routes("r", &[(&base, 1)]), cluster(&base)]);
        mesh.apply(vec![assignment(&base, &[1])]);
        let all = sorted(&mesh);
        assert!(all.contains(&format!("EDS {base}")), "{all:?}");
        mesh.apply(vec![gone(Kind::Listener, NAME), gone(Kind::Listener, "go-sc-a:8080")]);
        assert!(!mesh.subscribed.iter().any(|s| !s.starts_with("LDS ")), "{:?}", mesh.subscribed);
        // A cluster that goes takes its assignment with it, once the old answer no longer stands in.
        mesh.apply(vec![listener(NAME, ListenerRoutes::Rds("r".into())), cluster(&base)]);
        mesh.apply(vec![gone(Kind::Cluster, &base)]);
        mesh.advance(Duration::from_secs(15));
        assert!(!mesh.subscribed.contains(&format!("EDS {base}")), "{:?}", mesh.subscribed);
    }

    #[test]
    fn c_049_a_target_of_an_unknown_authority_is_an_error_at_once() {
        let mut mesh = mesh();
        mesh.watch("xds://stranger/a");
        assert_eq!(mesh.state("xds://stranger/a"), State::Unknown);
        assert!(mesh.said["xds://stranger/a"].detail.contains("stranger"));
        assert!(mesh.subscribed.is_empty());
    }

    #[test]
    fn c_052_the_listener_of_a_target_is_that_of_its_template() {
        let names = ListenerNames {
            template: "%s".into(),
            authorities: BTreeMap::from([
                ("auth".to_owned(), "xdstp://auth/envoy.config.listener.v3.Listener/%s?p=1".to_owned()),
                (String::new(), "xdstp:///envoy.config.listener.v3.Listener/%s".to_owned()),
                ("plain".to_owned(), "prefix/%s".to_owned()),
            ]),
        };
        let of = |authority, target| names.of(authority, target).map(|name| name.to_string());
        let xdstp = |authority: &str, rest: &str| Some(format!("xdstp://{authority}/envoy.config.listener.v3.Listener/{rest}"));
        assert_eq!(of(None, "a b:80"), Some("a b:80".into()), "verbatim");
        assert_eq!(of(Some("auth"), "a.b:80/c//d"), xdstp("auth", "a.b:80/c//d?p=1"));
        assert_eq!(of(Some("auth"), "a b%?#[é]"), xdstp("auth", "a%20b%25%3F%23%5B%C3%A9%5D?p=1"), "percent-encoded");
        assert_eq!(of(Some(""), "a"), xdstp("", "a"));
        assert_eq!(of(Some("plain"), "a b"), Some("prefix/a b".into()));
        assert_eq!(of(Some("stranger"), "a"), None);
        let mut mesh = mesh();
        mesh.watch("xds://auth/server/with//slashes");
        assert_eq!(mesh.subscribed, [format!("LDS {}", xdstp("auth", "server/with//slashes").expect("some"))]);
    }
}

#[test]
fn why_nobody_answers_is_told_to_who_waits_and_taken_back() {
    let mut mesh = served("go-sc-a");
    mesh.apply(vec![Effect::Unreachable("http://h:1 (node n): refused".into())]);
    assert_eq!((mesh.state("go-sc-a"), &*mesh.said["go-sc-a"].detail), (State::Ready, ""), "who has a list keeps it");
    let mut mesh = Mesh::new();
    mesh.watch("go-sc-a");
    mesh.apply(vec![Effect::Unreachable("http://h:1 (node n): refused".into())]);
    assert_eq!((mesh.state("go-sc-a"), &*mesh.said["go-sc-a"].detail), (State::Pending, "http://h:1 (node n): refused"));
    mesh.apply(vec![cluster(&name(8080, "", HOST)), ANSWERED]);
    assert_eq!((mesh.state("go-sc-a"), &*mesh.said["go-sc-a"].detail), (State::Pending, ""));
}

#[test]
fn c_010_the_second_watch_of_a_target_asks_for_nothing_and_only_the_last_one_lets_go() {
    let mut mesh = served("go-sc-a");
    let asked = mesh.subscribed.clone();
    mesh.watch("go-sc-a");
    assert_eq!((mesh.subscribed.clone(), mesh.state("go-sc-a")), (asked.clone(), State::Ready));
    let target = Target::parse("go-sc-a").expect("valid");
    let mut changes = Changes::default();
    assert_eq!(mesh.catalog.unwatch(&target, &mut changes), None);
    assert!(changes.subscriptions.is_empty());
    assert!(mesh.catalog.unwatch(&target, &mut changes).is_some());
    assert_eq!(changes.subscriptions.iter().filter(|(.., wanted)| !wanted).count(), asked.len());
}
