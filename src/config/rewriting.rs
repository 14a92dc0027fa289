//! What the config says about the sender that a mail goes out with.

use super::Config;
use crate::bounce::envelope_from::{self, Advanced, Decision, Mail, SendingDomain};

impl Config {
    /// Decides the sender of a mail (R3); `epoch`: the newest of the keys. One pass over `[[domain]]`.
    pub fn return_path(&self, mail: &Mail<'_>, epoch: u8) -> Decision<'_> {
        let domains = self.domains.iter().map(|domain| SendingDomain {
            name: &domain.name,
            rewrites: domain.envelope_from_rewrite,
            return_domain: &domain.return_domain,
        });
        let advanced = Advanced {
            rewrites: self.envelope_from.rewrite,
            return_domain: &self.envelope_from.return_domain,
            form: self.bounce.return_form,
            epoch,
        };
        envelope_from::decide(domains, advanced, mail)
    }
}
