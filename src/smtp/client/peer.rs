//! What an SMTP server offers, as its answer to EHLO says.
//!
//! Sources: RFC 5321 §4.1.1.1, and the RFC of each extension.

use crate::smtp::reply::Reply;

/// The extensions that we use. Default: a server that answered HELO, which offers none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peer {
    /// Commands may be sent without waiting for replies (RFC 2920).
    pub pipelining: bool,
    /// SIZE is offered (RFC 1870).
    pub size: bool,
    /// Octets of a message at most; 0: nothing was said.
    pub size_max: u64,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// AUTH PLAIN (RFC 4616).
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
    /// Transactions on a connection at most (RFC 9422 MAILMAX).
    pub mail_max: Option<u32>,
    /// Recipients of a transaction at most (RFC 9422 RCPTMAX).
    pub rcpt_max: Option<u32>,
    /// MT-PRIORITY (RFC 6710).
    pub mt_priority: bool,
    /// DELIVERBY (RFC 2852): the least seconds that it takes with `R`; 0: it names none. `None`: not offered.
    pub deliver_by: Option<u32>,
    /// REQUIRETLS (RFC 8689); counts only when it was said under TLS.
    pub require_tls: bool,
    /// FUTURERELEASE (RFC 4865); a relay never uses it: the hold is over before the mail leaves us.
    pub future_release: bool,
}

impl Peer {
    /// Reads a positive answer to EHLO; its first line is the server's name and greeting.
    pub fn of_ehlo(reply: &Reply) -> Self {
        let mut peer = Peer::default();
        for line in reply.text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => peer.pipelining = true,
                "SIZE" => {
                    peer.size = true;
                    peer.size_max = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
                }
                "8BITMIME" => peer.eight_bit_mime = true,
                "SMTPUTF8" => peer.smtputf8 = true,
                "DSN" => peer.dsn = true,
                "STARTTLS" => peer.starttls = true,
                "MT-PRIORITY" => peer.mt_priority = true,
                // A least time that cannot be read is one that we cannot promise to keep.
                "DELIVERBY" => {
                    // RFC 2852 §2: options apart by commas; the first, which may be empty, is the least time.
                    let least = words.next().and_then(|w| w.split(',').next()).unwrap_or_default();
                    peer.deliver_by = if least.is_empty() { Some(0) } else { least.parse().ok() };
                }
                "REQUIRETLS" => peer.require_tls = true,
                "FUTURERELEASE" => peer.future_release = true,
                "AUTH" => words.for_each(|w| peer.add_mechanism(w)),
                "LIMITS" => words.for_each(|w| peer.add_limit(w)),
                // Servers of the last century write AUTH=LOGIN for the sake of clients of their time.
                other => {
                    if let Some(first) = other.strip_prefix("AUTH=") {
                        peer.add_mechanism(first);
                        words.for_each(|w| peer.add_mechanism(w));
                    }
                }
            }
        }
        peer
    }

    fn add_mechanism(&mut self, name: &str) {
        self.auth_plain |= name.eq_ignore_ascii_case("PLAIN");
        self.auth_login |= name.eq_ignore_ascii_case("LOGIN");
    }

    fn add_limit(&mut self, limit: &str) {
        let Some((name, value)) = limit.split_once('=') else { return };
        // A limit of 0 would forbid everything: RFC 9422 §4 gives it no such meaning, so it counts as unsaid.
        let value = value.parse().ok().filter(|n| *n > 0);
        match name.to_ascii_uppercase().as_str() {
            "MAILMAX" => self.mail_max = value,
            "RCPTMAX" => self.rcpt_max = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_read_in_any_case_and_unknown_ones_passed_over() {
        let reply = Reply::plain(
            250,
            "mx.example STARTTLS\npipelining\nSize 1000\n8BITMIME\nDSN\nAUTH CRAM-MD5 plain\nAUTH=LOGIN\n\
             MT-PRIORITY MIXER\nDeliverBy 240\nREQUIRETLS\nFUTURERELEASE 100 2027-01-01T00:00:00Z\n\
             LIMITS RCPTMAX=50 MAILMAX=0 X=1 Y\nXCLIENT NAME\n",
        );
        assert_eq!(
            Peer::of_ehlo(&reply),
            Peer {
                pipelining: true,
                size: true,
                size_max: 1000,
                eight_bit_mime: true,
                dsn: true,
                auth_plain: true,
                auth_login: true,
                rcpt_max: Some(50),
                mt_priority: true,
                deliver_by: Some(240),
                require_tls: true,
                future_release: true,
                ..Peer::default()
            }
        );
        assert_eq!(Peer::of_ehlo(&Reply::plain(250, "mx.example")), Peer::default());
        for (line, expected) in [
            ("DELIVERBY", Some(0)),
            ("DELIVERBY 60", Some(60)),
            ("DELIVERBY 60,more", Some(60)),
            ("DELIVERBY ,more", Some(0)),
            ("DELIVERBY soon", None),
        ] {
            assert_eq!(Peer::of_ehlo(&Reply::plain(250, format!("mx.example\n{line}"))).deliver_by, expected, "{line}");
        }
    }
}
