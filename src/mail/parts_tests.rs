//! What comes out of real and of hostile mail.

use proptest::prelude::*;

use super::*;

fn text_of(head: &str, body: &[u8]) -> Option<String> {
    let mail = [head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n", body].concat();
    Parts::of(&mail).text()
}

#[test]
fn texts_come_out_in_every_charset_that_japan_writes() {
    let jis = b"\x1b$BHt5S\x1b(B\r\nline 2\r\n";
    let sjis = b"\x94\xf2\x8br\r\nline 2\r\n";
    let euc = b"\xc8\xf4\xb5\xd3\r\nline 2\r\n";
    for (head, body) in [
        ("Content-Type: text/plain; charset=ISO-2022-JP", &jis[..]),
        ("Content-Type: text/plain; charset=\"iso-2022-jp-ms\"", jis),
        ("Content-Type: text/plain; charset=us-ascii", jis),
        ("Subject: nothing said", jis),
        ("Content-Type: text/plain; charset=Shift_JIS", sjis),
        ("Content-Type: text/plain; charset=CP932", sjis),
        ("Content-Type: text/plain;\n charset=Windows-31J", sjis),
        ("Content-Type: text/plain; charset=EUC-JP", euc),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", b"6aOb6ISaDQpsaW5lIDINCg=="),
        (
            "Content-Type: text/plain\nContent-Transfer-Encoding: Quoted-Printable",
            b"=E9=A3=9B=E8=84=9A\r\nli=\r\nne 2\r\n",
        ),
        ("Content-Type: text/plain; charset=unheard-of", "飛脚\r\nline 2\r\n".as_bytes()),
        ("Content-Type: text/plain; charset=utf-8", "飛脚\r\nline 2\r\n".as_bytes()),
    ] {
        assert_eq!(text_of(head, body).as_deref(), Some("飛脚\r\nline 2\r\n"), "{head}");
    }
}

#[test]
fn fields_are_decoded_unfolded_and_whole() {
    let long = "x".repeat(30_000);
    let mail = format!(
        "From: =?UTF-8?B?6aOb6ISa?= <a@example.jp>\r\nSubject: =?ISO-2022-JP?B?GyRCSHQ1UxsoQg==?=\r\nX-Long: one\r\n\ttwo\r\n\
         not a field\r\nX-Large: {long}\r\nTo: a@b,\r\n c@d\r\nx-large: second\r\n\r\nSubject: body\r\n"
    );
    let parts = Parts::of(mail.as_bytes());
    let shown: Vec<(&str, &str)> = parts.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("From", "飛脚 <a@example.jp>"),
            ("Subject", "飛脚"),
            ("X-Long", "one\ttwo"),
            ("X-Large", long.as_str()),
            ("To", "a@b, c@d"),
            ("x-large", "second"),
        ]
    );
    assert_eq!((parts.field("SUBJECT"), parts.field("Cc")), ("飛脚", ""));
}

#[test]
fn a_mail_with_everything_comes_apart() {
    let mail = "Subject: x\nContent-Type: multipart/mixed; boundary=\"m m\"\n\npreamble\n--m m\nContent-Type: multipart/alternative; boundary=a\n\n\
        --a\n\nplain\n--a\nContent-Type: text/html; charset=utf-8\n\n<p>html</p>\n--a--\n--m m\n\
        Content-Type: application/pdf; name=\"=?UTF-8?B?6KuL5rGC5pu4LnBkZg==?=\"\nContent-Transfer-Encoding: base64\n\nAAEC/w==\n\
        --m m\nContent-Type: text/plain; name*=UTF-8''%E9%A3%9B%E8%84%9A.txt\nContent-Disposition: attachment\n\nnot the text\n\
        --m m\nContent-Type: message/rfc822\n\nSubject: inner\n\ninner text\n--m m\nContent-Type: text/plain\n\nfooter\n--m m--\nepilogue\n";
    for mail in [mail.to_owned(), mail.replace('\n', "\r\n")] {
        let parts = Parts::of(mail.as_bytes());
        let end = if mail.contains('\r') { "\r\n" } else { "\n" };
        assert_eq!(parts.text().as_deref(), Some("plain\r\nfooter"));
        assert_eq!(parts.html().as_deref(), Some("<p>html</p>"));
        let files: Vec<(String, &str, Vec<u8>)> = (1..)
            .zip(&parts.attachments)
            .map(|(n, a)| (a.file_name(n), a.content_type.as_str(), a.bytes().into_owned()))
            .collect();
        assert_eq!(
            files,
            [
                ("請求書.pdf".to_owned(), "application/pdf", vec![0, 1, 2, 255]),
                ("飛脚.txt".to_owned(), "text/plain", b"not the text".to_vec()),
                (
                    "attachment3.eml".to_owned(),
                    "message/rfc822",
                    format!("Subject: inner{end}{end}inner text").into_bytes()
                ),
            ]
        );
    }
}

#[test]
fn broken_mail_loses_nothing_that_can_be_read() {
    for (mail, text, html, files) in [
        ("", Some(""), None, 0),
        ("\r\n", Some(""), None, 0),
        ("no header, no end", Some(""), None, 0),
        ("A: b\r\n\r\nbody", Some("body"), None, 0),
        ("Content-Type: text/html\r\n\r\n<p>", None, Some("<p>"), 0),
        ("Content-Type: multipart/mixed; boundary=x\r\n\r\n--y\r\n\r\ntext\r\n", Some("--y\r\n\r\ntext\r\n"), None, 0),
        ("Content-Type: multipart/mixed\r\n\r\ntext\r\n", Some("text\r\n"), None, 0),
        ("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ncut", Some("cut"), None, 0),
        (
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--xy\r\n\r\n--x\r\n\r\none\r\n--x--\r\n",
            Some("one"),
            None,
            0,
        ),
        ("Content-Type: image/png\r\n\r\n\u{89}PNG", None, None, 1),
        ("Content-Type: ///\r\n\r\nx", Some("x"), None, 0),
        ("Content-Type: \r\n\r\nx", Some("x"), None, 0),
        (
            "Content-Type: text/plain\r\nContent-Disposition: attachment; filename=\"../../etc/passwd\"\r\n\r\nx",
            None,
            None,
            1,
        ),
        (
            "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: a\r\n\r\nb\r\n--x--\r\n",
            None,
            None,
            1,
        ),
    ] {
        let parts = Parts::of(mail.as_bytes());
        assert_eq!(
            (parts.text().as_deref(), parts.html().as_deref(), parts.attachments.len()),
            (text, html, files),
            "{mail}"
        );
        let names: Vec<String> = parts.attachments.iter().map(|a| a.file_name(1)).collect();
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains('/')), "{names:?}");
        assert!(parts.attachments.iter().all(|a| a.content_type.contains('/')), "{parts:?}");
    }
    for (name, safe) in [
        ("a.txt", "a.txt"),
        ("..", "attachment7.bin"),
        ("   ", "attachment7.bin"),
        ("a\r\nb: c.txt", "a__b_ c.txt"),
        ("C:\\x\\y.doc", "C__x_y.doc"),
        ("invoice\u{202e}fdp.exe", "invoice_fdp.exe"),
    ] {
        let part = Part {
            content_type: "a/b".into(),
            name: name.into(),
            content_id: String::new(),
            charset: String::new(),
            encoding: Encoding::Identity,
            body: b"",
        };
        assert_eq!(part.file_name(7), safe);
    }
}

#[test]
fn depth_fields_and_parts_are_bounded() {
    let nested: String =
        (0..2_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let parts = Parts::of(nested.as_bytes());
    assert_eq!((parts.texts.len(), parts.attachments.len()), (0, 1), "what is too deep stays one attachment");
    assert_eq!(parts.attachments[0].content_type, format!("multipart/mixed"));
    let many =
        format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\nContent-Type: a/b\n\nx\n".repeat(5_000));
    assert_eq!(Parts::of(many.as_bytes()).attachments.len(), PARTS_MAX);
    assert_eq!(Parts::of("A: b\n".repeat(9_000).as_bytes()).fields.len(), FIELDS_MAX);
    assert!(Parts::of("A b\n".repeat(100_000).as_bytes()).fields.is_empty());
    let name = format!("Content-Type: a/b; name=\"{}\"\r\n\r\n", "飛".repeat(500));
    assert!(Parts::of(name.as_bytes()).attachments[0].file_name(1).len() <= NAME_MAX);
}

/// Everything of a mail, as a receiver would read it.
fn read_all(mail: &[u8]) -> usize {
    let parts = Parts::of(mail);
    let files: usize = (1..).zip(&parts.attachments).map(|(n, a)| a.bytes().len() + a.file_name(n).len()).sum();
    parts.text().map_or(0, |t| t.len()) + parts.html().map_or(0, |t| t.len()) + files
}

#[test]
fn a_real_mail_that_is_cut_or_damaged_anywhere_is_read() {
    let mail = b"Subject: =?ISO-2022-JP?B?GyRCSHQ1UxsoQg==?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n\
        \x1b$BHt5S\x1b(B\r\n--b\r\nContent-Type: application/pdf; name*0*=utf-8''%E9%A3; name*1=x.pdf\r\nContent-Disposition: attachment; filename=\"x.pdf\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";
    for at in 0..mail.len() {
        read_all(&mail[..at]);
        read_all(&mail[at..]);
        for octet in [0, b'\n', b'"', b'=', b'%', 0x1b, 0xff] {
            let mut damaged = mail.to_vec();
            damaged[at] = octet;
            read_all(&damaged);
        }
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(mail in prop::collection::vec(any::<u8>(), 0..2_000)) {
        read_all(&mail);
    }

    #[test]
    fn no_mail_like_text_makes_it_panic(
        lines in prop::collection::vec("(--b|--b--|--c|Content-Type: multipart/mixed; boundary=[bc]|Content-Type: text/(html|plain); charset=[a-z0-9_-]{0,12}|Content-(Type|Disposition): [ -~\u{1b}é\"*']{0,60}|Content-Transfer-Encoding: (base64|quoted-printable)|[ -~é]{0,40}|)", 0..60),
    ) {
        let mail = lines.join("\r\n");
        prop_assert!(read_all(mail.as_bytes()) <= 4 * mail.len() + PARTS_MAX * NAME_MAX);
    }

    #[test]
    fn what_is_attached_comes_back_octet_for_octet(octets in prop::collection::vec(any::<u8>(), 0..500)) {
        use ::base64::{Engine, prelude::BASE64_STANDARD};
        let encoded = BASE64_STANDARD.encode(&octets);
        let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).expect("ASCII")).collect();
        let mail = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n", lines.join("\r\n"));
        let parts = Parts::of(mail.as_bytes());
        let attached = parts.attachments[0].bytes();
        prop_assert_eq!(&*attached, &*octets);
    }
}
