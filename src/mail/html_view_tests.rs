//! What is shown of the HTML of real and of hostile mail.

use proptest::prelude::*;

use super::*;

/// A mail with a picture of three octets, `ABC`.
fn with_picture(html: &str) -> Vec<u8> {
    format!(
        "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--b\r\n\
         Content-Type: image/png; name=logo.png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b\r\n\
         Content-Type: text/html; name=evil.html\r\nContent-ID: <evil>\r\n\r\n<script>1</script>\r\n--b--\r\n"
    )
    .into_bytes()
}

fn view(html: &str) -> HtmlView {
    html_view(&Parts::of(&with_picture(html))).expect("it has HTML")
}

#[test]
fn pictures_that_come_along_are_in_the_document() {
    for (html, shown) in [
        ("<img src=\"cid:logo@x\">", "<img src=\"data:image/png;base64,QUJD\">"),
        ("<img src='CID:logo%40x' alt=a>", "<img src='data:image/png;base64,QUJD' alt=a>"),
        ("<img src=cid:logo@x>", "<img src=data:image/png;base64,QUJD>"),
        ("<td style=\"background:url(cid:logo@x)\">飛", "<td style=\"background:url(data:image/png;base64,QUJD)\">飛"),
    ] {
        let view = view(html);
        assert_eq!((view.document.as_str(), view.pictures, view.pictures_missing), (shown, 1, 0));
    }
    // Nobody brings it along, or it is no picture; a word that ends alike is no picture either.
    for (html, missing) in [("<img src=\"cid:other\">", 1), ("<iframe src=\"cid:evil\">", 1), ("acid:logo@x", 0)] {
        let view = view(html);
        assert_eq!((view.document.as_str(), view.pictures, view.pictures_missing), (html, 0, missing));
    }
}

#[test]
fn pictures_are_bounded_in_all() {
    let octets = "QUJD".repeat(PICTURES_MAX / 3 / 2 + 10);
    let mail = String::from_utf8(with_picture(&"<img src=\"cid:logo@x\">".repeat(5))).unwrap().replace("QUJD", &octets);
    let view = html_view(&Parts::of(mail.as_bytes())).expect("it has HTML");
    assert_eq!((view.pictures, view.pictures_missing), (1, 4));
    assert!(view.document.len() < 2 * PICTURES_MAX);
    let long = html_view(&Parts::of(&with_picture(&"飛".repeat(HTML_MAX)))).expect("it has HTML");
    assert!(long.is_cut && long.document.len() <= HTML_MAX);
}

#[test]
fn a_picture_is_decoded_once_however_often_it_is_named() {
    // A thousand names of a picture that is too large: to decode it at each would take minutes here, and seconds in a release.
    let octets = "QUJD".repeat(PICTURES_MAX / 3 + 10);
    let mail = String::from_utf8(with_picture(&"<img src=\"cid:logo@x\">".repeat(1_200))).unwrap();
    let mail = mail.replace("QUJD", &octets);
    let parts = Parts::of(mail.as_bytes());
    let clock = crate::clock::Clock::system();
    let time = |what: &dyn Fn()| {
        let began = clock.instant();
        what();
        clock.instant() - began
    };
    let once = time(&|| assert!(parts.attachments[0].bytes().len() > PICTURES_MAX));
    let whole =
        time(&|| assert_eq!(html_view(&parts).map(|view| (view.pictures, view.pictures_missing)), Some((0, 1_000))));
    assert!(whole < once * 50, "one decoding takes {once:?}, the view {whole:?}");
    // One that is small is there a thousand times.
    let small = html_view(&Parts::of(&with_picture(&"<img src=\"cid:logo@x\">".repeat(1_200)))).expect("it has HTML");
    assert_eq!((small.pictures, small.document.matches("QUJD").count()), (1_000, 1_000));
}

#[test]
fn what_would_be_loaded_is_counted_and_links_are_told_once() {
    let view = view(
        "<!-- <img src=http://no/> --><style>@import url(https://a/x.css); b { background: url( '//c' ) }</style>\
         <img src=\"https://track.example/p?id=1\" alt='a > b'><IMG SRC=//d><body background='http://e'>\
         <img srcset='x 1x, https://f 2x'><link href=https://g rel=stylesheet><p style='background:url(\"https://h\")'>\
         <img src=\"data:image/png;base64,AA\"><script>'<img src=http://no>'</script>\
         <a href=\"https://shop.example/?a=1&amp;b=2\">x</a><a href='https://shop.example/?a=1&amp;b=2'>again</a>\
         <a href='javascript:alert(1)'>y</a><a href=mailto:help@shop.example>z</a><area href='http://i/'>",
    );
    assert_eq!(view.remote, 8);
    assert_eq!(view.links, ["https://shop.example/?a=1&b=2", "mailto:help@shop.example", "http://i/"]);
    let many: String = (0..LINKS_MAX * 2).map(|n| format!("<a href=https://x/{n}>")).collect();
    assert_eq!(self::view(&many).links.len(), LINKS_MAX);
}

#[test]
fn a_mail_without_html_has_no_document() {
    assert_eq!(html_view(&Parts::of(b"Content-Type: text/plain\r\n\r\n<b>not HTML</b>")), None);
    assert_eq!(html_view(&Parts::of(b"")), None);
}

proptest! {
    #[test]
    fn anything_at_all_is_looked_at_without_harm(text in "(<|>|/|!--|-->|cid:|=|\"|'| |img|src|style|url\\(|</style|飛|%4|&amp;|a href|http://){0,60}") {
        let view = view(&text);
        prop_assert!(view.document.len() >= text.len());
    }
}
