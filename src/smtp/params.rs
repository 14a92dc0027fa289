//! What a transaction carries beside its addresses: the parameters of MAIL and RCPT, and the envelope they make.
//!
//! Sources: RFC 1870 (SIZE), 6152 (BODY), 6531 (SMTPUTF8), 3461 (RET, ENVID, NOTIFY, ORCPT), 4954 (AUTH=).

use super::address::Mailbox;

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
