//! TLS configurations, for connecting and for listening.
//!
//! In: policy, roots, PEM files.  Out: rustls configurations; an error that names the file and what is wrong with it.
//! Always: one crypto provider, passed explicitly; TLS 1.2 and 1.3 only; the listener keeps no session state and sends no
//! tickets; a key that does not belong to its certificate is refused.
//! Sources: RFC 8446, RFC 5246, RFC 9325.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use futures_rustls::{TlsAcceptor, server::TlsStream};
pub use rustls::ServerConfig;
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::NoServerSessionStorage,
};
use smol::{
    Timer,
    io::{AsyncRead, AsyncWrite},
    unblock,
};

pub use super::{
    dane::{dane_config, usable},
    failure::{TlsFailure, failure_of},
};

/// Octets of a PEM file at most: a chain has a few thousand.
const PEM_OCTETS_MAX: u64 = 1 << 20;
/// Hosts whose sessions a client configuration remembers for resumption.
const RESUMED_HOSTS_MAX: usize = 256;

/// Who may answer.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Anybody: the connection is encrypted, the certificate is not checked.
    Anybody,
    /// A host whose certificate leads to a root of the system (Mozilla's where there is none), for its name.
    System,
    /// A host whose certificate leads to one of these roots (DER), for its name.
    Roots(Vec<Vec<u8>>),
}

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// The file cannot be read.
    #[error("{}: {cause}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file does not hold what it should.
    #[error("{}: {reason}", file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Each is good, but they do not belong together.
    #[error("the key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// The one provider, which all configurations share.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// A configuration for connecting; clones share it and its remembered sessions.
#[derive(Clone, Debug)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    /// The certificate is checked for the host's name.
    pub(super) checked: bool,
}

impl ClientTls {
    /// The host's certificate is checked.
    pub fn is_checked(&self) -> bool {
        self.checked
    }
}

/// A configuration for connecting; a session is resumed only under the same one, so that nothing that a weaker policy let
/// pass is taken over by a stricter. Reads the system's roots from disk with [`Trust::System`].
///
/// # Errors
/// In words, when there is no root to trust.
pub fn client_config(trust: Trust) -> Result<ClientTls, String> {
    let checked = !matches!(trust, Trust::Anybody);
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let mut config = match trust {
        Trust::Anybody => {
            let verifier = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Trust::System => builder.with_root_certificates(system_roots()).with_no_client_auth(),
        Trust::Roots(certificates) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
            if roots.is_empty() {
                return Err("none of the trusted roots is a certificate".into());
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    config.resumption = Resumption::in_memory_sessions(RESUMED_HOSTS_MAX);
    Ok(ClientTls { config: Arc::new(config), checked })
}

/// The system's roots, or Mozilla's on a machine that has none.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        for e in native.errors {
            log::warn!("reading the system's root certificates: {e}");
        }
        log::warn!(
            "this machine has no root certificates: trusting Mozilla's, as of the build (install ca-certificates)"
        );
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The name that a host's certificate is checked for, which it also hears in SNI. Unchecked, the name is no more than a
/// hint, and the address stands in for one that no certificate could have.
pub(super) fn server_name(tls: &ClientTls, host: &str, address: IpAddr) -> Result<ServerName<'static>, String> {
    match ServerName::try_from(host.to_owned()) {
        Ok(name) => Ok(name),
        Err(_) if tls.checked => Err(format!("{host} is not a name that a certificate can have")),
        Err(_) => Ok(ServerName::from(address)),
    }
}

/// Takes every certificate; the handshake's own signatures are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let checked = verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms);
        unless_unreadable(checked)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let checked = verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms);
        unless_unreadable(checked)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that the library cannot parse (X.509 version 1, odd extensions) still encrypts.
fn unless_unreadable(
    checked: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match checked {
        Err(rustls::Error::InvalidCertificate(e)) if e != CertificateError::BadSignature => {
            Ok(HandshakeSignatureValid::assertion())
        }
        other => other,
    }
}

/// A configuration for listening, from a PEM chain and its key. Reads files.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsFileError> {
    let content = |file: &Path, reason: String| TlsFileError::Content { file: file.to_owned(), reason };
    let pem = read_pem(certificate)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| content(certificate, format!("not PEM: {e}")))?;
    if chain.is_empty() {
        return Err(content(certificate, "it holds no certificate (BEGIN CERTIFICATE)".into()));
    }
    let pem = read_pem(key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| match e {
        rustls::pki_types::pem::Error::NoItemsFound => {
            content(key, "it holds no private key (BEGIN PRIVATE KEY)".into())
        }
        e => content(key, format!("not PEM: {e}")),
    })?;
    let provider = provider();
    if let Err(e) = provider.key_provider.load_private_key(private.clone_key()) {
        return Err(content(key, format!("not a usable private key: {e}")));
    }
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| content(key, e.to_string()))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            TlsFileError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        e => content(certificate, e.to_string()),
    })?;
    // Submitters hardly ever resume; state or tickets for ten thousand sessions would cost more than they save.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn read_pem(file: &Path) -> Result<Vec<u8>, TlsFileError> {
    let failed = |cause| TlsFileError::Read { file: file.to_owned(), cause };
    let size = fs::metadata(file).map_err(failed)?.len();
    if size > PEM_OCTETS_MAX {
        return Err(TlsFileError::Content { file: file.to_owned(), reason: format!("{size} octets are no PEM file") });
    }
    fs::read(file).map_err(failed)
}

/// How often certificate files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(60);

/// Whether a listener could use these files; the error says which is wrong and why.
///
/// # Errors
/// The words of [`TlsFileError`].
pub fn check_files(certificate: &Path, key: &Path) -> Result<(), String> {
    server_config(certificate, key).map(drop).map_err(|error| error.to_string())
}

/// A listening configuration that is swapped when its files change; clones share it.
#[derive(Clone, Debug)]
pub struct ReloadableServerConfig(Arc<Reloadable>);

#[derive(Debug)]
struct Reloadable {
    current: RwLock<Arc<ServerConfig>>,
    source: Mutex<Source>,
}

/// Which files, and how they looked when they were read.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    certificate: PathBuf,
    key: PathBuf,
    looks: [Option<(SystemTime, u64)>; 2],
}

impl Source {
    fn look(certificate: &Path, key: &Path) -> Self {
        let look = |file: &Path| fs::metadata(file).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
        Source { certificate: certificate.into(), key: key.into(), looks: [look(certificate), look(key)] }
    }
}

impl ReloadableServerConfig {
    /// Reads both files.
    ///
    /// # Errors
    /// As [`server_config`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let source = Source::look(certificate, key);
        let current = RwLock::new(server_config(certificate, key)?);
        Ok(ReloadableServerConfig(Arc::new(Reloadable { current, source: Mutex::new(source) })))
    }

    /// Does the server's side of a handshake on a connection.
    ///
    /// # Errors
    /// The handshake's.
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO) -> io::Result<TlsStream<IO>> {
        TlsAcceptor::from(self.current()).accept(io).await
    }

    /// Looks every minute whether the files changed, until the daemon stops.
    pub async fn watch(self) {
        loop {
            Timer::after(WATCH_INTERVAL).await;
            let files = self.clone();
            match unblock(move || files.reload_if_changed()).await {
                Ok(true) => log::info!("act=tls.reload result=\"the certificate files changed and were read\""),
                Ok(false) => {}
                Err(error) => {
                    log::error!("act=tls.reload error=\"{error}\" what=\"the certificate before stays in use\"")
                }
            }
        }
    }

    /// The configuration for the next session.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads these files, which may be others than before; what fails leaves the configuration as it was. Blocking.
    ///
    /// # Errors
    /// As [`server_config`].
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsFileError> {
        let source = Source::look(certificate, key);
        let fresh = server_config(certificate, key);
        // A pair that is bad is looked at again only when it changes again.
        *self.0.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = fresh?;
        Ok(())
    }

    /// Reloads when a file looks other than when it was read; true: it did. Blocking, for a call a minute or so.
    ///
    /// # Errors
    /// As [`server_config`].
    pub fn reload_if_changed(&self) -> Result<bool, TlsFileError> {
        let (certificate, key) = {
            let source = self.0.source.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Source::look(&source.certificate, &source.key);
            if now == *source {
                return Ok(false);
            }
            (now.certificate, now.key)
        };
        self.reload(&certificate, &key).map(|()| true)
    }
}

/// Protocol and cipher of a connection: `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
pub fn protocol(connection: &CommonState) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLS",
    };
    match connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str()) {
        Some(suite) => format!("{version} {suite}"),
        None => version.to_owned(),
    }
}

/// The same, and whether the peer's certificate was checked: `TLSv1.3 TLS13_AES_256_GCM_SHA384 unverified`.
pub fn describe(connection: &CommonState, verified: bool) -> String {
    format!("{} {}", protocol(connection), if verified { "verified" } else { "unverified" })
}

/// A server's side over a blocking socket, for scripted peers in tests.
#[cfg(test)]
pub fn blocking_server(
    config: Arc<ServerConfig>,
    stream: std::net::TcpStream,
) -> rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream> {
    rustls::StreamOwned::new(rustls::ServerConnection::new(config).expect("a session"), stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("hikyaku-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        dir
    }

    #[test]
    fn bad_files_are_named_with_the_reason() {
        let dir = folder("files");
        let one = rcgen::generate_simple_self_signed(["mx.example".into()]).expect("a certificate");
        let two = rcgen::generate_simple_self_signed(["mx.example".into()]).expect("a certificate");
        let cert = write(&dir, "cert.pem", &one.cert.pem());
        let key = write(&dir, "key.pem", &one.signing_key.serialize_pem());
        let other = write(&dir, "other.pem", &two.signing_key.serialize_pem());
        let junk = write(&dir, "junk.pem", "hello\n");
        let broken = write(&dir, "broken.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        assert!(server_config(&cert, &key).is_ok());
        for (cert, key, want) in [
            (&cert, &other, "does not belong to the certificate"),
            (&junk, &key, "junk.pem: it holds no certificate"),
            (&cert, &junk, "junk.pem: it holds no private key"),
            (&cert, &broken, "broken.pem: not a usable private key"),
            (&dir.join("none.pem"), &key, "none.pem: No such file"),
        ] {
            let got = server_config(cert, key).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(got.contains(want), "{got:?} should say {want:?}");
        }
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_listener_swaps_its_certificate_and_survives_a_bad_one() {
        let dir = folder("reload");
        let one = rcgen::generate_simple_self_signed(["a.example".into()]).expect("a certificate");
        let cert = write(&dir, "cert.pem", &one.cert.pem());
        let key = write(&dir, "key.pem", &one.signing_key.serialize_pem());
        let config = ReloadableServerConfig::load(&cert, &key).expect("loads");
        let first = config.current();
        assert!(!config.reload_if_changed().expect("unchanged"));
        write(&dir, "key.pem", "gone wrong");
        assert!(config.reload_if_changed().is_err());
        assert!(Arc::ptr_eq(&first, &config.current()));
        assert!(!config.reload_if_changed().expect("the bad pair is not read again"));
        write(&dir, "key.pem", &one.signing_key.serialize_pem());
        assert!(config.reload_if_changed().expect("good again"));
        assert!(!Arc::ptr_eq(&first, &config.current()));
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_listener_resumes_nothing_and_hands_out_no_tickets() {
        let dir = folder("tickets");
        let made = rcgen::generate_simple_self_signed(["mx.test".into()]).expect("a certificate");
        let cert = write(&dir, "cert.pem", &made.cert.pem());
        let key = write(&dir, "key.pem", &made.signing_key.serialize_pem());
        let listener = server_config(&cert, &key).expect("a good pair");
        assert!(!listener.ticketer.enabled() && !listener.session_storage.can_cache());
        for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(versions)
                .expect("versions")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
                .with_no_client_auth();
            config.resumption = Resumption::in_memory_sessions(8);
            let eager = ClientTls { config: Arc::new(config), checked: false };
            for _ in 0..3 {
                let kind = crate::net::certificates_for_tests::handshake(&eager, &listener);
                assert_eq!(kind, Ok(rustls::HandshakeKind::Full), "{versions:?}");
            }
        }
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn what_a_weaker_policy_let_pass_is_not_resumed_by_a_stricter() {
        let made = rcgen::generate_simple_self_signed(["mx.test".into()]).expect("a certificate");
        let other = rcgen::generate_simple_self_signed(["mx.test".into()]).expect("a certificate");
        let chain = vec![made.cert.der().clone()];
        let certificate = crate::net::certificates_for_tests::Certificate { chain, key: made.signing_key };
        let server = certificate.server(rustls::ALL_VERSIONS);
        let unchecked = client_config(Trust::Anybody).expect("a configuration");
        let strict = client_config(Trust::Roots(vec![other.cert.der().to_vec()])).expect("a configuration");
        let handshake = crate::net::certificates_for_tests::handshake;
        assert_eq!(handshake(&unchecked, &server), Ok(rustls::HandshakeKind::Full));
        assert_eq!(handshake(&unchecked, &server), Ok(rustls::HandshakeKind::Resumed));
        assert_eq!(handshake(&strict, &server), Err(TlsFailure::NotTrusted));
    }

    #[test]
    fn a_peer_of_other_versions_or_none_is_called_incompatible() {
        // What a server says that knows no more than TLS 1.0: an alert, its own version, or clear text.
        for answer in
            [&[0x15, 3, 1, 0, 2, 2, 70][..], &[0x15, 3, 1, 0, 2, 2, 40][..], b"220 mx.test ESMTP: what was that?\r\n"]
        {
            let tls = client_config(Trust::Anybody).expect("a configuration");
            let name = ServerName::try_from("mx.test").expect("a name");
            let mut client = rustls::ClientConnection::new(tls.config.clone(), name).expect("a client");
            client.read_tls(&mut &answer[..]).expect("memory");
            let error = client.process_new_packets().expect_err("no handshake");
            let error = super::super::failure::in_words(io::Error::new(io::ErrorKind::InvalidData, error));
            assert!(error.to_string().starts_with("peer is incompatible: "), "{error}");
            assert!(matches!(failure_of(&error), TlsFailure::Protocol(_)));
        }
    }
}
