//! Key records as they are published, well and badly.

use proptest::prelude::*;

use super::*;
use crate::dkim::fake;

#[test]
fn records_are_read_as_they_are_published() {
    let rsa = KeyRecord::parse(fake::RFC8463_RSA_RECORD).expect("the RFC's");
    assert_eq!(rsa.key.as_ref().map(PublicKey::bits), Some(1024));
    assert_eq!(rsa.to_string(), fake::RFC8463_RSA_RECORD);
    // RFC 6376's own words: the key as RSAPublicKey, blanks in it, no version, an unknown tag.
    let p = fake::RFC8463_RSA_RECORD.rsplit_once("p=").expect("a key").1;
    let bare = BASE64.encode(&BASE64.decode(p).expect("base64")[22..]);
    let (start, rest) = bare.split_at(70);
    let text = format!("k=rsa; x=new; p={start} \r\n\t{}", rest.trim_end_matches('='));
    assert_eq!(KeyRecord::parse(&text).expect("RSAPublicKey").key, rsa.key);

    let full = "v=DKIM1; k=ed25519; h=sha256:SHA1; s=email; t=y:s; n=for the post; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=;";
    let record = KeyRecord::parse(full).expect("a record");
    assert!(record.testing && record.strict && record.is_for_mail());
    assert!(record.takes_hash("sha256") && record.takes_hash("sha1") && !record.takes_hash("sha512"));
    assert!(record.matches(&fake::ed25519()) && !record.matches(&fake::rsa()));
    assert_eq!(KeyRecord::parse(&record.to_string()), Ok(record));

    let revoked = KeyRecord::parse("v=DKIM1; p=").expect("a record");
    assert_eq!((revoked.key, revoked.services), (None, vec!["*".to_owned()]));
    assert!(!KeyRecord::parse("p=; s=tlsrpt").expect("a record").is_for_mail());
}

#[test]
fn what_receivers_would_not_take_is_said() {
    for (text, fault) in [
        ("", RecordFault::NoKey),
        ("v=DKIM1; k=rsa", RecordFault::NoKey),
        ("v=DKIM2; p=", RecordFault::Version),
        ("v=dkim1; p=", RecordFault::Version),
        ("k=rsa; v=DKIM1; p=", RecordFault::Version),
        ("k=dsa; p=", RecordFault::KeyType("dsa".to_owned())),
        ("p=A*A", RecordFault::NotBase64),
        ("p=AAAA", RecordFault::NoSuchKey("rsa")),
        ("k=ed25519; p=AAAA", RecordFault::NoSuchKey("ed25519")),
        ("v=DKIM1; p=; p=", RecordFault::Tags(TagFault::Twice("p".to_owned()))),
        ("v=spf1 -all", RecordFault::Version),
        ("hello", RecordFault::Tags(TagFault::NoTag("hello".to_owned()))),
    ] {
        assert_eq!(KeyRecord::parse(text), Err(fault), "{text}");
    }
    let cut = &fake::RFC8463_RSA_RECORD[..150];
    assert_eq!(KeyRecord::parse(cut), Err(RecordFault::NoSuchKey("rsa")), "cut by a form that takes 255 letters");
    assert_eq!(KeyRecord::parse(&"a".repeat(9000)), Err(RecordFault::TooLong));
}

#[test]
fn long_records_are_cut_for_txt_and_for_zone_files() {
    let record = fake::rsa().record();
    let strings = split_for_txt(&record);
    assert_eq!(strings.iter().map(String::len).collect::<Vec<_>>(), [255, record.len() - 255]);
    assert_eq!(strings.concat(), record);
    let line = zone_line("r1._domainkey.example.jp", &record);
    let expected =
        format!("r1._domainkey.example.jp. IN TXT (\n    \"{}\"\n    \"{}\"\n)", &record[..255], &record[255..]);
    assert_eq!(line, expected);
    assert_eq!(zone_line("a.test.", "say \"\\\" ü"), "a.test. IN TXT \"say \\\"\\\\\\\" \\195\\188\"");
    assert_eq!(split_for_txt(""), [""]);
    assert!(looks_like_key("v=DKIM1; x") && looks_like_key("k=rsa; p=") && !looks_like_key("v=spf1 -all"));
}

proptest! {
    #[test]
    fn any_text_is_read_without_harm_and_cut_without_loss(text in "\\PC{0,600}", record in "(v=DKIM1|k=rsa|k=ed25519|p=[A-Za-z0-9+/=]{0,60}|t=y|s=[a-z*:]{0,9}|;| ){0,20}") {
        let _ = KeyRecord::parse(&record);
        let _ = KeyRecord::parse(&text);
        let strings = split_for_txt(&text);
        prop_assert_eq!(strings.concat(), text.clone());
        prop_assert!(strings.iter().all(|string| string.len() <= 255));
    }
}
