//! The sandbox: a folder of mails that were not sent, for people to look at, and the addresses that answer as real destinations do.
//!
//! In: a mail's source and envelope, from the deliverer of `delivery.mode = "sandbox"` and from the door, for API users whose sandbox
//! is on.  Out: `DATA_DIR/sandbox`: a source file and a small envelope file each mail.
//! Always: the folder holds at most [`MAILS_MAX`] mails and [`BYTES_MAX`] octets, the oldest go first, whoever sent them; a mail is in
//! the list when its envelope is there, and then it is whole. It is a display, not a store: nothing here is synced, and what it loses
//! is no loss of mail. A mail is kept as it was accepted, with the trace headers and without what is made when a mail leaves: a copy
//! that many may download must not carry a signature that the world would take for the domain's word.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, ids::MessageId};

/// Mails kept.
pub const MAILS_MAX: usize = 500;
/// Octets of sources kept.
pub const BYTES_MAX: u64 = 256 << 20;
/// Recipients listed in an envelope file; a mail to more is shown with the first of them.
pub const RECIPIENTS_MAX: usize = 1_000;

/// Keeps what was not sent: the last 500 mails or 256 MiB.
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
    /// The API user that sent it; empty: none.
    pub user: String,
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
    /// Mails that were kept before this field came are nobody's.
    #[serde(default)]
    user: String,
    sender: String,
    recipients: Vec<String>,
    subject: String,
    len: u64,
}

impl Sandbox {
    /// Opens the sandbox folder in the data directory, making it where it lacks. Blocking.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("sandbox");
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir)?;
        let mut mails = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<MessageId>().ok());
            let (Some(id), Some(extension)) = (id, path.extension().and_then(|e| e.to_str())) else { continue };
            if extension == "new" {
                // Half an envelope.
                fs::remove_file(&path)?;
            }
            if extension != "eml" {
                continue;
            }
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
    ///
    /// # Errors
    /// The file system's.
    pub fn list(&self, limit: usize) -> io::Result<Vec<SandboxMail>> {
        let newest: Vec<MessageId> = self.kept().mails.iter().rev().take(limit).map(|(id, _)| *id).collect();
        newest.into_iter().filter_map(|id| self.envelope(id).transpose()).collect()
    }

    /// Whether a mail is kept: known without a look at its files.
    pub fn has(&self, id: MessageId) -> bool {
        self.kept().mails.iter().any(|(kept, _)| *kept == id)
    }

    /// One kept mail and its source. Blocking.
    ///
    /// # Errors
    /// The file system's.
    pub fn read(&self, id: MessageId) -> io::Result<Option<(SandboxMail, Vec<u8>)>> {
        let Some(mail) = self.envelope(id)? else { return Ok(None) };
        match fs::read(self.path(id, "eml")) {
            Ok(source) => Ok(Some((mail, source))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Keeps a mail, or adds recipients to one that is kept already. Blocking.
    ///
    /// # Errors
    /// The file system's, and the source's; then nothing of it is kept.
    pub fn keep(&self, mut mail: SandboxMail, source: &mut dyn Read) -> io::Result<()> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = self.envelope(mail.message)? {
            let mut all = before.recipients;
            all.append(&mut mail.recipients);
            all.truncate(RECIPIENTS_MAX);
            return self.write_envelope(&SandboxMail { recipients: all, len: before.len, ..mail });
        }
        mail.len = self.write_source(mail.message, source)?;
        self.show(&mail)
    }

    /// Copies a source that nobody sees until [`Copied::show`]: what it is of may still be refused. Blocking.
    ///
    /// # Errors
    /// As for [`Sandbox::keep`].
    pub fn copy(self: &Arc<Self>, id: MessageId, source: &mut dyn Read) -> io::Result<Copied> {
        let len = self.write_source(id, source)?;
        Ok(Copied { sandbox: self.clone(), id, len, is_shown: false })
    }

    /// The octets written.
    fn write_source(&self, id: MessageId, source: &mut dyn Read) -> io::Result<u64> {
        let path = self.path(id, "eml");
        write_private(&path).and_then(|mut file| io::copy(source, &mut file)).inspect_err(|_| {
            // Half a mail would be shown as a whole one.
            let _ = fs::remove_file(&path);
        })
    }

    /// Lists a mail whose source is there.
    fn show(&self, mail: &SandboxMail) -> io::Result<()> {
        self.write_envelope(mail)?;
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
            user: envelope.user,
            sender: envelope.sender,
            recipients: envelope.recipients,
            subject: envelope.subject,
            len: envelope.len,
        }))
    }

    fn write_envelope(&self, mail: &SandboxMail) -> io::Result<()> {
        let envelope = Envelope {
            at_millis: mail.at.as_millis(),
            user: mail.user.clone(),
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

/// A source that is in the folder and not in the list. Dropped before it is shown, it is gone.
#[derive(Debug)]
pub struct Copied {
    sandbox: Arc<Sandbox>,
    id: MessageId,
    len: u64,
    is_shown: bool,
}

impl Copied {
    /// Lists it under this envelope; the id and the octets are the copy's. Blocking.
    ///
    /// # Errors
    /// The file system's; then the copy is gone.
    pub fn show(mut self, envelope: SandboxMail) -> io::Result<()> {
        self.sandbox.show(&SandboxMail { message: self.id, len: self.len, ..envelope })?;
        self.is_shown = true;
        Ok(())
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if !self.is_shown {
            let _ = fs::remove_file(self.sandbox.path(self.id, "eml"));
        }
    }
}

fn write_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// How the simulator answers an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It takes the mail.
    Deliver,
    /// No such user.
    Bounce,
    /// Try again later.
    Defer,
    /// It takes the mail after a while.
    Slow,
    /// As an address on the suppression list.
    Blocked,
}

impl Answer {
    /// Whether the mail arrives, so that there is one to look at.
    pub fn is_taken(self) -> bool {
        matches!(self, Answer::Deliver | Answer::Slow)
    }
}

/// The simulator's answer to a local part: `bounce`, `defer`, `slow`, `blocked`, in any case and with any `+suffix`.
pub fn answer(local: &str) -> Answer {
    let word = local.trim_matches('"').split('+').next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "bounce" => Answer::Bounce,
        "defer" => Answer::Defer,
        "slow" => Answer::Slow,
        "blocked" => Answer::Blocked,
        _ => Answer::Deliver,
    }
}

#[cfg(test)]
#[path = "sandbox_tests.rs"]
mod tests;
