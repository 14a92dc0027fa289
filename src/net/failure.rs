//! Why a handshake failed, in the terms that a TLS report has for it.
//!
//! In: the error of a handshake.  Out: [`TlsFailure`], and words for the log and the sender's notice.
//! Always: "peer is incompatible" stands before everything that speaking in clear, or a newer peer, would cure, and before
//! nothing that speaks about the certificate.
//! Sources: RFC 8460 §4.3, RFC 8446 §6.2.

use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, PeerMisbehaved};

use super::dane::DaneMismatch;

/// Why a handshake failed.
///
/// RFC 8460 §4.3 calls them `certificate-host-mismatch`, `certificate-expired`, `certificate-not-trusted`, and
/// `validation-failure` for the last two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TlsFailure {
    /// The certificate is for other names.
    HostMismatch,
    /// The certificate, or one of its chain, is over or not yet valid.
    Expired,
    /// The certificate leads to nobody who is trusted, cannot be read, or is not for servers.
    NotTrusted,
    /// The certificate matches none of the TLSA records.
    DaneMismatch,
    /// The handshake did not come to the point of a certificate, or broke after it: the words say how.
    Protocol(String),
}

/// Why a handshake failed, from the error that [`super::stream::Stream::into_tls_client`] or a read after it gave. An
/// error that the TLS library has no part in, such as a reset connection or a time-out, is [`TlsFailure::Protocol`] too.
pub fn failure_of(error: &io::Error) -> TlsFailure {
    let Some(inner) = error.get_ref() else { return TlsFailure::Protocol(error.to_string()) };
    if let Some(refused) = inner.downcast_ref::<Refused>() {
        return refused.failure.clone();
    }
    match inner.downcast_ref::<rustls::Error>() {
        Some(cause) => failure(cause),
        None => TlsFailure::Protocol(error.to_string()),
    }
}

/// A handshake's error whose words speak to an operator; [`failure_of`] reads the reason out of it.
pub(super) fn in_words(error: io::Error) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else { return error };
    io::Error::new(error.kind(), Refused { failure: failure(cause), words: words(cause) })
}

#[derive(Debug)]
struct Refused {
    failure: TlsFailure,
    words: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Refused {}

fn failure(error: &rustls::Error) -> TlsFailure {
    let rustls::Error::InvalidCertificate(certificate) = error else { return TlsFailure::Protocol(words(error)) };
    match certificate {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFailure::HostMismatch,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsFailure::Expired,
        CertificateError::Other(other) if other.0.is::<DaneMismatch>() => TlsFailure::DaneMismatch,
        // What else is wrong with a certificate makes it one that cannot be trusted; the library may add kinds.
        _ => TlsFailure::NotTrusted,
    }
}

fn words(error: &rustls::Error) -> String {
    use AlertDescription::{HandshakeFailure, InsufficientSecurity, ProtocolVersion};
    use PeerMisbehaved::{SignedHandshakeWithUnadvertisedSigScheme, SignedKxWithWrongAlgorithm};
    match error {
        rustls::Error::AlertReceived(alert @ (HandshakeFailure | InsufficientSecurity | ProtocolVersion)) => {
            format!("peer is incompatible: it takes none of our TLS versions, ciphers and signatures (alert {alert:?})")
        }
        rustls::Error::PeerMisbehaved(
            how @ (SignedHandshakeWithUnadvertisedSigScheme | SignedKxWithWrongAlgorithm),
        ) => format!("peer is incompatible: it signs with an algorithm that is too weak to be offered ({how:?})"),
        rustls::Error::InvalidMessage(how) => format!("peer is incompatible: what it sent is not TLS ({how:?})"),
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            format!("invalid peer certificate: {}", other.0)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn each_error_has_its_kind_and_the_incompatible_say_so() {
        let certificate = rustls::Error::InvalidCertificate;
        for (error, incompatible, want) in [
            (certificate(CertificateError::NotValidForName), false, Some(TlsFailure::HostMismatch)),
            (certificate(CertificateError::Expired), false, Some(TlsFailure::Expired)),
            (certificate(CertificateError::NotValidYet), false, Some(TlsFailure::Expired)),
            (certificate(CertificateError::UnknownIssuer), false, Some(TlsFailure::NotTrusted)),
            (certificate(CertificateError::BadEncoding), false, Some(TlsFailure::NotTrusted)),
            (rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13), true, None),
            (rustls::Error::AlertReceived(AlertDescription::ProtocolVersion), true, None),
            (rustls::Error::AlertReceived(AlertDescription::InternalError), false, None),
            (rustls::Error::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme), true, None),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), true, None),
        ] {
            let raw = io::Error::new(io::ErrorKind::InvalidData, error);
            let before = failure_of(&raw);
            let spoken = in_words(raw);
            let text = spoken.to_string();
            assert_eq!(text.starts_with("peer is incompatible: "), incompatible, "{text}");
            assert_eq!(failure_of(&spoken), want.unwrap_or(TlsFailure::Protocol(text)));
            assert_eq!(failure_of(&spoken), before);
        }
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(failure_of(&in_words(reset)), TlsFailure::Protocol("connection reset".into()));
    }
}
