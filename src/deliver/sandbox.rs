//! The deliverer of the demo: mail is kept and shown instead of sent, and simulator addresses answer as real destinations do.
//!
//! In: jobs, like every deliverer.  Out: outcomes, and mails in the [`Sandbox`].
//! Always: nothing leaves the machine; files are read and written off the executor.

use std::{
    io::{self, Read},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use smol::{Timer, future::FutureExt};

use super::job::{Deliver, Job, Outcome, RecipientResult, SiteFeedback, Verdict};
use crate::{
    clock::Clock,
    event::{AttemptDetail, ErrorClass, Phase, SANDBOX_HOST},
    runtime::Shutdown,
    sandbox::{Answer, RECIPIENTS_MAX, Sandbox, SandboxMail, answer},
    store::{Loaded, Message, Recipient, Store, StoreError},
};

/// How long the simulator's `slow` takes.
pub const SLOW: Duration = Duration::from_secs(10);

/// Where bodies come from that are not in RAM.
pub trait Bodies: Clone + Send + Sync + 'static {
    /// See [`Store::open_body`]. Blocking.
    fn open_body(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError>;
}

impl Bodies for Store {
    fn open_body(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(Store::open_body(self, message)?))
    }
}

/// "Delivers" into a [`Sandbox`].
pub struct SandboxDeliver<B> {
    sandbox: Arc<Sandbox>,
    bodies: B,
    clock: Clock,
    shutdown: Shutdown,
    slow: Duration,
}

impl<B: Bodies> Deliver for SandboxDeliver<B> {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.run(job))
    }
}

impl<B: Bodies> SandboxDeliver<B> {
    /// The deliverer that ends in this sandbox. `bodies` reads what is not in RAM.
    pub fn new(sandbox: Arc<Sandbox>, bodies: B, clock: Clock, shutdown: Shutdown) -> Self {
        SandboxDeliver { sandbox, bodies, clock, shutdown, slow: SLOW }
    }

    async fn run(&self, job: Job) -> Outcome {
        let started = self.clock.instant();
        let answers: Vec<Answer> = job.recipients.iter().map(|r| answer(r.address.local())).collect();
        if answers.contains(&Answer::Slow) {
            let wait = async {
                Timer::after(self.slow).await;
                true
            };
            let cut = async {
                self.shutdown.cut_now().await;
                false
            };
            if !wait.or(cut).await {
                return Outcome { results: Vec::new(), feedback: SiteFeedback::Unknown, interrupted: true, push: None };
            }
        }
        let takers: Vec<&Recipient> =
            job.recipients.iter().zip(&answers).filter(|(_, a)| a.is_taken()).map(|(r, _)| r).collect();
        let kept = if takers.is_empty() { Ok(()) } else { self.keep(&job.loaded, &takers).await };
        let duration = self.clock.instant().saturating_duration_since(started);
        let results = job.recipients.iter().zip(answers).map(|(r, a)| result(r, a, &kept, duration)).collect();
        Outcome { results, feedback: SiteFeedback::Healthy, interrupted: false, push: None }
    }

    async fn keep(&self, loaded: &Arc<Loaded>, takers: &[&Recipient]) -> Result<(), Trouble> {
        let (sandbox, bodies, loaded) = (self.sandbox.clone(), self.bodies.clone(), loaded.clone());
        let message = &loaded.message;
        let mail = SandboxMail {
            message: message.id,
            at: self.clock.now(),
            user: message.user.clone(),
            sender: message.sender.as_ref().map_or_else(String::new, |s| s.as_str().to_owned()),
            recipients: takers.iter().take(RECIPIENTS_MAX).map(|r| r.address.as_str().to_owned()).collect(),
            subject: message.facts.subject.clone(),
            len: message.len,
        };
        smol::unblock(move || match &loaded.body {
            Some((bytes, _)) => Ok(sandbox.keep(mail, &mut Bytes::clone(bytes).as_ref())?),
            None => Ok(sandbox.keep(mail, &mut bodies.open_body(&loaded.message)?)?),
        })
        .await
    }
}

/// Why a mail could not be kept.
#[derive(Debug)]
enum Trouble {
    Damaged(String),
    Other(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Trouble::Damaged(what),
            other => Trouble::Other(other.to_string()),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        // A body reader reports a wrong checksum as invalid data.
        match error.kind() {
            io::ErrorKind::InvalidData => Trouble::Damaged(error.to_string()),
            _ => Trouble::Other(format!("the sandbox could not keep it: {error}")),
        }
    }
}

fn result(recipient: &Recipient, answer: Answer, kept: &Result<(), Trouble>, duration: Duration) -> RecipientResult {
    let defer = |damaged| Verdict::Deferred { site: false, damaged };
    let (verdict, phase, reply, error) = match (answer, kept) {
        (Answer::Deliver | Answer::Slow, Ok(())) => (
            Verdict::Delivered { peer_does_dsn: false, peer_does_by: false },
            Phase::Content,
            "250 2.0.0 kept in the sandbox".to_owned(),
            None,
        ),
        (Answer::Deliver | Answer::Slow, Err(Trouble::Damaged(what))) => {
            (defer(true), Phase::Queue, what.clone(), Some(ErrorClass::Other))
        }
        (Answer::Deliver | Answer::Slow, Err(Trouble::Other(what))) => {
            (defer(false), Phase::Queue, what.clone(), Some(ErrorClass::Other))
        }
        (Answer::Bounce, _) => (
            Verdict::Failed,
            Phase::Rcpt,
            format!("550 5.1.1 <{}>: no such user (simulated)", recipient.address),
            Some(ErrorClass::UnknownUser),
        ),
        (Answer::Defer, _) => (
            defer(false),
            Phase::Rcpt,
            format!("450 4.2.1 <{}>: try again later (simulated)", recipient.address),
            Some(ErrorClass::ReceivingServerError),
        ),
        (Answer::Blocked, _) => (
            Verdict::Failed,
            Phase::Queue,
            "suppressed because of earlier errors (simulated)".to_owned(),
            Some(ErrorClass::Blocked),
        ),
    };
    let detail = AttemptDetail {
        destination: recipient.lane.0.to_string(),
        host: SANDBOX_HOST.to_owned(),
        phase: Some(phase),
        reply,
        duration,
        error,
        ..AttemptDetail::default()
    };
    RecipientResult { index: recipient.key.index, verdict, detail: Box::new(detail), conversation: None }
}

#[cfg(test)]
#[path = "sandbox_tests.rs"]
mod tests;
