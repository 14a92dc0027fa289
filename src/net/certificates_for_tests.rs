//! Authorities and certificates made on the spot, and handshakes over memory.

use std::{io, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData};
use rustls::{
    ClientConnection, HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};

use super::{
    failure::{TlsFailure, failure_of},
    tls::{ClientTls, provider},
};

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, its key, and what a server presents with it.
pub struct Certificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

fn params(name: &str, names: &[&str], years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params
}

impl Authority {
    /// A root.
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[], (2020, 2090));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed"))
    }

    /// One that this one vouches for.
    pub fn below(&self, name: &str) -> Self {
        let mut params = params(name, &[], (2020, 2090));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::signed_by(params, KeyPair::generate().expect("a key"), &self.0).expect("signed"))
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub fn public_key(&self) -> Vec<u8> {
        self.0.key().subject_public_key_info()
    }

    /// A host's certificate; the chain has it alone.
    pub fn certificate(&self, names: &[&str]) -> Certificate {
        self.certificate_of(names, (2020, 2090))
    }

    /// The same, valid from and until these years.
    pub fn certificate_of(&self, names: &[&str], years: (i32, i32)) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let made = params("a host", names, years).signed_by(&key, &self.0).expect("signed");
        Certificate { chain: vec![made.der().clone()], key }
    }
}

impl Certificate {
    /// Presents an authority's certificate behind its own.
    pub fn with(mut self, authority: &Authority) -> Self {
        self.chain.push(authority.der());
        self
    }

    pub fn public_key(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// A server that speaks these versions.
    pub fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .expect("a pair");
        Arc::new(config)
    }
}

/// A handshake of `mx.test` with a server; what the client makes of it.
pub fn handshake(tls: &ClientTls, server: &Arc<ServerConfig>) -> Result<HandshakeKind, TlsFailure> {
    let name = ServerName::try_from("mx.test").expect("a name");
    let mut client = ClientConnection::new(tls.config.clone(), name).expect("a client");
    let mut server = ServerConnection::new(server.clone()).expect("a server");
    for _ in 0..10 {
        let mut octets = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut octets).expect("memory");
        }
        let mut octets = octets.as_slice();
        while !octets.is_empty() {
            server.read_tls(&mut octets).expect("memory");
            // An alert of the client is no news.
            let _ = server.process_new_packets();
        }
        let mut octets = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut octets).expect("memory");
        }
        let mut octets = octets.as_slice();
        while !octets.is_empty() {
            client.read_tls(&mut octets).expect("memory");
            let done = client.process_new_packets();
            done.map_err(|e| failure_of(&io::Error::new(io::ErrorKind::InvalidData, e)))?;
        }
    }
    Ok(client.handshake_kind().expect("ten rounds are enough"))
}
