//! Cross-checks of sender authentication: the keys that sign.
//!
//! In and out: as for `checks`, of which this is a part. The keys are read here and stand in the config.
//! Always: a key that cannot sign is an error, so that no mail leaves unsigned because of a slip; a key that is never printed.
//! Sources: RFC 6376 §3.3.3 and §3.6.2; RFC 8301 §3.2; RFC 8463.

use std::{path::PathBuf, sync::Arc};

use super::{
    checks::Checks,
    surroundings::{Files, mode_open_to_others, read_key},
};
use crate::dkim::{
    key::{RSA_BITS_GOOD, SigningKey},
    record,
};

/// Keys of one domain in the file: each signs every mail, and receivers look at a few signatures alone.
const KEYS_A_DOMAIN_MAX: usize = 4;
/// Letters of `SELECTOR._domainkey.DOMAIN` at most (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;

impl Checks<'_> {
    /// Reads the private key of each `[[domain.dkim]]`.
    pub(super) fn dkim_keys(&mut self) {
        let keys: Vec<(usize, usize, String, PathBuf)> = self
            .config
            .domains
            .iter()
            .enumerate()
            .flat_map(|(n, domain)| domain.dkim.iter().enumerate().map(move |(k, key)| (n, k, domain, key)))
            .map(|(n, k, domain, key)| {
                let name = record::name(&key.selector, &domain.name);
                (n, k, name, key.private_key.clone())
            })
            .collect();
        for (n, k, name, file) in keys {
            if k == KEYS_A_DOMAIN_MAX {
                let reason = format!("the domain has more than {KEYS_A_DOMAIN_MAX} keys, and each signs every mail");
                self.error(&format!("domain[{n}].dkim[{k}].selector"), reason, "keep one RSA and one Ed25519 key");
            }
            if name.len() > NAME_MAX {
                let reason = format!("{name} is too long for a name of the DNS");
                self.error(&format!("domain[{n}].dkim[{k}].selector"), reason, "use a shorter selector");
            }
            let path = format!("domain[{n}].dkim[{k}].private_key");
            if self.around.files != Files::Ignored && !self.facts.is_broken(&path) {
                self.dkim_key(&path, &file, n, k);
            }
        }
    }

    fn dkim_key(&mut self, path: &str, file: &std::path::Path, n: usize, k: usize) {
        let content = match read_key(file, self.around.files) {
            Ok(content) => content,
            Err(fault) => return self.file_fault(path, fault),
        };
        let key = match SigningKey::from_pem(content.reveal()) {
            Ok(key) => key,
            Err(fault) => {
                // What is wrong, and after the semicolon what helps.
                let text = fault.to_string();
                let (what, fix) = text.split_once("; ").unwrap_or((&text, KEY_FIX));
                return self.error(path, format!("{} {what}", file.display()), fix);
            }
        };
        if key.is_weak() {
            let reason =
                format!("its RSA key has {} bits: it signs, and some receivers no longer count it", key.bits());
            let fix = format!("make one of {RSA_BITS_GOOD} bits: hikyaku domain dkim-new");
            self.warn(path, reason, fix);
        }
        let given_by_systemd = self.around.credentials.as_ref().is_some_and(|folder| file.starts_with(folder));
        if let Some(mode) = mode_open_to_others(file).filter(|_| !given_by_systemd) {
            let reason = format!("{} can be read or changed by others (mode {mode})", file.display());
            self.warn(path, reason, format!("chmod 0600 {}", file.display()));
        }
        if let Some(place) = self.config.domains.get_mut(n).and_then(|domain| domain.dkim.get_mut(k)) {
            place.key = Some(Arc::new(key));
        }
    }
}

const KEY_FIX: &str = "make a key with: hikyaku domain dkim-new";
