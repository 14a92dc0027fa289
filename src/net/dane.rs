//! DANE: a host's certificate is checked by the TLSA records of its zone instead of the public authorities.
//!
//! In: TLSA records from secure answers, the names that the host may have.  Out: those that can be used; a configuration
//! whose handshake succeeds only with a certificate that they vouch for.
//! Always: a record is used or it is not, there is no half (usages 0 and 1 are not: RFC 7672 §3.1.3); the handshake's own
//! signature is checked in every case, and no session is resumed, since the records may have changed. Nothing here asks
//! the DNS: that the answers were secure is the caller's part.
//! Sources: RFC 6698 §2.1, RFC 7671 §5 and §9 (the strongest digest alone counts), RFC 7672 §3.1 and §3.2.
//!
//! Stricter than the RFCs allow: subject names are taken from subjectAltName alone, never from the common name, and a
//! certificate that the TLS library cannot parse (X.509 version 1) fails, although usage 3 could do without parsing it.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, SHA512, SHA512_OUTPUT_LEN, digest};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime},
    server::ParsedCertificate,
};

use super::{
    dns::Tlsa,
    tls::{ClientTls, provider},
    x509,
};

/// DANE-TA: the certificate, or key, of an authority of the domain's own choice.
const TRUST_ANCHOR: u8 = 2;
/// DANE-EE: the host's own certificate, or key.
const END_ENTITY: u8 = 3;
/// Selector 0: the certificate.
const CERTIFICATE: u8 = 0;
/// Selector 1: its public key.
const PUBLIC_KEY: u8 = 1;
/// Matching type 0: the whole.
const FULL: u8 = 0;
/// Certificates of a presented chain that are looked at, besides the host's own: real ones have one to three.
const CHAIN_MAX: usize = 16;

/// The records that can be used (RFC 7672 §3.1): usage 2 or 3, a known selector and matching type, and data that can
/// match something. Records none of which is usable still ask for TLS, without a check (RFC 7672 §2.2).
pub fn usable(records: &[Tlsa]) -> Vec<Tlsa> {
    records.iter().filter(|record| is_usable(record)).cloned().collect()
}

fn is_usable(record: &Tlsa) -> bool {
    let data = &record.data;
    let data_can_match = match (record.matching, record.selector) {
        (FULL, CERTIFICATE) => x509::parts(data).is_some(),
        (FULL, PUBLIC_KEY) => x509::whole_sequence(data).is_some(),
        (1, _) => data.len() == SHA256_OUTPUT_LEN,
        (2, _) => data.len() == SHA512_OUTPUT_LEN,
        _ => false,
    };
    matches!(record.usage, TRUST_ANCHOR | END_ENTITY)
        && matches!(record.selector, CERTIFICATE | PUBLIC_KEY)
        && data_can_match
}

/// Without the digests that stand beside a stronger one of the same usage and selector (RFC 7671 §9): who can break the
/// weaker must gain nothing by it.
fn strongest(mut records: Vec<Tlsa>) -> Vec<Tlsa> {
    let strong: Vec<(u8, u8)> = records.iter().filter(|r| r.matching == 2).map(|r| (r.usage, r.selector)).collect();
    records.retain(|r| r.matching != 1 || !strong.contains(&(r.usage, r.selector)));
    records
}

/// A configuration for connecting to a host with these TLSA records; `names` are those that a certificate under usage 2
/// may be for (RFC 7672 §3.2.2: the TLSA base domain, the domain of the mail, and their forms before aliases). Cheap: some
/// microseconds, nothing is read from disk. Its sessions are never resumed.
///
/// # Errors
/// In words, when no record is [`usable`]: then TLS is asked for, but nothing can be checked.
pub fn dane_config(records: &[Tlsa], names: &[impl AsRef<str>]) -> Result<ClientTls, String> {
    let records = strongest(usable(records));
    if records.is_empty() {
        return Err("none of the TLSA records can be used".into());
    }
    let names = names.iter().filter_map(|name| ServerName::try_from(name.as_ref().to_owned()).ok()).collect();
    let mut config = BASE.clone();
    config.dangerous().set_certificate_verifier(Arc::new(Vouched { records, names, provider: provider() }));
    Ok(ClientTls { config: Arc::new(config), checked: true })
}

/// What all configurations have in common; its own verifier is always replaced.
static BASE: LazyLock<ClientConfig> = LazyLock::new(|| {
    let nobody = Arc::new(Vouched { records: Vec::new(), names: Vec::new(), provider: provider() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(nobody)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
});

/// The certificate and its chain match none of the records.
#[derive(Debug)]
pub(super) struct DaneMismatch;

impl fmt::Display for DaneMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate matches none of the TLSA records")
    }
}

impl std::error::Error for DaneMismatch {}

/// Takes the certificates that the records vouch for.
#[derive(Debug)]
struct Vouched {
    /// Usable ones.
    records: Vec<Tlsa>,
    names: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Vouched {
    /// A record of this usage matches the certificate.
    fn is_matched(&self, usage: u8, certificate: &[u8]) -> bool {
        for selector in [CERTIFICATE, PUBLIC_KEY] {
            for matching in 0..=2 {
                let alike = |r: &&Tlsa| (r.usage, r.selector, r.matching) == (usage, selector, matching);
                let mut records = self.records.iter().filter(alike).peekable();
                if records.peek().is_none() {
                    continue;
                }
                let selected = match selector {
                    CERTIFICATE => Some(certificate),
                    _ => x509::parts(certificate).map(|parts| parts.public_key),
                };
                let Some(selected) = selected else { continue };
                // Once for all records that are alike.
                let value = match matching {
                    FULL => selected.to_vec(),
                    1 => digest(&SHA256, selected).as_ref().to_vec(),
                    _ => digest(&SHA512, selected).as_ref().to_vec(),
                };
                if records.any(|r| r.data == value) {
                    return true;
                }
            }
        }
        false
    }

    /// The authorities that the records name: certificates of the presented chain, and those that a record holds in full.
    fn anchors(&self, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        // One that cannot be parsed cannot have signed anything either.
        for certificate in chain.iter().filter(|c| self.is_matched(TRUST_ANCHOR, c)) {
            let _ = anchors.add(certificate.clone());
        }
        let held = self.records.iter().filter(|r| r.usage == TRUST_ANCHOR && r.matching == FULL);
        for record in held {
            if record.selector == CERTIFICATE {
                let _ = anchors.add(CertificateDer::from(record.data.as_slice()));
                continue;
            }
            // A bare key goes by the name of whoever a certificate says issued it.
            let Some(key) = x509::whole_sequence(&record.data) else { continue };
            let mut issuers: Vec<&[u8]> = Vec::new();
            for certificate in std::iter::once(leaf).chain(chain) {
                let Some(x509::Parts { issuer, .. }) = x509::parts(certificate) else { continue };
                if !issuers.contains(&issuer) {
                    issuers.push(issuer);
                    anchors.roots.push(TrustAnchor {
                        subject: Der::from(issuer.to_vec()),
                        subject_public_key_info: Der::from(key.to_vec()),
                        name_constraints: None,
                    });
                }
            }
        }
        anchors
    }
}

impl ServerCertVerifier for Vouched {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The record binds the key to the host: names, dates and chain say nothing more (RFC 7672 §3.1.1).
        if self.is_matched(END_ENTITY, end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let chain = &intermediates[..intermediates.len().min(CHAIN_MAX)];
        let anchors = self.anchors(end_entity, chain);
        if anchors.is_empty() {
            return Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(DaneMismatch)))));
        }
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &anchors, chain, now, algorithms)?;
        let mut why = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        for name in &self.names {
            match verify_server_name(&leaf, name) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "dane_tests.rs"]
mod tests;
