//! What a try met, in words and in the fields of the log.
//!
//! In: a fault or a missing way, and the host it was met at.  Out: [`Failure`], from which results are made.
//! Always: a peer's answer is logged as it came, on one line and bounded; where no peer answered, our own words say what
//! happened, with an enhanced code in front.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    route::NoWay,
    verdict::{self, Kind},
};
use crate::{
    event::{AttemptDetail, ErrorClass, Phase},
    smtp::{
        client::{Fault, Trouble, words},
        reply::{Enhanced, Reply},
    },
};

/// Octets of an answer that are logged.
const REPLY_OCTETS_MAX: usize = 1000;

/// The host that a try met.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    pub host: String,
    pub address: Option<SocketAddr>,
    pub sender_ip: Option<IpAddr>,
    pub tls: String,
}

impl Met {
    fn place(&self) -> String {
        match self.address {
            Some(address) => format!("{}[{}]:{}", self.host, address.ip(), address.port()),
            None => self.host.clone(),
        }
    }
}

/// Trouble that ends a try at a host.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub phase: Phase,
    pub kind: Kind,
    pub class: ErrorClass,
    pub reply: String,
    pub met: Met,
    /// The peer said it: response rules may act on it.
    pub answered: bool,
    /// A response rule makes it final.
    pub fails: bool,
}

impl Failure {
    /// There is no way, or no address of a host.
    pub(super) fn no_way(no_way: &NoWay, met: Met) -> Self {
        let NoWay { kind, words } = no_way;
        Self::own(Phase::Route, *kind, kind.enhanced(), words, met)
    }

    /// Our own trouble.
    pub(super) fn own_trouble(phase: Phase, kind: Kind, words: &str) -> Self {
        Self::own(phase, kind, kind.enhanced(), words, Met::default())
    }

    fn own(phase: Phase, kind: Kind, code: Enhanced, words: &str, met: Met) -> Self {
        let reply = bounded(format!("{code} {words}"));
        Failure { phase, kind, class: kind.class(), reply, met, answered: false, fails: false }
    }

    /// What the SMTP client met at a host. `size`: octets of the message.
    pub(super) fn at_host(fault: &Fault, ours: bool, size: u64, met: Met) -> Self {
        let (phase, trouble) = (fault.phase, &fault.trouble);
        let kind = if ours { Kind::Ours } else { Kind::of(trouble) };
        let (place, at) = (met.place(), place_in_dialog(phase));
        let own = match trouble {
            Trouble::Reply(reply) => {
                let class = verdict::class_of_reply(phase, reply);
                return Failure { phase, kind, class, reply: reply_text(reply), met, answered: true, fails: false };
            }
            Trouble::Closed(why) if phase == Phase::Connect => format!("connect to {place}: {why}"),
            Trouble::Closed(why) if why.is_empty() => format!("{place} closed the connection {at}"),
            Trouble::Closed(why) => format!("lost the connection to {place} {at}: {why}"),
            Trouble::TimedOut(within) if phase == Phase::Connect => {
                format!("connect to {place}: no answer within {}", words(*within))
            }
            Trouble::TimedOut(within) => format!("{place} was silent for {} {at}", words(*within)),
            Trouble::LostAfterDot(why) => {
                let why = if why.is_empty() { "the connection was closed" } else { why };
                format!("no answer of {place} to the content ({why}): it may have been delivered")
            }
            Trouble::NotSmtp(what) => format!("{place} does not speak SMTP {at}: {what}"),
            Trouble::TlsNotOffered => format!("TLS is required, and {place} does not offer it"),
            Trouble::TlsBroken(why) => format!("TLS with {place}: {why}"),
            Trouble::LoginUnusable(why) => format!("login at {place}: {why}"),
            Trouble::TooLarge { limit } => format!("{place} takes {limit} octets at most; the message has {size}"),
            Trouble::NeedsUtf8Address => format!("the address needs SMTPUTF8, which {place} does not offer"),
            Trouble::NeedsUtf8Header => format!("the header needs SMTPUTF8, which {place} does not offer"),
            Trouble::BadAddress => "the address cannot be sent".to_owned(),
            Trouble::NeedsRequireTls => format!("the sender asks for TLS all the way, which {place} does not offer"),
            Trouble::NeedsDeliverBy => {
                format!("the sender asks for delivery or return in time, which {place} does not offer")
            }
            Trouble::TooLate { least: 0 | 1, .. } => "the time that the sender gave is over".to_owned(),
            Trouble::TooLate { left, least } => {
                format!("the sender's time is over in {left} seconds, and {place} needs {least}")
            }
        };
        let code = match trouble {
            Trouble::NeedsUtf8Header => Enhanced(5, 6, 9),
            Trouble::Closed(_) | Trouble::TimedOut(_) if phase == Phase::Connect && !ours => Enhanced(4, 4, 1),
            _ => kind.enhanced(),
        };
        Self::own(phase, kind, code, &own, met)
    }

    /// The fields of the log.
    pub(super) fn detail(&self, destination: &str, duration: Duration) -> AttemptDetail {
        AttemptDetail {
            phase: Some(self.phase),
            reply: self.reply.clone(),
            error: Some(self.class),
            ..detail(destination, &self.met, duration)
        }
    }
}

/// The fields of the log for a recipient that was taken.
pub(super) fn delivered(reply: &Reply, destination: &str, met: &Met, duration: Duration) -> AttemptDetail {
    AttemptDetail { phase: Some(Phase::Content), reply: reply_text(reply), ..detail(destination, met, duration) }
}

fn detail(destination: &str, met: &Met, duration: Duration) -> AttemptDetail {
    AttemptDetail {
        destination: destination.to_owned(),
        host: met.host.clone(),
        address: met.address,
        sender_ip: met.sender_ip,
        tls: met.tls.clone(),
        duration,
        ..AttemptDetail::default()
    }
}

fn reply_text(reply: &Reply) -> String {
    bounded(reply.to_string())
}

fn bounded(mut text: String) -> String {
    if text.len() > REPLY_OCTETS_MAX {
        text.truncate(text.floor_char_boundary(REPLY_OCTETS_MAX));
    }
    text
}

fn place_in_dialog(phase: Phase) -> &'static str {
    match phase {
        Phase::Queue | Phase::Route | Phase::Connect => "before a word was said",
        Phase::Greeting => "before its greeting",
        Phase::Ehlo => "at EHLO",
        Phase::StartTls => "at STARTTLS",
        Phase::Auth => "at AUTH",
        Phase::Mail => "at MAIL",
        Phase::Rcpt => "at RCPT",
        Phase::Data => "at DATA",
        Phase::Content => "while the content was sent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_words_say_where_what_and_why() {
        let met = || Met { host: "mx1.example.org".into(), address: "192.0.2.1:25".parse().ok(), ..Met::default() };
        let refused = || Trouble::Closed("Connection refused".into());
        for (phase, trouble, ours, want) in [
            (Phase::Connect, refused(), false, "4.4.1 connect to mx1.example.org[192.0.2.1]:25: Connection refused"),
            (
                Phase::Connect,
                Trouble::TimedOut(Duration::from_secs(30)),
                false,
                "4.4.1 connect to mx1.example.org[192.0.2.1]:25: no answer within 30s",
            ),
            (
                Phase::Connect,
                Trouble::Closed("Too many open files".into()),
                true,
                "4.3.5 connect to mx1.example.org[192.0.2.1]:25: Too many open files",
            ),
            (
                Phase::Rcpt,
                Trouble::Closed(String::new()),
                false,
                "4.4.2 mx1.example.org[192.0.2.1]:25 closed the connection at RCPT",
            ),
            (
                Phase::Greeting,
                Trouble::TimedOut(Duration::from_secs(300)),
                false,
                "4.4.2 mx1.example.org[192.0.2.1]:25 was silent for 5m before its greeting",
            ),
            (
                Phase::StartTls,
                Trouble::TlsNotOffered,
                false,
                "4.7.4 TLS is required, and mx1.example.org[192.0.2.1]:25 does not offer it",
            ),
            (
                Phase::Mail,
                Trouble::TooLarge { limit: 10 },
                false,
                "5.3.4 mx1.example.org[192.0.2.1]:25 takes 10 octets at most; the message has 77",
            ),
            (
                Phase::Mail,
                Trouble::NeedsUtf8Header,
                false,
                "5.6.9 the header needs SMTPUTF8, which mx1.example.org[192.0.2.1]:25 does not offer",
            ),
            (
                Phase::Rcpt,
                Trouble::Reply(Reply::new(550, Enhanced(5, 1, 1), "no\nsuch user")),
                false,
                "550 5.1.1 no such user",
            ),
        ] {
            assert_eq!(Failure::at_host(&Fault { phase, trouble }, ours, 77, met()).reply, want);
        }
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        let reply = Reply::plain(550, "だ".repeat(1000));
        let text = reply_text(&reply);
        assert!(text.len() <= REPLY_OCTETS_MAX && text.ends_with('だ'));
    }
}
