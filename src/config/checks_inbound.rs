//! What settings about incoming mail cannot mean: forwarding in circles, addresses that nobody serves.
//!
//! Always: a circle is an error, since mail would go round in it; what is merely without effect is a warning.
//! Sources: RFC 5321 §4.5.1 and §6.3; cmc.md §12.5.

use super::{ForwardSide, Role, checks::Checks, inbound::alike};
use crate::smtp::address::Mailbox;

/// Filters at most: every mail is looked at by each of its side.
const FORWARDS_MAX: usize = 100;
/// Of the largest mail so many should fit into memory at once.
const MEMORY_PARTS: u64 = 4;

impl Checks<'_> {
    /// `[inbound]`, `[[forward]]` and where mail for postmaster goes.
    pub(super) fn inbound(&mut self) {
        self.circles();
        let has_listener = self.config.listeners.iter().any(|listener| listener.role == Role::Inbound);
        let inbound_filter = self.config.forwards.iter().position(|filter| filter.side == ForwardSide::Inbound);
        let bounce = &self.config.bounce;
        if !bounce.report_address.is_empty() && alike(&bounce.report_address, &bounce.complaint_address) {
            let reason = "this is the complaint_address, too: what comes there could not be told apart";
            self.error("bounce.report_address", reason, "give each its own address");
        }
        if self.config.forwards.len() > FORWARDS_MAX {
            self.error(
                &format!("forward[{FORWARDS_MAX}].name"),
                "there are too many filters",
                format!("keep {FORWARDS_MAX}"),
            );
        }
        if has_listener && self.config.server.postmaster.is_empty() {
            self.warn(
                "server.postmaster",
                "nobody reads it: mail for postmaster@ and abuse@ at our domains is refused, which RFC 5321 §4.5.1 asks to take",
                "set postmaster in [server] to the address of a person",
            );
        }
        let (size, memory) = (self.config.inbound.message_size_max, self.config.server.memory_limit);
        if has_listener && size > memory / MEMORY_PARTS {
            self.warn(
                "inbound.message_size_max",
                "mail that comes in waits in memory, which a few of this size use up: they are told to come again",
                "lower it, or raise memory_limit in [server]",
            );
        }
        match inbound_filter {
            Some(n) if !has_listener => {
                let reason = "no listener takes the mail that it looks at";
                self.warn(
                    &format!("forward[{n}].side"),
                    reason,
                    "add a [[listener]] with role = \"inbound\" on port 25",
                );
            }
            None if !self.config.inbound.addresses.is_empty() => {
                let reason = "no filter says where this mail goes: all of it is refused";
                self.warn("inbound.addresses", reason, "add a [[forward]] with side = \"inbound\"");
            }
            Some(_) | None => {}
        }
    }

    /// Addresses of ours to which our own mail would be forwarded.
    fn circles(&mut self) {
        let mut targets = vec![("server.postmaster".to_owned(), self.config.server.postmaster.clone())];
        for (n, filter) in self.config.forwards.iter().enumerate() {
            if filter.side == ForwardSide::Inbound {
                targets.push((format!("forward[{n}].to"), filter.to.clone()));
            }
        }
        for (path, address) in targets {
            if Mailbox::parse(&address).is_ok_and(|address| self.config.may_take(&address)) {
                let reason = format!("\"{address}\" is an address of ours: what is forwarded there would come back");
                self.error(&path, reason, "name an address at another server");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    const INBOUND: &str = "[[listener]]\naddress = \"127.0.0.1:2526\"\nrole = \"inbound\"\n";
    const FILTER: &str = "[[forward]]\nname = \"a\"\nheader = \"Subject\"\npattern = \"x\"\nto = \"b@c.example\"\n";

    #[test]
    fn circles_are_errors_and_addresses_without_effect_are_told() {
        for (text, key, reason) in [
            (
                "[server]\nhostname = \"r.example\"\npostmaster = \"abuse@r.example\"\n",
                "server.postmaster",
                "come back",
            ),
            (
                "[server]\npostmaster = \"a@b.example\"\n[bounce]\ndomains = [\"b.example\"]\n",
                "server.postmaster",
                "come back",
            ),
            (
                &format!("[inbound]\naddresses = [\"@C.example\"]\n{FILTER}side = \"inbound\"\n"),
                "forward.to",
                "come back",
            ),
            (&format!("{FILTER}{FILTER}"), "forward.name", "twice"),
            (&FILTER.replace("Subject", "Sub ject"), "forward.header", "not the name of a header field"),
            (&FILTER.replace("\"x\"", "\"(\""), "forward.pattern", "wrong"),
            (&FILTER.replace("b@c.example", "@c.example"), "forward.to", "not a mail address"),
            ("[inbound]\naddresses = [\"@c..example\"]\n", "inbound.addresses", "not a domain name"),
            ("[inbound]\naddresses = [\"c.example\"]\n", "inbound.addresses", "not a mail address"),
            (
                "[bounce]\nreport_address = \"A@b.example\"\ncomplaint_address = \"a@b.example\"\n",
                "bounce.report_address",
                "complaint_address",
            ),
        ] {
            let errors = load(text).expect_err(text).errors;
            let found = errors.iter().any(|e| e.key.contains(key) && e.reason.contains(reason));
            assert!(found, "{text}: {errors:#?}");
        }
        for (text, key, reason) in [
            (INBOUND.to_owned(), "server.postmaster", "nobody reads it"),
            (format!("[inbound]\naddresses = [\"a@b.example\"]\n{INBOUND}"), "inbound.addresses", "refused"),
            ("[inbound]\naddresses = [\"a@b.example\"]\n".to_owned(), "inbound.addresses", "no listener"),
            (format!("{FILTER}side = \"inbound\"\n"), "forward.side", "no listener"),
            (format!("[inbound]\nmessage_size_max = \"256MiB\"\n{INBOUND}"), "inbound.message_size_max", "memory"),
        ] {
            let warnings = load(&text).expect("it is taken").warnings;
            let found = warnings.iter().any(|w| w.key.contains(key) && w.reason.contains(reason));
            assert!(found, "{text}: {warnings:#?}");
        }
        let good = format!("[server]\npostmaster = \"a@b.example\"\n{INBOUND}{FILTER}");
        assert!(!load(&good).expect("it is taken").warnings.iter().any(|w| w.key.contains("forward")));
    }
}
