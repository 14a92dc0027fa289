//! What settings about incoming mail cannot mean: forwarding in circles, addresses that nobody serves, webhooks without mail.
//!
//! Always: a circle is an error, since mail would go round in it; what is merely without effect is a warning.
//! Sources: RFC 5321 §4.5.1 and §6.3; cmc.md §12.5.

use super::{ForwardSide, Role, checks::Checks, inbound::alike};
use crate::smtp::address::Mailbox;

/// Filters at most: every mail is looked at by each of its side.
const FORWARDS_MAX: usize = 100;
/// Webhooks for mail at most: one mail may be posted to each.
pub(super) const WEBHOOKS_MAX: usize = 50;
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
            None if !self.config.inbound.addresses.is_empty() && self.config.inbound.webhooks.is_empty() => {
                let reason = "no filter and no webhook says where this mail goes: all of it is refused";
                let fix = "add an [[inbound.webhook]], or a [[forward]] with side = \"inbound\"";
                self.warn("inbound.addresses", reason, fix);
            }
            Some(_) | None => {}
        }
        self.mail_webhooks(has_listener);
    }

    /// `[[inbound.webhook]]`.
    fn mail_webhooks(&mut self, has_listener: bool) {
        let hooks = self.config.inbound.webhooks.clone();
        let addresses = self.config.inbound.addresses.clone();
        let Some(last) = hooks.len().checked_sub(1) else { return };
        if last >= WEBHOOKS_MAX {
            let key = format!("inbound.webhook[{WEBHOOKS_MAX}].name");
            self.error(&key, "there are too many webhooks for mail", format!("keep {WEBHOOKS_MAX}"));
        }
        for (n, hook) in hooks.iter().enumerate() {
            self.signing_keys(&format!("inbound.webhook[{n}].signing_key"), hook.signing_key.reveal());
            if hook.url.contains('#') {
                self.error(&format!("inbound.webhook[{n}].url"), "what follows a # is never sent", "leave it out");
            }
        }
        if addresses.is_empty() {
            let fix = "name the addresses, or whole domains, in addresses of [inbound]";
            self.warn("inbound.webhook[0].name", "no address is taken mail for: [inbound] addresses is empty", fix);
        } else if !has_listener {
            let reason = "no listener takes the mail that it posts";
            self.warn("inbound.webhook[0].name", reason, "add a [[listener]] with role = \"inbound\" on port 25");
        }
        // Whether a pattern matches some address of a whole domain cannot be known.
        let named: Vec<Mailbox> = addresses.iter().filter_map(|address| Mailbox::parse(address).ok()).collect();
        if named.is_empty() || named.len() < addresses.len() {
            return;
        }
        for (n, hook) in hooks.iter().enumerate() {
            if !named.iter().any(|address| hook.takes(address)) {
                let reason = "no address in addresses of [inbound] matches: it posts nothing";
                self.warn(
                    &format!("inbound.webhook[{n}].addresses"),
                    reason,
                    "correct the pattern, or name the address in [inbound]",
                );
            }
        }
        let unserved = named.iter().find(|address| !hooks.iter().any(|hook| hook.takes(address)));
        let filters = self.config.forwards.iter().any(|filter| filter.side == ForwardSide::Inbound);
        if let Some(address) = unserved.filter(|_| !filters) {
            let reason = format!("no webhook and no filter takes mail for {address}: it is refused");
            self.warn(
                "inbound.addresses",
                reason,
                "add an [[inbound.webhook]] for it, or a [[forward]] with side = \"inbound\"",
            );
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
    const HOOK: &str = "[[inbound.webhook]]\nname = \"in\"\nurl = \"https://h.example/x\"\n";
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
        let hook = |more: &str| format!("[inbound]\naddresses = [\"a@b.example\"]\n{HOOK}{more}");
        for (text, key, reason) in [
            (hook(HOOK), "inbound.webhook.name", "twice"),
            (hook("addresses = [\"(\"]\n"), "inbound.webhook.addresses", "wrong"),
            (hook("format = \"form\"\n"), "inbound.webhook.format", "multipart"),
            (hook("signing_key = \"short\"\n"), "inbound.webhook.signing_key", "cannot sign"),
            (hook("").replace("/x", "/x#y"), "inbound.webhook.url", "never sent"),
            (hook("timeout = \"0s\"\n"), "inbound.webhook.timeout", "1s"),
            (hook("").replace("https", "http"), "inbound.webhook.url", "in clear"),
            (hook("").replace("https://h.example/x", "h.example"), "inbound.webhook.url", "not a URL"),
            (hook("").replace("\"in\"", "\"a#b\""), "inbound.webhook.name", "#"),
            (hook("").replace("name = \"in\"\n", ""), "inbound.webhook.name", "needs the key"),
            (hook("").replace("name =", "nam ="), "inbound.webhook.nam", "no such key"),
        ] {
            let errors = load(&text).expect_err(&text).errors;
            let found = errors.iter().any(|e| e.key.contains(key) && format!("{e:?}").contains(reason));
            assert!(found, "{text}: {errors:#?}");
        }
        for (text, key, reason) in [
            (hook(""), "inbound.webhook.name", "no listener"),
            (HOOK.to_owned(), "inbound.webhook.name", "is empty"),
            (hook("addresses = [\"^x\"]\n"), "inbound.webhook.addresses", "posts nothing"),
            (hook("addresses = [\"^x\"]\n"), "inbound.addresses", "no webhook and no filter"),
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
        let good = format!("[server]\npostmaster = \"a@other.example\"\n{}{INBOUND}", hook("addresses = [\"^A@\"]\n"));
        assert!(!load(&good).expect("it is taken").warnings.iter().any(|w| w.key.contains("inbound")));
        let good = format!("[server]\npostmaster = \"a@b.example\"\n{INBOUND}{FILTER}");
        assert!(!load(&good).expect("it is taken").warnings.iter().any(|w| w.key.contains("forward")));
    }
}
