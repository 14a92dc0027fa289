//! Intake's way to the receiver: mail to `[tls_report] address` is read and kept, and its sender hears what became of it.

use std::{future::Future, pin::Pin};

use super::{
    Memory,
    receive::{Receiver, Refused},
};
use crate::intake::sink::{InboundMail, REPORT_OCTETS_MAX, Refusal, Sink};

impl<M: Memory> Sink for Receiver<M> {
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(async move {
            // It may have come along with mail for an inlet that takes more.
            if mail.body.len() as u64 > REPORT_OCTETS_MAX {
                return Err(Refusal::NotTaken(format!("a report of {} octets", mail.body.len())));
            }
            Receiver::take(self, mail.body.clone()).await.map_err(|refused| match refused {
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
        clock::{Clock, Timestamp},
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
}
