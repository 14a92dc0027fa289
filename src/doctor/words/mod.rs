//! The doctor's words, in English and Japanese: what was seen, why it matters, what to do.
//!
//! In: a finding and a language.  Out: sentences.
//! Always: every variant has its words in both languages (the compiler lists them); what came from elsewhere stands in quotes and is
//! not believed; a long list is cut and says so.
//! Sources: the checks' own; PRODUCT.md for the words of the product.

mod bulk;
mod dmarc;
mod places;
mod receiving;
pub mod records;
mod sending;

use super::finding::{Area, Finding, Level, Report, Seen};
pub use crate::language::Language;

/// The same in both languages, each with the variables that stand in it.
macro_rules! both {
    ($language:expr, $english:literal, $japanese:literal) => {
        match $language {
            $crate::doctor::words::Language::English => format!($english),
            $crate::doctor::words::Language::Japanese => format!($japanese),
        }
    };
}
use both;

/// Parts of a list that are named.
const NAMED_MAX: usize = 8;

/// The area's name, for a heading.
pub fn area(area: Area, language: Language) -> &'static str {
    let (english, japanese) = match area {
        Area::Spf => ("SPF", "SPF"),
        Area::Dkim => ("DKIM", "DKIM"),
        Area::Dmarc => ("DMARC", "DMARC"),
        Area::Address => ("Our addresses", "送信元アドレス"),
        Area::Domain => ("Header-From domain", "ヘッダー From のドメイン"),
        Area::Inlet => ("What comes back", "戻ってくるメールと通知"),
        Area::Sts => ("MTA-STS (as a receiver)", "MTA-STS（受信側として）"),
        Area::TlsRpt => ("TLS reports (as a receiver)", "TLS レポート（受信側として）"),
        Area::Dane => ("DANE (as a receiver)", "DANE（受信側として）"),
        Area::Bimi => ("BIMI", "BIMI"),
        Area::Blocklist => ("Blocklists", "ブロックリスト"),
        Area::Bulk => ("Rules for bulk senders", "一括送信者の要件"),
    };
    match language {
        Language::English => english,
        Language::Japanese => japanese,
    }
}

/// The level's name.
pub fn level(level: Level, language: Language) -> &'static str {
    let (english, japanese) = match level {
        Level::Ok => ("ok", "正常"),
        Level::Note => ("note", "参考"),
        Level::Warning => ("warning", "警告"),
        Level::Error => ("error", "エラー"),
    };
    match language {
        Language::English => english,
        Language::Japanese => japanese,
    }
}

/// The verdict on a domain in one sentence.
pub fn verdict(report: &Report, language: Language) -> String {
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    let unanswered = report.findings.iter().filter(|f| f.is_unanswered()).count();
    let domain = &report.domain;
    let mut words = match (errors, warnings) {
        (0, 0) => both!(
            language,
            "{domain}: nothing is wrong with what could be looked at.",
            "{domain}：確認できた範囲に問題はありません。"
        ),
        (0, w) => both!(
            language,
            "{domain}: no errors, warnings: {w}. Mail is delivered, and some receivers will mind.",
            "{domain}：エラーはなく、警告が {w} 件あります。メールは届きますが、一部の受信側で不利になります。"
        ),
        (e, w) => both!(
            language,
            "{domain}: errors: {e}, warnings: {w}. Mail of this domain, or to it, is refused or lost, or will be.",
            "{domain}：エラーが {e} 件、警告が {w} 件あります。このドメインのメールが拒否されるか失われているか、そのおそれがあります。"
        ),
    };
    if unanswered > 0 {
        words += &both!(
            language,
            " The DNS did not answer everything ({unanswered}): there nothing is claimed.",
            "DNS から回答がなかった項目が {unanswered} 件あり、それらについては判断していません。"
        );
    }
    words
}

/// What was seen.
pub fn seen(finding: &Finding, language: Language) -> String {
    let subject = &finding.subject;
    match &finding.seen {
        Seen::Unanswered { asked, why, .. } => both!(
            language,
            "The question {asked} was not answered ({why}), so nothing is said about it.",
            "問い合わせ {asked} に回答がありませんでした（「{why}」）。この項目については判断していません。"
        ),
        Seen::Spf(seen) => sending::spf_seen(seen, subject, language),
        Seen::Dkim(seen) => sending::dkim_seen(seen, subject, language),
        Seen::Dmarc(seen) => dmarc::seen(seen, subject, language),
        Seen::Address(seen) => places::address_seen(seen, subject, language),
        Seen::Domain(seen) => places::domain_seen(seen, subject, language),
        Seen::Inlet(seen) => places::inlet_seen(seen, subject, language),
        Seen::Blocklist(seen) => places::blocklist_seen(seen, subject, language),
        Seen::Sts(seen) => receiving::sts_seen(seen, subject, language),
        Seen::TlsRpt(seen) => receiving::tls_rpt_seen(seen, subject, language),
        Seen::Dane(seen) => receiving::dane_seen(seen, subject, language),
        Seen::Bimi(seen) => receiving::bimi_seen(seen, subject, language),
        Seen::Bulk(seen) => bulk::seen(seen, language),
    }
}

/// Why it matters.
pub fn why(finding: &Finding, language: Language) -> String {
    match &finding.seen {
        Seen::Unanswered { .. } => both!(
            language,
            "A receiver that gets no answer either puts mail off, or treats it as not authenticated.",
            "受信側でも回答が得られない場合、メールは一時的に拒否されるか、認証されていないものとして扱われます。"
        ),
        Seen::Spf(seen) => sending::spf_why(seen, language),
        Seen::Dkim(seen) => sending::dkim_why(seen, language),
        Seen::Dmarc(seen) => dmarc::why(seen, language),
        Seen::Address(seen) => places::address_why(seen, language),
        Seen::Domain(seen) => places::domain_why(seen, language),
        Seen::Inlet(seen) => places::inlet_why(seen, language),
        Seen::Blocklist(seen) => places::blocklist_why(seen, language),
        Seen::Sts(seen) => receiving::sts_why(seen, language),
        Seen::TlsRpt(_) => receiving::tls_rpt_why(language),
        Seen::Dane(_) => receiving::dane_why(language),
        Seen::Bimi(_) => receiving::bimi_why(language),
        Seen::Bulk(seen) => bulk::why(seen, language),
    }
}

/// What to do; empty: nothing. The records to publish stand in the finding.
pub fn fix(finding: &Finding, language: Language) -> String {
    if finding.level == Level::Ok {
        return String::new();
    }
    let subject = &finding.subject;
    match &finding.seen {
        Seen::Unanswered { .. } => both!(
            language,
            "Look again later; if it stays so, see whether the zone's name servers and the resolvers of [dns] answer.",
            "時間をおいて再度確認してください。続く場合は、ゾーンの権威サーバーと [dns] のリゾルバーが応答するか確認してください。"
        ),
        Seen::Spf(seen) => sending::spf_fix(seen, subject, language),
        Seen::Dkim(seen) => sending::dkim_fix(seen, subject, language),
        Seen::Dmarc(seen) => dmarc::fix(seen, language),
        Seen::Address(seen) => places::address_fix(seen, subject, language),
        Seen::Domain(seen) => places::domain_fix(seen, language),
        Seen::Inlet(seen) => places::inlet_fix(seen, subject, language),
        Seen::Blocklist(seen) => places::blocklist_fix(seen, language),
        Seen::Sts(seen) => receiving::sts_fix(seen, subject, language),
        Seen::TlsRpt(seen) => receiving::tls_rpt_fix(seen, language),
        Seen::Dane(seen) => receiving::dane_fix(seen, language),
        Seen::Bimi(seen) => receiving::bimi_fix(seen, language),
        Seen::Bulk(seen) => bulk::fix(seen, language),
    }
}

/// A list of what others wrote: in Japanese each stands in quotes.
fn quotes(parts: &[String], language: Language) -> String {
    match language {
        Language::English => list(parts, language),
        Language::Japanese => list(&parts.iter().map(|part| format!("「{part}」")).collect::<Vec<_>>(), language),
    }
}

/// A list for a sentence, cut where it is long.
fn list<T: ToString>(parts: &[T], language: Language) -> String {
    let named: Vec<String> = parts.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let separator = match language {
        Language::English => ", ",
        Language::Japanese => "、",
    };
    let mut words = named.join(separator);
    if parts.len() > NAMED_MAX {
        let more = parts.len() - NAMED_MAX;
        words += &both!(language, " and {more} more", " ほか {more} 件");
    }
    words
}
