//! Keeps a message's content while it arrives: in RAM while it is small and the budget allows, else in a file of its own.
//!
//! In: checked bytes in order.  Out: a [`BodyIn`] with our trace headers on top, and the facts of its header.
//! Always: at most [`BODY_RAM_MAX`] octets of a message are in RAM, all of them under a lease but for one block (P5); the disk is written on
//! the blocking pool; a spool that is dropped leaves nothing behind.

use bytes::Bytes;

use crate::{
    budget::{Budget, Lease},
    ids::MessageId,
    mail::{
        header::{self, Facts},
        watched::{Watch, Watched},
    },
    smtp::reply::Reply,
    store::{BODY_RAM_MAX, BodyIn, LargeBody, Store},
};

use super::submit::refusal;

/// Room before the content for the trace headers, so that they are put in front without moving the content. A Received field
/// has at most some 500 octets: hostname and HELO name at most 255 each.
const HEADROOM: usize = 2048;

/// Bytes that the first buffer has, when the client did not announce a size: most mail is smaller.
const FIRST_CAPACITY: usize = 16 * 1024;

/// Octets of a large body that are gathered for one write: a thousand sessions of large mail then hold 64 MiB.
const PENDING_MAX: usize = 64 * 1024;

/// Octets that are gathered without a lease until the end of the header is there: as much as a large body's [`PENDING_MAX`].
const HEAD_GATHERED_MAX: usize = 64 * 1024;

/// Writes the headers on top, once the header of the message is known.
pub trait Top: Send {
    /// The field that names a message's class.
    fn priority_header(&self) -> &str;

    /// The fields that filters look at.
    fn watch(&self) -> &Watch;

    /// The octets to put before the content, and how the header itself is to be rewritten (`None`: not at all).
    fn on_top(&mut self, facts: &Facts, head: &[u8]) -> Result<Changed, Reply>;
}

/// What [`Top::on_top`] decides.
#[derive(Debug, Default)]
pub struct Changed {
    /// Octets before the content.
    pub top: Vec<u8>,
    /// The header, rewritten.
    pub head: Option<Vec<u8>>,
}

/// A message's content on its way to the store.
pub struct Spool {
    id: MessageId,
    state: State,
}

enum State {
    Ram {
        buffer: Vec<u8>,
        lease: Option<Lease>,
    },
    /// What was read of the header has a place of its own: every session has room for this state.
    File {
        file: LargeBody,
        pending: Vec<u8>,
        read: Box<(Facts, Watched)>,
    },
    Spent,
}

/// A spooled message.
#[derive(Debug)]
pub struct Spooled {
    /// Its content.
    pub body: BodyIn,
    /// Facts of its header.
    pub facts: Facts,
    /// What it holds of the fields that filters look at.
    pub watched: Watched,
}

impl Spool {
    /// A spool for a message of about `announced` octets.
    pub fn new(id: MessageId, announced: Option<u64>, budget: &Budget) -> Self {
        let wanted =
            announced.and_then(|n| usize::try_from(n).ok()).map_or(FIRST_CAPACITY, |n| n.clamp(512, BODY_RAM_MAX));
        let lease = budget.take(HEADROOM + wanted);
        let mut buffer = Vec::with_capacity(if lease.is_some() { HEADROOM + wanted } else { HEADROOM });
        buffer.resize(HEADROOM, 0);
        Spool { id, state: State::Ram { buffer, lease } }
    }

    /// The message's id.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Adds octets.
    pub async fn add(&mut self, bytes: &[u8], store: &Store, top: &mut dyn Top) -> Result<(), Reply> {
        match &mut self.state {
            State::Ram { buffer, lease } => {
                let stays = stays_in_ram(buffer, lease, bytes.len());
                let looked_at = buffer.len() - HEADROOM;
                buffer.extend_from_slice(bytes);
                let content = &buffer[HEADROOM..];
                // Without room, too, the header is needed whole before anything can be written above it.
                if stays || (content.len() < HEAD_GATHERED_MAX && header::find_end(content, looked_at).is_none()) {
                    return Ok(());
                }
                return Box::pin(self.spill(store, top)).await;
            }
            State::File { .. } => {}
            State::Spent => return Err(Reply::storage_trouble()),
        }
        let State::File { pending, .. } = &mut self.state else { return Err(Reply::storage_trouble()) };
        pending.extend_from_slice(bytes);
        if pending.len() >= PENDING_MAX {
            Box::pin(self.write_pending()).await?;
        }
        Ok(())
    }

    /// The whole message has come.
    pub async fn finish(mut self, store: &Store, top: &mut dyn Top) -> Result<Spooled, Reply> {
        if let State::Ram { lease: None, .. } = self.state {
            self.spill(store, top).await?;
        }
        match std::mem::replace(&mut self.state, State::Spent) {
            State::Ram { buffer, lease: Some(lease) } => finish_ram(buffer, lease, top),
            State::Ram { lease: None, .. } | State::Spent => Err(Reply::storage_trouble()),
            State::File { file, pending, read } => {
                let (facts, watched) = *read;
                let stored = smol::unblock(move || {
                    let mut file = file;
                    file.write(&pending)?;
                    file.finish()
                })
                .await
                .map_err(|error| refusal(&error))?;
                Ok(Spooled { body: BodyIn::File(stored), facts, watched })
            }
        }
    }

    /// Moves what is in RAM to a file: the header is in it, or is longer than any header that we read.
    async fn spill(&mut self, store: &Store, top: &mut dyn Top) -> Result<(), Reply> {
        let State::Ram { buffer, .. } = std::mem::replace(&mut self.state, State::Spent) else {
            return Err(Reply::storage_trouble());
        };
        let content = &buffer[HEADROOM..];
        let head_end = head_len(content);
        let read = header::scan_watching(&content[..head_end], top.priority_header(), top.watch());
        let changed = top.on_top(&read.0, &content[..head_end])?;
        let mut first = changed.top;
        match changed.head {
            Some(head) => {
                first.extend_from_slice(&head);
                first.extend_from_slice(&content[head_end..]);
            }
            None => first.extend_from_slice(content),
        }
        drop(buffer);
        let (store, id) = (store.clone(), self.id);
        let file = smol::unblock(move || {
            let mut file = store.large_body(id)?;
            file.write(&first)?;
            Ok(file)
        })
        .await
        .map_err(|error| refusal(&error))?;
        self.state = State::File { file, pending: Vec::new(), read: Box::new(read) };
        Ok(())
    }

    async fn write_pending(&mut self) -> Result<(), Reply> {
        let State::File { file, pending, read } = std::mem::replace(&mut self.state, State::Spent) else {
            return Err(Reply::storage_trouble());
        };
        let (file, pending) = smol::unblock(move || {
            let mut file = file;
            file.write(&pending)?;
            let mut pending = pending;
            pending.clear();
            Ok((file, pending))
        })
        .await
        .map_err(|error| refusal(&error))?;
        self.state = State::File { file, pending, read };
        Ok(())
    }
}

/// Whether `more` octets fit into RAM; grows the buffer and its lease for them.
fn stays_in_ram(buffer: &mut Vec<u8>, lease: &mut Option<Lease>, more: usize) -> bool {
    let Some(lease) = lease else { return false };
    let after = buffer.len() + more;
    if after > HEADROOM + BODY_RAM_MAX {
        return false;
    }
    if after > buffer.capacity() {
        let target = (buffer.capacity() * 2).clamp(after, HEADROOM + BODY_RAM_MAX);
        if !lease.grow(target.saturating_sub(lease.bytes())) {
            return false;
        }
        buffer.reserve_exact(target - buffer.len());
    }
    true
}

fn finish_ram(mut buffer: Vec<u8>, lease: Lease, top: &mut dyn Top) -> Result<Spooled, Reply> {
    let head_end = head_len(&buffer[HEADROOM..]);
    let head = &buffer[HEADROOM..HEADROOM + head_end];
    let (facts, watched) = header::scan_watching(head, top.priority_header(), top.watch());
    let changed = top.on_top(&facts, &buffer[HEADROOM..HEADROOM + head_end])?;
    let mut start = HEADROOM;
    if let Some(head) = changed.head {
        // Rewritten headers only lose lines, so that they fit before the rest of the content.
        if head.len() > head_end {
            return Err(Reply::storage_trouble());
        }
        start += head_end - head.len();
        buffer[start..HEADROOM + head_end].copy_from_slice(&head);
    }
    let bytes = if changed.top.len() <= start {
        start -= changed.top.len();
        buffer[start..start + changed.top.len()].copy_from_slice(&changed.top);
        Bytes::from(buffer).slice(start..)
    } else {
        let mut whole = changed.top;
        whole.extend_from_slice(&buffer[start..]);
        Bytes::from(whole)
    };
    Ok(Spooled { body: BodyIn::Ram { bytes, lease }, facts, watched })
}

/// Octets of the header with its empty line; all, where there is no empty line.
fn head_len(content: &[u8]) -> usize {
    header::find_end(content, 0).unwrap_or(content.len())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::{
        clock::{Clock, Timestamp},
        store::{RetentionPeriods, StoreOptions},
    };

    /// Notes what it was asked with, and writes a line on top.
    struct Noting(Vec<u8>, Watch);

    impl Top for Noting {
        fn priority_header(&self) -> &str {
            ""
        }

        fn watch(&self) -> &Watch {
            &self.1
        }

        fn on_top(&mut self, _: &Facts, head: &[u8]) -> Result<Changed, Reply> {
            self.0 = head.to_vec();
            Ok(Changed { top: b"Received: here\r\n".to_vec(), head: None })
        }
    }

    #[test]
    fn a_message_that_finds_no_memory_keeps_its_header_whole() {
        let day = std::time::Duration::from_secs(86_400);
        let data_dir = std::env::temp_dir().join(format!("hikyaku-spool-{}", std::process::id()));
        std::fs::create_dir_all(&data_dir).unwrap();
        let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let options = StoreOptions { data_dir: data_dir.clone(), clock, disk_free_min: 0, retention };
        let store = Store::open(options).unwrap().store;
        let head = b"Subject: x\r\nDate: y\r\n\r\n";
        let content = [&head[..], &b"0123456789\r\n".repeat(20_000)].concat();
        for piece in [1_000, 7, 64 * 1024] {
            let id = store.ids().next(Timestamp::from_millis(1_795_527_310_000));
            let (budget, mut top) = (Budget::new(0), Noting(Vec::new(), Watch::of(["subject"])));
            let mut spool = Spool::new(id, None, &budget);
            let spooled = smol::block_on(async {
                for piece in content.chunks(piece) {
                    spool.add(piece, &store, &mut top).await.unwrap();
                }
                spool.finish(&store, &mut top).await.unwrap()
            });
            assert!(top.0.starts_with(head), "in pieces of {piece}: {:?}", String::from_utf8_lossy(&top.0));
            assert!(spooled.facts.has_header && spooled.facts.has_date && spooled.facts.subject == "x");
            assert_eq!(spooled.watched.values("Subject"), ["x"]);
            let mut written = Vec::new();
            let file = std::fs::File::open(data_dir.join("bodies").join(id.to_string())).unwrap();
            std::io::BufReader::new(file).read_to_end(&mut written).unwrap();
            let expected = [b"Received: here\r\n", &content[..]].concat();
            // The store frames its files.
            assert!(written.windows(expected.len()).any(|w| w == expected), "in pieces of {piece}");
        }
        drop(store);
        std::fs::remove_dir_all(&data_dir).unwrap();
    }
}
