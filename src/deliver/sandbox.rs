//! The safe end of the demo: mail is kept and shown instead of sent, and simulator addresses answer as real destinations do.
//!
//! In: jobs, like every deliverer.  Out: outcomes, and `DATA_DIR/sandbox`: a source file and a small envelope file each mail.
//! Always: nothing leaves the machine; the folder holds at most [`MAILS_MAX`] mails and [`BYTES_MAX`] octets, the oldest go
//! first; files are read and written off the executor. It is a display, not a store: nothing here is synced.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol::{Timer, future::FutureExt};

use super::job::{Deliver, Job, Outcome, RecipientResult, SiteFeedback, Verdict};
use crate::{
    clock::{Clock, Timestamp},
    event::{AttemptDetail, ErrorClass, Phase},
    ids::MessageId,
    runtime::Shutdown,
    store::{Loaded, Message, Recipient, Store, StoreError},
};

/// Mails kept.
pub const MAILS_MAX: usize = 500;
/// Octets of sources kept.
pub const BYTES_MAX: u64 = 256 << 20;
/// How long the simulator's `slow` takes.
pub const SLOW: Duration = Duration::from_secs(10);
/// The host that the log names.
const HOST: &str = "sandbox";
/// Recipients listed in an envelope file; a mail to more is shown with the first of them.
const RECIPIENTS_MAX: usize = 1_000;

/// Keeps what it "delivers": the last 500 mails or 256 MiB.
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
    kept: Mutex<Kept>,
    /// Held while a mail is written: attempts of one message to several destinations share its files.
    writing: Mutex<()>,
}

/// What the folder holds, oldest first.
#[derive(Debug, Default)]
struct Kept {
    mails: VecDeque<(MessageId, u64)>,
    bytes: u64,
}

/// One kept mail.
#[derive(Clone, Debug)]
pub struct SandboxMail {
    /// The message's queue id.
    pub message: MessageId,
    /// When it was "delivered".
    pub at: Timestamp,
    /// MAIL FROM; empty: null.
    pub sender: String,
    /// Those who "received" it.
    pub recipients: Vec<String>,
    /// Decoded subject.
    pub subject: String,
    /// Octets.
    pub len: u64,
}

/// A mail's envelope file.
#[derive(Serialize, Deserialize)]
struct Envelope {
    at_millis: u64,
    sender: String,
    recipients: Vec<String>,
    subject: String,
    len: u64,
}

impl Sandbox {
    /// Opens the sandbox folder in the data directory, making it where it lacks. Blocking.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("sandbox");
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir)?;
        let mut mails = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<MessageId>().ok());
            let (Some(id), Some("eml")) = (id, path.extension().and_then(|e| e.to_str())) else { continue };
            if path.with_extension("json").exists() {
                mails.push((id, fs::metadata(&path)?.len()));
            } else {
                // Its writer was interrupted before the envelope.
                fs::remove_file(&path)?;
            }
        }
        mails.sort_unstable();
        let bytes = mails.iter().map(|(_, len)| len).sum();
        let sandbox = Sandbox { dir, kept: Mutex::new(Kept { mails: mails.into(), bytes }), writing: Mutex::default() };
        sandbox.prune()?;
        Ok(sandbox)
    }

    /// Kept mails, newest first. Blocking.
    pub fn list(&self, limit: usize) -> io::Result<Vec<SandboxMail>> {
        let newest: Vec<MessageId> = self.kept().mails.iter().rev().take(limit).map(|(id, _)| *id).collect();
        newest.into_iter().filter_map(|id| self.envelope(id).transpose()).collect()
    }

    /// One kept mail and its source. Blocking.
    pub fn read(&self, id: MessageId) -> io::Result<Option<(SandboxMail, Vec<u8>)>> {
        let Some(mail) = self.envelope(id)? else { return Ok(None) };
        match fs::read(self.path(id, "eml")) {
            Ok(source) => Ok(Some((mail, source))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The deliverer that ends in this sandbox. `bodies` reads what is not in RAM.
    pub fn deliverer<B: Bodies>(self: &Arc<Self>, bodies: B, clock: Clock, shutdown: Shutdown) -> SandboxDeliver<B> {
        SandboxDeliver { sandbox: self.clone(), bodies, clock, shutdown, slow: SLOW }
    }

    /// Keeps a mail, or adds recipients to one that is kept already.
    fn keep(&self, mut mail: SandboxMail, source: &mut dyn Read) -> io::Result<()> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = self.envelope(mail.message)? {
            let mut all = before.recipients;
            all.append(&mut mail.recipients);
            all.truncate(RECIPIENTS_MAX);
            return self.write_envelope(&SandboxMail { recipients: all, ..mail });
        }
        let path = self.path(mail.message, "eml");
        mail.len = match write_private(&path).and_then(|mut file| io::copy(source, &mut file)) {
            Ok(len) => len,
            Err(error) => {
                // Half a mail would be shown as a whole one.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
        };
        self.write_envelope(&mail)?;
        {
            let mut kept = self.kept();
            kept.mails.push_back((mail.message, mail.len));
            kept.bytes += mail.len;
        }
        self.prune()
    }

    fn prune(&self) -> io::Result<()> {
        loop {
            let oldest = {
                let mut kept = self.kept();
                if kept.mails.len() <= MAILS_MAX && kept.bytes <= BYTES_MAX {
                    return Ok(());
                }
                let Some((id, len)) = kept.mails.pop_front() else { return Ok(()) };
                kept.bytes -= len;
                id
            };
            for extension in ["json", "eml"] {
                match fs::remove_file(self.path(oldest, extension)) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }

    fn envelope(&self, id: MessageId) -> io::Result<Option<SandboxMail>> {
        let text = match fs::read(self.path(id, "json")) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let envelope: Envelope = serde_json::from_slice(&text).map_err(io::Error::other)?;
        Ok(Some(SandboxMail {
            message: id,
            at: Timestamp::from_millis(envelope.at_millis),
            sender: envelope.sender,
            recipients: envelope.recipients,
            subject: envelope.subject,
            len: envelope.len,
        }))
    }

    fn write_envelope(&self, mail: &SandboxMail) -> io::Result<()> {
        let envelope = Envelope {
            at_millis: mail.at.as_millis(),
            sender: mail.sender.clone(),
            recipients: mail.recipients.clone(),
            subject: mail.subject.clone(),
            len: mail.len,
        };
        let text = serde_json::to_vec(&envelope).map_err(io::Error::other)?;
        // Renamed into place: a reader never sees half of it.
        let new = self.path(mail.message, "new");
        write_private(&new)?.write_all(&text)?;
        fs::rename(&new, self.path(mail.message, "json"))
    }

    fn path(&self, id: MessageId, extension: &str) -> PathBuf {
        self.dir.join(format!("{id}.{extension}"))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

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

/// How the simulator answers an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Deliver,
    Bounce,
    Defer,
    Slow,
    Blocked,
}

/// The simulator's answer to a local part: `bounce`, `defer`, `slow`, `blocked`, in any case and with any `+suffix`.
fn answer(local: &str) -> Answer {
    let word = local.trim_matches('"').split('+').next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "bounce" => Answer::Bounce,
        "defer" => Answer::Defer,
        "slow" => Answer::Slow,
        "blocked" => Answer::Blocked,
        _ => Answer::Deliver,
    }
}

impl<B: Bodies> Deliver for SandboxDeliver<B> {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.run(job))
    }
}

impl<B: Bodies> SandboxDeliver<B> {
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
        let takers: Vec<&Recipient> = job
            .recipients
            .iter()
            .zip(&answers)
            .filter(|(_, a)| matches!(a, Answer::Deliver | Answer::Slow))
            .map(|(r, _)| r)
            .collect();
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
        host: HOST.to_owned(),
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
