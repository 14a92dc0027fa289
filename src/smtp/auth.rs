//! The exchanges of AUTH PLAIN and AUTH LOGIN, as far as the wire decides them.
//!
//! In: the mechanism, and the peer's lines in base64.  Out: the next challenge, the credentials, or a refusal.
//! Always: lines are bounded; a name is UTF-8 without control characters; passwords live in a [`Secret`].
//! Sources: RFC 4954 §4, RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN).

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::secret::Secret;

use super::reply::Reply;

/// Longest line of an exchange, in octets, CRLF included: 12,288 of base64 (RFC 4954 §4), and CRLF.
pub const AUTH_LINE_OCTETS_MAX: usize = 12_288 + 2;
/// Longest user name, in octets: beyond any that can be made here.
pub const NAME_OCTETS_MAX: usize = 255;
/// Longest password, in octets (RFC 4616 §2 asks for nothing; longer ones would only burn the hash's time).
pub const PASSWORD_OCTETS_MAX: usize = 1024;

/// `Username:` in base64.
const ASK_NAME: &str = "VXNlcm5hbWU6";
/// `Password:` in base64.
const ASK_PASSWORD: &str = "UGFzc3dvcmQ6";

/// What the next line of an exchange holds.
#[derive(Debug)]
pub enum Exchange {
    /// PLAIN: all of it.
    Plain,
    /// LOGIN: the name.
    LoginName,
    /// LOGIN: the password.
    LoginPassword {
        /// The name of the line before.
        name: String,
    },
}

/// What follows a line of an exchange.
#[derive(Debug)]
pub enum AuthStep {
    /// Say 334 with this challenge, and wait for the next line.
    Challenge(Exchange, &'static str),
    /// Ask whether they are right.
    Credentials {
        /// The user.
        name: String,
        /// The password.
        password: Secret<String>,
    },
    /// Say this; the exchange is over.
    Refuse(Reply),
}

/// Begins with the arguments of AUTH: `mechanism [initial-response]`.
pub fn begin(arguments: &str) -> AuthStep {
    let (mechanism, initial) = match arguments.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(initial.trim_start_matches(' '))),
        None => (arguments, None),
    };
    let (exchange, challenge) = if mechanism.eq_ignore_ascii_case("PLAIN") {
        (Exchange::Plain, "")
    } else if mechanism.eq_ignore_ascii_case("LOGIN") {
        (Exchange::LoginName, ASK_NAME)
    } else if mechanism.is_empty() {
        return AuthStep::Refuse(Reply::syntax("AUTH takes a mechanism: AUTH PLAIN or AUTH LOGIN."));
    } else {
        return AuthStep::Refuse(Reply::unknown_mechanism());
    };
    match initial {
        None => AuthStep::Challenge(exchange, challenge),
        // RFC 4954 §4: a single `=` is an initial response of no octets.
        Some("=") => take(exchange, Vec::new()),
        Some(response) => go_on(exchange, response),
    }
}

/// Goes on with the peer's answer to a challenge.
pub fn go_on(exchange: Exchange, line: &str) -> AuthStep {
    if line == "*" {
        return AuthStep::Refuse(Reply::auth_cancelled());
    }
    match STANDARD.decode(line) {
        Ok(octets) => take(exchange, octets),
        Err(_) => AuthStep::Refuse(Reply::bad_base64()),
    }
}

fn take(exchange: Exchange, octets: Vec<u8>) -> AuthStep {
    let Ok(text) = String::from_utf8(octets) else {
        return AuthStep::Refuse(Reply::bad_base64());
    };
    match exchange {
        Exchange::Plain => {
            let mut parts = text.split('\0');
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(act_as), Some(name), Some(password), None) => {
                    if !act_as.is_empty() && act_as != name {
                        // Nobody may act for somebody else; and what is wrong is not told to a guesser.
                        return AuthStep::Refuse(Reply::bad_credentials());
                    }
                    credentials(name.to_owned(), password.to_owned())
                }
                _ => AuthStep::Refuse(Reply::bad_base64()),
            }
        }
        Exchange::LoginName if is_name(&text) => {
            AuthStep::Challenge(Exchange::LoginPassword { name: text }, ASK_PASSWORD)
        }
        Exchange::LoginName => AuthStep::Refuse(Reply::bad_base64()),
        Exchange::LoginPassword { name } => credentials(name, text),
    }
}

fn credentials(name: String, password: String) -> AuthStep {
    if is_name(&name) && !password.is_empty() && password.len() <= PASSWORD_OCTETS_MAX && !password.contains('\0') {
        AuthStep::Credentials { name, password: Secret::new(password) }
    } else {
        AuthStep::Refuse(Reply::bad_base64())
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_OCTETS_MAX && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(text: &str) -> String {
        STANDARD.encode(text)
    }

    /// The end of an exchange as words.
    fn outcome(step: AuthStep) -> String {
        match step {
            AuthStep::Challenge(_, challenge) => format!("334 {challenge}"),
            AuthStep::Credentials { name, password } => format!("{name} {}", password.reveal()),
            AuthStep::Refuse(reply) => format!("{} {}", reply.code, reply.enhanced.unwrap()),
        }
    }

    #[test]
    fn plain_is_taken_at_once_or_after_a_challenge() {
        let long = format!("\0{}\0p", "u".repeat(256));
        let cases = [
            ("\0user\0pass word", "user pass word"),
            ("user\0user\0pass", "user pass"),
            ("other\0user\0pass", "535 5.7.8"),
            ("\0\0pass", "501 5.5.2"),
            ("\0user\0", "501 5.5.2"),
            ("\0user", "501 5.5.2"),
            ("user", "501 5.5.2"),
            ("\0user\0pass\0", "501 5.5.2"),
            ("\0us\r\ner\0pass", "501 5.5.2"),
            (&long, "501 5.5.2"),
        ];
        for (message, expected) in cases {
            assert_eq!(outcome(begin(&format!("plain {}", base64(message)))), expected, "{message:?}");
            assert_eq!(outcome(begin("PLAIN")), "334 ");
            assert_eq!(outcome(go_on(Exchange::Plain, &base64(message))), expected, "{message:?}");
        }
    }

    #[test]
    fn login_asks_for_name_and_password() {
        assert_eq!(outcome(begin("LOGIN")), "334 VXNlcm5hbWU6");
        let AuthStep::Challenge(exchange, challenge) = begin(&format!("login {}", base64("user"))) else {
            panic!("LOGIN asks for a password")
        };
        assert_eq!(challenge, "UGFzc3dvcmQ6");
        assert_eq!(outcome(go_on(exchange, &base64("pass"))), "user pass");
        assert_eq!(outcome(go_on(Exchange::LoginName, "")), "501 5.5.2");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let cases = [
            ("", "501 5.5.4"),
            ("CRAM-MD5", "504 5.5.4"),
            ("PLAIN =", "501 5.5.2"),
            ("PLAIN %%%", "501 5.5.2"),
            ("PLAIN AHVzZXI", "501 5.5.2"),
            ("PLAIN *", "501 5.7.0"),
            ("LOGIN =", "501 5.5.2"),
        ];
        for (arguments, expected) in cases {
            assert_eq!(outcome(begin(arguments)), expected, "{arguments:?}");
        }
        assert_eq!(outcome(go_on(Exchange::Plain, "*")), "501 5.7.0");
        assert_eq!(outcome(go_on(Exchange::Plain, &STANDARD.encode([0xff, 0, 0xfe, 0, 0xff]))), "501 5.5.2");
    }
}
