//! Decides which forwarding filters take a mail, and what becomes of its envelope.
//!
//! In: the filters of the config, a header's watched fields.  Out: the filters that match; a changed envelope.
//! Always: filters of the other side are not looked at; each adds at most one recipient; nothing here changes the mail
//! itself (R8).
//! Sources: cmc.md §12.5; config.md `[[forward]]`.

use crate::{
    config::{Forward, ForwardMode, ForwardSide, inbound::same_address},
    mail::watched::Watched,
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, Notify, RcptParams},
    },
};

/// Recipients that filters add to a mail at most.
pub const COPIES_MAX: usize = 10;

/// A filter that takes a mail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The filter's name.
    pub name: String,
    /// Who gets the mail.
    pub to: Mailbox,
    /// As well, or instead.
    pub mode: ForwardMode,
}

/// The filters of a side that take a mail, in the order of the config.
pub fn taken_by(filters: &[Forward], side: ForwardSide, watched: &Watched) -> Vec<Taken> {
    let matches = |filter: &&Forward| {
        filter.side == side && watched.values(&filter.header).iter().any(|value| filter.pattern.is_match(value))
    };
    let taken = |filter: &Forward| {
        let to = Mailbox::parse(&filter.to).ok()?;
        Some(Taken { name: filter.name.clone(), to, mode: filter.mode })
    };
    filters.iter().filter(matches).filter_map(taken).collect()
}

/// Changes the envelope of a mail that is sent: the first filter that rewrites replaces its recipients, those that copy add
/// one each. Answers the filters that had an effect.
pub fn apply(taken: Vec<Taken>, envelope: &mut Envelope) -> Vec<Taken> {
    let mut applied = Vec::new();
    if let Some(rewrite) = taken.iter().find(|taken| taken.mode == ForwardMode::Rewrite) {
        envelope.recipients = vec![EnvelopeRecipient { address: rewrite.to.clone(), params: RcptParams::default() }];
        applied.push(rewrite.clone());
    }
    for copy in taken.into_iter().filter(|taken| taken.mode == ForwardMode::Copy) {
        let is_there = envelope.recipients.iter().any(|r| same_address(copy.to.as_str(), &r.address));
        if is_there || applied.len() >= COPIES_MAX {
            continue;
        }
        // The submitter does not know of the copy: nobody tells it what becomes of it.
        let params = RcptParams { notify: Notify { given: true, ..Notify::default() }, orcpt: None };
        envelope.recipients.push(EnvelopeRecipient { address: copy.to.clone(), params });
        applied.push(copy);
    }
    applied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mail::{header, watched::Watch},
        smtp::params::MailParams,
    };

    fn filter(name: &str, side: ForwardSide, header: &str, pattern: &str, mode: ForwardMode) -> Forward {
        let pattern = regex::RegexBuilder::new(pattern).case_insensitive(true).build().expect("a pattern");
        Forward { name: name.into(), side, header: header.into(), pattern, to: format!("{name}@f.example"), mode }
    }

    fn names(filters: &[Forward], side: ForwardSide, head: &[u8]) -> Vec<String> {
        let watch = Watch::of(filters.iter().map(|f| f.header.as_str()));
        let (_, watched) = header::scan_watching(head, "", &watch);
        taken_by(filters, side, &watched).into_iter().map(|taken| taken.name).collect()
    }

    #[test]
    fn filters_match_decoded_values_of_their_side_in_order() {
        use ForwardMode::{Copy, Rewrite};
        use ForwardSide::{Inbound, Relay};
        let filters = [
            filter("one", Relay, "Subject", "請求書", Copy),
            filter("two", Relay, "x-tag", "^a$", Rewrite),
            filter("three", Inbound, "Subject", ".", Copy),
            filter("four", Relay, "Subject", "^$", Copy),
        ];
        for (head, expected) in [
            (&b"Subject: =?UTF-8?B?6KuL5rGC5pu4?= 7\r\nX-TAG: b\r\nX-Tag: A\r\n\r\n"[..], vec!["one", "two"]),
            (b"Subject: \x1b$B@A5a=q\x1b(B\r\n\r\n", vec!["one"]),
            ("Subject: 請求\r\n 書\r\n\r\n".as_bytes(), vec![]),
            ("Subject: 請求書\r\n\r\n".as_bytes(), vec!["one"]),
            (b"Subject: \r\n\r\n", vec!["four"]),
            (b"Other: a\r\n\r\nX-Tag: a\r\n", vec![]),
            (b"Subject: =?UTF-8?B?6KuL5rGC5p\xff\r\n\r\n", vec![]),
            (b"", vec![]),
        ] {
            assert_eq!(names(&filters, Relay, head), expected, "{:?}", String::from_utf8_lossy(head));
        }
        assert_eq!(names(&filters, Inbound, b"Subject: x\r\n\r\n"), ["three"]);
    }

    #[test]
    fn copies_are_added_and_the_first_rewrite_replaces() {
        let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
        let taken = |name: &str, to: &str, mode| Taken { name: name.into(), to: mailbox(to), mode };
        let (copy, rewrite) = (ForwardMode::Copy, ForwardMode::Rewrite);
        for (given, recipients, applied) in [
            (vec![], vec!["a@b.example", "c@d.example"], vec![]),
            (vec![taken("x", "x@f.example", copy)], vec!["a@b.example", "c@d.example", "x@f.example"], vec!["x"]),
            (vec![taken("x", "A@B.example", copy)], vec!["a@b.example", "c@d.example"], vec![]),
            (
                vec![
                    taken("x", "x@f.example", copy),
                    taken("y", "y@f.example", rewrite),
                    taken("z", "z@f.example", rewrite),
                ],
                vec!["y@f.example", "x@f.example"],
                vec!["y", "x"],
            ),
        ] {
            let of = |address: &str| EnvelopeRecipient { address: mailbox(address), params: RcptParams::default() };
            let mut envelope = Envelope {
                sender: None,
                params: MailParams::default(),
                recipients: vec![of("a@b.example"), of("c@d.example")],
            };
            let names: Vec<String> = apply(given, &mut envelope).into_iter().map(|taken| taken.name).collect();
            let left: Vec<&str> = envelope.recipients.iter().map(|r| r.address.as_str()).collect();
            assert_eq!((left, names), (recipients, applied.into_iter().map(str::to_owned).collect()));
        }
        let many = (0..50).map(|n| taken("x", &format!("x{n}@f.example"), copy)).collect();
        let mut envelope = Envelope { sender: None, params: MailParams::default(), recipients: Vec::new() };
        assert_eq!(apply(many, &mut envelope).len(), COPIES_MAX);
        assert_eq!(envelope.recipients.len(), COPIES_MAX);
    }
}
