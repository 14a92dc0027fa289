//! Intake's way to the keeper: mail to `[bounce] report_address` is read and kept, and its sender hears what became of it.
//!
//! In: a mail that came in.  Out: kept reports; a person's mail for postmaster; yes or no.
//! Always: yes comes only after all of it is on disk (P1); what is no report is refused with a sentence that says why; a mail
//! without any report goes to postmaster, where there is one: people answer to whatever address they see; what a report is
//! worth is found out from its mail, never from what it says; few mails are read at once, since each may be large when unpacked.
//! Sources: RFC 9990 §4 and §5.2; RFC 9991; RFC 8460 §5.3 (TLS reports come here, too).

use std::{future::Future, pin::Pin, sync::Arc};

use smol::lock::Semaphore;

use super::{
    keep::{Became, Keeper, Kind, Memory, Origin, Refused, Taken, Weighed},
    row::{By, Mark},
};
use crate::{
    authres::{self, Claim, Results},
    intake::{
        inlets::Inlet,
        sink::{InboundMail, Refusal, Sink},
    },
    smtp::reply::{Enhanced, Reply},
    store::Store,
};

/// Mails that are read at once: each may unpack to many megabytes, and costs a core for as long.
const READERS_MAX: usize = 2;
/// Characters of a reason that a peer hears.
const REASON_MAX: usize = 200;

/// What takes mail to the report address.
pub struct ReportSink<M = Store> {
    keeper: Keeper<M>,
    /// Where a person's mail goes.
    mailroom: Arc<dyn Sink>,
    readers: Semaphore,
}

impl<M: Memory> ReportSink<M> {
    /// A sink before this keeper.
    pub fn new(keeper: Keeper<M>, mailroom: Arc<dyn Sink>) -> Self {
        ReportSink { keeper, mailroom, readers: Semaphore::new(READERS_MAX) }
    }

    async fn serve(&self, mail: InboundMail<'_>) -> Result<(), Refusal> {
        let _reading = self.readers.acquire().await;
        let origin = origin(&mail);
        let (keeper, body) = (self.keeper.clone(), mail.body.clone());
        let taken = smol::unblock(move || keeper.take(&body, &origin)).await;
        match taken {
            Ok(taken) => {
                taken.iter().for_each(|one| tell(&mail, one));
                let is_any_kept = taken.iter().any(|one| one.became != Became::Refused);
                match taken.into_iter().find(|one| !one.why.is_empty()) {
                    Some(refused) if !is_any_kept => Err(no(&refused.why)),
                    Some(_) | None => Ok(()),
                }
            }
            Err(Refused::Store(error)) => Err(Refusal::Later(error.to_string())),
            Err(refused) if refused.is_no_report_at_all() => self.to_postmaster(mail).await,
            Err(refused) => Err(no(&refused.to_string())),
        }
    }

    /// A mail without a report: a person's.
    async fn to_postmaster(&self, mail: InboundMail<'_>) -> Result<(), Refusal> {
        if self.keeper.config.get().server.postmaster.is_empty() {
            return Err(no("nothing in it looks like one"));
        }
        let to: Vec<_> = mail.to.iter().map(|(address, _)| (address.clone(), Inlet::Postmaster)).collect();
        self.mailroom.take(InboundMail { to: &to, ..mail }).await
    }
}

/// How a mail came, and what its reports are worth.
fn origin(mail: &InboundMail<'_>) -> Origin {
    match mail.results.cloned() {
        Some(results) => Origin {
            by: By::Mail,
            weigh: Arc::new(move |organization, contact| weigh(&results, organization, contact)),
        },
        None => {
            let why = "it was not looked at".to_owned();
            Origin::of(By::Mail, Weighed { mark: Mark::Unknown, from: String::new(), why })
        }
    }
}

/// What a report of this mail is worth that names such an organisation and contact.
fn weigh(results: &Results, organization: &str, contact: &str) -> Weighed {
    let claims: Vec<Claim> = [Claim::name(organization), Claim::contact(contact)].into_iter().flatten().collect();
    let marked = results.mark(&claims);
    let mark = match marked.mark {
        authres::Mark::Verified => Mark::Verified,
        authres::Mark::Unverified => Mark::Unverified,
        authres::Mark::Forged => Mark::Forged,
        authres::Mark::Unknown => Mark::Unknown,
    };
    Weighed { mark, from: marked.from, why: marked.why }
}

/// The refusal, with its reason.
fn no(why: &str) -> Refusal {
    let why: String = why.chars().take(REASON_MAX).collect();
    Refusal::Refused(Reply::new(554, Enhanced(5, 6, 0), format!("This address takes DMARC and TLS reports: {why}")))
}

fn tell(mail: &InboundMail<'_>, one: &Taken) {
    let Taken { kind, became, domain, organization, report_id, rows, mark, why } = one;
    let verdict = match became {
        Became::New => "received",
        Became::Better => "replaced",
        Became::Known => "known",
        Became::Refused => "refused",
    };
    let line = format!(
        "inbound={} act=dmarc_report kind={} domain={domain:?} organization={organization:?} report={report_id:?} rows={rows} mark={} verdict={verdict}",
        mail.arrival.id,
        kind.word(),
        mark.word(),
    );
    match (became, kind) {
        (Became::Refused, _) => log::warn!("{line} why={why:?}"),
        (_, Kind::Tls) => {
            log::info!("inbound={} act=tls_report report={report_id:?} verdict={verdict}", mail.arrival.id)
        }
        (_, Kind::Aggregate | Kind::Failure) => log::info!("{line}"),
    }
}

impl<M: Memory> Sink for ReportSink<M> {
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(self.serve(mail))
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
