//! Mail of an API user whose sandbox is on: what the world would answer, and a copy for those who want to look at it.
//!
//! In: a submission that is about to be stored.  Out: its recipients' ends ([`Sandboxed`]), and a mail in the [`Sandbox`].
//! Always: the ends are stored with the message, in one transaction; the copy is written before that and listed after it, so that the
//! list holds no mail that was refused, and who heard 250 finds the mail there; a copy that fails costs nobody a mail. Only what the
//! sandbox took is copied: mail that leaves never is.

use std::{io, sync::Arc};

use crate::{
    event::ErrorClass,
    sandbox::{Answer, Copied, RECIPIENTS_MAX, Sandbox, SandboxMail, answer},
    smtp::{address::Mailbox, params::Envelope},
    store::{BodyIn, Sandboxed, Store, Submission},
};

/// What the sandbox answers: success, but for the simulator's local parts `bounce`, `defer` and `blocked`, in any case and with
/// any `+suffix`, which fail as such addresses do in the end.
pub(super) fn ends(envelope: &Envelope) -> Vec<Sandboxed> {
    let end = |address: &Mailbox| match answer(address.local()) {
        Answer::Bounce => {
            (Some(ErrorClass::UnknownUser), format!("550 5.1.1 <{address}>: no such user (simulated by the sandbox)"))
        }
        Answer::Defer => (
            Some(ErrorClass::ResendTimeout),
            format!("450 4.2.1 <{address}>: deferred until it expired (simulated by the sandbox)"),
        ),
        Answer::Blocked => {
            (Some(ErrorClass::Blocked), "suppressed because of earlier errors (simulated by the sandbox)".to_owned())
        }
        Answer::Deliver | Answer::Slow => {
            (None, "250 2.0.0 taken by the sandbox of this API user: not delivered".to_owned())
        }
    };
    let recipients = envelope.recipients.iter().enumerate();
    recipients
        .map(|(index, r)| {
            let (class, reply) = end(&r.address);
            Sandboxed { index: u32::try_from(index).unwrap_or(u32::MAX), class, reply }
        })
        .collect()
}

/// A mail that is copied, and listed once it is accepted.
pub(super) struct Copy {
    copied: Copied,
    envelope: SandboxMail,
}

/// Copies a submission for those of its recipients that the sandbox takes; `None`: it takes nobody, or could not keep it.
pub(super) async fn copy(sandbox: &Arc<Sandbox>, store: &Store, submission: &Submission) -> Option<Copy> {
    let takers = takers(submission);
    if takers.is_empty() {
        return None;
    }
    let envelope = SandboxMail {
        message: submission.id,
        at: submission.accepted_at,
        user: submission.user.clone(),
        sender: submission.envelope.sender.as_ref().map_or_else(String::new, |s| s.as_str().to_owned()),
        recipients: takers,
        subject: submission.facts.subject.clone(),
        len: 0,
    };
    let (sandbox, store, id) = (sandbox.clone(), store.clone(), submission.id);
    let copied = match &submission.body {
        BodyIn::Ram { bytes, .. } => {
            let bytes = bytes.clone();
            smol::unblock(move || sandbox.copy(id, &mut bytes.as_ref())).await
        }
        BodyIn::File(file) => {
            let len = file.len;
            smol::unblock(move || {
                let mut source = store.open_file_body(id, len).map_err(io::Error::other)?;
                sandbox.copy(id, &mut source)
            })
            .await
        }
    };
    copied.map(|copied| Copy { copied, envelope }).inspect_err(|error| not_kept(submission, error)).ok()
}

impl Copy {
    /// The message is stored: people may look at it.
    pub(super) async fn show(self) {
        let id = self.envelope.message;
        if let Err(error) = smol::unblock(move || self.copied.show(self.envelope)).await {
            log::warn!(
                "message={id} act=sandbox.keep error=\"{error}\" what=\"accepted, but not kept in the sandbox\""
            );
        }
    }
}

fn not_kept(submission: &Submission, error: &io::Error) {
    log::warn!("message={} act=sandbox.keep error=\"{error}\" what=\"not kept in the sandbox\"", submission.id);
}

/// Those whom the mail would have reached: a block comes before the sandbox.
fn takers(submission: &Submission) -> Vec<String> {
    let is_blocked = |index: u32| submission.blocked.iter().any(|b| b.index == index);
    let taken = submission.sandboxed.iter().filter(|s| s.class.is_none() && !is_blocked(s.index));
    let recipients = &submission.envelope.recipients;
    taken
        .filter_map(|s| recipients.get(usize::try_from(s.index).ok()?))
        .map(|r| r.address.as_str().to_owned())
        .take(RECIPIENTS_MAX)
        .collect()
}
