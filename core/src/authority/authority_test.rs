// SPDX-License-Identifier: Apache-2.0
//! The conformance catalogue on several servers: fallback and federation.

use std::time::Duration;

use prost::Message;

use super::*;
use crate::protocol::{Any, DiscoveryResponse, End, Kind::Cluster as CDS, Kind::Endpoints as EDS, Request, Variant};

/// Resources are `name=value`.
struct Text;

impl Decode for Text {
    type Value = String;

    fn name(&mut self, _: Kind, body: &Bytes) -> Result<String, String> {
        Ok(String::from_utf8_lossy(body).rsplit_once('=').map(|(name, _)| name.to_owned()).unwrap_or_default())
    }

    fn decode(&mut self, _: Kind, _: &str, body: &Bytes) -> Result<String, String> {
        Ok(String::from_utf8_lossy(body).rsplit_once('=').map(|(_, value)| value.to_owned()).unwrap_or_default())
    }
}

struct Trace {
    authorities: Authorities<Text>,
    now: Time,
    out: Acts<String>,
    nonce: u32,
}

fn settings() -> Settings {
    Settings::new(Variant::Sotw, Bytes::from_static(b"node"))
}

fn down() -> Lost {
    Lost { reason: "refused".into(), how: End::Failed }
}

impl Trace {
    fn new(servers: usize, default: &[ServerId], authorities: &[(&str, &[ServerId])]) -> Self {
        let plan = Plan {
            servers: vec![settings(); servers],
            default: default.to_vec(),
            authorities: authorities.iter().map(|(name, servers)| ((*name).to_owned(), servers.to_vec())).collect(),
        };
        Self { authorities: Authorities::new(plan, || Text), now: Duration::ZERO, out: Vec::new(), nonce: 0 }
    }

    fn watch(&mut self, kind: Kind, names: &[&str]) {
        for name in names {
            self.authorities.subscribe(kind, name, &mut self.out);
        }
        self.authorities.flush(self.now, &mut self.out);
    }

    fn cancel(&mut self, kind: Kind, name: &str) {
        self.authorities.unsubscribe(kind, name);
        self.authorities.flush(self.now, &mut self.out);
    }

    fn open(&mut self, server: ServerId) {
        self.authorities.on_open(server, self.now, &mut self.out);
    }

    fn fail(&mut self, server: ServerId) {
        self.authorities.on_lost(server, self.now, &down(), &mut self.out);
        self.authorities.flush(self.now, &mut self.out);
    }

    fn answer(&mut self, server: ServerId, kind: Kind, resources: &[&str]) {
        self.nonce += 1;
        let any = |text: &&str| Any { type_url: kind.type_url().into(), value: Bytes::copy_from_slice(text.as_bytes()) };
        let response = DiscoveryResponse {
            version_info: format!("v{}", self.nonce),
            resources: resources.iter().map(any).collect(),
            type_url: kind.type_url().into(),
            nonce: format!("n{}", self.nonce),
            resource_errors: Vec::new(),
        };
        self.authorities.on_response(server, self.now, response.encode_to_vec().into(), &mut self.out);
        self.authorities.flush(self.now, &mut self.out);
    }

    fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.authorities.on_tick(self.now, &mut self.out);
    }

    /// What came out, without answers and reconnects; requests as `server> names`.
    fn said(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut self.out).into_iter().filter_map(|(server, effect)| match effect {
            Effect::Send(Request::Sotw(request)) if request.response_nonce.is_empty() => {
                Some(format!("{server}> {:?} v{:?}", request.resource_names, request.version_info))
            }
            Effect::Send(_) | Effect::Connect { .. } | Effect::Answered(_) => None,
            Effect::Update { name, value, .. } => Some(format!("update {name} {value}")),
            Effect::Remove { name, gone, .. } => Some(format!("remove {name} {gone:?}")),
            Effect::Trouble { error, .. } => Some(format!("trouble {error}")),
            Effect::Unreachable(reason) => Some(format!("unreachable {server}: {reason}")),
            Effect::Forget { name, .. } => Some(format!("forget {name}")),
            other => Some(format!("{other:?}")),
        });
        lines.collect()
    }

    fn wanted(&self) -> Vec<bool> {
        (0..self.authorities.servers()).map(|server| self.authorities.engine(server).has_interest()).collect()
    }
}

mod fallback {
    use super::*;

    #[test]
    fn c_042_with_the_primary_down_at_the_start_the_secondary_serves_until_it_returns() {
        let mut t = Trace::new(2, &[0, 1], &[]);
        t.watch(EDS, &["a"]);
        assert_eq!(t.wanted(), [true, false]);
        t.fail(0);
        assert_eq!((t.said(), t.wanted()), (vec![], vec![true, true]), "no error is reported while somebody is left");
        t.open(1);
        assert_eq!(t.said(), [r#"1> ["a"] v"""#]);
        t.answer(1, EDS, &["a=secondary"]);
        assert_eq!(t.said(), ["update a secondary"]);
        t.open(0);
        assert_eq!((t.said(), t.authorities.in_charge()), (vec![r#"0> ["a"] v"""#.to_owned()], 1), "a connection is no answer");
        t.answer(0, EDS, &["a=primary"]);
        assert_eq!((t.said(), t.wanted()), (vec!["update a primary".to_owned()], vec![true, false]));
        t.answer(1, EDS, &["a=late"]);
        assert_eq!(t.said(), [""; 0], "what a lower server still says is ignored");
    }

    #[test]
    fn c_043_with_everything_answered_there_is_no_fallback() {
        let mut t = Trace::new(2, &[0, 1], &[]);
        t.authorities.subscribe_all(CDS);
        t.watch(EDS, &["a"]);
        t.open(0);
        t.answer(0, CDS, &["c=1"]);
        t.answer(0, EDS, &["a=1"]);
        t.said();
        for _ in 0..3 {
            t.fail(0);
            t.open(0);
            t.said();
        }
        t.fail(0);
        assert_eq!(t.wanted(), [true, false]);
        assert_eq!(t.said(), [""; 0], "told once, with the first failure");
    }

    #[test]
    fn c_044_a_new_name_while_the_primary_is_down_falls_back_with_all_names() {
        let mut t = Trace::new(2, &[0, 1], &[]);
        t.watch(EDS, &["a"]);
        t.open(0);
        t.answer(0, EDS, &["a=1"]);
        t.fail(0);
        t.fail(0);
        assert_eq!(t.wanted(), [true, false]);
        t.said();
        t.watch(EDS, &["b"]);
        assert_eq!(t.wanted(), [true, true]);
        t.open(1);
        assert_eq!(t.said(), [r#"1> ["a", "b"] v"""#]);
        t.answer(1, EDS, &["a=2", "b=2"]);
        assert_eq!(t.said(), ["update a 2", "update b 2"]);
        // The primary returns with what it had before: it counts again.
        t.open(0);
        t.said();
        t.answer(0, EDS, &["a=1", "b=1"]);
        assert_eq!(t.said(), ["update a 1", "update b 1"]);
    }

    #[test]
    fn c_045_a_primary_that_fails_half_way_is_replaced_and_what_only_the_secondary_had_goes_with_it() {
        let mut t = Trace::new(2, &[0, 1], &[]);
        t.authorities.subscribe_all(CDS);
        t.watch(EDS, &["a"]);
        t.open(0);
        t.answer(0, CDS, &["c=1", "d=1"]);
        t.said();
        t.fail(0);
        t.fail(0);
        t.open(1);
        t.answer(1, CDS, &["c=2", "e=2"]);
        assert_eq!(t.said(), [r#"1> [] v"""#, r#"1> ["a"] v"""#, "update c 2", "update e 2", "remove d Removed"]);
        t.answer(1, EDS, &["a=2"]);
        t.open(0);
        t.said();
        t.answer(0, CDS, &["c=1", "d=1"]);
        assert_eq!(t.said(), ["update c 1", "update d 1", "remove e Removed"]);
        t.answer(1, CDS, &["f=2"]);
        assert_eq!(t.said(), [""; 0]);
    }

    #[test]
    fn c_046_with_all_servers_down_it_is_told_once_and_any_of_them_may_return() {
        for returning in [0, 1] {
            let mut t = Trace::new(2, &[0, 1], &[]);
            t.watch(EDS, &["a"]);
            t.fail(0);
            assert_eq!(t.said(), [""; 0]);
            t.fail(1);
            assert_eq!(t.said(), ["unreachable 1: refused"]);
            for server in [0, 1, 0, 1] {
                t.fail(server);
            }
            assert_eq!(t.said(), [""; 0]);
            t.open(returning);
            t.said();
            t.answer(returning, EDS, &["a=x"]);
            assert_eq!((t.said(), t.authorities.in_charge()), (vec!["update a x".to_owned()], returning));
        }
    }

    #[test]
    fn c_047_three_servers_go_down_and_up_step_by_step() {
        let mut t = Trace::new(3, &[0, 1, 2], &[]);
        t.watch(EDS, &["a"]);
        t.fail(0);
        assert_eq!(t.wanted(), [true, true, false]);
        t.fail(1);
        assert_eq!((t.wanted(), t.said()), (vec![true, true, true], vec![]));
        t.open(2);
        t.answer(2, EDS, &["a=3"]);
        t.open(1);
        t.said();
        t.answer(1, EDS, &["a=2"]);
        assert_eq!((t.wanted(), t.said()), (vec![true, true, false], vec!["update a 2".to_owned()]));
        t.open(0);
        t.said();
        t.answer(0, EDS, &["a=1"]);
        assert_eq!((t.wanted(), t.said()), (vec![true, false, false], vec!["update a 1".to_owned()]));
    }

    #[test]
    fn a_known_absence_is_an_answer_and_calls_for_no_fallback() {
        let mut t = Trace::new(2, &[0, 1], &[]);
        t.watch(EDS, &["a"]);
        t.open(0);
        t.advance(15);
        t.fail(0);
        t.fail(0);
        assert_eq!(t.wanted(), [true, false]);
    }

    #[test]
    fn what_was_saved_stands_in_until_the_first_live_answer() {
        let saved =
            |name: &str, kind, value: &str| Saved { kind, name: name.into(), body: format!("{name}={value}").into_bytes().into() };
        let mut t = Trace::new(1, &[0], &[]);
        t.authorities.subscribe_all(CDS);
        t.watch(EDS, &["a"]);
        t.fail(0);
        t.said();
        t.authorities.restore(
            vec![saved("c", CDS, "old"), saved("gone", CDS, "old"), saved("a", EDS, "old"), saved("b", EDS, "old")],
            &mut t.out,
        );
        let mut said = t.said();
        said.sort();
        assert_eq!(said, ["update a old", "update c old", "update gone old"]);
        t.watch(EDS, &["b", "new"]);
        assert_eq!(t.said(), ["update b old"]);
        t.open(0);
        t.said();
        t.answer(0, CDS, &["c=live"]);
        assert_eq!(t.said(), ["update c live", "remove gone Removed"]);
        t.answer(0, EDS, &["a=live", "b=old"]);
        assert_eq!(t.said(), ["update a live", "update b old"]);
        t.cancel(EDS, "b");
        t.watch(EDS, &["b"]);
        assert!(!t.said().contains(&"update b old".to_owned()), "after the first live answer nothing saved is used");
        t.authorities.restore(vec![saved("c", CDS, "old")], &mut t.out);
        assert_eq!(t.said(), [""; 0]);
    }
}

mod federation {
    use super::*;

    fn cluster(authority: &str, id: &str) -> String {
        format!("xdstp://{authority}/envoy.config.cluster.v3.Cluster/{id}")
    }

    #[test]
    fn c_049_a_name_that_nobody_can_answer_for_is_an_error_at_once() {
        let mut t = Trace::new(1, &[0], &[("known", &[0])]);
        t.open(0);
        for (name, why) in [
            (cluster("stranger", "x"), "no authority \"stranger\""),
            ("xdstp://known/envoy.config.listener.v3.Listener/x".into(), "envoy.config.cluster.v3.Cluster is expected"),
            ("xdstp:known".into(), "no authority: xdstp://authority/type/id is expected"),
        ] {
            t.watch(CDS, &[&name]);
            let said = t.said();
            assert!(said[0].starts_with("trouble") && said[0].contains(why), "{said:?}");
            assert_eq!(said[1..], [format!("remove {name} Refused")], "and nothing is sent");
        }
        assert_eq!(t.wanted(), [false]);
    }

    #[test]
    fn c_050_authorities_with_one_server_share_it_and_the_last_name_lets_it_go() {
        let mut t = Trace::new(2, &[0], &[("same", &[0]), ("other", &[1])]);
        t.watch(CDS, &["old", &cluster("same", "x")]);
        assert_eq!(t.wanted(), [true, false]);
        t.open(0);
        assert_eq!(t.said(), [format!(r#"0> ["old", "{}"] v"""#, cluster("same", "x"))]);
        t.cancel(CDS, "old");
        assert_eq!(t.wanted(), [true, false]);
        t.cancel(CDS, &cluster("same", "x"));
        assert_eq!(t.wanted(), [false, false]);
    }

    #[test]
    fn c_051_authorities_are_apart_in_deletions_and_failures() {
        let (a, b) = (cluster("a", "x"), cluster("b", "x"));
        let mut t = Trace::new(2, &[0], &[("a", &[0]), ("b", &[1])]);
        t.watch(CDS, &[&a, &b]);
        t.open(0);
        t.open(1);
        t.answer(0, CDS, &[&format!("{a}=1")]);
        t.answer(1, CDS, &[&format!("{b}=1")]);
        t.said();
        t.answer(0, CDS, &[]);
        assert_eq!(t.said(), [format!("remove {a} Removed")]);
        t.fail(1);
        t.fail(1);
        assert_eq!(t.said(), ["unreachable 1: refused"]);
        assert_eq!(t.wanted(), [true, true]);
    }

    #[test]
    fn c_051_the_empty_authority_is_not_that_of_old_names() {
        let name = cluster("", "x");
        let mut t = Trace::new(2, &[0], &[("", &[1])]);
        t.watch(CDS, &["x", &name]);
        t.open(0);
        t.open(1);
        assert_eq!(t.said(), [r#"0> ["x"] v"""#.to_owned(), format!(r#"1> ["{name}"] v"""#)]);
    }
}
