//! Letters that are read back: by mail-parser, and line by line.
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use mail_parser::{Address as Parsed, HeaderForm, Message, MessageParser, MimeHeaders};
use proptest::{prelude::*, strategy::ValueTree};

use super::*;

fn address(name: &str, address: &str) -> Address {
    Address { name: name.to_owned(), address: Mailbox::parse(address).unwrap() }
}

/// A file that a test attaches.
#[derive(Clone, Debug)]
struct Enclosed {
    filename: String,
    content_type: String,
    bytes: Vec<u8>,
}

/// A letter whose parts a test changes.
#[derive(Debug)]
struct Draft {
    from: Address,
    to: Vec<Address>,
    cc: Vec<Address>,
    reply_to: Option<Address>,
    subject: String,
    text: String,
    html: String,
    headers: Vec<(String, String)>,
    attachments: Vec<Enclosed>,
    charset: Charset,
    fallback: Fallback,
}

impl Default for Draft {
    fn default() -> Self {
        Draft {
            from: address("Shop", "shop@example.net"),
            to: vec![address("Hanako", "hanako@example.org")],
            cc: Vec::new(),
            reply_to: None,
            subject: "Order 42".to_owned(),
            text: "Thank you\n".to_owned(),
            html: String::new(),
            headers: Vec::new(),
            attachments: Vec::new(),
            charset: Charset::Utf8,
            fallback: Fallback::Utf8,
        }
    }
}

impl Draft {
    fn try_compose(&self) -> Result<Composed, LetterFault> {
        let files = self.attachments.iter();
        let attachments: Vec<_> = files
            .map(|f| Attachment { filename: &f.filename, content_type: &f.content_type, bytes: &f.bytes })
            .collect();
        let enclosures = Enclosures::new(&attachments)?;
        let letter = Letter {
            message_id: "<01JDQ@relay.example.net>",
            date: Timestamp::from_millis(1_795_527_310_000),
            from: &self.from,
            to: &self.to,
            cc: &self.cc,
            reply_to: self.reply_to.as_ref(),
            subject: &self.subject,
            text: &self.text,
            html: &self.html,
            headers: &self.headers,
            enclosures: &enclosures,
            charset: self.charset,
            fallback: self.fallback,
        };
        let composed = compose(&letter);
        assert_eq!(check(&letter).err(), composed.as_ref().err().cloned());
        composed
    }

    fn compose(&self) -> Composed {
        let composed = self.try_compose().unwrap();
        check_wire(&composed);
        composed
    }
}

/// What holds for every letter on the wire.
fn check_wire(composed: &Composed) {
    let text = String::from_utf8_lossy(&composed.bytes).into_owned();
    assert!(text.ends_with("\r\n"));
    assert!(composed.smtputf8 || text.is_ascii(), "{text}");
    let bare = text.replace("\r\n", "");
    assert!(!bare.contains(['\r', '\n']), "{text:?}");
    assert!(!bare.contains('\0'));
    let (header, _) = text.split_once("\r\n\r\n").unwrap();
    for line in text.split("\r\n") {
        assert!(line.len() <= 998, "{line}");
    }
    for line in header.split("\r\n") {
        assert!(!line.trim().is_empty(), "a blank line in {header:?}");
        assert!(!line.contains("=?ISO") && !line.contains("=?UTF") || line.len() <= 76, "{line}");
    }
    for word in header.split(|c: char| c.is_whitespace() || c == '"').filter(|w| w.starts_with("=?ISO-2022-JP")) {
        assert!(word.len() <= 75, "{word}");
    }
}

/// A further field, decoded.
fn text_of(mail: &Message<'_>, name: &'static str) -> String {
    let values = mail.header_as(name, HeaderForm::Text);
    values[0].as_text().unwrap_or_default().to_owned()
}

fn parse(composed: &Composed) -> Message<'_> {
    MessageParser::default().parse(&composed.bytes).unwrap()
}

#[test]
fn a_plain_letter_reads_as_it_was_asked_for() {
    let composed = Draft { headers: vec![("X-Api-Data".into(), "order-42".into())], ..Draft::default() }.compose();
    let expected = "Date: Tue, 24 Nov 2026 13:35:10 +0000\r\n\
        Message-ID: <01JDQ@relay.example.net>\r\n\
        From: \"Shop\" <shop@example.net>\r\n\
        To: \"Hanako\" <hanako@example.org>\r\n\
        Subject: Order 42\r\n\
        X-Api-Data: order-42\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=\"utf-8\"\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\n\
        Thank you\r\n";
    assert_eq!(String::from_utf8_lossy(&composed.bytes), expected);
    assert_eq!((composed.charset_used, composed.note, composed.smtputf8), (Charset::Utf8, None, false));
}

fn full(charset: Charset) -> Draft {
    Draft {
        from: address("株式会社 例え", "shop@example.net"),
        to: vec![
            address("山田 花子", "hanako@example.org"),
            address("", "b@example.org"),
            address("B, \"C\" \\ D", "c@d.test"),
        ],
        cc: vec![address("長い名前".repeat(20).as_str(), "d@example.org")],
        reply_to: Some(address("係", "help@example.net")),
        subject: "ご注文 42 の確認 ".repeat(12).trim().to_owned(),
        text: "こんにちは\n\nｶﾞﾝﾊﾞﾚ〜\n".to_owned(),
        html: format!("<p>{}</p>", "ありがとう".repeat(200)),
        headers: vec![
            ("X-Note".into(), "備考".into()),
            ("List-Unsubscribe".into(), format!("<https://x.test/{}>", "u".repeat(300))),
        ],
        attachments: vec![
            Enclosed {
                filename: "見積書 2026年版.pdf".into(),
                content_type: "application/pdf".into(),
                bytes: vec![0, 1, 2, 255],
            },
            Enclosed { filename: "C:\\x\\list.csv".into(), content_type: "text/csv".into(), bytes: b"a,b\nc".to_vec() },
            Enclosed {
                filename: "とても長い名前の添付ファイルです".repeat(5) + ".txt",
                content_type: "".into(),
                bytes: vec![7; 200],
            },
        ],
        charset,
        ..Draft::default()
    }
}

#[test]
fn everything_at_once_is_read_back_in_both_charsets() {
    for charset in [Charset::Utf8, Charset::Iso2022Jp] {
        let draft = full(charset);
        let composed = draft.compose();
        assert_eq!(composed.charset_used, charset);
        let text = String::from_utf8_lossy(&composed.bytes).into_owned();
        assert_eq!(text.to_uppercase().contains("CHARSET=\"ISO-2022-JP\""), charset == Charset::Iso2022Jp);
        let mail = parse(&composed);
        // Half-width kana and pairs change in ISO-2022-JP only.
        let shown = |text: &str| match charset {
            Charset::Utf8 => text.to_owned(),
            Charset::Iso2022Jp => text.replace("ｶﾞﾝﾊﾞﾚ〜", "ガンバレ～"),
        };
        assert_eq!(mail.subject().unwrap(), draft.subject);
        let from = mail.from().unwrap().first().unwrap();
        assert_eq!(from.name(), Some("株式会社 例え"));
        let Parsed::List(to) = mail.to().unwrap() else { panic!() };
        assert_eq!(to.len(), 3);
        assert_eq!(to[0].name(), Some("山田 花子"));
        assert_eq!(to[2].name(), Some("B, \"C\" \\ D"));
        assert_eq!(mail.cc().unwrap().first().unwrap().name(), Some(draft.cc[0].name.as_str()));
        assert_eq!(mail.header_raw("List-Unsubscribe").unwrap().trim(), draft.headers[1].1);
        assert_eq!(mail.body_text(0).unwrap().trim_end().replace("\r\n", "\n"), shown(draft.text.trim_end()));
        assert_eq!(mail.body_html(0).unwrap().trim_end(), draft.html);
        // mail-parser decodes each section of a long name by itself, which ISO-2022-JP does not survive: Python reads it in
        // tests/charset.
        let long = if charset == Charset::Utf8 { 3 } else { 2 };
        let names: Vec<_> = mail.attachments().map(|a| a.attachment_name().unwrap().to_owned()).collect();
        let expected = ["見積書 2026年版.pdf", "list.csv", draft.attachments[2].filename.as_str()];
        assert_eq!(names[..long], expected[..long]);
        for (part, file) in mail.attachments().zip(&draft.attachments) {
            assert_eq!(part.contents(), file.bytes.as_slice());
        }
    }
}

#[test]
fn the_parts_are_those_that_were_asked_for() {
    let file = Enclosed { filename: "a.bin".into(), content_type: String::new(), bytes: b"x".to_vec() };
    for (text, html, files, expected) in [
        ("t", "", 0, "text/plain"),
        ("", "", 0, "text/plain"),
        ("", "<p>h", 0, "text/html"),
        ("t", "<p>h", 0, "multipart/alternative(text/plain text/html)"),
        ("t", "", 1, "multipart/mixed(text/plain application/octet-stream)"),
        ("", "<p>h", 2, "multipart/mixed(text/html application/octet-stream application/octet-stream)"),
        ("t", "<p>h", 1, "multipart/mixed(multipart/alternative(text/plain text/html) application/octet-stream)"),
    ] {
        for charset in [Charset::Utf8, Charset::Iso2022Jp] {
            let attachments = vec![file.clone(); files];
            let draft = Draft { text: text.into(), html: html.into(), attachments, charset, ..Draft::default() };
            let composed = draft.compose();
            assert_eq!(shape(&parse(&composed), 0), expected);
        }
    }
}

fn shape(mail: &Message<'_>, part: u32) -> String {
    let part = mail.part(part).unwrap();
    let kind = part.content_type().unwrap();
    let children: Vec<_> = part.sub_parts().unwrap_or_default().iter().map(|p| shape(mail, *p)).collect();
    let children = if children.is_empty() { String::new() } else { format!("({})", children.join(" ")) };
    format!("{}/{}{children}", kind.ctype(), kind.subtype().unwrap())
}

#[test]
fn nothing_of_the_caller_starts_a_field() {
    let header = |name: &str, value: &str| Draft { headers: vec![(name.into(), value.into())], ..Draft::default() };
    let named = |name: &str| address(name, "x@example.org");
    let file = |name: &str| Enclosed { filename: name.into(), content_type: String::new(), bytes: Vec::new() };
    let cases = [
        (Draft { subject: "a\r\nBcc: b@c.d".into(), ..Draft::default() }, "subject", Why::LineBreak),
        (Draft { subject: "a\nb".into(), ..Draft::default() }, "subject", Why::LineBreak),
        (Draft { subject: "a\0b".into(), ..Draft::default() }, "subject", Why::Control),
        (Draft { subject: "a\u{85}b".into(), ..Draft::default() }, "subject", Why::Control),
        (Draft { subject: "あ".repeat(513), ..Draft::default() }, "subject", Why::TooLong(512)),
        (Draft { from: named("a\rb"), ..Draft::default() }, "from", Why::LineBreak),
        (Draft { to: vec![named("a"), named("a\u{1b}b")], ..Draft::default() }, "to", Why::Control),
        (Draft { cc: vec![named(&"n".repeat(257))], ..Draft::default() }, "cc", Why::TooLong(256)),
        (Draft { reply_to: Some(named("\n")), ..Draft::default() }, "replyto", Why::LineBreak),
        (header("X-A", "b\r\n\r\nbody"), "headers", Why::LineBreak),
        (header("X-A", "b\r\n folded"), "headers", Why::LineBreak),
        (header("X-A", &"b".repeat(8_193)), "headers", Why::TooLong(8_192)),
        (header("X-A\r\nBcc", "b"), "headers", Why::HeaderName),
        (header("X A", "b"), "headers", Why::HeaderName),
        (header("X-A:", "b"), "headers", Why::HeaderName),
        (header("", "b"), "headers", Why::HeaderName),
        (header("X-あ", "b"), "headers", Why::HeaderName),
        (header(&"X".repeat(75), "b"), "headers", Why::HeaderName),
        (header("bCC", "b"), "headers", Why::Reserved),
        (header("content-id", "b"), "headers", Why::Reserved),
        (header("Content-Transfer-Encoding", "8bit"), "headers", Why::Reserved),
        (header("SENDER", "a@b.c"), "headers", Why::Reserved),
        (header("Resent-To", "a@b.c"), "headers", Why::Reserved),
        (header("arc-seal", "i=1"), "headers", Why::Reserved),
        (header("DKIM-Signature", "v=1"), "headers", Why::Reserved),
        (Draft { headers: vec![("X".into(), "y".into()); 51], ..Draft::default() }, "headers", Why::TooMany(50)),
        (Draft { attachments: vec![file("a"), file("b\r\nX: y")], ..Draft::default() }, "attachment2", Why::LineBreak),
        (Draft { attachments: vec![file(&"n".repeat(256))], ..Draft::default() }, "attachment1", Why::TooLong(255)),
        (Draft { attachments: vec![file("a"); 11], ..Draft::default() }, "attachments", Why::TooMany(10)),
    ];
    for (draft, field, why) in cases {
        let fault = draft.try_compose().unwrap_err();
        assert_eq!((fault.field.as_ref(), fault.why), (field, why), "{fault}");
    }
    for name in ["X-Api-Data", "List-Unsubscribe", "In-Reply-To", "Auto-Submitted", "Contents", "X-From"] {
        header(name, "a\tb").compose();
    }
}

#[test]
fn what_the_charset_lacks_is_named_or_told() {
    let jis = || Draft { charset: Charset::Iso2022Jp, fallback: Fallback::Reject, ..Draft::default() };
    let file = Enclosed { filename: "①.txt".into(), content_type: String::new(), bytes: Vec::new() };
    let named = || address("①", "x@example.org");
    for (draft, field, characters) in [
        (Draft { subject: "㈱例①①".into(), ..jis() }, "subject", "㈱①"),
        (Draft { text: "髙 😀".into(), ..jis() }, "text", "髙😀"),
        (Draft { html: "<p>\u{a0}".into(), ..jis() }, "html", "\u{a0}"),
        (Draft { from: named(), ..jis() }, "from", "①"),
        (Draft { to: vec![named()], ..jis() }, "to", "①"),
        (Draft { cc: vec![named()], ..jis() }, "cc", "①"),
        (Draft { reply_to: Some(named()), ..jis() }, "replyto", "①"),
        (Draft { headers: vec![("X".into(), "①".into())], ..jis() }, "headers", "①"),
        (Draft { attachments: vec![file], ..jis() }, "attachment1", "①"),
    ] {
        let fault = draft.try_compose().unwrap_err();
        assert_eq!((fault.field.as_ref(), fault.why), (field, Why::NotInCharset));
        assert_eq!(fault.characters, characters);
        assert_eq!(fault.to_string(), format!("{field}: ISO-2022-JP cannot carry: {characters}"));
        let composed = Draft { fallback: Fallback::Utf8, ..draft }.compose();
        assert_eq!(composed.charset_used, Charset::Utf8);
        let note = composed.note.unwrap();
        assert!(note.contains(field) && note.contains(characters), "{note}");
        assert!(!String::from_utf8_lossy(&composed.bytes).contains("ISO-2022-JP"));
    }
}

#[test]
fn addresses_are_shown_so_that_most_peers_can_read_them() {
    let draft = Draft { to: vec![address("例", "a@例え.test")], ..Draft::default() };
    let composed = draft.compose();
    assert!(!composed.smtputf8);
    assert!(String::from_utf8_lossy(&composed.bytes).contains(" <a@xn--r8jz45g.test>\r\n"));
    let draft = Draft { cc: vec![address("", "花子@例え.test")], ..Draft::default() };
    let composed = draft.compose();
    assert!(composed.smtputf8);
    assert!(String::from_utf8_lossy(&composed.bytes).contains("\r\nCc: 花子@xn--r8jz45g.test\r\n"));
    // A local part in quotes.
    let draft = Draft { reply_to: Some(address("a b", "\"x, y\"@example.org")), ..Draft::default() };
    let composed = draft.compose();
    let parsed = parse(&composed).reply_to().unwrap().first().unwrap().clone();
    assert!(parsed.address().unwrap().contains("x, y"), "{parsed:?}");
}

#[test]
fn words_that_look_encoded_mean_themselves_only_where_a_person_wrote_them() {
    let fake = "=?utf-8?B?44GC?=";
    for charset in [Charset::Utf8, Charset::Iso2022Jp] {
        let headers = vec![("X-Made".to_owned(), fake.to_owned())];
        let draft =
            Draft { subject: fake.into(), from: address(fake, "a@b.test"), headers, charset, ..Draft::default() };
        let composed = draft.compose();
        let mail = parse(&composed);
        assert_eq!(mail.subject(), Some(fake));
        assert_eq!(mail.from().unwrap().first().unwrap().name(), Some(fake));
        assert_eq!(text_of(&mail, "X-Made"), "あ");
    }
}

#[test]
fn text_that_could_end_a_part_or_hurt_a_program_travels_in_base64() {
    let boundary = "--=_1_01JDQrelayexamplenet";
    for text in [boundary.to_owned(), format!("a\n{boundary}--\nb"), "a\0b".into(), "bell\u{7}".into()] {
        for charset in [Charset::Utf8, Charset::Iso2022Jp] {
            let html = format!("<p>x\n{text}");
            let draft =
                Draft { text: text.clone(), html, attachments: full(charset).attachments, charset, ..Draft::default() };
            let composed = draft.compose();
            let mail = parse(&composed);
            assert_eq!(mail.body_text(0).unwrap().replace("\r\n", "\n"), text);
            assert_eq!(mail.attachment_count(), 3);
        }
    }
    // Lines that 7-bit text may not have.
    let text = "長い行".repeat(400);
    let draft = Draft { text: text.clone(), charset: Charset::Iso2022Jp, ..Draft::default() };
    let composed = draft.compose();
    assert_eq!(composed.charset_used, Charset::Iso2022Jp);
    assert_eq!(parse(&composed).body_text(0).unwrap().trim_end(), text);
}

/// Text of every kind: plain, Japanese, emoji, right-to-left, combining, look-alikes of syntax; or only what ISO-2022-JP has.
fn any_text(jis: bool) -> BoxedStrategy<String> {
    let syntax = prop::sample::select(vec![
        "=?",
        "?=",
        "=?utf-8?Q?x?=",
        "\"",
        "\\",
        ",",
        "<a@b>",
        "((#",
        "か\u{3099}",
        "  ",
        "\t",
        "%41",
        "'",
        ";",
    ]);
    let others = if jis {
        "[〜～−‖—¥]{0,4}".boxed()
    } else {
        prop_oneof!["[\u{600}-\u{6ff}\u{202a}-\u{202e}\u{2066}-\u{2069}]{0,6}", "[😀-🙏]{0,4}", "\\PC{0,8}"].boxed()
    };
    let pieces = prop_oneof![
        3 => "[ -~]{0,12}",
        2 => "[ぁ-んァ-ヴｦ-ﾟ　日本語漢字]{0,12}",
        1 => "[ァ-ン株式会社]{40,80}",
        2 => others,
        1 => syntax.prop_map(str::to_owned),
        1 => "[a-z]{60,200}",
    ];
    prop::collection::vec(pieces, 0..6).prop_map(|p| p.concat()).boxed()
}

/// Bodies: the same, with line ends and control characters.
fn any_body(jis: bool) -> BoxedStrategy<String> {
    let ends = ["\n", "\r\n", "\r", " \n", "\n.\n", "\nFrom ", "\0", "\u{7f}", "\u{c}", "\n--=_", ""];
    prop::collection::vec((any_text(jis), prop::sample::select(ends.to_vec())), 0..6)
        .prop_map(|lines| lines.into_iter().flat_map(|(text, end)| [text, end.to_owned()]).collect())
        .boxed()
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let parts = |jis| {
        let text = || any_text(jis);
        let content = prop::collection::vec(any::<u8>(), 0..300);
        (Just(jis), [text(), text(), text(), text()], [any_body(jis), any_body(jis)], content, any::<bool>())
    };
    any::<bool>().prop_flat_map(parts).prop_map(|(jis, [subject, name, value, file], [text, html], bytes, try_jis)| {
        let cut = |text: &str, max| text.chars().take(max).collect::<String>();
        let file = format!("f{}", file.replace(['/', '\\', '\t'], "_").trim());
        Draft {
            subject: cut(&subject, 512),
            from: address(&cut(&name, 256), "shop@example.net"),
            to: vec![address(&cut(&name, 256), "a@example.org"), address("", "b@example.org")],
            headers: vec![("X-Api-Data".into(), value.replace("=?", "=_"))],
            text,
            html,
            // Longer ones come in sections (see `words::sections`), which mail-parser does not join.
            attachments: vec![Enclosed { filename: cut(&file, 120), content_type: "a/b".into(), bytes }],
            charset: if jis || try_jis { Charset::Iso2022Jp } else { Charset::Utf8 },
            ..Draft::default()
        }
    })
}

/// What a field keeps of a text: its ends lose their blanks.
fn kept(text: &str) -> String {
    text.trim_matches([' ', '\t']).to_owned()
}

fn one_blank(text: &str) -> String {
    text.split([' ', '\t']).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What a body is when read: line ends apart, and the last one.
fn body(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

/// What a reader makes of a text in ISO-2022-JP; the tests with Python and Node say whether that is right.
fn in_one_form(text: &str) -> String {
    encoding_rs::ISO_2022_JP.decode_without_bom_handling(&iso2022jp::encode(text)).0.into_owned()
}

fn cases() -> u32 {
    if std::env::var_os("HIKYAKU_LONG").is_some() { 3_000 } else { 300 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_letter_reads_back_as_it_was_asked_for(draft in any_draft()) {
        let composed = draft.compose();
        let mail = parse(&composed);
        // What is in the header is in the header: no field more, none less.
        let names: Vec<_> = mail.headers().iter().map(|h| h.name()).collect();
        prop_assert_eq!(names, ["Date", "Message-ID", "From", "To", "Subject", "X-Api-Data", "MIME-Version", "Content-Type"]);
        prop_assert_eq!(mail.attachment_count(), 1);
        prop_assert_eq!(mail.attachment(0).unwrap().contents(), draft.attachments[0].bytes.as_slice());
        let exact = composed.charset_used == Charset::Utf8;
        let expected = |text: &str| if exact { text.to_owned() } else { in_one_form(text) };
        prop_assert_eq!(mail.subject().unwrap_or_default(), expected(&kept(&draft.subject)));
        let shown = mail.from().unwrap().first().unwrap().name().unwrap_or_default().to_owned();
        prop_assert_eq!(shown, expected(&kept(&draft.from.name)));
        let Parsed::List(to) = mail.to().unwrap() else { panic!("no list") };
        prop_assert_eq!(to.len(), 2);
        prop_assert_eq!(to[1].address(), Some("b@example.org"));
        // A program's value is folded at its blanks, of which a fold makes one.
        let value = expected(&kept(&draft.headers[0].1));
        prop_assert_eq!(one_blank(&text_of(&mail, "X-Api-Data")), one_blank(&value));
        prop_assert_eq!(mail.attachment(0).unwrap().attachment_name().unwrap(), expected(draft.attachments[0].filename.trim()));
        let bodies: Vec<_> = mail.parts.iter().filter(|p| p.is_text()).map(|p| body(p.text_contents().unwrap())).collect();
        let texts = [&draft.text, &draft.html].into_iter().filter(|t| !t.is_empty());
        let asked: Vec<_> = texts.map(|t| body(&expected(t))).collect();
        prop_assert_eq!(bodies, if asked.is_empty() { vec![String::new()] } else { asked });
    }
}

#[test]
fn drafts_of_the_test_above_are_of_both_charsets() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = any_draft();
    let drafts = (0..100).map(|_| strategy.new_tree(&mut runner).unwrap().current());
    let jis = drafts.filter(|d| d.compose().charset_used == Charset::Iso2022Jp).count();
    assert!((20..80).contains(&jis), "{jis} of 100 in ISO-2022-JP");
}
