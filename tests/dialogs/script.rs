//! Reads a dialog file.

use hikyaku::smtp::{
    reply::{Enhanced, Reply},
    server::{Answer, AuthOffer, Extensions, Role, SessionConfig, TlsOffer},
};

pub struct Script {
    pub config: SessionConfig,
    pub items: Vec<(usize, Item)>,
}

pub enum Item {
    Send(Vec<u8>),
    Expect(String),
    Answer(Kind, Answer<String>),
    Asked(String),
    Content(Vec<u8>),
    Tls(String),
    Happens(Event),
    Told(String, String),
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Login,
    Sender,
    Recipient,
    Message,
    Content,
}

pub enum Event {
    Timeout,
    Closed,
    Shutdown,
    /// So many seconds pass.
    Later(u64),
}

pub fn parse(text: &str) -> Result<Script, String> {
    let mut config = config("")?;
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(i, l)| (i + 1, l)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |e: String| format!("line {number}: {e}");
        let (mark, rest) = line.split_once(':').ok_or_else(|| at("no mark".into()))?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let mut push = |item| items.push((number, item));
        match mark {
            "use" => config = self::config(rest).map_err(at)?,
            "C" => push(Item::Send([unescape(rest).map_err(at)?, b"\r\n".to_vec()].concat())),
            "c" => push(Item::Send(unescape(rest).map_err(at)?)),
            "S" => push(Item::Expect(rest.to_owned())),
            "A" => {
                let (kind, answer) = answer(rest).map_err(at)?;
                push(Item::Answer(kind, answer));
            }
            "Q" => push(Item::Asked(rest.to_owned())),
            "=" => push(Item::Content(unescape(rest).map_err(at)?)),
            "T" => push(Item::Tls(rest.to_owned())),
            "E" => push(Item::Happens(match rest {
                "timeout" => Event::Timeout,
                "closed" => Event::Closed,
                "shutdown" => Event::Shutdown,
                other => match other.strip_prefix("later ").and_then(|n| n.parse().ok()) {
                    Some(seconds) => Event::Later(seconds),
                    None => return Err(at(format!("no event: {other}"))),
                },
            })),
            "I" => {
                for word in rest.split(' ') {
                    let (key, value) = word.split_once('=').ok_or_else(|| at(format!("no key=value: {word}")))?;
                    push(Item::Told(key.to_owned(), value.to_owned()));
                }
            }
            "X" => push(Item::Closed),
            other => return Err(at(format!("no such mark: {other}"))),
        }
    }
    Ok(Script { config, items })
}

/// The session's settings: `tls=none|offered|active`, `tls_required`, `auth=none|offered|in_clear_refused`, `auth_required`,
/// `role=inbound`, `size=N`, `recipients=N`, `normalize`, `mt_priority`, `future=N` (seconds), `deliver_by`, `require_tls`.
pub fn config(words: &str) -> Result<SessionConfig, String> {
    let mut config = SessionConfig {
        hostname: "relay.test".into(),
        role: Role::Relay,
        tls: TlsOffer::None,
        tls_required_for_mail: false,
        auth: AuthOffer::default(),
        message_size_max: 100_000,
        recipients_max: 100,
        bare_newline_normalize: false,
        extensions: Extensions::default(),
    };
    for word in words.split(' ').filter(|w| !w.is_empty()) {
        let number = |v: &str| v.parse().map_err(|e| format!("{word}: {e}"));
        match word.split_once('=').unwrap_or((word, "")) {
            ("tls", "none") => config.tls = TlsOffer::None,
            ("tls", "offered") => config.tls = TlsOffer::Offered,
            ("tls", "active") => config.tls = TlsOffer::Active("TLSv1.3".into()),
            ("tls_required", "") => config.tls_required_for_mail = true,
            ("auth", "none") => {}
            ("auth", "offered") => config.auth.offered = true,
            ("auth", "in_clear_refused") => config.auth.in_clear_refused = true,
            ("auth_required", "") => config.auth.required = true,
            ("role", "inbound") => config.role = Role::Inbound,
            ("size", v) => config.message_size_max = number(v)? as u64,
            ("recipients", v) => config.recipients_max = number(v)?,
            ("mt_priority", "") => config.extensions.mt_priority = true,
            ("future", v) => config.extensions.future_release_seconds_max = number(v)? as u32,
            ("deliver_by", "") => config.extensions.deliver_by = true,
            ("require_tls", "") => config.extensions.require_tls = true,
            ("normalize", "") => config.bare_newline_normalize = true,
            _ => return Err(format!("no such setting: {word}")),
        }
    }
    Ok(config)
}

fn answer(text: &str) -> Result<(Kind, Answer<String>), String> {
    let (kind, answer) = text.split_once(' ').ok_or("an answer has two words")?;
    let kind = match kind {
        "login" => Kind::Login,
        "sender" => Kind::Sender,
        "recipient" => Kind::Recipient,
        "message" => Kind::Message,
        "content" => Kind::Content,
        other => return Err(format!("no such question: {other}")),
    };
    let (verb, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    let answer = match verb {
        "yes" => Answer::Yes,
        "as" => Answer::LoggedIn { name: rest.to_owned() },
        "queued" => Answer::Queued(rest.to_owned()),
        "no" => Answer::No(reply(rest)?),
        "close" => Answer::NoAndClose(reply(rest)?),
        other => return Err(format!("no such answer: {other}")),
    };
    Ok((kind, answer))
}

fn reply(text: &str) -> Result<Reply, String> {
    let (code, rest) = text.split_once(' ').ok_or("a reply has a code")?;
    let (enhanced, rest) = rest.split_once(' ').ok_or("a reply has an enhanced code")?;
    let code = code.parse().map_err(|e| format!("{code}: {e}"))?;
    let numbers: Vec<u16> = enhanced.split('.').filter_map(|n| n.parse().ok()).collect();
    let &[class, subject, detail] = numbers.as_slice() else {
        return Err(format!("no enhanced code: {enhanced}"));
    };
    Ok(Reply::new(code, Enhanced(class as u8, subject, detail), rest.to_owned()))
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let mut chars = after.chars();
        let mut used = 1;
        match chars.next() {
            Some('r') => out.push(b'\r'),
            Some('n') => out.push(b'\n'),
            Some('t') => out.push(b'\t'),
            Some('0') => out.push(0),
            Some('\\') => out.push(b'\\'),
            Some('x') => {
                out.push(
                    after.get(1..3).and_then(|h| u8::from_str_radix(h, 16).ok()).ok_or("\\x takes two hex digits")?,
                );
                used = 3;
            }
            Some('{') => {
                let end = after.find('}').ok_or("\\{ without }")?;
                let (piece, times) = after[1..end].rsplit_once('*').ok_or("\\{text*N}")?;
                let times: usize = times.parse().map_err(|e| format!("{times}: {e}"))?;
                out.extend(unescape(piece)?.repeat(times));
                used = end + 1;
            }
            other => return Err(format!("no such escape: {other:?}")),
        }
        rest = &after[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}
