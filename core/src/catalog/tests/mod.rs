// SPDX-License-Identifier: Apache-2.0
//! What targets become of what a control plane says, in which order, and when.

mod mesh;

use bytes::Bytes;

use super::*;
use crate::model::{Action, Forward, Invalid, OtherAction, OutlierDetection, Policy, Share, State, Tls};
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
    let to_others = || Action::Forward(Forward { clusters: Arc::new([Share { cluster: "others".into(), weight: 1 }]), ..Default::default() });
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
        let to = |cluster: &str| Forward { clusters: Arc::new([Share { cluster: cluster.into(), weight: 1 }]), ..Default::default() };
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
