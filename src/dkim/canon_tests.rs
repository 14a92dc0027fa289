//! Canonicalisation: the standard's examples, the edges, and any body in any pieces.

use aws_lc_rs::digest::digest;
use proptest::prelude::*;

use super::*;
use crate::mail::header::Fields;

/// The canonical octets of a body, told another way: all at once, line by line.
fn expected(mode: Mode, body: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut rest = body;
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n");
        let line = &rest[..end.unwrap_or(rest.len())];
        let mut out = Vec::new();
        for (n, octet) in line.iter().enumerate() {
            let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
            match mode {
                Mode::Relaxed if is_blank(octet) => {
                    if line.get(n + 1).is_some_and(|next| !is_blank(next)) {
                        out.push(b' ');
                    }
                }
                Mode::Relaxed | Mode::Simple => out.push(*octet),
            }
        }
        lines.push(out);
        let Some(end) = end else { break };
        rest = &rest[end + 2..];
    }
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    if lines.is_empty() && mode == Mode::Simple {
        return b"\r\n".to_vec();
    }
    lines.iter().flat_map(|line| [line.as_slice(), b"\r\n"].concat()).collect()
}

fn hashed(mode: Mode, pieces: &[&[u8]], limit: Option<u64>) -> (Vec<u8>, u64) {
    let mut canon = BodyCanon::new(mode, limit);
    pieces.iter().for_each(|piece| canon.update(piece));
    let (digest, octets) = canon.finish();
    (digest.as_ref().to_vec(), octets)
}

fn check(mode: Mode, body: &[u8], canonical: &[u8]) {
    let want = (digest(&SHA256, canonical).as_ref().to_vec(), canonical.len() as u64);
    let shown = String::from_utf8_lossy(body);
    assert_eq!(hashed(mode, &[body], None), want, "{mode:?} {shown:?}");
    let octets: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(hashed(mode, &octets, None), want, "octet by octet, {mode:?} {shown:?}");
    assert_eq!(expected(mode, body), canonical, "the other way of telling, {mode:?} {shown:?}");
}

#[test]
fn the_examples_of_the_standard() {
    // RFC 6376 §3.4.5.
    let head = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n";
    let body = b" C \r\nD \t E\r\n\r\n\r\n";
    let header = |mode| {
        let mut out = Vec::new();
        for f in Fields::new(head) {
            add_field(&mut out, mode, &head[f.name.clone()], &head[f.value.clone()], &head[f.whole.clone()]);
        }
        out
    };
    assert_eq!(header(Mode::Relaxed), b"a:X\r\nb:Y Z\r\n");
    assert_eq!(header(Mode::Simple), b"A: X\r\nB : Y\t\r\n\tZ  \r\n");
    check(Mode::Relaxed, body, b" C\r\nD E\r\n");
    check(Mode::Simple, body, b" C \r\nD \t E\r\n");
    // §3.4.3 and §3.4.4: the hashes of an empty body.
    use base64::{Engine, engine::general_purpose::STANDARD};
    let base64 = |mode| STANDARD.encode(hashed(mode, &[], None).0);
    assert_eq!(base64(Mode::Simple), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
    assert_eq!(base64(Mode::Relaxed), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

#[test]
fn bodies_at_the_edges() {
    for (body, simple, relaxed) in [
        (&b""[..], &b"\r\n"[..], &b""[..]),
        (b"\r\n", b"\r\n", b""),
        (b"\r\n\r\n\r\n", b"\r\n", b""),
        (b" \t", b" \t\r\n", b""),
        (b" \r\n\t\r\n", b" \r\n\t\r\n", b""),
        (b"x", b"x\r\n", b"x\r\n"),
        (b"x  ", b"x  \r\n", b"x\r\n"),
        (b"x\r\n \r\n", b"x\r\n \r\n", b"x\r\n"),
        (b"\r\n\r\nx\r\n", b"\r\n\r\nx\r\n", b"\r\n\r\nx\r\n"),
        (b".\r\n..\r\n.x", b".\r\n..\r\n.x\r\n", b".\r\n..\r\n.x\r\n"),
        (b"a\t \tb\t\r\n", b"a\t \tb\t\r\n", b"a b\r\n"),
        // Lone CRs and LFs are octets like others.
        (b"a\nb\n", b"a\nb\n\r\n", b"a\nb\n\r\n"),
        (b"a \n", b"a \n\r\n", b"a \n\r\n"),
        (b"a\r", b"a\r\r\n", b"a\r\r\n"),
        (b"a\r\r\n", b"a\r\r\n", b"a\r\r\n"),
        (b"a \r b", b"a \r b\r\n", b"a \r b\r\n"),
        (b"a\r\n\r", b"a\r\n\r\r\n", b"a\r\n\r\r\n"),
        (b"\x00\xff\x0b \x0c\r\n", b"\x00\xff\x0b \x0c\r\n", b"\x00\xff\x0b \x0c\r\n"),
    ] {
        check(Mode::Simple, body, simple);
        check(Mode::Relaxed, body, relaxed);
    }
}

#[test]
fn header_fields_at_the_edges() {
    for (field, relaxed) in [
        (&b"Subject:\r\n"[..], &b"subject:\r\n"[..]),
        (b"Subject: \r\n \t\r\n", b"subject:\r\n"),
        (b"SUBJECT:a\r\n\r\n", b"subject:a\r\n"),
        (b"Subject: a\r\n\t b\r\n  c \t\r\n", b"subject:a b c\r\n"),
        (b"Subject \t:\ta\x0b\xe3\x81\x82", b"subject:a\x0b\xe3\x81\x82\r\n"),
        (b"Subject: a \r b\r\n", b"subject:a \r b\r\n"),
    ] {
        let found = Fields::new(field).next().expect("a field");
        let mut out = Vec::new();
        let part = |range: std::ops::Range<usize>| &field[range];
        add_field(&mut out, Mode::Relaxed, part(found.name), part(found.value), part(found.whole));
        assert_eq!(out, relaxed, "{:?}", String::from_utf8_lossy(field));
    }
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(b"\r\n".to_vec()),
        2 => Just(b" ".to_vec()),
        1 => Just(b"\t".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        3 => prop::collection::vec(any::<u8>(), 1..4),
        1 => Just(vec![b'x'; 5000]),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_body_in_any_pieces_is_the_body(body in octets(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8), limit in prop::option::of(0u64..40)) {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        for mode in [Mode::Simple, Mode::Relaxed] {
            let whole = expected(mode, &body);
            let counted = &whole[..limit.map_or(whole.len(), |limit| whole.len().min(limit as usize))];
            let want = (digest(&SHA256, counted).as_ref().to_vec(), whole.len() as u64);
            prop_assert_eq!(hashed(mode, &pieces, limit), want, "{:?}", mode);
        }
    }
}
