//! The threads that sign: a bounded queue in front, one signature job after another behind.
//!
//! In: a [`Request`].  Out: the fields, and the body's hash for the next recipient.
//! Always: a full queue makes the caller wait, and nothing is dropped; a body is never held twice: one in RAM is hashed where it is,
//! one on disk in blocks; a panic costs its own job alone; the threads end with the last handle.
//! Sources: RFC 6376 §3.7 and §5; algorithms F13.

use std::{
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use bytes::Bytes;
use smol::channel;

use crate::{
    clock::{Clock, Timestamp},
    dkim::sign::{self, BodyHasher, Identity, NotSigned},
    mail::header::{HEADER_BYTES_MAX, find_end},
    metrics::Metrics,
    store::StoreError,
};

/// Jobs that wait in front of the threads at most; whoever comes then waits with its job in hand.
const QUEUE_MAX: usize = 1_024;
/// Threads when the config says 0, at most: beyond them signing would take the cores that mail needs.
const THREADS_BY_ITSELF_MAX: usize = 4;
/// Octets read from disk at once.
const BLOCK_OCTETS: usize = 64 * 1024;

/// Opens a stored message, in the signing thread.
pub type Open = Box<dyn FnOnce() -> Result<Box<dyn Read + Send>, StoreError> + Send>;

/// A stored message.
pub enum Content {
    /// All of it.
    Ram(Bytes),
    /// What opens it.
    Disk(Open),
}

/// What is to be signed.
pub struct Request {
    /// Header fields that stand above the stored message and are signed with it; whole lines.
    pub above: Vec<u8>,
    /// The stored message.
    pub content: Content,
    /// The hash of its body, where it is known already: the body is not read then.
    pub body_hash: Option<[u8; 32]>,
    /// Who signs.
    pub identities: Arc<Vec<Identity>>,
    /// The time of the signatures.
    pub at: Timestamp,
}

/// What was signed.
pub struct Signed {
    /// One DKIM-Signature field for each identity.
    pub fields: Vec<u8>,
    /// The hash of the message's body.
    pub body_hash: [u8; 32],
}

/// Why mail with keys leaves unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsigned {
    /// It has no From.
    NoFrom,
    /// It has several.
    SeveralFrom,
    /// Its header is longer than what is looked at.
    LongHeader,
}

/// Why there are no fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignError {
    /// The message leaves without.
    Unsigned(Unsigned),
    /// The stored message cannot be read; says what.
    Damaged(String),
    /// Our own trouble: it waits.
    Failed(String),
}

struct Task {
    request: Request,
    answer: channel::Sender<Result<Signed, SignError>>,
}

/// The threads; clones share them, and the last one ends them.
#[derive(Clone)]
pub struct Signer(Arc<Inner>);

struct Inner {
    queue: channel::Sender<Task>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} waiting)", self.0.queue.len())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // Each ends after the job in its hands; what waits is answered by nobody, and its attempts are over.
            let _ = thread.join();
        }
    }
}

impl Signer {
    /// Starts `threads` of them; 0: one a core, up to four.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(threads: usize, clock: &Clock, metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let count = match threads {
            0 => thread::available_parallelism().map_or(1, usize::from).min(THREADS_BY_ITSELF_MAX),
            n => n,
        };
        let (queue, tasks) = channel::bounded(QUEUE_MAX);
        // Made first: where a thread cannot start, those that did end with it.
        let signer = Signer(Arc::new(Inner { queue, threads: Mutex::default(), metrics: metrics.clone() }));
        for n in 0..count {
            let (tasks, clock, metrics) = (tasks.clone(), clock.clone(), metrics.clone());
            let handle =
                thread::Builder::new().name(format!("dkim-{n}")).spawn(move || work(&tasks, &clock, &metrics))?;
            signer.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        Ok(signer)
    }

    /// Signs. Waits while the queue is full; dropped, the job is left out where no thread has it yet.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign(&self, request: Request) -> Result<Signed, SignError> {
        let stopped = || SignError::Failed("the signing threads have stopped".to_owned());
        let (answer, wait) = channel::bounded(1);
        let _waiting = Waiting::new(&self.0.metrics);
        self.0.queue.send(Task { request, answer }).await.map_err(|_| stopped())?;
        wait.recv().await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Counts a job from its arrival to its answer.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.dkim_queue.up();
        Waiting(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dkim_queue.down();
    }
}

fn work(tasks: &channel::Receiver<Task>, clock: &Clock, metrics: &Metrics) {
    while let Ok(Task { request, answer }) = tasks.recv_blocking() {
        if answer.is_closed() {
            continue;
        }
        let started: Instant = clock.instant();
        let result = catch_unwind(AssertUnwindSafe(|| run(request)))
            .unwrap_or_else(|_| Err(SignError::Failed("signing was broken off by a fault in Hikyaku".to_owned())));
        let micros = clock.instant().saturating_duration_since(started).as_micros();
        metrics.dkim_micros.add(u64::try_from(micros).unwrap_or(u64::MAX));
        // Nobody waits any more where the attempt was cut.
        let _ = answer.try_send(result);
    }
}

/// Does one job.
fn run(request: Request) -> Result<Signed, SignError> {
    let Request { above, content, body_hash, identities, at } = request;
    let (ram, disk);
    let (stored, body_hash) = match content {
        Content::Ram(bytes) => {
            ram = bytes;
            let end = head_end(&ram).ok_or(SignError::Unsigned(Unsigned::LongHeader))?;
            let (head, body) = ram.split_at(end);
            (head, body_hash.unwrap_or_else(|| hash(body)))
        }
        Content::Disk(open) => {
            let (head, hash) = read(open, body_hash)?;
            disk = head;
            (&disk[..], hash)
        }
    };
    let joined;
    let head = if above.is_empty() {
        stored
    } else {
        joined = [above.as_slice(), stored].concat();
        &joined
    };
    match sign::fields(head, &body_hash, &identities, at) {
        Ok(fields) => Ok(Signed { fields, body_hash }),
        Err(NotSigned::NoFrom) => Err(SignError::Unsigned(Unsigned::NoFrom)),
        Err(NotSigned::SeveralFrom) => Err(SignError::Unsigned(Unsigned::SeveralFrom)),
        Err(NotSigned::Crypto(why)) => Err(SignError::Failed(format!("signing failed: {why}"))),
    }
}

fn hash(body: &[u8]) -> [u8; 32] {
    let mut hasher = BodyHasher::new();
    hasher.update(body);
    hasher.finish()
}

/// Where the body begins; all of a message that has none. `None`: its header is longer than what is looked at.
fn head_end(message: &[u8]) -> Option<usize> {
    let looked_at = &message[..message.len().min(HEADER_BYTES_MAX)];
    find_end(looked_at, 0).or((message.len() <= HEADER_BYTES_MAX).then_some(message.len()))
}

/// The header of a message on disk, and its body's hash; the body goes by in blocks.
fn read(open: Open, known: Option<[u8; 32]>) -> Result<(Vec<u8>, [u8; 32]), SignError> {
    let mut reader = open().map_err(|e| match e {
        StoreError::Damaged(why) => SignError::Damaged(why),
        other => SignError::Failed(other.to_string()),
    })?;
    let mut block = |into: &mut Vec<u8>| -> Result<usize, SignError> {
        // The reader checks the whole when it meets its end.
        let read = reader.by_ref().take(BLOCK_OCTETS as u64).read_to_end(into);
        read.map_err(|e| SignError::Damaged(e.to_string()))
    };
    let mut head = Vec::with_capacity(BLOCK_OCTETS);
    let mut hasher = BodyHasher::new();
    let mut looked_at = 0;
    loop {
        let got = block(&mut head)?;
        if let Some(end) = find_end(&head, looked_at) {
            hasher.update(&head[end..]);
            head.truncate(end);
            break;
        }
        if got == 0 {
            // A header alone.
            break;
        }
        if head.len() > HEADER_BYTES_MAX {
            return Err(SignError::Unsigned(Unsigned::LongHeader));
        }
        looked_at = head.len();
    }
    if head.len() > HEADER_BYTES_MAX {
        return Err(SignError::Unsigned(Unsigned::LongHeader));
    }
    if let Some(known) = known {
        return Ok((head, known));
    }
    let mut body = Vec::with_capacity(BLOCK_OCTETS);
    while block(&mut body)? > 0 {
        hasher.update(&body);
        body.clear();
    }
    Ok((head, hasher.finish()))
}

#[cfg(test)]
mod tests {
    use std::{io, sync::mpsc, time::Duration};

    use super::*;
    use crate::dkim::key::{Algorithm, SigningKey};

    const AT: Timestamp = Timestamp::from_millis(1_795_000_000_000);
    const MAIL: &[u8] = b"From: a@src.test\r\nSubject: x\r\n\r\nhello  there \r\n\r\n\r\n";

    fn identities(domain: &str) -> Arc<Vec<Identity>> {
        let key = Arc::new(SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key").0);
        Arc::new(vec![Identity { domain: domain.into(), selector: "s".into(), key }])
    }

    fn signer(threads: usize) -> (Signer, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        (Signer::start(threads, &Clock::system(), &metrics).expect("threads"), metrics)
    }

    fn request(content: Content, identities: &Arc<Vec<Identity>>) -> Request {
        Request { above: Vec::new(), content, body_hash: None, identities: identities.clone(), at: AT }
    }

    /// Gives its octets a few at a time, and may break at the end.
    struct Slow {
        octets: Vec<u8>,
        at: usize,
        breaks: bool,
    }

    impl Read for Slow {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = buf.len().min(997).min(self.octets.len() - self.at);
            if n == 0 && self.breaks {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the body is damaged (checksum)"));
            }
            buf[..n].copy_from_slice(&self.octets[self.at..self.at + n]);
            self.at += n;
            Ok(n)
        }
    }

    fn disk(octets: &[u8], breaks: bool) -> Content {
        let octets = octets.to_vec();
        Content::Disk(Box::new(move || Ok(Box::new(Slow { octets, at: 0, breaks }) as Box<dyn Read + Send>)))
    }

    fn ram(octets: &[u8]) -> Content {
        Content::Ram(Bytes::copy_from_slice(octets))
    }

    fn signed(signer: &Signer, request: Request) -> Result<(Vec<u8>, [u8; 32]), SignError> {
        smol::block_on(signer.sign(request)).map(|s| (s.fields, s.body_hash))
    }

    #[test]
    fn what_is_on_disk_is_signed_as_it_would_be_in_ram() {
        let (signer, _) = signer(2);
        let keys = identities("src.test");
        let long_head: Vec<u8> =
            [b"From: a@src.test\r\n", &b"X-Long: y\r\n".repeat(9_000)[..], b"\r\nbody\r\n"].concat();
        let long_body: Vec<u8> = [MAIL, &b"a line\t of  words\r\n".repeat(20_000)[..]].concat();
        let edge: Vec<u8> = [b"From: a@src.test\r\nX: ", &[b'x'; BLOCK_OCTETS - 23][..], b"\r\n\r\nbody\r\n"].concat();
        for mail in
            [MAIL, &long_head, &long_body, &edge, b"From: a@src.test\r\n", b"From: a@src.test\r\n\r\n", b"From: a@b"]
        {
            let from_ram = signed(&signer, request(ram(mail), &keys));
            assert!(from_ram.is_ok(), "{from_ram:?}");
            assert_eq!(signed(&signer, request(disk(mail, false), &keys)), from_ram);
        }
    }

    #[test]
    fn a_known_hash_is_taken_and_fields_above_are_signed() {
        let (signer, _) = signer(1);
        let keys = identities("src.test");
        let long: Vec<u8> = [MAIL, &b"line\r\n".repeat(2 * BLOCK_OCTETS)[..]].concat();
        let (plain, hash) = signed(&signer, request(ram(&long), &keys)).expect("signed");
        let known = Request { body_hash: Some(hash), ..request(disk(&long, true), &keys) };
        // The damage at the end of the body is not met: only the header is read.
        assert_eq!(signed(&signer, known), Ok((plain.clone(), hash)));
        let above = b"List-Unsubscribe:\r\n <https://x.test/u/1>\r\n".to_vec();
        let (fields, _) = signed(&signer, Request { above, ..request(ram(MAIL), &keys) }).expect("signed");
        let text: String = String::from_utf8(fields).expect("ASCII").split_whitespace().collect();
        assert!(text.contains(":list-unsubscribe;") && !text.contains("https"), "{text}");
    }

    #[test]
    fn what_cannot_be_signed_says_why() {
        let (signer, _) = signer(1);
        let keys = identities("src.test");
        let endless: Vec<u8> =
            [b"From: a@src.test\r\n", &b"X-Long: y\r\n".repeat(30_000)[..], b"\r\nbody\r\n"].concat();
        let twice = b"From: a@src.test\r\nFROM: b@src.test\r\n\r\nx\r\n";
        for (mail, why) in [
            (&endless[..], Unsigned::LongHeader),
            (b"Subject: x\r\n\r\nFrom: a@src.test\r\n", Unsigned::NoFrom),
            (twice, Unsigned::SeveralFrom),
        ] {
            for content in [ram(mail), disk(mail, false)] {
                assert_eq!(signed(&signer, request(content, &keys)), Err(SignError::Unsigned(why)), "{why:?}");
            }
        }
        let damaged = signed(&signer, request(disk(MAIL, true), &keys));
        assert!(matches!(&damaged, Err(SignError::Damaged(why)) if why.contains("checksum")), "{damaged:?}");
        let gone = Content::Disk(Box::new(|| Err(StoreError::Damaged("it is gone".into()))));
        assert_eq!(signed(&signer, request(gone, &keys)), Err(SignError::Damaged("it is gone".into())));
        let unreadable = Content::Disk(Box::new(|| Err(StoreError::Full)));
        assert!(matches!(signed(&signer, request(unreadable, &keys)), Err(SignError::Failed(_))));
        let broken = signed(&signer, request(ram(MAIL), &identities(&"x".repeat(64))));
        assert!(matches!(&broken, Err(SignError::Failed(why)) if why.contains("signing failed")), "{broken:?}");
    }

    #[test]
    fn a_panic_costs_its_own_job_alone() {
        let (signer, metrics) = signer(1);
        let keys = identities("src.test");
        let panics = Content::Disk(Box::new(|| panic!("a fault")));
        let answer = signed(&signer, request(panics, &keys));
        assert!(matches!(&answer, Err(SignError::Failed(why)) if why.contains("fault in Hikyaku")), "{answer:?}");
        assert!(signed(&signer, request(ram(MAIL), &keys)).is_ok(), "the thread goes on");
        assert_eq!(metrics.dkim_queue.get(), 0);
        assert!(metrics.dkim_micros.get() > 0);
    }

    #[test]
    fn a_full_queue_makes_the_next_wait_and_drops_nothing() {
        let (signer, metrics) = signer(1);
        let keys = identities("src.test");
        let (go, wait) = mpsc::channel::<()>();
        let blocked = Content::Disk(Box::new(move || {
            let _ = wait.recv_timeout(Duration::from_secs(20));
            Ok(Box::new(MAIL) as Box<dyn Read + Send>)
        }));
        let executor = smol::Executor::new();
        let first = executor.spawn({
            let (signer, request) = (signer.clone(), request(blocked, &keys));
            async move { signer.sign(request).await.is_ok() }
        });
        const JOBS: usize = QUEUE_MAX + 50;
        let jobs: Vec<_> = (0..JOBS)
            .map(|_| {
                let (signer, request) = (signer.clone(), request(ram(MAIL), &keys));
                executor.spawn(async move { signer.sign(request).await.is_ok() })
            })
            .collect();
        smol::block_on(executor.run(async {
            while (metrics.dkim_queue.get() as usize) < JOBS + 1 {
                smol::future::yield_now().await;
            }
            // Some wait before the queue; one of them is cut, and nobody misses its answer.
            let mut jobs = jobs;
            assert!(jobs.pop().expect("the last").cancel().await.is_none(), "it had no answer yet");
            go.send(()).expect("the first waits");
            assert!(first.await);
            for job in jobs {
                assert!(job.await);
            }
        }));
        assert_eq!(metrics.dkim_queue.get(), 0);
    }

    #[test]
    fn the_threads_end_with_the_last_handle() {
        let (signer, _) = signer(3);
        let other = signer.clone();
        drop(signer);
        assert!(signed(&other, request(ram(MAIL), &identities("src.test"))).is_ok());
        // Waits for them; a thread that went on would keep this test from ending.
        drop(other);
    }
}
