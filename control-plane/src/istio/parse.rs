// SPDX-License-Identifier: Apache-2.0
//! Text to [`Mesh`], with errors that name file, document and field.

use std::{fmt, path::Path};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    mesh::{Mesh, Object, Spec},
    objects::Metadata,
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
        write!(f, "{}: {}: ", self.file, self.document)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ParseError {}

const GROUP: &str = "networking.istio.io/";

/// Reads every document of a file.
///
/// # Errors
/// The first problem found.
pub fn parse(file: &Path, text: &str) -> Result<Mesh, ParseError> {
    let mut objects = Vec::new();
    for (index, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let at = At { file: file.display().to_string(), document: format!("document {}", index + 1) };
        let value = Value::deserialize(document).map_err(|error| at.fail("", error))?;
        if !value.is_null() {
            objects.push(object(at, value)?);
        }
    }
    let mesh = Mesh { objects };
    mesh.check()?;
    Ok(mesh)
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Value,
}

fn object(mut at: At, value: Value) -> Result<Object, ParseError> {
    let envelope: Envelope = typed(&at, "", value)?;
    at.document = format!("{} ({} {}/{})", at.document, envelope.kind, envelope.metadata.namespace, envelope.metadata.name);
    let version = envelope.api_version.strip_prefix(GROUP);
    if !version.is_some_and(|version| ["v1", "v1beta1", "v1alpha3"].contains(&version)) {
        return Err(at.fail("apiVersion", format!("{:?} is not supported; {GROUP}v1 is", envelope.api_version)));
    }
    let spec = match envelope.kind.as_str() {
        "ServiceEntry" => Spec::ServiceEntry(typed(&at, "spec", envelope.spec)?),
        "WorkloadEntry" => Spec::WorkloadEntry(typed(&at, "spec", envelope.spec)?),
        "DestinationRule" => Spec::DestinationRule(typed(&at, "spec", envelope.spec)?),
        "VirtualService" => Spec::VirtualService(typed(&at, "spec", envelope.spec)?),
        other => {
            return Err(at.fail(
                "kind",
                format!("{other} is not supported; ServiceEntry, WorkloadEntry, DestinationRule and VirtualService are"),
            ));
        }
    };
    Ok(Object { at, namespace: envelope.metadata.namespace, spec })
}

fn typed<T: DeserializeOwned>(at: &At, under: &str, value: Value) -> Result<T, ParseError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match (under, path.as_str()) {
            (under, ".") => under.to_owned(),
            ("", path) => path.to_owned(),
            (under, path) => format!("{under}.{path}"),
        };
        at.fail(field, error.into_inner())
    })
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
    fn what_is_not_supported_is_an_error_and_never_ignored() {
        for (spec, field) in [
            ("{hosts: [a], ports: [], exportTo: ['.']}", "exportTo"),
            ("{hosts: [a], ports: [], resolution: DNS_ROUND_ROBIN}", "spec.resolution"),
            ("{hosts: [a], ports: [], endpoints: [{address: 10.0.0.1, network: n}]}", "network"),
        ] {
            let text = error(&format!("{HEAD}spec: {spec}\n"));
            assert!(text.contains(field), "{text}");
        }
        assert!(error("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n").contains("apiVersion"));
        assert!(error(&HEAD.replace("ServiceEntry", "Gateway")).contains("spec"));
        let gateway = format!("{}spec: {{}}\n", HEAD.replace("ServiceEntry", "Gateway"));
        assert!(error(&gateway).contains("Gateway is not supported"));
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
            ("match: [{port: 80}]", "match[0].port: unknown field"),
            ("rewrite: {uri: /}", "rewrite: unknown field"),
        ] {
            let text =
                error_in("VirtualService", &format!("{{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], {extra}}}]}}"));
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
