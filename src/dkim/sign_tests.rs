//! Signatures of ours: what they cover, what spoils them, and when there is none.

use proptest::prelude::*;

use super::*;
use crate::dkim::{
    fake,
    verify::{DkimResult, verify},
};

const AT: Timestamp = Timestamp::from_millis(1_764_390_000_000);

fn hash(body: &[u8]) -> [u8; 32] {
    let mut hasher = BodyHasher::new();
    hasher.update(body);
    hasher.finish()
}

fn signed(head: &[u8], body: &[u8]) -> Vec<u8> {
    fields(head, &hash(body), &fake::identities("example.jp"), AT).expect("a signature")
}

/// The results of both signatures.
fn results(head: &[u8], body: &[u8]) -> Vec<DkimResult> {
    let zones = fake::zones(&fake::identities("example.jp"));
    smol::block_on(verify(head, body, &zones, AT)).into_iter().map(|v| v.result).collect()
}

/// The value of a tag of the first signature, unfolded.
fn tag(fields: &[u8], name: &str) -> String {
    let text = String::from_utf8(fields.to_vec()).expect("ASCII").replace("\r\n ", "");
    let text = text.lines().next().expect("a line").trim_start_matches("DKIM-Signature:").to_owned();
    let tags = crate::dkim::tags::Tags::parse(&text).expect("tags");
    tags.get(name).expect("the tag").to_owned()
}

const HEAD: &[u8] = b"Received: by x\r\nFrom: a@example.jp\r\nTo: b@example.net,\r\n\tc@example.net\r\n\
    Subject: =?utf-8?q?=E6=97=A5?=\r\nList-Unsubscribe: <https://example.jp/u>\r\n\
    List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nReferences: <1@x>\r\nX-Other: z\r\n\r\n";

#[test]
fn every_field_that_people_see_is_signed_and_signed_as_absent() {
    let made = signed(HEAD, b"Hi.\r\n");
    assert_eq!(
        tag(&made, "h"),
        "from:from:reply-to:to:to:cc:subject:subject:date:message-id:mime-version:content-type:\
         content-transfer-encoding:references:list-unsubscribe:list-unsubscribe-post"
    );
    for (name, value) in [
        ("v", "1"),
        ("a", "rsa-sha256"),
        ("c", "relaxed/relaxed"),
        ("d", "example.jp"),
        ("s", "r1"),
        ("t", "1764390000"),
    ] {
        assert_eq!(tag(&made, name), value);
    }
    assert_eq!(tag(&made, "bh"), STANDARD.encode(hash(b"Hi.")));
    let text = String::from_utf8(made.clone()).expect("ASCII");
    assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n', '\t']));
    assert_eq!(text.matches("DKIM-Signature: v=1; a=").count(), 2);
    assert!(text.find("a=rsa-sha256;") < text.find("a=ed25519-sha256;"), "in the order of the identities");
    assert!(["l=", "i=", "x=", "z="].iter().all(|tag| !text.contains(&format!(" {tag}"))), "{text}");
    assert_eq!(signed(HEAD, b"Hi.\r\n"), made, "the same octets each time");
    assert_eq!(results(&[&made, HEAD].concat(), b"Hi.\r\n"), [DkimResult::Pass; 2]);
}

#[test]
fn fields_added_on_the_way_spoil_the_signature_and_others_do_not() {
    let made = signed(HEAD, b"Hi.\r\n");
    for name in OVERSIGNED {
        for head in [
            [&made, format!("{name}: added\r\n").as_bytes(), HEAD].concat(),
            [&made, &HEAD[..HEAD.len() - 2], format!("{name}: added\r\n\r\n").as_bytes()].concat(),
        ] {
            assert_eq!(results(&head, b"Hi.\r\n"), [DkimResult::Fail; 2], "{name}");
        }
    }
    let harmless = [b"Received: by y\r\nX-Spam: no\r\nReturn-Path: <>\r\n", &made[..], HEAD].concat();
    assert_eq!(results(&harmless, b"Hi. \r\n\r\n"), [DkimResult::Pass; 2]);
}

#[test]
fn without_exactly_one_from_nobody_signs() {
    let not = |head: &[u8]| fields(head, &hash(b""), &fake::identities("example.jp"), AT).expect_err("unsigned");
    assert_eq!(not(b""), NotSigned::NoFrom);
    assert_eq!(not(b"Subject: x\r\nFrom a@b\r\n\r\n"), NotSigned::NoFrom);
    assert_eq!(not(b"To: x\r\n\r\nFrom: a@example.jp\r\n"), NotSigned::NoFrom);
    assert_eq!(not(b"From: a@example.jp\r\nFROM : b@example.jp\r\n\r\n"), NotSigned::SeveralFrom);
}

#[test]
fn names_of_other_scripts_are_signed_as_a_labels_and_no_names_are_refused() {
    let key = fake::ed25519();
    let sign = |domain: &str, selector: &str| {
        let identity = Identity { domain: domain.to_owned(), selector: selector.to_owned(), key: key.clone() };
        fields(b"From: a@b\r\n", &hash(b""), &[identity], AT)
    };
    let made = sign("Bücher.例え.jp.", "Köln_2026").expect("a signature");
    assert_eq!(
        (tag(&made, "d").as_str(), tag(&made, "s").as_str()),
        ("xn--bcher-kva.xn--r8jz45g.jp", "xn--kln_2026-n4a")
    );
    for (domain, selector) in [("", "s"), ("a..b", "s"), ("a;b", "s"), ("a.b", "s p"), ("a.b", "x=1"), ("a.b", "")] {
        assert!(matches!(sign(domain, selector), Err(NotSigned::Crypto(_))), "{domain} {selector}");
    }
    let long = format!("{}.{}.example", "a".repeat(63), "b".repeat(63));
    let text = String::from_utf8(sign(&long, "s").expect("a signature")).expect("ASCII");
    assert!(text.lines().all(|line| line.len() <= 78 || line.contains(&long)), "{text}");
}

#[test]
fn endless_headers_make_no_endless_signature() {
    let head = format!(
        "From: a@example.jp\r\n{}{}{}",
        "References: <x>\r\n".repeat(2000),
        "Cc: c@x\r\n".repeat(2000),
        (0..2000).map(|n| format!("List-{n}: x\r\nList-{}: y\r\n", "y".repeat(n))).collect::<String>()
    );
    let made = signed(head.as_bytes(), b"");
    assert!(made.len() < 4096, "{}", made.len());
    let text = String::from_utf8(made.clone()).expect("ASCII");
    assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    assert_eq!(results(&[&made, head.as_bytes()].concat(), b""), [DkimResult::Pass; 2]);
}

/// A header as somebody may write it: names that are signed and others, values with blanks, folds and odd octets.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "To",
        "cc",
        "SUBJECT",
        "Date",
        "Message-ID",
        "Content-Type",
        "X-Mailer",
        "List-Id",
        "Sender",
        "Received",
        "References",
        "Reply-To",
    ]);
    let piece = prop_oneof![
        4 => "[!-~]{1,12}".prop_map(String::into_bytes),
        2 => Just(b" ".to_vec()),
        1 => Just(b"\t ".to_vec()),
        1 => Just(b"\r\n ".to_vec()),
        1 => Just(b"\r\n\t".to_vec()),
        1 => Just(b"\xe3\x81\x82\xff\x0b".to_vec()),
    ];
    let value = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let field = (name, prop::sample::select(vec![":", ": ", " :\t"]), value)
        .prop_map(|(name, colon, value)| [name.as_bytes(), colon.as_bytes(), &value, b"\r\n"].concat());
    (prop::collection::vec(field, 0..8), any::<prop::sample::Index>()).prop_map(|(mut fields, at)| {
        let at = at.index(fields.len() + 1);
        fields.insert(at, b"From: \"A\" <a@example.jp>\r\n".to_vec());
        fields.concat()
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![Just(b"\r\n".to_vec()), Just(b" \t".to_vec()), prop::collection::vec(any::<u8>(), 1..20)];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn what_is_signed_verifies_and_a_changed_octet_does_not(
        head in head(),
        body in body(),
        end: bool,
        at: prop::sample::Index,
    ) {
        let head = if end { [&head[..], b"\r\n"].concat() } else { head };
        let made = signed(&head, &body);
        prop_assert!(String::from_utf8_lossy(&made).lines().all(|line| line.len() <= 78));
        prop_assert_eq!(results(&[&made, &head[..]].concat(), &body), [DkimResult::Pass; 2]);
        // As it goes out.
        let ended = if body.ends_with(b"\r\n") { body.clone() } else { [&body[..], b"\r\n"].concat() };
        prop_assert_eq!(results(&[&made, &head[..]].concat(), &ended), [DkimResult::Pass; 2]);

        // A letter of the body, or of a signed field's value.
        let mut places: Vec<(bool, usize)> = Vec::new();
        places.extend((0..body.len()).filter(|n| body[*n].is_ascii_alphanumeric()).map(|n| (true, n)));
        for field in Fields::new(&head) {
            let name = head[field.name.clone()].to_ascii_lowercase();
            if !matches!(&name[..], b"x-mailer" | b"received") {
                places.extend(field.value.filter(|n| head[*n].is_ascii_alphanumeric()).map(|n| (false, n)));
            }
        }
        let (of_body, n) = places[at.index(places.len())];
        let (mut head, mut body) = (head, body);
        if of_body { body[n] ^= 0x80 } else { head[n] ^= 0x80 }
        prop_assert_eq!(results(&[&made, &head[..]].concat(), &body), [DkimResult::Fail; 2]);
    }
}
