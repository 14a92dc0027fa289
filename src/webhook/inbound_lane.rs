//! Where mail waits that a webhook posts: in lanes of its own, beside those of domains and smarthosts.
//!
//! In: the config, addresses of mail that came in.  Out: which `[[inbound.webhook]]` posts it, and the lanes.
//! Always: no domain and no smarthost can have such a lane's name, since neither holds a slash; names are in lower case, as
//! those of all lanes; an address is posted once by each webhook that takes it.

use crate::{
    config::{Config, InboundWebhook},
    smtp::address::Mailbox,
    store::Lane,
};

/// What begins the name of such a lane.
const MARK: &str = "webhook/";

/// The lane of a webhook's mail: its destination in the queue and in the log.
pub fn lane_of(hook: &str) -> Lane {
    Lane(format!("{MARK}{}", hook.to_lowercase()).into())
}

/// The name in a destination that is a webhook, in lower case.
pub fn hook_name(destination: &str) -> Option<&str> {
    destination.strip_prefix(MARK)
}

/// The webhook of a lane, as far as the config still has it.
pub fn hook_of<'c>(config: &'c Config, lane: &Lane) -> Option<&'c InboundWebhook> {
    let name = hook_name(lane.destination())?;
    config.inbound.webhooks.iter().find(|hook| hook.name.to_lowercase() == name)
}

/// Who posts mail to an address of `[inbound] addresses`.
pub fn takers<'c>(config: &'c Config, address: &Mailbox) -> impl Iterator<Item = &'c InboundWebhook> {
    config.inbound.webhooks.iter().filter(move |hook| hook.takes(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_webhook_takes_its_addresses_and_has_a_lane_that_no_domain_has() {
        let pattern = |text: &str| regex::RegexBuilder::new(text).case_insensitive(true).build().expect("a pattern");
        let mut config = Config::default();
        for (name, addresses) in [
            ("Tickets", vec![pattern("^support@")]),
            ("受信", vec![]),
            ("both", vec![pattern("^a@"), pattern("^support")]),
        ] {
            config.inbound.webhooks.push(InboundWebhook { name: name.into(), addresses, ..InboundWebhook::default() });
        }
        for (address, expected) in [
            ("Support@in.example", &["Tickets", "受信", "both"][..]),
            ("a@in.example", &["受信", "both"]),
            ("b@in.example", &["受信"]),
        ] {
            let address = Mailbox::parse(address).expect("an address");
            let names: Vec<&str> = takers(&config, &address).map(|hook| hook.name.as_str()).collect();
            assert_eq!(names, expected, "{address}");
        }
        for hook in &config.inbound.webhooks {
            let lane = lane_of(&hook.name);
            assert_eq!(hook_of(&config, &lane).map(|found| &found.name), Some(&hook.name));
            assert!(lane.destination() == lane.destination().to_lowercase() && lane.rule().is_none());
        }
        for (lane, gone) in [("webhook/gone", true), ("webhook:25", false), ("webhook", false), ("example.jp", false)] {
            assert!(hook_of(&config, &Lane(lane.into())).is_none());
            assert_eq!(hook_name(lane).is_some(), gone);
        }
    }
}
