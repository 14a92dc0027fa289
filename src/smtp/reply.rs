//! SMTP replies as values: what we say, and what a peer said.
//!
//! In: a code, an enhanced code, a text.  Out: lines for the wire, or one line for the log.
//! Always: every reply that we say has a named constructor here, so that its code is decided in one place; what goes on the
//! wire is printable ASCII in lines of at most [`LINE_OCTETS_MAX`] octets, whatever the text holds.
//! Sources: RFC 5321 §4.2 and §4.5.3.1.5, RFC 2034, RFC 3463, RFC 4954 §6, RFC 6531 §3.5.

use std::{borrow::Cow, fmt, io::Write};

use super::address::AddressError;

/// Longest reply line, in octets, CRLF included (RFC 5321 §4.5.3.1.5).
pub const LINE_OCTETS_MAX: usize = 512;

/// Most lines of one reply: nothing that we say needs more, and a text made from a peer's words stays bounded.
pub const LINES_MAX: usize = 64;

/// An enhanced status code, class.subject.detail (RFC 3463 §2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One reply, of one or more lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The enhanced code, where there is one.
    pub enhanced: Option<Enhanced>,
    /// The text after the codes; lines are divided by `\n`.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced code.
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Self {
        Reply { code, enhanced: Some(enhanced), text: text.into() }
    }

    /// A reply that RFC 2034 gives no enhanced code (220, 250 to EHLO, 334, 354 …).
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Reply { code, enhanced: None, text: text.into() }
    }

    /// 2yz or 3yz.
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// 5yz.
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// 4yz or 5yz: a reply that may refuse something.
    pub fn is_negative(&self) -> bool {
        (400..600).contains(&self.code)
    }

    /// Appends the reply as it goes on the wire. A line that would be too long goes on in the next one; what is not
    /// printable ASCII becomes `?`, so that no text can forge a second reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut prefix = Prefix::default();
        prefix.set(self);
        // Longest prefix: `250-` and `5.999.999 `; what is left is the room of a line's text.
        let room = LINE_OCTETS_MAX - 2 - prefix.len;
        let mut pieces = self.text.split('\n').flat_map(|line| pieces(line, room)).take(LINES_MAX).peekable();
        // `split` yields at least one piece, so every reply has a last line.
        while let Some(piece) = pieces.next() {
            let start = out.len();
            out.extend_from_slice(&prefix.bytes[..prefix.len]);
            if pieces.peek().is_some() {
                out[start + 3] = b'-';
            }
            push_printable(piece, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// `250 2.1.0 `, with a blank as fourth octet.
#[derive(Default)]
struct Prefix {
    bytes: [u8; 24],
    len: usize,
}

impl Prefix {
    fn set(&mut self, reply: &Reply) {
        let room = self.bytes.len();
        let mut rest = &mut self.bytes[..];
        // 24 octets hold the largest code (5), a blank, and the largest enhanced code (3 + 5 + 5 digits, 2 dots, a blank).
        let written = match reply.enhanced {
            Some(e) => write!(rest, "{:03} {e} ", reply.code),
            None => write!(rest, "{:03} ", reply.code),
        };
        debug_assert!(written.is_ok(), "a reply prefix has room for its codes");
        self.len = room - rest.len();
    }
}

/// A text line cut into pieces of at most `room` octets, at character borders.
fn pieces(line: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        if text.len() <= room {
            rest = None;
            return Some(text);
        }
        let (piece, more) = text.split_at(text.floor_char_boundary(room));
        rest = Some(more);
        Some(piece)
    })
}

fn push_printable(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend(text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c as u8 } else { b'?' }));
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(e) = self.enhanced {
            write!(f, " {e}")?;
        }
        let mut lines = self.text.lines();
        if let Some(first) = lines.next() {
            write!(f, " {first}")?;
        }
        lines.try_for_each(|line| write!(f, " {line}"))
    }
}

/// Going well.
impl Reply {
    /// 220, the greeting.
    pub fn greeting(hostname: &str) -> Self {
        Reply::plain(220, format!("{hostname} ESMTP Hikyaku"))
    }

    /// 250 to HELO.
    pub fn hello(hostname: &str) -> Self {
        Reply::plain(250, hostname.to_owned())
    }

    /// 250 to MAIL.
    pub fn sender_ok() -> Self {
        Reply::new(250, Enhanced(2, 1, 0), "Sender accepted.")
    }

    /// 250 to RCPT.
    pub fn recipient_ok() -> Self {
        Reply::new(250, Enhanced(2, 1, 5), "Recipient accepted.")
    }

    /// 354 to DATA.
    pub fn send_data() -> Self {
        Reply::plain(354, "Send the message; end it with a line that holds a single dot.")
    }

    /// 250 to a BDAT chunk that is not the last one.
    pub fn chunk_ok(octets: u64) -> Self {
        Reply::new(250, Enhanced(2, 0, 0), format!("{octets} octets received."))
    }

    /// 250 to the end of a message. Private to the room: only a receipt may lead here (P1).
    pub(super) fn queued(queue_id: &dyn fmt::Display) -> Self {
        Reply::new(250, Enhanced(2, 0, 0), format!("Queued as {queue_id}"))
    }

    /// 250 to RSET.
    pub fn reset() -> Self {
        Reply::new(250, Enhanced(2, 0, 0), "Reset.")
    }

    /// 250 to NOOP.
    pub fn noop() -> Self {
        Reply::new(250, Enhanced(2, 0, 0), "OK.")
    }

    /// 252 to VRFY: always the same, so that nobody learns which addresses exist.
    pub fn not_verified() -> Self {
        Reply::new(252, Enhanced(2, 5, 2), "Addresses are not verified here; send the mail and it will be tried.")
    }

    /// 214 to HELP.
    pub fn help() -> Self {
        Reply::new(
            214,
            Enhanced(2, 0, 0),
            "Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH HELP QUIT",
        )
    }

    /// 221 to QUIT.
    pub fn bye() -> Self {
        Reply::new(221, Enhanced(2, 0, 0), "Goodbye.")
    }

    /// 220 to STARTTLS.
    pub fn start_tls() -> Self {
        Reply::new(220, Enhanced(2, 0, 0), "Start the TLS handshake.")
    }

    /// 334 with a challenge in base64.
    pub fn challenge(base64: &'static str) -> Self {
        Reply::plain(334, base64)
    }

    /// 235 to AUTH.
    pub fn logged_in() -> Self {
        Reply::new(235, Enhanced(2, 7, 0), "You are logged in.")
    }
}

/// Malformed commands and wrong order.
impl Reply {
    /// 500: nothing that we know.
    pub fn unknown_command() -> Self {
        Reply::new(500, Enhanced(5, 5, 2), "This command is not known.")
    }

    /// 502: an SMTP command that is not provided here.
    pub fn not_implemented() -> Self {
        Reply::new(502, Enhanced(5, 5, 1), "This command is not implemented.")
    }

    /// 502: STARTTLS or AUTH where it is not offered.
    pub fn not_offered(command: &'static str) -> Self {
        Reply::new(502, Enhanced(5, 5, 1), format!("{command} is not offered here."))
    }

    /// 500: a command line over the limit.
    pub fn line_too_long() -> Self {
        Reply::new(500, Enhanced(5, 5, 2), "The command line is too long.")
    }

    /// 500: an AUTH exchange line over the limit (RFC 4954 §4).
    pub fn auth_line_too_long() -> Self {
        Reply::new(500, Enhanced(5, 5, 6), "The authentication line is too long.")
    }

    /// 500, then close: a command line with a bare LF, a bare CR or a NUL.
    pub fn malformed_line() -> Self {
        Reply::new(
            500,
            Enhanced(5, 5, 2),
            "Command lines end with CR LF and hold neither bare CR, bare LF nor NUL; closing.",
        )
    }

    /// 500: a command line that is not UTF-8.
    pub fn not_utf8() -> Self {
        Reply::new(500, Enhanced(5, 5, 2), "The command is not valid UTF-8.")
    }

    /// 501: a parameter is missing or malformed; the text shows how it is written.
    pub fn syntax(text: &'static str) -> Self {
        Reply::new(501, Enhanced(5, 5, 4), text)
    }

    /// 503: a command out of order; the text says what comes first.
    pub fn wrong_order(text: &'static str) -> Self {
        Reply::new(503, Enhanced(5, 5, 1), text)
    }

    /// 554 to DATA or BDAT: all recipients were refused.
    pub fn no_valid_recipients() -> Self {
        Reply::new(554, Enhanced(5, 5, 1), "No valid recipients: every RCPT was refused.")
    }

    /// 555: a MAIL or RCPT parameter that was not offered.
    pub fn unknown_parameter(name: &str) -> Self {
        let name: String = name.chars().take(40).collect();
        Reply::new(555, Enhanced(5, 5, 4), format!("The parameter {name} is not supported."))
    }

    /// 554, then close: the peer spoke before the greeting.
    pub fn spoke_too_early() -> Self {
        Reply::new(554, Enhanced(5, 5, 1), "You spoke before the greeting; closing.")
    }

    /// 421, then close: another protocol.
    pub fn not_smtp() -> Self {
        Reply::new(421, Enhanced(4, 7, 0), "This port speaks SMTP only; closing.")
    }
}

/// Addresses and envelopes.
impl Reply {
    /// 553 to MAIL.
    pub fn bad_sender(error: AddressError) -> Self {
        Reply::new(553, Enhanced(5, 1, 7), format!("The sender address is not valid: {error}."))
    }

    /// 553 to RCPT.
    pub fn bad_recipient(error: AddressError) -> Self {
        Reply::new(553, Enhanced(5, 1, 3), format!("The recipient address is not valid: {error}."))
    }

    /// 553: an address beyond ASCII without SMTPUTF8 (RFC 6531 §3.5).
    pub fn smtputf8_needed() -> Self {
        Reply::new(553, Enhanced(5, 6, 7), "An address beyond ASCII needs the SMTPUTF8 parameter of MAIL.")
    }

    /// 452 to RCPT.
    pub fn too_many_recipients(max: usize) -> Self {
        Reply::new(
            452,
            Enhanced(4, 5, 3),
            format!("A message takes {max} recipients here; send the others in another."),
        )
    }

    /// 550 to RCPT: this peer may not send there.
    pub fn relaying_refused() -> Self {
        Reply::new(550, Enhanced(5, 7, 1), "Relaying is refused: log in, or send from an allowed network.")
    }

    /// 552: at MAIL by SIZE, else once the limit is passed.
    pub fn too_large(octets_max: u64) -> Self {
        Reply::new(552, Enhanced(5, 3, 4), format!("The message is too large: {octets_max} octets are taken here."))
    }
}

/// Security.
impl Reply {
    /// 530 to MAIL.
    pub fn auth_needed() -> Self {
        Reply::new(530, Enhanced(5, 7, 0), "Log in first, with AUTH.")
    }

    /// 530 to MAIL.
    pub fn tls_needed() -> Self {
        Reply::new(530, Enhanced(5, 7, 0), "Start TLS first, with STARTTLS.")
    }

    /// 538 to AUTH: never in clear.
    pub fn auth_in_clear() -> Self {
        Reply::new(538, Enhanced(5, 7, 11), "Passwords are not taken in clear: start TLS first, with STARTTLS.")
    }

    /// 504 to AUTH.
    pub fn unknown_mechanism() -> Self {
        Reply::new(504, Enhanced(5, 5, 4), "This mechanism is not known: use PLAIN or LOGIN.")
    }

    /// 535 to AUTH.
    pub fn bad_credentials() -> Self {
        Reply::new(535, Enhanced(5, 7, 8), "The user name or password is wrong.")
    }

    /// 535 to AUTH: a right password, but not for this door.
    pub fn login_not_allowed() -> Self {
        Reply::new(535, Enhanced(5, 7, 8), "This user may not log in here.")
    }

    /// 535 to AUTH: a right password whose time is over.
    pub fn login_expired() -> Self {
        Reply::new(535, Enhanced(5, 7, 8), "This user's time is over; the operator can prolong it.")
    }

    /// 421 to MAIL, then close: the user was removed, has another key or may not send here any more.
    pub fn login_is_over() -> Self {
        Reply::new(421, Enhanced(4, 7, 0), "This login does not count any more; log in anew.")
    }

    /// 451 to MAIL, RCPT or a message: the user's rate is reached.
    pub fn rate_reached(seconds: u64) -> Self {
        Reply::new(451, Enhanced(4, 7, 1), format!("This user's rate is reached; try again in {seconds} s."))
    }

    /// 454 to AUTH: not now.
    pub fn login_busy() -> Self {
        Reply::new(454, Enhanced(4, 7, 0), "The login cannot be checked now; try again later.")
    }

    /// 501 to a malformed AUTH answer.
    pub fn bad_base64() -> Self {
        Reply::new(
            501,
            Enhanced(5, 5, 2),
            "The authentication data is not valid base64 of what the mechanism asks for.",
        )
    }

    /// 501 to `*`.
    pub fn auth_cancelled() -> Self {
        Reply::new(501, Enhanced(5, 7, 0), "The authentication was cancelled.")
    }

    /// 421, then close.
    pub fn too_many_logins() -> Self {
        Reply::new(421, Enhanced(4, 7, 0), "Too many failed logins; closing.")
    }
}

/// Content.
impl Reply {
    /// 550, then close: bare LF, bare CR or NUL in a message.
    pub fn bad_content(what: &'static str) -> Self {
        Reply::new(550, Enhanced(5, 5, 2), format!("The message holds {what}, which is refused; closing."))
    }

    /// 554: a mail loop.
    pub fn mail_loop(hops_max: u32) -> Self {
        Reply::new(554, Enhanced(5, 4, 6), format!("Mail loop: the message passed more than {hops_max} servers."))
    }

    /// 554: the time of BY with `R` was over before the message had come (RFC 2852 §3 lets the dot be refused; §4.1.3 names the
    /// status).
    pub fn deliver_by_is_over() -> Self {
        Reply::new(554, Enhanced(5, 4, 7), "The time that BY= gave is over: the message is not taken.")
    }

    /// 452: the disk has no room for more mail.
    pub fn disk_full() -> Self {
        Reply::new(452, Enhanced(4, 3, 1), "The disk is full; try again later.")
    }

    /// 451: the writer is behind, or a write failed.
    pub fn storage_trouble() -> Self {
        Reply::new(451, Enhanced(4, 3, 0), "Mail cannot be stored now; try again later.")
    }
}

/// The end of a session.
impl Reply {
    /// 421, then close: a message that trickles in.
    pub fn too_slow() -> Self {
        Reply::new(421, Enhanced(4, 4, 2), "The message comes too slowly; closing.")
    }

    /// 421: the daemon stops.
    pub fn shutting_down(hostname: &str) -> Self {
        Reply::new(421, Enhanced(4, 3, 2), format!("{hostname} is shutting down; try again later."))
    }

    /// 421: nothing came in time.
    pub fn timed_out(seconds: u64) -> Self {
        Reply::new(421, Enhanced(4, 4, 2), format!("Nothing came for {seconds} seconds; closing."))
    }

    /// 421: too many bad commands.
    pub fn too_many_errors() -> Self {
        Reply::new(421, Enhanced(4, 7, 0), "Too many errors; closing.")
    }

    /// 421: too many commands that send no mail.
    pub fn too_many_idle_commands() -> Self {
        Reply::new(421, Enhanced(4, 7, 0), "Too many commands without mail; closing.")
    }

    /// 421: more input than a client sends without waiting for our replies.
    pub fn too_much_input() -> Self {
        Reply::new(421, Enhanced(4, 7, 0), "Too much was sent ahead of our replies; closing.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_are_written_with_their_codes_on_every_line() {
        assert_eq!(wire(&Reply::sender_ok()), "250 2.1.0 Sender accepted.\r\n");
        assert_eq!(wire(&Reply::plain(250, "a\nb\nc")), "250-a\r\n250-b\r\n250 c\r\n");
        assert_eq!(wire(&Reply::new(550, Enhanced(5, 7, 1), "a\nb")), "550-5.7.1 a\r\n550 5.7.1 b\r\n");
        assert_eq!(wire(&Reply::challenge("")), "334 \r\n");
        assert_eq!(wire(&Reply::new(599, Enhanced(5, 65535, 65535), "x")), "599 5.65535.65535 x\r\n");
        assert_eq!(wire(&Reply::plain(u16::MAX, "x")), "65535 x\r\n");
    }

    #[test]
    fn no_text_forges_a_reply_or_a_long_line() {
        assert_eq!(wire(&Reply::plain(550, "a\r250 ok")), "550 a?250 ok\r\n");
        assert_eq!(wire(&Reply::plain(550, "飛脚\t\0")), "550 ????\r\n");
        for text in ["x".repeat(5_000), "飛".repeat(2_000), "x\n".repeat(500)] {
            let wire = wire(&Reply::new(550, Enhanced(5, 7, 1), text));
            let lines: Vec<&str> = wire.split_terminator("\r\n").collect();
            assert!(lines.len() <= LINES_MAX);
            assert!(lines.iter().all(|l| l.len() + 2 <= LINE_OCTETS_MAX), "{lines:?}");
            let (last, others) = lines.split_last().unwrap();
            assert!(last.starts_with("550 5.7.1 "), "{last}");
            assert!(others.iter().all(|l| l.starts_with("550-5.7.1 ")));
        }
    }
}
