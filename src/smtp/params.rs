//! What a transaction carries beside its addresses: the parameters of MAIL and RCPT, and the envelope they make.
//!
//! In: what follows the path of MAIL or RCPT.  Out: [`MailParams`] or [`RcptParams`], or the refusal.
//! Always: ENVID and ORCPT decode to printable text, so that a notice that quotes them cannot be forged by them.
//! Sources: RFC 1870 (SIZE), 6152 (BODY), 6531 (SMTPUTF8), 3461 (RET, ENVID, NOTIFY, ORCPT), 4954 (AUTH=); for those about
//! the delivery see `delivery_params`.

use super::{
    address::Mailbox,
    command::parse_digits,
    delivery_params::{deliver_by, hold_fits, hold_for, hold_until, mt_priority},
    reply::Reply,
};

pub use super::delivery_params::{ByMode, DeliverBy, Hold, HoldLimits, Offered};

/// Longest ENVID, in octets as written (RFC 3461 §4.4).
pub const ENVID_OCTETS_MAX: usize = 100;
/// Longest ORCPT, in octets as written (RFC 3461 §4.2).
pub const ORCPT_OCTETS_MAX: usize = 500;

/// BODY= of RFC 6152.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BodyType {
    /// 7BIT, or nothing said.
    #[default]
    SevenBit,
    /// 8BITMIME.
    EightBitMime,
}

/// RET= of RFC 3461 §4.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ret {
    /// The whole message comes back.
    Full,
    /// Its headers come back.
    Headers,
}

/// Parameters of MAIL FROM.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MailParams {
    /// SIZE=, in octets.
    pub size: Option<u64>,
    /// BODY=.
    pub body: BodyType,
    /// SMTPUTF8 was given.
    pub smtputf8: bool,
    /// RET=.
    pub ret: Option<Ret>,
    /// ENVID=, still in xtext.
    pub envid: Option<String>,
    /// MT-PRIORITY= of RFC 6710: -9 to 9.
    pub mt_priority: Option<i8>,
    /// HOLDFOR= or HOLDUNTIL= of RFC 4865.
    pub hold: Option<Hold>,
    /// BY= of RFC 2852.
    pub by: Option<DeliverBy>,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: bool,
}

impl MailParams {
    /// Reads the parameters of MAIL; the refusal is 501 for a malformed one and 555 for an unknown one or one that is not
    /// offered.
    pub fn parse(text: &str, offered: Offered) -> Result<Self, Reply> {
        let mut params = MailParams::default();
        let mut seen = Seen::default();
        for param in Param::all(text) {
            let Param { key, value } = param?;
            let word = seen.word(key, &["SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"], &OPTIONAL)?;
            match (word, offered.hold) {
                ("SIZE", _) => params.size = Some(value.and_then(parse_digits).ok_or_else(bad_size)?),
                ("BODY", _) => params.body = body_type(value)?,
                ("SMTPUTF8", _) if value.is_some() => return Err(Reply::syntax("SMTPUTF8 takes no value.")),
                ("SMTPUTF8", _) => params.smtputf8 = true,
                ("RET", _) => params.ret = Some(ret(value)?),
                ("ENVID", _) => params.envid = Some(envid(value)?),
                ("MT-PRIORITY", _) if offered.mt_priority => params.mt_priority = Some(mt_priority(value)?),
                ("HOLDFOR" | "HOLDUNTIL", Some(_)) if params.hold.is_some() => {
                    return Err(Reply::syntax("HOLDFOR= and HOLDUNTIL= exclude each other."));
                }
                ("HOLDFOR", Some(limits)) => params.hold = Some(hold_for(value, limits)?),
                ("HOLDUNTIL", Some(limits)) => params.hold = Some(hold_until(value, limits)?),
                ("BY", _) if offered.deliver_by => params.by = Some(deliver_by(value)?),
                ("REQUIRETLS", _) if offered.require_tls && value.is_some() => {
                    return Err(Reply::syntax("REQUIRETLS takes no value."));
                }
                ("REQUIRETLS", _) if offered.require_tls => params.require_tls = true,
                // RFC 4954 §5: who submitted it first; we vouch for nobody, so it is checked and forgotten.
                ("AUTH", _) if value.is_some_and(|v| v == "<>" || decode_xtext(v).is_some()) => {}
                ("AUTH", _) => return Err(Reply::syntax("AUTH= takes an address in xtext, or <>.")),
                // An extension that this session does not offer.
                _ => return Err(Reply::unknown_parameter(key)),
            }
        }
        hold_fits(params.hold, params.by, offered.hold)?;
        Ok(params)
    }
}

/// Parameters of extensions that not every session offers.
const OPTIONAL: [&str; 5] = ["MT-PRIORITY", "HOLDFOR", "HOLDUNTIL", "BY", "REQUIRETLS"];

fn bad_size() -> Reply {
    Reply::syntax("SIZE= takes a number of octets.")
}

fn body_type(value: Option<&str>) -> Result<BodyType, Reply> {
    match value {
        Some(v) if v.eq_ignore_ascii_case("7BIT") => Ok(BodyType::SevenBit),
        Some(v) if v.eq_ignore_ascii_case("8BITMIME") => Ok(BodyType::EightBitMime),
        Some(v) if v.eq_ignore_ascii_case("BINARYMIME") => Err(Reply::unknown_parameter("BODY=BINARYMIME")),
        _ => Err(Reply::syntax("BODY= takes 7BIT or 8BITMIME.")),
    }
}

fn ret(value: Option<&str>) -> Result<Ret, Reply> {
    match value {
        Some(v) if v.eq_ignore_ascii_case("FULL") => Ok(Ret::Full),
        Some(v) if v.eq_ignore_ascii_case("HDRS") => Ok(Ret::Headers),
        _ => Err(Reply::syntax("RET= takes FULL or HDRS.")),
    }
}

fn envid(value: Option<&str>) -> Result<String, Reply> {
    value
        .filter(|v| v.len() <= ENVID_OCTETS_MAX && decode_xtext(v).is_some_and(|t| is_printable_ascii(&t)))
        .map(str::to_owned)
        .ok_or_else(|| Reply::syntax("ENVID= takes up to 100 octets of xtext that decode to printable ASCII."))
}

/// NOTIFY= of RFC 3461 §4.1; NEVER is none of the three with `given`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Notify {
    /// The parameter was present.
    pub given: bool,
    /// SUCCESS.
    pub success: bool,
    /// FAILURE.
    pub failure: bool,
    /// DELAY.
    pub delay: bool,
}

impl Notify {
    /// A failure notice is wanted: asked for, or nothing was said (RFC 3461 §4.1).
    pub fn wants_failure(self) -> bool {
        self.failure || !self.given
    }

    /// A delay notice was asked for; without NOTIFY it is the configuration's choice.
    pub fn wants_delay(self) -> bool {
        self.delay
    }

    /// NOTIFY=NEVER.
    pub fn never(self) -> bool {
        self.given && !self.success && !self.failure && !self.delay
    }
}

/// Parameters of RCPT TO.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RcptParams {
    /// NOTIFY=.
    pub notify: Notify,
    /// ORCPT=, still `type;xtext`.
    pub orcpt: Option<String>,
}

impl RcptParams {
    /// Reads the parameters of RCPT; the refusal is 501 for a malformed and 555 for an unknown one.
    pub fn parse(text: &str) -> Result<Self, Reply> {
        let mut params = RcptParams::default();
        let mut seen = Seen::default();
        for param in Param::all(text) {
            let Param { key, value } = param?;
            match seen.word(key, &["NOTIFY", "ORCPT"], &[])? {
                "NOTIFY" => params.notify = notify(value)?,
                _ => params.orcpt = Some(orcpt(value)?),
            }
        }
        Ok(params)
    }
}

fn notify(value: Option<&str>) -> Result<Notify, Reply> {
    let refused = || Reply::syntax("NOTIFY= takes NEVER, or a list of SUCCESS, FAILURE and DELAY.");
    let value = value.ok_or_else(refused)?;
    let mut notify = Notify { given: true, ..Notify::default() };
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for word in value.split(',') {
        match word {
            w if w.eq_ignore_ascii_case("SUCCESS") => notify.success = true,
            w if w.eq_ignore_ascii_case("FAILURE") => notify.failure = true,
            w if w.eq_ignore_ascii_case("DELAY") => notify.delay = true,
            _ => return Err(refused()),
        }
    }
    Ok(notify)
}

/// `type;address`: an atom, and xtext that decodes to printable ASCII, or for the type `utf-8` the forms of RFC 6533 §3.
fn orcpt(value: Option<&str>) -> Result<String, Reply> {
    value.filter(|v| v.len() <= ORCPT_OCTETS_MAX && is_orcpt(v)).map(str::to_owned).ok_or_else(|| {
        Reply::syntax("ORCPT= takes type;address with the address in xtext, e.g. rfc822;user@example.jp.")
    })
}

fn is_orcpt(value: &str) -> bool {
    let Some((kind, address)) = value.split_once(';') else {
        return false;
    };
    let kind_is_atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let address_is_valid = if kind.eq_ignore_ascii_case("utf-8") {
        // utf-8-addr-xtext or utf-8-addr-unitext: `\x{HEX}` escapes are left as they are; bare UTF-8 is visible text.
        address.chars().all(|c| !c.is_control() && !c.is_whitespace())
    } else {
        decode_xtext(address).is_some_and(|t| is_printable_ascii(&t))
    };
    kind_is_atom && !address.is_empty() && address_is_valid
}

fn is_printable_ascii(octets: &[u8]) -> bool {
    octets.iter().all(|b| (b' '..=b'~').contains(b))
}

/// Decodes xtext: visible ASCII but `+` and `=`, and `+XX` in upper-case hex (RFC 3461 §4). `None` when it is none.
pub fn decode_xtext(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?),
            b'!'..=b'~' if b != b'=' => out.push(b),
            _ => return None,
        }
    }
    Some(out)
}

fn hex_digit(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// `KEY` or `KEY=value` (esmtp-param of RFC 5321 §4.1.2, with UTF-8 in values by RFC 6531 §3.3).
struct Param<'a> {
    key: &'a str,
    value: Option<&'a str>,
}

impl<'a> Param<'a> {
    /// All of a line's; blanks may be doubled.
    fn all(text: &'a str) -> impl Iterator<Item = Result<Self, Reply>> {
        text.split(' ').filter(|word| !word.is_empty()).map(Param::parse)
    }

    fn parse(word: &'a str) -> Result<Self, Reply> {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        let key_is_valid = key.starts_with(|c: char| c.is_ascii_alphanumeric())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let value_is_valid =
            value.is_none_or(|v| !v.is_empty() && v.chars().all(|c| c != '=' && !c.is_control() && !c.is_whitespace()));
        // An address in xtext holds no `=`, but AUTH=<> and ORCPT of old programs do: those two judge for themselves.
        let judges_itself = ["AUTH", "ORCPT"].iter().any(|k| key.eq_ignore_ascii_case(k));
        if key_is_valid && (value_is_valid || judges_itself) {
            Ok(Param { key, value })
        } else {
            Err(Reply::syntax("A parameter is written KEY or KEY=value."))
        }
    }
}

/// Parameters that a line had already.
#[derive(Default)]
struct Seen(Vec<&'static str>);

impl Seen {
    /// The known word that `key` is, the first time that it comes.
    fn word(&mut self, key: &str, known: &[&'static str], more: &[&'static str]) -> Result<&'static str, Reply> {
        let word = known
            .iter()
            .chain(more)
            .find(|k| k.eq_ignore_ascii_case(key))
            .ok_or_else(|| Reply::unknown_parameter(key))?;
        if self.0.contains(word) {
            return Err(Reply::syntax("A parameter may be given once only."));
        }
        self.0.push(word);
        Ok(word)
    }
}

/// One recipient of an envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnvelopeRecipient {
    /// RCPT TO.
    pub address: Mailbox,
    /// Its parameters.
    pub params: RcptParams,
}

/// Sender, recipients and parameters of one transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Envelope {
    /// MAIL FROM; `None` is the null reverse-path.
    pub sender: Option<Mailbox>,
    /// Its parameters.
    pub params: MailParams,
    /// RCPT TO, in order.
    pub recipients: Vec<EnvelopeRecipient>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offered = Offered {
        mt_priority: true,
        hold: Some(HoldLimits { seconds_max: 3_600, now: 1_795_527_310 }),
        deliver_by: true,
        require_tls: true,
    };

    fn parse(text: &str) -> Result<MailParams, Reply> {
        MailParams::parse(text, Offered::default())
    }

    #[test]
    fn parameters_of_the_delivery_are_read_where_they_are_offered() {
        let all = "MT-PRIORITY=-4 holdfor=60 BY=120;RT RequireTLS";
        let expected = MailParams {
            mt_priority: Some(-4),
            hold: Some(Hold::For(60)),
            by: Some(DeliverBy { seconds: 120, mode: ByMode::Return, trace: true }),
            require_tls: true,
            ..MailParams::default()
        };
        assert_eq!(MailParams::parse(all, ALL).unwrap(), expected);
        for text in all.split(' ').chain(["HOLDUNTIL=2026-11-24T13:40:10Z", "MT-PRIORITY=x", "REQUIRETLS=1", "BY"]) {
            assert_eq!(parse(text).unwrap_err().code, 555, "{text}");
        }
        for text in [
            "MT-PRIORITY=10",
            "MT-PRIORITY",
            "MT-PRIORITY=1 MT-PRIORITY=1",
            "HOLDFOR=3601",
            "HOLDUNTIL=2026-11-24T15:35:10Z",
            "HOLDFOR=60 HOLDUNTIL=2026-11-24T13:40:10Z",
            "HOLDUNTIL=2026-11-24T13:40:10Z HOLDFOR=60",
            "BY=0;R",
            "BY=60;N HOLDFOR=60",
            "REQUIRETLS=YES",
        ] {
            assert_eq!(MailParams::parse(text, ALL).unwrap_err().code, 501, "{text}");
        }
    }

    #[test]
    fn parameters_of_mail_are_read() {
        let p = parse(" size=100 BODY=8bitmime SMTPUTF8  RET=hdrs ENVID=QQ+2B314 AUTH=<>").unwrap();
        let expected = MailParams {
            size: Some(100),
            body: BodyType::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("QQ+2B314".into()),
            ..MailParams::default()
        };
        assert_eq!(p, expected);
        assert_eq!(parse("").unwrap(), MailParams::default());
        assert_eq!(parse("AUTH=a+3Db@c BODY=7BIT").unwrap(), MailParams::default());
    }

    #[test]
    fn parameters_of_rcpt_are_read() {
        let p = RcptParams::parse("NOTIFY=SUCCESS,delay ORCPT=rfc822;a+2Bb@c").unwrap();
        assert!(p.notify.given && p.notify.success && p.notify.delay && !p.notify.failure && !p.notify.never());
        assert_eq!(p.orcpt.as_deref(), Some("rfc822;a+2Bb@c"));
        assert!(RcptParams::parse("NOTIFY=NEVER").unwrap().notify.never());
        assert!(RcptParams::parse("ORCPT=utf-8;飛脚@例え.jp").is_ok());
        assert!(RcptParams::parse("ORCPT=utf-8;\\x{98DB}@c").is_ok());
    }

    #[test]
    fn malformed_and_unknown_parameters_are_refused() {
        let long_envid = format!("ENVID={}", "x".repeat(101));
        let long_orcpt = format!("ORCPT=rfc822;{}", "x".repeat(500));
        let mail = [
            ("SIZE", 501),
            ("SIZE=", 501),
            ("SIZE=x", 501),
            ("SIZE=-1", 501),
            ("SIZE=1 SIZE=1", 501),
            ("BODY=BINARYMIME", 555),
            ("BODY=X", 501),
            ("SMTPUTF8=1", 501),
            ("RET=ALL", 501),
            ("ENVID=+0D+0A", 501),
            ("ENVID=+FF", 501),
            ("ENVID=+2b", 501),
            ("ENVID=+2", 501),
            (&long_envid, 501),
            ("AUTH=a b", 555),
            ("AUTH", 501),
            ("AUTH=+", 501),
            ("NOTIFY=NEVER", 555),
            ("MT-PRIORITY=3", 555),
            ("X", 555),
            ("-X=1", 501),
            ("X=a=b", 501),
            ("=1", 501),
        ];
        for (text, code) in mail {
            assert_eq!(parse(text).unwrap_err().code, code, "{text}");
        }
        let rcpt = [
            ("NOTIFY", 501),
            ("NOTIFY=", 501),
            ("NOTIFY=NEVER,DELAY", 501),
            ("NOTIFY=SUCCESS,", 501),
            ("ORCPT=a@b", 501),
            ("ORCPT=;a@b", 501),
            ("ORCPT=rfc822;", 501),
            ("ORCPT=rfc822;a=b@c", 501),
            ("ORCPT=rfc822;a+0Ab@c", 501),
            ("ORCPT=rfc822;飛脚@例え.jp", 501),
            (&long_orcpt, 501),
            ("SIZE=1", 555),
        ];
        for (text, code) in rcpt {
            assert_eq!(RcptParams::parse(text).unwrap_err().code, code, "{text}");
        }
    }
}
