//! Keys for tests: those that RFC 8463 publishes, and some that are made once a run.

use std::sync::{Arc, OnceLock};

use super::{
    key::{Algorithm, SigningKey},
    sign::Identity,
};
use crate::lookup::fake::Zones;

/// The RSA key of RFC 8463 §A.1, 1,024 bits.
pub const RFC8463_RSA: &str = "-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
";
/// Its record.
pub const RFC8463_RSA_RECORD: &str = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";
/// The Ed25519 key of RFC 8463 §A.1 (that of RFC 8032 §7.1, test 1), in PKCS#8.
pub const RFC8463_ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
/// Its record.
pub const RFC8463_ED25519_RECORD: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// An RSA key of 2,048 bits, the same all through the run.
pub fn rsa() -> Arc<SigningKey> {
    static KEY: OnceLock<Arc<SigningKey>> = OnceLock::new();
    KEY.get_or_init(|| Arc::new(SigningKey::generate(Algorithm::RsaSha256, 2048).expect("a key").0)).clone()
}

/// The Ed25519 key of the RFC.
pub fn ed25519() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_pem(RFC8463_ED25519.as_bytes()).expect("the key of the RFC"))
}

/// Both sign for this domain, with the selectors `r1` and `e1`.
pub fn identities(domain: &str) -> Vec<Identity> {
    let identity = |selector: &str, key| Identity { domain: domain.to_owned(), selector: selector.to_owned(), key };
    vec![identity("r1", rsa()), identity("e1", ed25519())]
}

/// A DNS with the records of these.
pub fn zones(identities: &[Identity]) -> Zones {
    identities.iter().fold(Zones::default(), |zones, identity| {
        zones.with_txt(&super::record::name(&identity.selector, &identity.domain), &identity.key.record())
    })
}
