//! Sockets, TLS and DNS: the only room that touches the network, rustls and the DNS codec.
//!
//! In: addresses, names, certificates.  Out: [`stream::Stream`]s, [`tls`] configurations, DNS answers.
//! Always: nothing waits without a bound; the crypto provider is passed explicitly; what comes from the network is parsed within limits.

pub mod deadline;
pub mod dns;
pub mod server;
pub mod stream;
pub mod tls;
