//! Sockets, TLS and DNS: the only room that touches the network, rustls and the DNS codec.
//!
//! In: addresses, names, certificates.  Out: [`stream::Stream`]s, [`tls`] configurations, DNS answers, answers of
//! [`https`] hosts.
//! Always: nothing waits without a bound; the crypto provider is passed explicitly; what comes from the network is parsed within limits.

#[cfg(test)]
mod certificates_for_tests;
mod dane;
pub mod deadline;
pub mod dns;
mod failure;
pub mod https;
pub mod kept;
pub mod server;
pub mod stream;
pub mod tls;
mod x509;
