// SPDX-License-Identifier: Apache-2.0
//! What to do about the failures that everybody meets once.

/// Advice about why a connection or stream was lost, by the words of TLS, gRPC and this crate; `None` where none helps.
pub fn remedy(reason: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    Some(if says(&["not valid for name"]) {
        "connect by a name that is in the certificate (istiod.istio-system.svc), or set server_name to one"
    } else if says(&["speaks TLS, and is asked"]) {
        "write https:// in front of it, with its ca_file; istiod's plaintext port is 15010"
    } else if says(&["speaks plaintext, and is asked"]) {
        "is this a TLS port? istiod's is 15012; http:// is for plaintext, without a token"
    } else if says(&["speaks HTTP/1"]) {
        "this is no ADS server: istiod's ports are 15010 (plaintext) and 15012 (TLS)"
    } else if says(&["CaUsedAsEndEntity"]) {
        "the server shows the certificate of a CA, perhaps its own self-signed one: give it a leaf that a CA has signed, and put that \
         CA's certificate into ca_file"
    } else if says(&["holds no PEM"]) {
        "a PEM file has lines that begin with -----BEGIN; DER is converted by openssl x509 -inform der"
    } else if says(&["UnknownIssuer", "BadSignature"]) {
        "ca_file must hold the mesh's root: mount the config map istio-ca-root-cert (key root-cert.pem)"
    } else if says(&["token_file"]) && says(&["expired"]) {
        "the kubelet renews projected tokens; was the file copied?"
    } else if says(&["token_file"]) {
        "mount a projected token (audience istio-ca), or correct token_file"
    } else if says(&["ca_file", "cert_file", "key_file"]) {
        "mount the file, or correct the setting"
    } else if says(&["certificate expired", "Expired", "certificate not valid yet", "NotValidYet"]) {
        "the certificate or this machine's clock is wrong"
    } else if says(&["InvalidContentType", "corrupt message"]) {
        "is this a TLS port? istiod's is 15012; 15010 is plaintext"
    } else if says(&["PermissionDenied"]) {
        "the token's namespace or service account is not the one that the node names: check namespace and service_account"
    } else if says(&["Unauthenticated"]) {
        "the control plane does not accept the token: its audience (istio-ca), its issuer, or cluster_id is another"
    } else if says(&["InvalidArgument"]) {
        "the control plane does not accept the node: check node_id and node_metadata"
    } else if says(&["ResourceExhausted"]) {
        "the control plane limits new streams; it is tried again"
    } else if says(&["Unimplemented"]) {
        "this is no ADS server"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_failures_come_with_what_to_do() {
        for (reason, expected) in [
            ("invalid peer certificate: certificate not valid for name \"a\"; certificate is only valid for ...", "server_name"),
            ("invalid peer certificate: UnknownIssuer", "istio-ca-root-cert"),
            ("token_file /t: No such file or directory", "projected token"),
            ("token_file /t: the token expired 7 s ago", "kubelet"),
            ("ca_file /c: No such file or directory", "mount the file"),
            ("invalid peer certificate: Expired", "clock"),
            ("received corrupt message of type InvalidContentType", "15010 is plaintext"),
            ("the server speaks TLS, and is asked in plaintext (frame with invalid size)", "https://"),
            ("the server speaks plaintext, and is asked over TLS (broken pipe)", "15012"),
            ("the server speaks HTTP/1 and no HTTP/2 (frame with invalid size)", "no ADS server"),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "leaf"),
            ("ca_file /c: it holds no PEM", "-----BEGIN"),
            ("PermissionDenied: forbidden", "namespace or service account"),
            ("Unauthenticated: authentication failure", "audience (istio-ca)"),
        ] {
            assert!(remedy(reason).is_some_and(|text| text.contains(expected)), "{reason}: {:?}", remedy(reason));
        }
        assert_eq!(remedy("Unavailable: the server restarts"), None);
    }
}
