// SPDX-License-Identifier: Apache-2.0
//! Documents to [`Mesh`], with errors that name file, document and field.

use std::{collections::BTreeMap, fmt, path::Path};

use super::{
    document::{Document, documents},
    kind::{Kind, SUPPORTED, Verdict},
    local::LocalEndpoint,
    mesh::{Mesh, Object, Spec},
    objects::WorkloadEntry,
};

/// Where a file is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The file.
    pub file: String,
    /// Number of the YAML document, from 1, with kind and name when they could be read.
    pub document: String,
    /// Path of the field; empty when the document as a whole is meant.
    pub field: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.file, &self.document, &self.field].into_iter().filter(|part| !part.is_empty());
        parts.into_iter().try_for_each(|part| write!(f, "{part}: "))?;
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ParseError {}

/// One file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, for errors.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// How files are read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Objects of a kind that is not supported are skipped.
    pub lenient: bool,
    /// Endpoints that services have in place of those that stand in files.
    pub endpoints: Vec<LocalEndpoint>,
}

/// Reads every document of one file.
///
/// # Errors
/// The first problem found.
pub fn parse(file: &Path, text: &str) -> Result<Mesh, ParseError> {
    read(&[Source { name: file.display().to_string(), text: text.to_owned() }], &Options::default())
}

/// Reads every document of several files as one mesh.
///
/// # Errors
/// The first problem found.
pub fn read(sources: &[Source], options: &Options) -> Result<Mesh, ParseError> {
    let mut reading = Reading::default();
    for source in sources {
        for document in documents(&source.name, &source.text)? {
            reading.take(document, options.lenient)?;
        }
    }
    let notes = reading.notes();
    Mesh::new(reading.objects, reading.duplicates, notes, &options.endpoints)
}

/// A place in a file.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) file: String,
    pub(super) document: String,
}

impl At {
    pub(super) fn fail(&self, field: impl Into<String>, problem: impl fmt::Display) -> ParseError {
        ParseError { file: self.file.clone(), document: self.document.clone(), field: field.into(), problem: problem.to_string() }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    objects: Vec<Object>,
    /// How many objects of a kind of a file were passed over, and why.
    passed_over: BTreeMap<(String, String, &'static str), usize>,
    duplicates: Vec<ParseError>,
}

impl Reading {
    fn take(&mut self, mut document: Document, lenient: bool) -> Result<(), ParseError> {
        let reason = match document.verdict {
            Verdict::Read(kind) => {
                let object = object(kind, &mut document)?;
                self.add(object);
                return Ok(());
            }
            Verdict::NotSupported if !lenient => {
                // Whose it is helps, and is not asked for.
                let _ = document.metadata();
                let problem = format!("{} of {} is not supported; {SUPPORTED} are", document.kind, document.api_version);
                return Err(document.at.fail("kind", problem));
            }
            Verdict::NotSupported => "not supported, skipped",
            Verdict::NoEffect | Verdict::List => "no effect on what callers get",
        };
        *self.passed_over.entry((document.at.file, document.kind, reason)).or_default() += 1;
        Ok(())
    }

    /// The last of several with one name counts, as if they were applied one after the other.
    fn add(&mut self, object: Object) {
        let is_same = |other: &Object| {
            (other.spec.kind(), &other.namespace, &other.name) == (object.spec.kind(), &object.namespace, &object.name)
        };
        if let Some(at) = self.objects.iter().position(is_same) {
            let first = self.objects.remove(at).at;
            self.duplicates.push(object.at.fail("", format!("takes the place of {} in {}", first.document, first.file)));
        }
        self.objects.push(object);
    }

    fn notes(&self) -> Vec<String> {
        let lines = self.passed_over.iter().map(|((file, kind, reason), count)| format!("{file}: {kind} ({count}): {reason}"));
        lines.collect()
    }
}

fn object(kind: Kind, document: &mut Document) -> Result<Object, ParseError> {
    let metadata = document.metadata()?;
    let spec = match kind {
        // An entry's own addresses and names in certificates say nothing about where its endpoints are.
        Kind::ServiceEntry => Spec::ServiceEntry(document.spec(&["addresses", "subjectAltNames"])?),
        Kind::WorkloadEntry => {
            let mut workload: WorkloadEntry = document.spec(&[])?;
            workload.labels.extend(metadata.labels.clone());
            Spec::WorkloadEntry(workload)
        }
        Kind::DestinationRule => Spec::DestinationRule(document.spec(&[])?),
        Kind::VirtualService => Spec::VirtualService(document.spec(&[])?),
        Kind::Service => Spec::Service(document.spec(&super::kubernetes::WITHOUT_EFFECT)?),
        Kind::EndpointSlice => Spec::EndpointSlice(document.whole()?),
        Kind::Endpoints => Spec::Endpoints(document.whole()?),
        Kind::Pod => Spec::Pod(document.whole()?),
        Kind::Node => Spec::Node,
    };
    let at = document.at.clone();
    Ok(Object { at, namespace: metadata.namespace.clone(), name: metadata.name.clone(), metadata, spec })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("mesh.yaml"), text).expect_err("must not parse").to_string()
    }

    const HEAD: &str = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: demo}\n";

    #[test]
    fn errors_name_file_document_and_field() {
        let second_is_bad =
            format!("{HEAD}spec: {{hosts: [a], ports: []}}\n---\n{HEAD}spec: {{hosts: [a], ports: [{{number: x, name: http}}]}}\n");
        let text = error(&second_is_bad);
        assert!(text.starts_with("mesh.yaml: document 2 (ServiceEntry demo/a): spec.ports[0].number: "), "{text}");
    }

    #[test]
    fn a_key_that_is_there_twice_is_an_error_that_names_it() {
        let text = error(&format!("{HEAD}spec:\n  hosts: [a]\n  ports: []\n  hosts: [b]\n"));
        assert!(text.starts_with("mesh.yaml: document 1: ") && text.contains("duplicate entry with key \"hosts\""), "{text}");
        let labels = |second: &str| {
            format!(
                "{}spec: {{host: a, subsets: [{{name: v1, labels: {{1: a, {second}: b}}}}]}}\n",
                HEAD.replace("ServiceEntry", "DestinationRule")
            )
        };
        assert!(error(&labels("'1'")).contains("duplicate entry with key \"1\""), "a number as key is a text");
        assert_eq!(mesh(&labels("true"), &Options::default()).len(), 1);
    }

    #[test]
    fn ports_that_cannot_be_told_apart_or_reached_are_refused() {
        for (ports, expected) in [
            ("{number: 80, name: a}, {number: 80, name: b}", "spec.ports[1].number: 80 is there already"),
            ("{number: 80, name: a}, {number: 81, name: a}", "spec.ports[1].name: \"a\" is there already"),
            ("{number: 0, name: a}", "spec.ports[0].number: 0 is no port"),
        ] {
            let text = error(&format!("{HEAD}spec: {{hosts: [a], ports: [{ports}]}}\n"));
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_an_error_and_never_ignored() {
        for (spec, field) in [
            ("{hosts: [a], ports: [], exportTo: ['.']}", "exportTo"),
            ("{hosts: [a], ports: [], resolution: DNS_ROUND_ROBIN}", "spec.resolution"),
            ("{hosts: [a], ports: [], endpoints: [{address: 10.0.0.1, network: n}]}", "network"),
        ] {
            let text = error(&format!("{HEAD}spec: {spec}\n"));
            assert!(text.contains(field), "{text}");
        }
    }

    #[test]
    fn the_kind_is_judged_before_anything_else() {
        for (document, expected) in [
            (
                "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\n",
                "PeerAuthentication of security.istio.io/v1",
            ),
            ("apiVersion: example.org/v1\nkind: Thing\nwhatever: {}\n", "Thing of example.org/v1"),
            ("apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\n", "Sidecar of networking.istio.io/v1"),
            ("apiVersion: networking.istio.io/v9\nkind: ServiceEntry\n", "ServiceEntry of networking.istio.io/v9"),
            ("apiVersion: serving.knative.dev/v1\nkind: Service\n", "Service of serving.knative.dev/v1"),
        ] {
            let text = error(document);
            assert!(text.contains(&format!("kind: {expected} is not supported")), "{text}");
        }
        assert!(error("metadata: {name: a}\n").contains("kind: is missing"));
        assert!(error("- 1\n").contains("an object with kind and apiVersion"));
    }

    fn mesh(text: &str, options: &Options) -> Mesh {
        read(&[Source { name: "mesh.yaml".into(), text: text.into() }], options).expect("read")
    }

    #[test]
    fn what_has_no_effect_is_passed_over_and_said_and_so_is_what_is_not_supported_when_asked_for() {
        let idle = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sleep}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: b}\n\
            ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\nspec: {}\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
            metadata: {name: g}\nspec: {servers: []}\n";
        let passed_over = mesh(idle, &Options::default());
        assert!(passed_over.is_empty());
        let expected = ["Deployment (1)", "Gateway (1)", "ServiceAccount (2)"]
            .map(|kind| format!("mesh.yaml: {kind}: no effect on what callers get"));
        assert_eq!(passed_over.notes(), expected);
        let unsupported = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\n";
        let lenient = mesh(unsupported, &Options { lenient: true, ..Options::default() });
        assert_eq!(lenient.notes(), ["mesh.yaml: Sidecar (1): not supported, skipped"]);
    }

    #[test]
    fn a_list_is_opened_and_errors_say_which_item() {
        let item = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a}, spec: {hosts: [a], ports: []}}";
        let list = |second: &str| format!("apiVersion: v1\nkind: List\nitems:\n- {item}\n- {second}\n");
        assert_eq!(mesh(&list(&item.replace("name: a", "name: b").replace("[a]", "[b]")), &Options::default()).len(), 2);
        let text = error(&list(&item.replace("name: a", "name: b").replace("[a]", "1")));
        assert!(text.starts_with("mesh.yaml: document 1, items[1] (ServiceEntry default/b): spec.hosts: "), "{text}");
    }

    #[test]
    fn null_is_absent_and_so_is_status() {
        let nulls = format!(
            "{HEAD}spec: {{hosts: [a.demo.svc.cluster.local], ports: [], endpoints: null, workloadSelector: null}}\nstatus: {{}}\n---\n\
            {}spec: {{host: a, subsets: null, trafficPolicy: null}}\n---\n{}spec: {{hosts: [a], http: [{{match: null, route: [{{destination: {{host: a}}}}]}}]}}\n",
            HEAD.replace("ServiceEntry", "DestinationRule"),
            HEAD.replace("ServiceEntry", "VirtualService")
        );
        assert_eq!(mesh(&nulls, &Options::default()).len(), 3);
    }

    #[test]
    fn weights_that_have_no_sum_are_refused() {
        let heavy = "{address: 127.0.0.1, weight: 4000000000}, {address: 127.0.0.2, weight: 4000000000}";
        let text = error(&format!(
            "{HEAD}spec: {{hosts: [a], resolution: STATIC, ports: [{{number: 80, name: http}}], endpoints: [{heavy}]}}\n"
        ));
        assert!(text.contains("weights of port 80 add up to more than 4294967295"), "{text}");
        let route = "{destination: {host: a}, weight: 4000000000}";
        let text = error_in("VirtualService", &format!("{{hosts: [a], http: [{{route: [{route}, {route}]}}]}}"));
        assert!(text.contains("spec.http[0].route: weights add up to 8000000000"), "{text}");
    }

    /// A rule or route with this in place of what it says of traffic.
    fn error_in(kind: &str, spec: &str) -> String {
        let service = format!(
            "{HEAD}spec: {{hosts: [a.demo.svc.cluster.local], resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 127.0.0.1, locality: r1}}, {{address: 127.0.0.2, locality: r2}}]}}\n---\n"
        );
        error(&format!("{service}{}spec: {spec}\n", HEAD.replace("ServiceEntry", kind)))
    }

    #[test]
    fn settings_that_mean_nothing_are_refused_with_their_field() {
        for (policy, expected) in [
            ("{connectionPool: {tcp: {connectTimeout: 5}}}", "connectionPool.tcp.connectTimeout: invalid type: integer `5`"),
            ("{connectionPool: {tcp: {connectTimeout: fast}}}", "connectionPool.tcp.connectTimeout: \"fast\" is no duration"),
            ("{connectionPool: {http: {maxRetries: -1}}}", "connectionPool.http.maxRetries: invalid value"),
            (
                "{connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}",
                "connectionPool.http.useClientProtocol: contradicts",
            ),
            ("{outlierDetection: {maxEjectionPercent: 101}}", "outlierDetection.maxEjectionPercent: 101 is above 100 percent"),
            (
                "{outlierDetection: {consecutiveLocalOriginFailures: 3}}",
                "outlierDetection.consecutiveLocalOriginFailures: counts only",
            ),
            ("{outlierDetection: {}}", "outlierDetection: a.demo.svc.cluster.local has endpoints in several localities"),
            ("{loadBalancer: {localityLbSetting: {enabled: true}}}", "loadBalancer.localityLbSetting: only enabled: false"),
            ("{loadBalancer: {consistentHash: {useSourceIp: true}}}", "loadBalancer.consistentHash: unknown field"),
            ("{tunnel: {}}", "trafficPolicy.tunnel: unknown field"),
        ] {
            let text = error_in("DestinationRule", &format!("{{host: a, trafficPolicy: {policy}}}"));
            assert!(
                text.contains(&format!(
                    "(DestinationRule demo/a): spec.trafficPolicy.{}",
                    expected.trim_start_matches("trafficPolicy.")
                )),
                "{text}"
            );
        }
    }

    #[test]
    fn an_order_of_localities_is_refused_by_the_settings_that_count_for_a_cluster() {
        let places = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: demo}\nspec: {hosts: [a.demo.svc.cluster.local], \
            resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1, locality: r1, labels: {v: one}}, \
            {address: 127.0.0.2, locality: r2, labels: {v: one}}, {address: 127.0.0.3, locality: r3, labels: {v: two}}]}\n---\n";
        let rule = |policy: &str, subset: &str| {
            let spec = format!("{{host: a, trafficPolicy: {policy}, subsets: [{{name: s, {subset}}}]}}");
            parse(Path::new("m"), &format!("{places}{}spec: {spec}\n", HEAD.replace("ServiceEntry", "DestinationRule")))
        };
        let (off, outliers) = ("loadBalancer: {localityLbSetting: {enabled: false}}", "outlierDetection: {}");
        let both = format!("{{{off}, {outliers}}}");
        let one = "labels: {v: one}, trafficPolicy:";
        assert!(
            rule(&format!("{{{off}}}"), &format!("{one} {{{outliers}}}")).is_ok(),
            "a subset takes over that there is no order"
        );
        let undone =
            rule(&both, &format!("{one} {{loadBalancer: {{simple: RANDOM}}}}")).expect_err("a subset's balancer orders again");
        assert_eq!(undone.field, "spec.trafficPolicy.outlierDetection");
        let own = rule("{}", &format!("{one} {{{outliers}}}")).expect_err("several localities in the subset");
        assert_eq!(own.field, "spec.subsets[0].trafficPolicy.outlierDetection");
        assert!(rule("{}", &format!("labels: {{v: two}}, trafficPolicy: {{{outliers}}}")).is_ok(), "one locality has no order");
        let port = format!("{{{off}, {outliers}, portLevelSettings: [{{port: {{number: 80}}, {outliers}}}]}}");
        let alone = rule(&port, "labels: {v: two}").expect_err("a port stands alone");
        assert_eq!(alone.field, "spec.trafficPolicy.portLevelSettings[0].outlierDetection");
    }

    #[test]
    fn routes_that_mean_nothing_are_refused_with_their_field() {
        for (extra, expected) in [
            ("timeout: 3", "timeout: invalid type"),
            ("retries: {attempts: 1, backoff: soon}", "retries.backoff: \"soon\" is no duration"),
            ("fault: {}", "fault: delay or abort is expected"),
            ("fault: {abort: {httpStatus: 99}}", "fault.abort: httpStatus 99 is not between"),
            ("fault: {abort: {httpStatus: 503, percentage: {value: 101}}}", "fault.abort.percentage: 101 is no percentage"),
            ("fault: {delay: {exponentialDelay: 1s}}", "fault.delay.exponentialDelay: unknown field"),
            ("match: [{}]", "match[0]: a condition is expected"),
            ("match: [{uri: {}}]", "match[0].uri: exact, prefix or regex"),
            ("match: [{headers: {x: {exact: a, prefix: b}}}]", "match[0].headers.x: one of exact, prefix and regex"),
            ("match: [{sourceLabels: {app: x}}]", "match[0].sourceLabels: unknown field"),
            ("redirect: {uri: /x}", "route: only one of route, redirect and directResponse"),
            ("rewrite: {uri: /}", "rewrite: unknown field"),
            ("mirror: {host: b}, mirrors: [{destination: {host: c}}]", "mirror: stands beside mirrors"),
            ("timeout: 9000000000000h", "timeout: \"9000000000000h\" is longer than"),
        ] {
            let text =
                error_in("VirtualService", &format!("{{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], {extra}}}]}}"));
            assert!(text.contains(&format!("(VirtualService demo/a): spec.http[0].{expected}")), "{text}");
        }
        for (redirect, expected) in [
            ("{uri: /x, prefixRewrite: /y}", "redirect.uri: stands beside prefixRewrite"),
            ("{port: 80, derivePort: FROM_REQUEST_PORT}", "redirect.port: stands beside derivePort"),
            ("{authority: b, scheme: ftp}", "redirect.scheme: http or https"),
            ("{prefixRewrite: /y}, match: [{uri: {exact: /x}}]", "redirect.prefixRewrite: every uri"),
            ("{redirectCode: 302}", "redirect: uri, prefixRewrite, authority"),
        ] {
            let text = error_in("VirtualService", &format!("{{hosts: [a], http: [{{redirect: {redirect}}}]}}"));
            assert!(text.contains(&format!("(VirtualService demo/a): spec.http[0].{expected}")), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_yaml_is_an_error_with_a_line() {
        assert!(error("a: [1\nb: 2\n").contains("line"));
    }

    #[test]
    fn empty_documents_are_fine() {
        assert!(parse(Path::new("m"), "---\n---\n# nothing\n").is_ok());
    }
}
