//! What is kept of DMARC reports: a report in short, its rows in pieces, and the keys under which both stand.
//!
//! In: a report's facts and rows.  Out: octets and keys; and back.
//! Always: keys begin with the domain's labels from the right (`jp.example`), so that a domain, the names below it and a span of
//! its days are each one range; a piece holds at most [`PIECE_OCTETS_MAX`] before it is packed, so that unpacking is bounded; the
//! same rows always make the same pieces.
//! Sources: RFC 9990 §3, RFC 1952 (pieces are gzip).

use std::{
    io::{Read, Write},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::report::{self, AuthResult, ReasonKind};
use crate::{
    mail::inflate,
    when::{day_name, day_named},
};

/// Octets of a piece before it is packed: a memo may have 256 KiB, and what cannot be packed grows a little.
pub const PIECE_OCTETS_MAX: usize = 200 << 10;
/// Signatures of a row that are kept: mail has one to three.
pub const SIGNATURES_MAX: usize = 5;

/// Whether a report is its sender's word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Its mail says to be from a domain that does not know it, and whose policy refuses such mail.
    Forged,
    /// Nothing proves the domain that its mail says to be from.
    Unverified,
    /// The DNS did not say in time.
    Unknown,
    /// Its mail passed DMARC for the domain that it says to be from.
    Verified,
    /// Somebody who may change things here brought it, and vouches for it.
    Imported,
}

impl Mark {
    /// Its reports are summed up where nothing else is asked for.
    pub fn counts(self) -> bool {
        match self {
            Mark::Verified | Mark::Imported => true,
            Mark::Forged | Mark::Unverified | Mark::Unknown => false,
        }
    }

    /// A report takes the place of the same one only where it is worth more.
    pub fn worth(self) -> u8 {
        match self {
            Mark::Forged => 0,
            Mark::Unverified | Mark::Unknown => 1,
            Mark::Verified | Mark::Imported => 2,
        }
    }

    /// The word in rows and tables.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Forged => "forged",
            Mark::Unverified => "unverified",
            Mark::Unknown => "unknown",
            Mark::Verified => "verified",
            Mark::Imported => "imported",
        }
    }
}

/// How a report came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By mail.
    Mail,
    /// By the command line.
    File,
    /// By the API.
    Api,
}

impl By {
    /// The word in rows and tables.
    pub fn word(self) -> &'static str {
        match self {
            By::Mail => "mail",
            By::File => "file",
            By::Api => "api",
        }
    }
}

/// The policy that a report's sender found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptPolicy {
    /// For the domain itself.
    pub p: String,
    /// For names below it; empty: not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sp: String,
    /// For names below it that do not exist; empty: not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub np: String,
    /// Alignment of DKIM, `r` or `s`; empty: not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub adkim: String,
    /// Alignment of SPF.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub aspf: String,
    /// `y`: testing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub testing: String,
    /// The share of mail that it is for, in old reports.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pct: String,
}

/// How many mails, and what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Mails.
    pub messages: u64,
    /// An aligned DKIM signature passed.
    pub dkim: u64,
    /// SPF passed for an aligned domain.
    pub spf: u64,
    /// One of the two: they passed DMARC.
    pub aligned: u64,
    /// Neither: they failed.
    pub spoofed: u64,
    /// Failed, and the receiver says that they were forwarded or came by a mailing list.
    pub forwarded: u64,
    /// Delivered as if there were no policy.
    pub none: u64,
    /// Put aside as junk.
    pub quarantine: u64,
    /// Refused.
    pub reject: u64,
}

impl Tally {
    /// Adds a row.
    pub fn add_row(&mut self, row: &KeptRow) {
        let n = row.count;
        let add = |to: &mut u64, yes: bool| *to = if yes { to.saturating_add(n) } else { *to };
        let aligned = row.dkim || row.spf;
        add(&mut self.messages, true);
        add(&mut self.dkim, row.dkim);
        add(&mut self.spf, row.spf);
        add(&mut self.aligned, aligned);
        add(&mut self.spoofed, !aligned);
        add(&mut self.forwarded, !aligned && row.is_forwarded());
        add(&mut self.none, row.disposition == Disposition::None);
        add(&mut self.quarantine, row.disposition == Disposition::Quarantine);
        add(&mut self.reject, row.disposition == Disposition::Reject);
    }

    /// Adds another.
    pub fn add(&mut self, other: &Tally) {
        let pairs = [
            (&mut self.messages, other.messages),
            (&mut self.dkim, other.dkim),
            (&mut self.spf, other.spf),
            (&mut self.aligned, other.aligned),
            (&mut self.spoofed, other.spoofed),
            (&mut self.forwarded, other.forwarded),
            (&mut self.none, other.none),
            (&mut self.quarantine, other.quarantine),
            (&mut self.reject, other.reject),
        ];
        for (to, n) in pairs {
            *to = to.saturating_add(n);
        }
    }
}

/// A report in short: what is known of it without its rows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptReport {
    /// The domain whose policy was applied, in lower case.
    pub domain: String,
    /// Who reports.
    pub organization: String,
    /// Its id.
    pub report_id: String,
    /// Whom to ask.
    pub contact: String,
    /// Begin of its period, RFC 3339: the day (UTC) of all of its rows.
    pub begin: String,
    /// End of its period.
    pub end: String,
    /// When it came in, RFC 3339.
    pub received_at: String,
    /// How.
    pub by: By,
    /// Whether it is its sender's word.
    pub mark: Mark,
    /// The domain of its mail's From field; empty: it came otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Why the mark is what it is, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The policy that was found.
    pub policy: KeptPolicy,
    /// Its rows.
    pub rows: u64,
    /// What they say.
    pub tally: Tally,
    /// What its sender says went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// The name of its pieces.
    pub group: String,
    /// How many there are.
    pub pieces: u32,
}

/// What became of a mail at its receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Disposition {
    /// Nothing was done to it, or it passed.
    #[default]
    #[serde(rename = "n")]
    None,
    /// It was put aside.
    #[serde(rename = "q")]
    Quarantine,
    /// It was refused.
    #[serde(rename = "r")]
    Reject,
}

/// One row of a report. The names are short: there are millions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptRow {
    /// The address that the mails came from.
    #[serde(rename = "i")]
    pub source: IpAddr,
    /// Mails.
    #[serde(rename = "n")]
    pub count: u64,
    /// What became of them.
    #[serde(rename = "d")]
    pub disposition: Disposition,
    /// An aligned signature passed.
    #[serde(rename = "k")]
    pub dkim: bool,
    /// SPF passed, aligned.
    #[serde(rename = "s")]
    pub spf: bool,
    /// The From field's domain, in lower case.
    #[serde(rename = "f")]
    pub header_from: String,
    /// The envelope sender's domain; empty: not said.
    #[serde(rename = "e", default, skip_serializing_if = "String::is_empty")]
    pub envelope_from: String,
    /// Why the receiver did otherwise than the policy says.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<ReasonKind>,
    /// Signatures: domain, selector, result.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<(String, String, AuthResult)>,
    /// SPF: domain, result.
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    pub spf_results: Vec<(String, AuthResult)>,
}

impl KeptRow {
    /// A row as it is kept: without words for people, and with so many signatures at most.
    pub fn of(row: report::Row) -> Self {
        let mut reasons: Vec<ReasonKind> = row.reasons.into_iter().map(|reason| reason.kind).collect();
        reasons.dedup();
        KeptRow {
            source: row.source_ip,
            count: row.count,
            disposition: match row.disposition {
                report::Disposition::None | report::Disposition::Pass | report::Disposition::Unknown => {
                    Disposition::None
                }
                report::Disposition::Quarantine => Disposition::Quarantine,
                report::Disposition::Reject => Disposition::Reject,
            },
            dkim: row.dkim_aligned,
            spf: row.spf_aligned,
            header_from: row.header_from,
            envelope_from: row.envelope_from,
            reasons,
            signatures: row.dkim.into_iter().take(SIGNATURES_MAX).map(|d| (d.domain, d.selector, d.result)).collect(),
            spf_results: row.spf.into_iter().take(SIGNATURES_MAX).map(|s| (s.domain, s.result)).collect(),
        }
    }

    /// The receiver says that somebody between had changed the way (RFC 9990 §3.1.1.4).
    pub fn is_forwarded(&self) -> bool {
        let by_others = |r: &ReasonKind| {
            matches!(r, ReasonKind::Forwarded | ReasonKind::MailingList | ReasonKind::TrustedForwarder)
        };
        self.reasons.iter().any(by_others)
    }
}

/// Rows as pieces.
pub fn pieces(rows: &[KeptRow]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut plain: Vec<u8> = Vec::new();
    for row in rows {
        let before = plain.len();
        serde_json::to_writer(&mut plain, row).expect("texts and numbers have a form in JSON");
        plain.push(b'\n');
        if plain.len() > PIECE_OCTETS_MAX && before > 0 {
            let last = plain.split_off(before);
            all.push(packed(&plain));
            plain = last;
        }
    }
    if !plain.is_empty() {
        all.push(packed(&plain));
    }
    all
}

/// Below this, packing saves nothing worth its time.
const PACKED_MIN: usize = 512;

fn packed(plain: &[u8]) -> Vec<u8> {
    if plain.len() < PACKED_MIN {
        return plain.to_vec();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 8), flate2::Compression::fast());
    encoder.write_all(plain).expect("a vector takes every octet");
    encoder.finish().expect("a vector takes every octet")
}

/// Hands each row of a piece over; what cannot be read is passed over, and counted in the answer.
pub fn each_row(piece: &[u8], each: &mut dyn FnMut(KeptRow)) -> u64 {
    let mut plain = Vec::new();
    let plain: &[u8] = if inflate::is_gzip(piece) {
        // One row may be larger than a piece should be: no row has more than the reader lets through.
        let read = flate2::read::GzDecoder::new(piece).take(4 * PIECE_OCTETS_MAX as u64).read_to_end(&mut plain);
        if read.is_err() {
            return 1;
        }
        &plain
    } else {
        piece
    };
    let mut unread = 0;
    for line in plain.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(row) => each(row),
            Err(_) => unread += 1,
        }
    }
    unread
}

/// `mail.example.jp` as keys have it: `jp.example.mail`.
pub fn reversed(domain: &str) -> String {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let plain = |c: char| if c.is_ascii_graphic() && c != '/' { c } else { '_' };
    let labels: Vec<&str> = domain.rsplit('.').collect();
    labels.join(".").chars().map(plain).collect()
}

/// The domain at the start of a key, as people write it; `None`: the key is of another sort.
pub fn domain_of_key(key: &str) -> Option<String> {
    let (reversed, _) = key.split_once('/')?;
    let labels: Vec<&str> = reversed.rsplit('.').collect();
    Some(labels.join("."))
}

/// The day in a key.
pub fn day_of_key(key: &str) -> Option<u32> {
    let name = key.split('/').nth(1)?;
    day_named(name)
}

/// The key of a report: its domain, its day, and the fingerprint of organisation and id.
pub fn report_key(domain: &str, day: u32, fingerprint: &str) -> String {
    format!("{}/{}/{fingerprint}", reversed(domain), day_name(day))
}

/// The key of a piece.
pub fn piece_key(domain: &str, day: u32, group: &str, piece: u32) -> String {
    format!("{}/{}/{group}/{piece:06}", reversed(domain), day_name(day))
}

/// The group and number of a piece.
pub fn group_of_key(key: &str) -> Option<(&str, u32)> {
    let mut parts = key.split('/').skip(2);
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

/// A failure report in short.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptFailure {
    /// The domain that it is about.
    pub domain: String,
    /// When the mail arrived at its receiver, RFC 3339; else when the report came.
    pub at: String,
    /// When it came in.
    pub received_at: String,
    /// Who reports, as its mail says.
    pub reporter: String,
    /// The mark's word.
    pub mark: String,
    /// The address that the mail came from.
    pub source: String,
    /// What failed: `dmarc`, `dkim`, `spf` …
    pub failure: String,
    /// What became of the mail.
    pub delivery: String,
    /// The mail's From field.
    pub header_from: String,
    /// Its envelope sender.
    pub envelope_from: String,
    /// Its subject.
    pub subject: String,
    /// Its Message-ID.
    pub message_id: String,
    /// What the receiver found, as it said it.
    pub results: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn row(source: &str, count: u64) -> KeptRow {
        KeptRow {
            source: source.parse().expect("an address"),
            count,
            disposition: Disposition::None,
            dkim: true,
            spf: false,
            header_from: "example.jp".into(),
            envelope_from: String::new(),
            reasons: Vec::new(),
            signatures: vec![("example.jp".into(), "s1".into(), AuthResult::Pass)],
            spf_results: Vec::new(),
        }
    }

    #[test]
    fn rows_come_back_from_their_pieces_in_order() {
        for count in [0usize, 1, 3, 5_000] {
            let rows: Vec<KeptRow> =
                (0..count).map(|n| row(&format!("10.0.{}.{}", n / 250, n % 250), n as u64)).collect();
            let pieces = pieces(&rows);
            assert!(pieces.iter().all(|p| p.len() <= crate::store::MEMO_OCTETS_MAX));
            assert_eq!(pieces.is_empty(), rows.is_empty());
            let mut back = Vec::new();
            for piece in &pieces {
                assert_eq!(each_row(piece, &mut |row| back.push(row)), 0);
            }
            assert_eq!(back, rows);
            assert_eq!(super::pieces(&rows), pieces, "the same rows, the same pieces");
        }
        let long = KeptRow { envelope_from: "x".repeat(PIECE_OCTETS_MAX), ..row("10.0.0.1", 1) };
        let some = [row("10.0.0.2", 2), long.clone(), long, row("10.0.0.3", 3)];
        let mut n = 0;
        for piece in pieces(&some) {
            each_row(&piece, &mut |_| n += 1);
        }
        assert_eq!(n, 4);
        assert_eq!(each_row(b"nonsense\n{\"i\":1}\n", &mut |_| panic!("no row")), 2);
        assert_eq!(each_row(&[0x1f, 0x8b, 0, 1], &mut |_| panic!("no row")), 1);
    }

    #[test]
    fn keys_put_a_domain_and_what_is_below_it_side_by_side() {
        assert_eq!(report_key("Mail.Example.jp.", 20_781, "ab"), "jp.example.mail/2026-11-24/ab");
        let key = piece_key("example.jp", 20_781, "0f", 12);
        assert_eq!(key, "jp.example/2026-11-24/0f/000012");
        assert_eq!((domain_of_key(&key).as_deref(), day_of_key(&key)), (Some("example.jp"), Some(20_781)));
        assert_eq!(group_of_key(&key), Some(("0f", 12)));
        assert_eq!(reversed("a/b\u{7}.飛"), "_.a_b_");
        assert_eq!((day_of_key("jp/x/y"), day_of_key("jp"), group_of_key("jp/2026-11-24/x")), (None, None, None));
    }

    #[test]
    fn a_tally_counts_each_mail_once_as_passed_or_failed() {
        let mut tally = Tally::default();
        tally.add_row(&row("10.0.0.1", 5));
        let failed = KeptRow {
            dkim: false,
            disposition: Disposition::Reject,
            reasons: vec![ReasonKind::MailingList],
            ..row("10.0.0.1", 2)
        };
        tally.add_row(&failed);
        tally.add_row(&KeptRow { spf: true, count: u64::MAX, ..failed });
        assert_eq!((tally.messages, tally.dkim, tally.spoofed, tally.forwarded), (u64::MAX, 5, 2, 2));
        assert_eq!((tally.none, tally.reject), (5, u64::MAX));
        let mut sum = Tally::default();
        sum.add(&tally);
        assert_eq!(sum, tally);
    }
}
