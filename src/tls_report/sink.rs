//! Intake's way to the receiver: mail to `[tls_report] address` is read and kept, and its sender hears what became of it.
//!
//! Always: whom the header names as the reporter counts among what the mail must be from; nothing is refused for that.
//! Sources: RFC 8460 §5.3 (Submitter in the subject, TLS-Report-Submitter).

use std::{future::Future, pin::Pin};

use super::{
    Memory,
    receive::{Provenance, Receiver, Refused},
};
use crate::{
    authres::results::Claim,
    intake::sink::{InboundMail, REPORT_OCTETS_MAX, Refusal, Sink},
    mail::header::Fields,
};

/// The field that names the reporter.
const SUBMITTER_HEADER: &str = "TLS-Report-Submitter";
/// The word before the reporter in a subject.
const SUBMITTER_WORD: &str = "submitter:";
/// Claims of a header that are looked at.
const CLAIMS_MAX: usize = 4;

/// Whom the header names as the reporter.
fn submitters(mail: &InboundMail<'_>) -> Vec<Claim> {
    let head = mail.head();
    let fields = Fields::new(head)
        .filter(|field| head[field.name.clone()].eq_ignore_ascii_case(SUBMITTER_HEADER.as_bytes()))
        .filter_map(|field| std::str::from_utf8(&head[field.value]).ok());
    let subject = mail.facts.subject.as_str();
    let lower = subject.to_ascii_lowercase();
    let named = lower.find(SUBMITTER_WORD).map(|at| &subject[at + SUBMITTER_WORD.len()..]);
    let named = named.and_then(|rest| rest.split_whitespace().next());
    fields.chain(named).filter_map(Claim::name).take(CLAIMS_MAX).collect()
}

impl<M: Memory> Sink for Receiver<M> {
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(async move {
            // It may have come along with mail for an inlet that takes more.
            if mail.body.len() as u64 > REPORT_OCTETS_MAX {
                return Err(Refusal::NotTaken(format!("a report of {} octets", mail.body.len())));
            }
            let from =
                mail.results.map(|results| Provenance { results: results.clone(), submitters: submitters(&mail) });
            Receiver::take(self, mail.body.clone(), from).await.map_err(|refused| match refused {
                Refused::Store(error) => Refusal::Later(error.to_string()),
                Refused::NoReport(_) | Refused::Period(_) | Refused::TooMany => Refusal::NotTaken(refused.to_string()),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::{
        authres::results::{Aligned, DmarcResult, DmarcWord, Mark, Results},
        clock::{Clock, Timestamp},
        dmarc::record::{Mode, Policy},
        intake::inlets::Inlet,
        smtp::address::Mailbox,
        tls_report::fake::RamMemos,
    };

    #[test]
    fn a_report_mail_is_kept_and_other_mail_is_refused() {
        // 2026-11-24T13:35:10Z.
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let receiver = Receiver::new(RamMemos::default(), clock, Arc::default());
        let to = [(Mailbox::parse("tls@relay.example.jp").expect("an address"), Inlet::TlsReport)];
        let facts = Default::default();
        let take = |body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            smol::block_on(Sink::take(&receiver, InboundMail::of(&body, &facts, &to)))
        };
        let report = "Subject: Report Domain: example.jp\r\nContent-Type: application/tlsrpt+json\r\n\r\n\
             {\"organization-name\":\"X\",\"report-id\":\"r\",\"date-range\":{\"start-datetime\":\"2026-11-23T00:00:00Z\"}}\r\n";
        assert_eq!(take(report), Ok(()));
        assert_eq!(take(report), Ok(()), "again is no news, and no fault");
        assert!(matches!(take("Subject: hello\r\n\r\nhello\r\n"), Err(Refusal::NotTaken(_))));
        assert_eq!(receiver.list("", None, 10).expect("the store works").reports.len(), 1);
    }

    #[test]
    fn reports_are_marked_and_a_forged_one_keeps_no_true_one_out() {
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let receiver = Receiver::new(RamMemos::default(), clock, Arc::default());
        let to = [(Mailbox::parse("tls@relay.example.jp").expect("an address"), Inlet::TlsReport)];
        let proven = |from: &str| Results {
            dmarc: DmarcResult {
                result: DmarcWord::Pass,
                from: from.to_owned(),
                organizational_domain: from.to_owned(),
                policy_domain: from.to_owned(),
                policy: Policy::Reject,
                aligned: vec![Aligned { by: "dkim", domain: from.to_owned(), mode: Mode::Relaxed }],
                why: String::new(),
            },
            ..Results::default()
        };
        let spoofed = Results {
            dmarc: DmarcResult { result: DmarcWord::Fail, aligned: Vec::new(), ..proven("reporter.example").dmarc },
            ..Results::default()
        };
        let mark = |results: &Results, submitter: &str| {
            let body = format!(
                "Subject: Report Domain: example.jp Submitter: {submitter} Report-ID: <1>\r\n\
                 Content-Type: application/tlsrpt+json\r\n\r\n\
                 {{\"organization-name\":\"Reporter Inc.\",\"contact-info\":\"tls@reporter.example\",\"report-id\":\"r\",\
                 \"date-range\":{{\"start-datetime\":\"2026-11-23T00:00:00Z\"}}}}\r\n"
            );
            let body = Bytes::from(body);
            let facts = crate::mail::header::scan_watching(&body[..body.len().min(160)], "", &Default::default());
            let mail = InboundMail { results: Some(results), ..InboundMail::of(&body, &facts, &to) };
            assert_eq!(smol::block_on(Sink::take(&receiver, mail)), Ok(()));
            let kept = receiver.list("", None, 10).expect("the store works").reports;
            assert_eq!(kept.len(), 1);
            kept[0].1.mark.clone().expect("a mark").mark
        };
        // First what somebody else sent in its name; then the true one, which stays.
        assert_eq!(mark(&spoofed, "reporter.example"), Mark::Forged);
        assert_eq!(mark(&Results::default(), "reporter.example"), Mark::Forged, "nothing better came");
        assert_eq!(mark(&proven("reporter.example"), "reporter.example"), Mark::Verified);
        assert_eq!(mark(&spoofed, "reporter.example"), Mark::Verified);
        assert_eq!(mark(&proven("evil.example"), "reporter.example"), Mark::Verified);
    }
}
