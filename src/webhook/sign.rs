//! The headers of a post: what identifies it, when it was sent, and who sent it.
//!
//! In: an id, a time, a body, keys.  Out: header fields.
//! Always: the id is the same whenever the same events are posted again, over a restart too; the signature covers id, time and
//! body; each key makes its own signature, so that a key can be changed without a gap.
//! Sources: Standard Webhooks ("Webhook Metadata", "Signature scheme").

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::payload::Feed;
use crate::{
    clock::Timestamp,
    ids::hex,
    secret::{Secret, signing_key},
};

/// Octets of the endpoint's name in an id.
const NAME_OCTETS: usize = 4;
/// Octets of a URL's fingerprint.
const URL_OCTETS: usize = 16;

/// The id of a post: of whose endpoint, of what, and from which event to which.
pub fn id(endpoint: &str, feed: Feed, first: u64, last: u64) -> String {
    format!("msg_{}_{}_{first}_{last}", digest(endpoint, NAME_OCTETS), feed.letter())
}

/// What tells one URL from another without showing it: its query may be a secret.
pub fn fingerprint(url: &str) -> String {
    digest(url, URL_OCTETS)
}

fn digest(text: &str, octets: usize) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hex(&digest.as_ref()[..octets])
}

/// The keys of a config's text.
pub fn keys(text: &Secret<String>) -> Vec<Secret<Vec<u8>>> {
    text.reveal().split_whitespace().filter_map(signing_key).collect()
}

/// `webhook-id`, `webhook-timestamp` and, where there is a key, `webhook-signature`.
pub fn fields(keys: &[Secret<Vec<u8>>], id: &str, at: Timestamp, body: &[u8]) -> Vec<(&'static str, String)> {
    let seconds = at.as_seconds().to_string();
    let mut fields = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", seconds.clone())];
    if !keys.is_empty() {
        let signatures: Vec<String> = keys.iter().map(|key| signature(key, id, &seconds, body)).collect();
        fields.push(("webhook-signature", signatures.join(" ")));
    }
    fields
}

fn signature(key: &Secret<Vec<u8>>, id: &str, seconds: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal());
    let mut context = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_is_signed_as_published() {
        let keys = keys(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let at = Timestamp::from_millis(1_614_265_330_000);
        let fields = fields(&keys, id, at, br#"{"test": 2432232314}"#);
        assert_eq!(
            fields,
            [
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", "1614265330".to_owned()),
                ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned()),
            ]
        );
    }

    #[test]
    fn each_key_signs_and_none_signs_nothing() {
        let two = keys(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw  0123456789abcdef".to_owned()));
        let at = Timestamp::from_millis(1_614_265_330_000);
        let signed = &fields(&two, "msg_1", at, b"{}")[2].1;
        let parts: Vec<&str> = signed.split(' ').collect();
        assert!(parts.len() == 2 && parts[0] != parts[1] && parts.iter().all(|p| p.starts_with("v1,")), "{signed}");
        assert_eq!(fields(&[], "msg_1", at, b"{}").len(), 2);
        assert_ne!(fields(&two, "msg_2", at, b"{}")[2], fields(&two, "msg_1", at, b"{}")[2], "the id is signed");
        assert_ne!(fields(&two, "msg_1", at, b"{ }")[2], fields(&two, "msg_1", at, b"{}")[2], "the body is signed");
    }

    #[test]
    fn an_id_names_endpoint_kind_and_events() {
        let one = id("crm", Feed::Deliveries, 17, 23);
        assert!(one.starts_with("msg_") && one.ends_with("_d_17_23") && one.len() < 64, "{one}");
        assert_ne!(one, id("crm2", Feed::Deliveries, 17, 23));
        assert_ne!(one, id("crm", Feed::Bounces, 17, 23));
    }
}
