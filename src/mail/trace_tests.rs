//! What is written above a mail, and that nothing below it changes.

use proptest::prelude::*;

use super::*;

const AT: Timestamp = Timestamp::from_millis(1_795_527_310_000);

fn arrival(recipient: Option<&Mailbox>) -> Arrival<'_> {
    Arrival {
        id: MessageId::from_u64(1 << 60),
        at: AT,
        hostname: "relay.example.jp",
        helo: "client.example",
        address: Some([192, 0, 2, 1].into()),
        protocol: Protocol { extended: true, tls: true, authenticated: true, utf8: false, http: false },
        tls: "TLSv1.3 TLS13_AES_256_GCM_SHA384",
        recipient,
        priority: None,
        begins_empty: false,
    }
}

fn key() -> TraceKey {
    TraceKey::new(&[7; 32])
}

fn changes(received: ReceivedForm, facts: &Facts) -> (HeadChanges, String) {
    let key = key();
    let recipient = Mailbox::parse("hanako@example.org").expect("an address");
    let settings = TraceSettings { received, add_missing_headers: true, key: &key };
    let changes = head_changes(&arrival(Some(&recipient)), facts, &settings);
    let top = String::from_utf8(changes.top.clone()).expect("text");
    (changes, top)
}

#[test]
fn the_received_field_says_what_the_operator_allows() {
    let facts = Facts { has_header: true, has_date: true, message_id: "<a@b>".into(), ..Facts::default() };
    let id = MessageId::from_u64(1 << 60);
    let (_, normal) = changes(ReceivedForm::Normal, &facts);
    assert_eq!(
        normal,
        format!(
            "Received: from client.example ([192.0.2.1])\r\n\t(using TLSv1.3 TLS13_AES_256_GCM_SHA384)\r\n\t\
             by relay.example.jp with ESMTPSA id {id}\r\n\tfor <hanako@example.org>;\r\n\t\
             Tue, 24 Nov 2026 13:35:10 +0000\r\n"
        )
    );
    let (_, short) = changes(ReceivedForm::Abbreviated, &facts);
    assert!(!short.contains("192.0.2.1") && !short.contains("client.example"), "{short}");
    assert!(short.starts_with("Received: by relay.example.jp with ESMTPSA id "), "{short}");
    for form in [ReceivedForm::None, ReceivedForm::DeleteAll] {
        let (_, traced) = changes(form, &facts);
        assert!(traced.starts_with("X-Hikyaku-Trace: ") && !traced.contains("Received"), "{traced}");
        assert!(key().was_here(traced.as_bytes()));
        assert!(!TraceKey::new(&[8; 32]).was_here(traced.as_bytes()));
    }
}

#[test]
fn a_priority_is_traced_in_its_clause() {
    let mut urgent = arrival(None);
    urgent.priority = Some(-4);
    let key = key();
    let settings = TraceSettings { received: ReceivedForm::Abbreviated, add_missing_headers: false, key: &key };
    let facts = Facts { has_header: true, ..Facts::default() };
    let top = String::from_utf8(head_changes(&urgent, &facts, &settings).top).expect("text");
    assert!(top.contains(" PRIORITY -4;"), "{top}");
    assert!(!changes(ReceivedForm::Abbreviated, &facts).1.contains("PRIORITY"));
}

#[test]
fn keywords_are_the_registered_ones() {
    let p = Protocol::default();
    for (protocol, keyword) in [
        (p, "SMTP"),
        (Protocol { extended: true, ..p }, "ESMTP"),
        (Protocol { extended: true, tls: true, ..p }, "ESMTPS"),
        (Protocol { extended: true, authenticated: true, ..p }, "ESMTPA"),
        (Protocol { extended: true, utf8: true, tls: true, authenticated: true, ..p }, "UTF8SMTPSA"),
        (Protocol { http: true, ..p }, "HTTP"),
    ] {
        assert_eq!(protocol.keyword(), keyword);
    }
}

#[test]
fn missing_fields_are_added_but_never_to_a_message_without_a_header() {
    let (made, top) = changes(ReceivedForm::Abbreviated, &Facts { has_header: true, ..Facts::default() });
    assert!(top.contains("\r\nDate: Tue, 24 Nov 2026 13:35:10 +0000\r\nMessage-ID: <"), "{top}");
    assert_eq!(made.message_id.as_deref(), top.split("Message-ID: ").nth(1).map(str::trim_end));
    let (made, top) = changes(ReceivedForm::Abbreviated, &Facts::default());
    assert!(!top.contains("Date") && !top.contains("Message-ID") && made.message_id.is_none(), "{top}");
    assert!(top.ends_with("\r\n\r\n"), "the text stays a body: {top}");
}

#[test]
fn a_clients_words_cannot_break_the_field() {
    let mut hostile = arrival(None);
    hostile.helo = "a\r\nBcc: x (evil";
    let key = key();
    let settings = TraceSettings { received: ReceivedForm::Normal, add_missing_headers: false, key: &key };
    let top = String::from_utf8(head_changes(&hostile, &Facts::default(), &settings).top).expect("text");
    assert_eq!(super::super::header::Fields::new(top.as_bytes()).count(), 1, "{top}");
    assert!(!top.contains("for <"), "no recipient is named when there are several: {top}");
}

#[test]
fn traces_that_were_tampered_with_are_not_ours() {
    let key = key();
    let value = key.trace(MessageId::from_u64(99));
    assert!(key.is_ours(&value));
    for wrong in
        [value.replace(' ', "  x "), value[..value.len() - 1].to_owned(), format!("0{}", &value[1..]), String::new()]
    {
        assert!(wrong == value || !key.is_ours(&wrong), "{wrong}");
    }
}

fn strip(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut stripper, mut out) = (FieldStripper::new(vec!["X-Class", RECEIVED, "Rec"]), Vec::new());
    pieces.iter().for_each(|piece| stripper.push(piece, &mut out));
    stripper.finish(&mut out);
    out
}

#[test]
fn received_fields_go_and_everything_else_stays() {
    for (head, expected) in [
        ("Received: a\r\n\tb\r\nFrom: x\r\n\r\nReceived: body\r\n", "From: x\r\n\r\nReceived: body\r\n"),
        ("RECEIVED : a\r\n b\r\nreceived:c\r\nReceived-SPF: pass\r\n\r\n", "Received-SPF: pass\r\n\r\n"),
        ("Receive: a\r\n\r\n", "Receive: a\r\n\r\n"),
        ("\r\nReceived: body", "\r\nReceived: body"),
        ("Receiv", "Receiv"),
        (
            "x-class: high\r\n\tfolded\r\nX-Class-2: a\r\nRec: b\r\n\r\nX-Class: body",
            "X-Class-2: a\r\n\r\nX-Class: body",
        ),
        ("From: x\r\nX-Class\t: low\r\n\r\n", "From: x\r\n\r\n"),
        ("A: b\r\nReceived: c", "A: b\r\n"),
        ("", ""),
    ] {
        let whole = strip(&[head.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&whole), expected);
        let bytewise: Vec<&[u8]> = head.as_bytes().chunks(1).collect();
        assert_eq!(strip(&bytewise), whole, "in pieces of one byte: {head:?}");
    }
}

proptest! {
    #[test]
    fn without_received_fields_every_byte_stays(
        content in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'r'), Just(b':'), any::<u8>()], 0..400),
        cut in 1usize..50,
    ) {
        let has_received = content.windows(8).any(|w| w.eq_ignore_ascii_case(RECEIVED.as_bytes()));
        let has_rec = content.windows(3).any(|w| w.eq_ignore_ascii_case(b"rec"));
        prop_assume!(!has_received && !has_rec);
        let pieces: Vec<&[u8]> = content.chunks(cut).collect();
        prop_assert_eq!(strip(&pieces), content);
    }

    #[test]
    fn pieces_do_not_matter(lines in proptest::collection::vec("(Received|Rec|A)? ?:?[a-c \t]{0,6}\r?\n?", 0..20), cut in 1usize..9) {
        let content = lines.concat().into_bytes();
        let pieces: Vec<&[u8]> = content.chunks(cut).collect();
        prop_assert_eq!(strip(&pieces), strip(&[&content]));
    }
}
