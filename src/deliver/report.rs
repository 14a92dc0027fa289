//! What a try met, in words and in the fields of the log.
//!
//! In: a fault or a missing way, and the host it was met at.  Out: [`Failure`], from which results are made.
//! Always: a peer's answer is logged as it came, on one line and bounded, and means what the same answer means in a bounce mail;
//! where no peer answered, our own words say what happened, with an enhanced code in front.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{route::NoWay, verdict::Kind};
use crate::{
    bounce::classify::{self, Said},
    event::{AttemptDetail, ErrorClass, Phase, Trouble as Whose},
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
    /// The address or its domain will never take mail, as far as the answer says.
    pub hard: bool,
    /// Whose trouble it is.
    pub whose: Whose,
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
        let (class, hard, whose) = (kind.class(), kind.is_hard(), kind.whose());
        Failure { phase, kind, class, hard, whose, reply, met, answered: false, fails: false }
    }

    /// A peer's answer.
    fn answered(phase: Phase, kind: Kind, reply: &Reply, met: Met) -> Self {
        let said = Said { phase: Some(phase), code: Some(reply.code), enhanced: reply.enhanced, text: &reply.text };
        let judged = classify::judge(&said);
        let (class, hard, whose) = (judged.class, judged.hard, judged.trouble);
        Failure { phase, kind, class, hard, whose, reply: reply_text(reply), met, answered: true, fails: false }
    }

    /// What the SMTP client met at a host. `size`: octets of the message.
    pub(super) fn at_host(fault: &Fault, ours: bool, size: u64, met: Met) -> Self {
        let (phase, trouble) = (fault.phase, &fault.trouble);
        let kind = if ours { Kind::Ours } else { Kind::of(trouble) };
        let (place, at) = (met.place(), place_in_dialog(phase));
        let own = match trouble {
            Trouble::Reply(reply) => return Self::answered(phase, kind, reply, met),
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
            trouble: Some(self.whose),
            hard: self.hard,
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
    fn every_failure_says_its_class_whether_it_is_hard_and_whose_trouble_it_is() {
        use Whose::{Authentication, Content, Destination, Policy, Recipient, Reputation};
        let say = |code, e: (u8, u16, u16), text: &'static str| {
            Trouble::Reply(match e {
                (0, ..) => Reply::plain(code, text),
                (c, s, d) => Reply::new(code, Enhanced(c, s, d), text),
            })
        };
        for (phase, trouble, want) in [
            (Phase::Rcpt, say(550, (5, 1, 1), "no such user"), (2, true, Recipient)),
            (Phase::Rcpt, say(450, (4, 1, 1), "no such user"), (2, false, Recipient)),
            (Phase::Rcpt, say(550, (5, 1, 2), "no such host"), (1, true, Recipient)),
            (Phase::Rcpt, say(550, (5, 1, 3), "bad"), (9, true, Recipient)),
            (Phase::Rcpt, say(556, (5, 1, 10), "null mx"), (1, true, Recipient)),
            (Phase::Rcpt, say(552, (5, 2, 2), "full"), (5, false, Recipient)),
            (Phase::Rcpt, say(452, (4, 2, 2), "full"), (5, false, Recipient)),
            (Phase::Mail, say(552, (5, 3, 4), "too big"), (8, false, Content)),
            (Phase::Content, say(552, (0, 0, 0), "sorry"), (8, false, Content)),
            (Phase::Content, say(554, (5, 7, 1), "spam"), (4, false, Content)),
            (Phase::Content, say(550, (5, 1, 1), "blocked using Spamhaus"), (4, false, Reputation)),
            (Phase::Rcpt, say(550, (5, 7, 25), "no PTR"), (4, false, Authentication)),
            (Phase::Rcpt, say(550, (5, 7, 1), "user unknown"), (2, true, Recipient)),
            (Phase::Rcpt, say(554, (5, 7, 1), "mailbox is over quota"), (5, false, Recipient)),
            (Phase::Rcpt, say(550, (0, 0, 0), "no"), (2, false, Recipient)),
            (Phase::Rcpt, say(550, (5, 0, 0), "no"), (2, false, Recipient)),
            (Phase::Rcpt, say(552, (0, 0, 0), "full"), (5, false, Recipient)),
            (Phase::Rcpt, say(451, (4, 4, 1), "no answer from host"), (3, false, Destination)),
            (Phase::Content, say(550, (0, 0, 0), "no"), (99, false, Destination)),
            (Phase::Content, say(554, (5, 6, 0), "bad"), (4, false, Content)),
            (Phase::Greeting, say(421, (0, 0, 0), "busy"), (3, false, Destination)),
            (Phase::Greeting, say(554, (0, 0, 0), "go away"), (4, false, Reputation)),
            (Phase::Mail, say(550, (5, 1, 1), "user unknown"), (4, false, Policy)),
            // The password of a smarthost says nothing about a recipient.
            (Phase::Auth, say(535, (5, 1, 1), "unknown user"), (7, false, Authentication)),
            (Phase::Connect, Trouble::TimedOut(Duration::from_secs(30)), (3, false, Destination)),
            (Phase::Mail, Trouble::TooLarge { limit: 1 }, (8, false, Content)),
            (Phase::Rcpt, Trouble::BadAddress, (9, true, Recipient)),
        ] {
            let what = format!("{phase:?} {trouble:?}");
            let failure = Failure::at_host(&Fault { phase, trouble }, false, 77, Met::default());
            let detail = failure.detail("example.org", Duration::ZERO);
            let got = (detail.error.map(ErrorClass::code), detail.hard, detail.trouble);
            assert_eq!(got, (Some(want.0), want.1, Some(want.2)), "{what}");
        }
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        let reply = Reply::plain(550, "だ".repeat(1000));
        let text = reply_text(&reply);
        assert!(text.len() <= REPLY_OCTETS_MAX && text.ends_with('だ'));
    }
}
