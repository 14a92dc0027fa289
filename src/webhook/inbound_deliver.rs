//! Posts mail that waits in the lane of a webhook: the deliverer beside the one for mail.
//!
//! In: jobs of the scheduler, whose lane names a webhook.  Out: outcomes, as every deliverer's.
//! Always: one post for each recipient of a message, which is one address and one webhook; a webhook that the config no longer
//! has keeps its mail waiting, to be found by its name in the queue; connections and time are bounded for each webhook, so that a
//! slow one holds up no other; mails are taken apart two at a time, under a lease.
//! Sources: cmc.md §10.2; PRODUCT.md P3, P5, P6.

use std::{
    collections::HashMap,
    future::Future,
    io::Read,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use smol::{Timer, future::FutureExt, lock::Semaphore};

use super::{
    inbound_body::{self, About, Body},
    inbound_lane::{hook_name, hook_of},
    inbound_post::{Judgement, judge, words},
    retry,
    sender::{Ways, addresses},
    sign,
    target::Target,
};
use crate::{
    budget::Budget,
    config::{Config, InboundWebhook},
    deliver::job::{Deliver, Job, Located, Outcome, Pace, Push, PushKind, RecipientResult, SiteFeedback, Verdict},
    event::{AttemptDetail, ErrorClass, Phase, Trouble},
    net::{
        https::HttpError,
        kept::{Answer, Kept, Post},
    },
    runtime::Shutdown,
    store::{Lane, Loaded, Recipient, Store, StoreError},
};

/// Mails that are taken apart at once: a large one costs a core some 100 ms, and several times its size in memory.
const BUILDERS_MAX: usize = 2;
/// What taking a mail apart needs for each of its octets, beside the post itself: the mail, and one part of it, decoded.
const MEMORY_FACTOR: usize = 4;
/// How often a post asks again for memory, and how many times.
const MEMORY_WAIT: Duration = Duration::from_millis(100);
const MEMORY_TRIES: u32 = 20;
/// Webhooks whose settings are looked at again after this time.
const LOCATED_FOR: Duration = Duration::from_secs(60);
/// The longest pause that a program may ask for.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// Connections that are kept for later, in all.
const KEPT_MAX: usize = 50;

/// What it is made of.
pub struct Parts {
    /// Where bodies are.
    pub store: Store,
    /// Where posts go out.
    pub ways: Ways,
    /// The memory of mail bodies.
    pub budget: Budget,
    /// When sockets are cut.
    pub shutdown: Shutdown,
}

/// The deliverer for mail that is posted.
pub struct Poster {
    parts: Parts,
    builders: Semaphore,
    kept: Mutex<HashMap<String, Vec<Kept>>>,
}

/// Jobs go by their lane: to a webhook's poster, or to who delivers mail.
pub struct ByLane {
    /// Who delivers mail.
    pub mail: Arc<dyn Deliver>,
    /// Who posts it.
    pub posts: Poster,
}

impl Deliver for ByLane {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        match hook_name(job.lane.destination()) {
            Some(_) => Box::pin(self.posts.run(job)),
            None => self.mail.deliver(job),
        }
    }

    fn locate<'a>(&'a self, lane: &'a Lane) -> Pin<Box<dyn Future<Output = Located> + Send + 'a>> {
        match hook_name(lane.destination()) {
            Some(_) => Box::pin(std::future::ready(self.posts.located(lane))),
            None => self.mail.locate(lane),
        }
    }
}

/// Why there is nothing to post.
enum NoBody {
    Damaged(String),
    Later(String),
}

impl From<StoreError> for NoBody {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => NoBody::Damaged(what),
            other => NoBody::Later(other.to_string()),
        }
    }
}

impl Poster {
    /// Posts for these.
    pub fn new(parts: Parts) -> Self {
        Poster { parts, builders: Semaphore::new(BUILDERS_MAX), kept: Mutex::default() }
    }

    fn located(&self, lane: &Lane) -> Located {
        let config = self.parts.ways.config.get();
        let pace = hook_of(&config, lane).map(|hook| Pace {
            rule: lane.0.clone(),
            connections_max: Some(hook.connections_max),
            interval: Duration::ZERO,
            fixed: false,
        });
        Located { pace, valid_for: LOCATED_FOR, ..Located::alone(lane) }
    }

    async fn run(&self, job: Job) -> Outcome {
        let config = self.parts.ways.config.get();
        let mut outcome =
            Outcome { results: Vec::new(), feedback: SiteFeedback::Unknown, interrupted: false, push: None };
        let Some(hook) = hook_of(&config, &job.lane) else {
            let name = hook_name(job.lane.destination()).unwrap_or_default();
            let why = format!("no [[inbound.webhook]] has the name {name:?}: add it again, or drop this mail");
            let later = |r: &Recipient| own_trouble(r, Phase::Route, why.clone(), false);
            outcome.results = job.recipients.iter().map(later).collect();
            outcome.feedback = SiteFeedback::Trouble;
            return outcome;
        };
        for (n, recipient) in job.recipients.iter().enumerate() {
            let cut = async {
                self.parts.shutdown.cut_now().await;
                None
            };
            let Some((result, feedback, push)) =
                async { Some(self.post(&config, hook, &job.loaded, recipient).await) }.or(cut).await
            else {
                // The program may have taken it: it is tried again, and marked.
                outcome.results.push(cut_off(recipient));
                outcome.interrupted = n + 1 < job.recipients.len();
                return outcome;
            };
            outcome.feedback = feedback;
            outcome.push = push;
            outcome.results.push(result);
            if feedback == SiteFeedback::Trouble {
                // The others are as they were: each is a post of its own, and this webhook is in trouble.
                outcome.interrupted = n + 1 < job.recipients.len();
                return outcome;
            }
        }
        outcome
    }

    /// One post, and what it means for the mail and for the webhook.
    async fn post(
        &self,
        config: &Config,
        hook: &InboundWebhook,
        loaded: &Arc<Loaded>,
        recipient: &Recipient,
    ) -> (RecipientResult, SiteFeedback, Option<Push>) {
        let started = self.parts.ways.clock.instant();
        let body = match self.body(config, hook, loaded, recipient).await {
            Ok(body) => body,
            Err(NoBody::Damaged(what)) => {
                return (own_trouble(recipient, Phase::Queue, what, true), SiteFeedback::Unknown, None);
            }
            Err(NoBody::Later(why)) => {
                return (own_trouble(recipient, Phase::Queue, why, false), SiteFeedback::Unknown, None);
            }
        };
        let ended = self.exchange(hook, recipient, &body).await;
        let duration = self.parts.ways.clock.instant().saturating_duration_since(started);
        let Judgement { verdict, feedback, phase, reply, error, trouble, may_have_taken } = judge(&ended);
        if !matches!(verdict, Verdict::Delivered { .. }) {
            log::info!(
                "message={} recipient={} webhook={:?} url={} octets={} reply={reply:?} words={:?}",
                loaded.message.id,
                recipient.key.index,
                hook.name,
                hook.url_shown(),
                body.octets.len(),
                words(&ended)
            );
        }
        let detail = AttemptDetail {
            destination: recipient.lane.destination().to_owned(),
            phase: Some(phase),
            reply,
            duration,
            error,
            trouble,
            possible_duplicate: may_have_taken || recipient.possible_duplicate,
            ..AttemptDetail::default()
        };
        let push = self.asked_to_wait(&ended);
        (
            RecipientResult { index: recipient.key.index, verdict, detail: Box::new(detail), conversation: None },
            feedback,
            push,
        )
    }

    /// 429 and 503 may say how long to leave the program alone.
    fn asked_to_wait(&self, ended: &Result<Answer, HttpError>) -> Option<Push> {
        let answer = ended.as_ref().ok().filter(|answer| matches!(answer.status, 429 | 503))?;
        let asked = retry::asked(answer.retry_after.as_deref(), self.parts.ways.clock.now())?;
        let duration = asked.min(ASKED_WAIT_MAX);
        (!duration.is_zero()).then(|| Push { rule: "Retry-After".into(), what: PushKind::Pause, duration })
    }

    async fn exchange(&self, hook: &InboundWebhook, recipient: &Recipient, body: &Body) -> Result<Answer, HttpError> {
        let ways = &self.parts.ways;
        let Some(client) = &ways.client else {
            return Err(HttpError::Connect("there are no root certificates to check the host by".into()));
        };
        let Some(target) = Target::parse(&hook.url) else {
            return Err(HttpError::Request("the URL cannot be posted to".into()));
        };
        let id = format!("msg_{}_{}", recipient.key.message, recipient.key.index);
        let mut fields = sign::fields(&sign::keys(&hook.signing_key), &id, ways.clock.now(), &body.octets);
        fields.push(("Content-Type", body.content_type.clone()));
        let post = Post { path: &target.path, fields: &fields, body: &body.octets, within: hook.timeout };
        let mut kept = self.take_kept(&hook.name).unwrap_or_else(|| Kept::new(client.clone(), ways.clock.clone()));
        let ended = kept.post(&target.host, &post, || addresses(ways, &target, hook.allow_private)).await;
        if ended.is_ok() {
            self.keep(&hook.name, kept);
        }
        ended
    }

    fn all_kept(&self) -> MutexGuard<'_, HashMap<String, Vec<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_kept(&self, hook: &str) -> Option<Kept> {
        self.all_kept().get_mut(hook)?.pop()
    }

    fn keep(&self, hook: &str, kept: Kept) {
        let mut all = self.all_kept();
        if all.values().map(Vec::len).sum::<usize>() >= KEPT_MAX {
            all.clear();
        }
        all.entry(hook.to_owned()).or_default().push(kept);
    }

    /// The post of a mail to one of its addresses.
    async fn body(
        &self,
        config: &Config,
        hook: &InboundWebhook,
        loaded: &Arc<Loaded>,
        recipient: &Recipient,
    ) -> Result<Body, NoBody> {
        let _permit = self.builders.acquire().await;
        let message = &loaded.message;
        let budget = &self.parts.budget;
        let len = usize::try_from(message.len).unwrap_or(usize::MAX);
        // A limit below what one mail takes must not keep it for ever: then it goes alone, as far as half of the limit.
        let needed = len.saturating_mul(MEMORY_FACTOR).min(budget.bytes_max() / 2);
        let mut lease = budget.take(needed);
        for _ in 0..MEMORY_TRIES {
            if lease.is_some() {
                break;
            }
            Timer::after(MEMORY_WAIT).await;
            lease = budget.take(needed);
        }
        let Some(lease) = lease else {
            return Err(NoBody::Later("no memory is left for this mail: see memory_limit in [server]".into()));
        };
        let about = About {
            api_key: hook.api_key.reveal().clone(),
            composition: config.server.composition.clone(),
            filter: hook.name.clone(),
            sender: message.sender.as_ref().map_or_else(String::new, |s| s.as_str().to_owned()),
            recipient: recipient.address.as_str().to_owned(),
            multipart: if hook.multipart { Some(boundary()?) } else { None },
        };
        let (loaded, store, budget) = (loaded.clone(), self.parts.store.clone(), budget.clone());
        smol::unblock(move || {
            let mail = source(&loaded, &store)?;
            let body = inbound_body::write(&mail, &about, &budget).map_err(NoBody::Later);
            drop((mail, lease));
            body
        })
        .await
    }
}

/// A mail's octets, from memory or from disk.
fn source(loaded: &Loaded, store: &Store) -> Result<Bytes, NoBody> {
    if let Some((bytes, _)) = &loaded.body {
        return Ok(bytes.clone());
    }
    let mut mail = Vec::with_capacity(usize::try_from(loaded.message.len).unwrap_or(0));
    store.open_body(&loaded.message)?.read_to_end(&mut mail).map_err(|error| match error.kind() {
        // A body reader reports a wrong checksum as invalid data.
        std::io::ErrorKind::InvalidData => NoBody::Damaged(error.to_string()),
        _ => NoBody::Later(format!("the mail could not be read: {error}")),
    })?;
    Ok(mail.into())
}

/// What parts the fields of a form: nobody can guess it, so that no mail can hold it.
fn boundary() -> Result<String, NoBody> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| NoBody::Later("the system gives no random bytes".into()))?;
    Ok(format!("hikyaku-{:032x}", u128::from_ne_bytes(random)))
}

/// The result of a recipient that was not posted, because of us.
fn own_trouble(recipient: &Recipient, phase: Phase, reply: String, damaged: bool) -> RecipientResult {
    let detail = AttemptDetail {
        destination: recipient.lane.destination().to_owned(),
        phase: Some(phase),
        reply,
        error: Some(if damaged { ErrorClass::Other } else { ErrorClass::ResendTimeout }),
        trouble: Some(Trouble::Destination),
        possible_duplicate: recipient.possible_duplicate,
        ..AttemptDetail::default()
    };
    let verdict = Verdict::Deferred { site: phase == Phase::Route, damaged };
    RecipientResult { index: recipient.key.index, verdict, detail: Box::new(detail), conversation: None }
}

fn cut_off(recipient: &Recipient) -> RecipientResult {
    let mut result = own_trouble(recipient, Phase::Content, "cut off by the shutdown".into(), false);
    result.detail.possible_duplicate = true;
    result
}
