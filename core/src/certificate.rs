// SPDX-License-Identifier: Apache-2.0
//! A workload certificate from istiod's CA: asked for with a new key, renewed at half its life, kept while renewal fails.
//!
//! Source: Istio's `security/v1alpha1/ca.proto`; istio-agent's secret manager. The identity in the request is what we think we are;
//! istiod signs the one that the caller has proved.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prost::Message;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use tokio::time::Instant;
use x509_parser::{extensions::GeneralName, pem::Pem, time::ASN1Time};

use crate::{
    backoff::{Backoff, Jitter},
    observe::Level,
};

/// The method of the CA.
pub const CREATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

#[derive(Clone, PartialEq, Message)]
struct CreateRequest {
    #[prost(string, tag = "1")]
    csr: String,
    #[prost(int64, tag = "3")]
    validity_seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CreateResponse {
    /// The leaf, what lies between, and last the roots.
    #[prost(string, repeated, tag = "1")]
    chain: Vec<String>,
}

/// A certificate with its key. The key never leaves it but for TLS and files of the owner.
#[derive(Clone)]
pub struct Certificate {
    /// The leaf and what lies between it and the roots, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: String,
    /// What to trust, PEM.
    pub roots: String,
    /// The identity in it, for instance `spiffe://cluster.local/ns/demo/sa/echo`.
    pub identity: String,
    /// When it was obtained, by this machine's clock.
    pub obtained: SystemTime,
    /// Until when, by the CA's clock.
    pub not_after: SystemTime,
    /// For how long it was given out: what was asked for, or less. This machine's clock may be wrong, so that the time since it was
    /// obtained is measured and not read.
    life: Duration,
    since: Instant,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("identity", &self.identity).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Certificate {
    fn from_chain(mut chain: Vec<String>, key: String, asked: Duration) -> Result<Self, String> {
        let roots = chain.pop().filter(|_| !chain.is_empty()).ok_or("the CA answers without a chain and roots")?;
        let leaf = Pem::iter_from_buffer(chain[0].as_bytes()).next().ok_or("the CA answers without a certificate")?;
        let leaf = leaf.map_err(|error| format!("the CA's certificate is no PEM: {error}"))?;
        let parsed = leaf.parse_x509().map_err(|error| format!("the CA's certificate does not parse: {error}"))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let identity = names.into_iter().flat_map(|names| names.value.general_names.iter()).find_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        let at = |time: ASN1Time| SystemTime::UNIX_EPOCH + Duration::from_secs(time.timestamp().try_into().unwrap_or_default());
        let (not_before, not_after) = (at(parsed.validity().not_before), at(parsed.validity().not_after));
        // It begins earlier than it was made, for clocks that are behind.
        let life = not_after.duration_since(not_before).unwrap_or_default().min(asked);
        if life.is_zero() {
            return Err("the CA's certificate ends before it begins".into());
        }
        let identity = identity.ok_or("the CA's certificate names no identity")?;
        let (obtained, since) = (SystemTime::now(), Instant::now());
        Ok(Self { chain: chain.concat(), key, roots, identity, obtained, not_after, life, since })
    }

    /// How long after it was obtained to renew it: at half its life, give or take a hundredth. `draw` is uniform in 0..1.
    pub fn renew_after(&self, draw: f64) -> Duration {
        self.life.mul_f64(0.5 + 0.01 * (2.0 * draw.clamp(0.0, 1.0) - 1.0))
    }

    /// It can be used now.
    pub fn is_valid(&self) -> bool {
        self.since.elapsed() < self.life
    }
}

/// The certificate in use, shared by who renews it and who connects with it.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Mutex<Option<Arc<Certificate>>>>);

impl Slot {
    /// The certificate, if there is one that is valid.
    pub fn get(&self) -> Option<Arc<Certificate>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        held.filter(|certificate| certificate.is_valid())
    }

    fn set(&self, certificate: Certificate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certificate));
    }

    #[cfg(test)]
    pub(crate) fn holding(certificate: Certificate) -> Self {
        let slot = Self::default();
        slot.set(certificate);
        slot
    }
}

/// A new key, and the request to the CA that goes with it.
///
/// # Errors
/// What the identity lacks.
pub fn ask(identity: &str, life: Duration) -> Result<(KeyPair, Bytes), String> {
    let failed = |error: rcgen::Error| format!("the request for {identity:?} cannot be made: {error}");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.try_into().map_err(failed)?)];
    let csr = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
    let validity_seconds = life.as_secs().try_into().unwrap_or(i64::MAX);
    Ok((key, CreateRequest { csr, validity_seconds }.encode_to_vec().into()))
}

/// The certificate in the CA's answer. `asked`: the life that was asked for.
///
/// # Errors
/// Why it is none; never with a secret.
pub fn read(answer: Bytes, key: &KeyPair, asked: Duration) -> Result<Certificate, String> {
    let answer = CreateResponse::decode(answer).map_err(|error| format!("the CA's answer does not decode: {error}"))?;
    Certificate::from_chain(answer.chain, key.serialize_pem(), asked)
}

/// Obtains a certificate and renews it for ever; what happens is told to `note`. What is held stays while renewal fails.
pub async fn keep(obtain: impl AsyncFn() -> Result<Certificate, String>, slot: Slot, seed: u64, note: impl Fn(Level, String)) {
    let (mut jitter, mut failures) = (Jitter::new(seed), 0);
    let backoff = Backoff::default();
    loop {
        let wait = match obtain().await {
            Ok(certificate) => {
                failures = 0;
                let renewal = certificate.renew_after(jitter.draw());
                note(Level::Info, format!("certificate of {}, to be renewed in {} s", certificate.identity, renewal.as_secs()));
                slot.set(certificate);
                // A CA that gives out what has hardly any life must not be stormed.
                renewal.max(backoff.initial)
            }
            Err(why) => {
                failures += 1;
                let meanwhile = if slot.get().is_some() { "; the one in use stays" } else { "" };
                note(Level::Warn, format!("no certificate: {why}{meanwhile}"));
                backoff.delay(failures, jitter.draw())
            }
        };
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use rcgen::{BasicConstraints, IsCa, Issuer};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A chain as istiod answers: leaf, root. The leaf is valid in these years.
    fn chain(identity: Option<&str>, from: i32, until: i32) -> Vec<String> {
        let root_key = KeyPair::generate().expect("a key");
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&root_key).expect("signed").pem();
        let mut leaf = CertificateParams::default();
        leaf.subject_alt_names = identity.map(|uri| SanType::URI(uri.try_into().expect("a URI"))).into_iter().collect();
        leaf.not_before = rcgen::date_time_ymd(from, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        vec![leaf.signed_by(&key, &Issuer::new(root, root_key)).expect("signed").pem(), root_pem]
    }

    pub(crate) fn certificate(from: i32, until: i32) -> Certificate {
        Certificate::from_chain(chain(Some("spiffe://x/ns/a/sa/b"), from, until), "secret key".into(), HOUR).expect("valid")
    }

    #[test]
    fn chain_and_roots_are_told_apart_and_the_identity_read() {
        let parts = chain(Some("spiffe://cluster.local/ns/demo/sa/echo"), 2020, 2099);
        let certificate = Certificate::from_chain(parts.clone(), "secret key".into(), HOUR).expect("valid");
        assert_eq!((&certificate.chain, &certificate.roots), (&parts[0], &parts[1]));
        assert_eq!(certificate.identity, "spiffe://cluster.local/ns/demo/sa/echo");
        assert!(!format!("{certificate:?}").contains("secret"), "a key is never shown");
        let at = |draw| certificate.renew_after(draw).as_secs_f64() / 3600.0;
        assert!((at(0.5) - 0.5).abs() < 1e-6 && (at(0.0) - 0.49).abs() < 1e-6 && (at(1.0) - 0.51).abs() < 1e-6);
    }

    #[test]
    fn an_answer_that_is_no_chain_is_an_error() {
        let backwards = chain(Some("spiffe://x/ns/a/sa/b"), 2021, 2020);
        for bad in [vec![], vec!["alone".into()], vec!["no pem".into(), "root".into()], chain(None, 2020, 2099), backwards] {
            assert!(Certificate::from_chain(bad, String::new(), HOUR).is_err());
        }
    }

    /// Keeps a certificate for so long; returns how often one was asked for.
    async fn kept(slot: &Slot, answers: impl Fn(u32) -> Result<Certificate, String>, time: Duration) -> u32 {
        let asked = Cell::new(0);
        let obtain = async || {
            asked.set(asked.get() + 1);
            answers(asked.get())
        };
        tokio::time::timeout(time, keep(obtain, slot.clone(), 7, |_, _| {})).await.expect_err("it never ends");
        asked.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_renewed_at_half_its_life_and_not_used_after_its_end() {
        let slot = Slot::default();
        let asked = kept(&slot, |_| Ok(certificate(2020, 2099)), 10 * HOUR).await;
        assert!((19..=21).contains(&asked), "{asked}");
        assert!(slot.get().is_some());
        tokio::time::sleep(HOUR).await;
        assert!(slot.get().is_none(), "nobody has renewed it");
    }

    #[tokio::test(start_paused = true)]
    async fn while_renewal_fails_the_certificate_stays_until_its_end_and_the_ca_is_not_stormed() {
        let slot = Slot::default();
        let once = |asked| if asked == 1 { Ok(certificate(2020, 2099)) } else { Err("not now".into()) };
        let asked = kept(&slot, once, HOUR - Duration::from_secs(1)).await;
        assert!(slot.get().is_some() && (20..40).contains(&asked), "{asked}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(slot.get().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_years_ahead_of_the_cas_neither_storms_it_nor_does_without_the_certificate() {
        let slot = Slot::default();
        let asked = kept(&slot, |_| Ok(certificate(2020, 2021)), 10 * HOUR).await;
        assert!((19..=21).contains(&asked), "{asked}");
        assert!(slot.get().is_some());
    }
}
