//! Decides under which sender a mail goes out, so that what comes back comes to us (R3).
//!
//! In: the two settings, the header's From, the envelope's sender.  Out: a [`Decision`].
//! Always: the null sender is never rewritten, nor is what we send ourselves; the sending domain's own setting wins over the
//! advanced one; nothing here reads a table or a key.
//! Sources: PRODUCT.md R3, cmc.md §12.3, algorithms F7.
//!
//! | the sending domain | advanced | the sender that goes out |
//! |---|---|---|
//! | rewrites | either | at the domain's return domain; without one, at the advanced one |
//! | does not | rewrites | at the advanced return domain |
//! | does not | does not | as it is |

use std::{borrow::Cow, fmt, sync::Arc};

use super::verp;
use crate::smtp::address::{ADDRESS_OCTETS_MAX, Mailbox};

/// The sender that goes out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ReturnPath {
    /// The submitter's, as it is.
    #[default]
    AsIs,
    /// A token of ours for each recipient (VERP), made with the key of this epoch.
    Token {
        /// The return domain, in lower case.
        domain: Arc<str>,
        /// The key's epoch.
        epoch: u8,
    },
    /// The submitter's local part at the return domain (CMC's form).
    KeepLocal {
        /// The return domain, in lower case.
        domain: Arc<str>,
    },
}

impl ReturnPath {
    /// What comes back comes to us.
    pub fn is_ours(&self) -> bool {
        match self {
            ReturnPath::AsIs => false,
            ReturnPath::Token { .. } | ReturnPath::KeepLocal { .. } => true,
        }
    }

    /// The word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            ReturnPath::AsIs => "as_is",
            ReturnPath::Token { .. } => "token",
            ReturnPath::KeepLocal { .. } => "keep_local",
        }
    }

    /// The return domain; empty: the sender goes out as it is.
    pub fn domain(&self) -> &str {
        match self {
            ReturnPath::AsIs => "",
            ReturnPath::Token { domain, .. } | ReturnPath::KeepLocal { domain } => domain,
        }
    }
}

/// A sender with its local part kept at a return domain; `None`: the address would be too long.
pub fn kept_local(sender: &Mailbox, return_domain: &str) -> Option<Mailbox> {
    Mailbox::parse(&format!("{}@{return_domain}", sender.local())).ok()
}

/// For people: `as it is`, `a token at return.example.jp for each recipient`, `its local part at return.example.jp`.
impl fmt::Display for ReturnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReturnPath::AsIs => f.write_str("as it is"),
            ReturnPath::Token { domain, .. } => write!(f, "a token at {domain} for each recipient"),
            ReturnPath::KeepLocal { domain } => write!(f, "its local part at {domain}"),
        }
    }
}

/// The form of our return addresses (`[bounce] return_form`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReturnForm {
    /// VERP with a keyed token.
    #[default]
    Token,
    /// CMC's form: the local part is kept.
    KeepLocal,
}

/// What a configured sending domain says.
#[derive(Clone, Copy, Debug)]
pub struct SendingDomain<'a> {
    /// Its name; its subdomains belong to it, as far as they are not configured themselves.
    pub name: &'a str,
    /// It rewrites.
    pub rewrites: bool,
    /// Its return domain; empty: the advanced one's.
    pub return_domain: &'a str,
}

/// The advanced setting, and what holds for every domain.
#[derive(Clone, Copy, Debug)]
pub struct Advanced<'a> {
    /// It rewrites.
    pub rewrites: bool,
    /// Its return domain.
    pub return_domain: &'a str,
    /// The form of return addresses.
    pub form: ReturnForm,
    /// The newest epoch of the keys.
    pub epoch: u8,
}

/// A mail that asks.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// The header's From address; empty when it has none.
    pub header_from: &'a str,
    /// The envelope's sender; `None`: the null reverse-path.
    pub sender: Option<&'a Mailbox>,
    /// We sent it ourselves: a notice, a report, mail that is passed on.
    pub is_ours: bool,
}

/// The sender that goes out, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision<'a> {
    /// The sender.
    pub path: ReturnPath,
    /// Why.
    pub why: Why<'a>,
}

/// For people, as `explain` prints it: the sender, then the setting that decided.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// Why a sender goes out as it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why<'a> {
    /// The null sender is never rewritten.
    NullSender,
    /// We sent it ourselves.
    Ours,
    /// It is a return address of ours already.
    ReturnAddress,
    /// This domain rewrites.
    Domain(&'a str),
    /// The advanced setting rewrites; the domain, where one is configured, does not.
    Advanced(Option<&'a str>),
    /// Neither the domain, where one is configured, nor the advanced setting rewrites.
    Neither(Option<&'a str>),
    /// It would be rewritten, but the address would be too long, or there is no return domain.
    Impossible,
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NullSender => f.write_str("the null sender is never rewritten"),
            Why::Ours => f.write_str("our own notices, and mail that we pass on, are not rewritten"),
            Why::ReturnAddress => f.write_str("it is a return address of ours already"),
            Why::Domain(name) => write!(f, "[[domain]] {name} has envelope_from_rewrite = true"),
            Why::Advanced(None) => {
                f.write_str("[envelope_from] has rewrite = true; no [[domain]] is its sending domain")
            }
            Why::Advanced(Some(name)) => write!(
                f,
                "[envelope_from] has rewrite = true; its sending domain, [[domain]] {name}, says nothing of its own"
            ),
            Why::Neither(None) => {
                f.write_str("[envelope_from] has rewrite = false; no [[domain]] is its sending domain")
            }
            Why::Neither(Some(name)) => {
                write!(f, "neither [[domain]] {name} nor [envelope_from] rewrites")
            }
            Why::Impossible => f.write_str("with the return domain it would be longer than an address may be"),
        }
    }
}

/// Decides the sender of a mail; `domains` are those that the configuration names.
pub fn decide<'a>(
    domains: impl Iterator<Item = SendingDomain<'a>> + Clone,
    advanced: Advanced<'a>,
    mail: &Mail<'_>,
) -> Decision<'a> {
    let as_is = |why| Decision { path: ReturnPath::AsIs, why };
    let Some(sender) = mail.sender else { return as_is(Why::NullSender) };
    if mail.is_ours {
        return as_is(Why::Ours);
    }
    let sending = sending_domain(&domains, mail.header_from, sender);
    let (why, return_domain) = match sending {
        Some(domain) if domain.rewrites && domain.return_domain.is_empty() => {
            (Why::Domain(domain.name), advanced.return_domain)
        }
        Some(domain) if domain.rewrites => (Why::Domain(domain.name), domain.return_domain),
        Some(_) | None if advanced.rewrites => (Why::Advanced(sending.map(|d| d.name)), advanced.return_domain),
        Some(_) | None => return as_is(Why::Neither(sending.map(|d| d.name))),
    };
    // A token that comes round again (a client that answers to the sender of what it got) keeps pointing at its own mail.
    if verp::is_shaped(sender.local()) && is_return_domain(domains, advanced, sender.domain()) {
        return as_is(Why::ReturnAddress);
    }
    let local_octets = match advanced.form {
        ReturnForm::Token => verp::TOKEN_OCTETS,
        ReturnForm::KeepLocal => sender.local().len(),
    };
    if return_domain.is_empty() || local_octets + 1 + return_domain.len() > ADDRESS_OCTETS_MAX {
        return as_is(Why::Impossible);
    }
    let domain: Arc<str> = if return_domain.bytes().any(|b| b.is_ascii_uppercase()) {
        return_domain.to_ascii_lowercase().into()
    } else {
        return_domain.into()
    };
    let path = match advanced.form {
        ReturnForm::Token => ReturnPath::Token { domain, epoch: advanced.epoch },
        ReturnForm::KeepLocal => ReturnPath::KeepLocal { domain },
    };
    Decision { path, why }
}

/// The configured domain of the header's From, else that of the envelope's sender; the longest that covers it.
fn sending_domain<'a>(
    domains: &(impl Iterator<Item = SendingDomain<'a>> + Clone),
    header_from: &str,
    sender: &Mailbox,
) -> Option<SendingDomain<'a>> {
    let header = header_from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let longest = |of: &str| {
        let of = in_ascii(of);
        domains.clone().filter(|domain| covers(domain.name, &of)).max_by_key(|domain| domain.name.len())
    };
    longest(header).or_else(|| longest(sender.domain()))
}

fn is_return_domain<'a>(domains: impl Iterator<Item = SendingDomain<'a>>, advanced: Advanced<'a>, name: &str) -> bool {
    let mut all = domains.map(|domain| domain.return_domain).chain([advanced.return_domain]);
    all.any(|domain| domain.eq_ignore_ascii_case(name))
}

/// The configuration writes names in ASCII, a header may not.
fn in_ascii(domain: &str) -> Cow<'_, str> {
    if domain.is_ascii() {
        return Cow::Borrowed(domain);
    }
    // What is no domain name is covered by none.
    Cow::Owned(idna::domain_to_ascii(domain).unwrap_or_default())
}

/// `domain` is `name` or a subdomain of it.
fn covers(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.as_bytes(), domain.as_bytes());
    let Some(before) = domain.len().checked_sub(name.len()) else { return false };
    !name.is_empty() && domain[before..].eq_ignore_ascii_case(name) && (before == 0 || domain[before - 1] == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVANCED: &str = "return.relay.example";

    fn advanced(rewrites: bool, form: ReturnForm) -> Advanced<'static> {
        Advanced { rewrites, return_domain: ADVANCED, form, epoch: 3 }
    }

    fn check(domains: &[SendingDomain<'static>], advanced: Advanced<'static>, from: &str, sender: &str) -> String {
        let sender = Mailbox::parse(sender).ok();
        let mail = Mail { header_from: from, sender: sender.as_ref(), is_ours: false };
        let decision = decide(domains.iter().copied(), advanced, &mail);
        match &decision.path {
            ReturnPath::AsIs => format!("as is, {:?}", decision.why),
            ReturnPath::Token { domain, epoch: 3 } => format!("token at {domain}, {:?}", decision.why),
            ReturnPath::KeepLocal { domain } => format!("kept at {domain}, {:?}", decision.why),
            other => panic!("{other:?}"),
        }
    }

    /// R3: every combination of who configures what, for both forms.
    #[test]
    fn the_domains_own_setting_wins_then_the_advanced_one_then_nobody() {
        let own = "bounce.shop.example";
        for form in [ReturnForm::Token, ReturnForm::KeepLocal] {
            let word = if form == ReturnForm::Token { "token" } else { "kept" };
            for (rewrites, return_domain, advanced_rewrites, expected) in [
                // The domain's setting, its return domain, the advanced setting.
                (Some(true), own, true, format!("{word} at {own}, Domain(\"shop.example\")")),
                (Some(true), own, false, format!("{word} at {own}, Domain(\"shop.example\")")),
                (Some(true), "", true, format!("{word} at {ADVANCED}, Domain(\"shop.example\")")),
                (Some(true), "", false, format!("{word} at {ADVANCED}, Domain(\"shop.example\")")),
                (Some(false), own, true, format!("{word} at {ADVANCED}, Advanced(Some(\"shop.example\"))")),
                (Some(false), own, false, "as is, Neither(Some(\"shop.example\"))".to_owned()),
                (Some(false), "", true, format!("{word} at {ADVANCED}, Advanced(Some(\"shop.example\"))")),
                (Some(false), "", false, "as is, Neither(Some(\"shop.example\"))".to_owned()),
                (None, "", true, format!("{word} at {ADVANCED}, Advanced(None)")),
                (None, "", false, "as is, Neither(None)".to_owned()),
            ] {
                let domains: Vec<SendingDomain<'static>> = rewrites
                    .map(|rewrites| SendingDomain { name: "shop.example", rewrites, return_domain })
                    .into_iter()
                    .collect();
                let advanced = advanced(advanced_rewrites, form);
                let case = format!("{form:?} domain={rewrites:?} {return_domain:?} advanced={advanced_rewrites}");
                assert_eq!(check(&domains, advanced, "a@shop.example", "x@app.example"), expected, "{case}");
                let mail = |sender, is_ours| Mail { header_from: "a@shop.example", sender, is_ours };
                let sender = Mailbox::parse("x@app.example").expect("an address");
                for (mail, why) in [(mail(None, false), Why::NullSender), (mail(Some(&sender), true), Why::Ours)] {
                    let decision = decide(domains.iter().copied(), advanced, &mail);
                    assert_eq!(decision, Decision { path: ReturnPath::AsIs, why }, "{case}");
                }
            }
        }
    }

    #[test]
    fn the_sending_domain_is_the_headers_longest_parent_else_the_envelopes() {
        let domain = |name, rewrites| SendingDomain { name, rewrites, return_domain: "r.example" };
        let domains = [
            domain("example.jp", true),
            domain("quiet.example.jp", false),
            domain("deep.quiet.example.jp", true),
            domain("xn--r8jz45g.jp", true),
        ];
        let rewritten = |name: &str| format!("token at r.example, Domain({name:?})");
        for (from, sender, expected) in [
            ("a@example.jp", "x@app.test", rewritten("example.jp")),
            ("a@EXAMPLE.jp", "x@app.test", rewritten("example.jp")),
            ("a@news.example.jp", "x@app.test", rewritten("example.jp")),
            ("a@quiet.example.jp", "x@app.test", "as is, Neither(Some(\"quiet.example.jp\"))".to_owned()),
            ("a@quiet.example.jp", "x@example.jp", "as is, Neither(Some(\"quiet.example.jp\"))".to_owned()),
            ("a@x.deep.quiet.example.jp", "x@app.test", rewritten("deep.quiet.example.jp")),
            ("a@notexample.jp", "x@app.test", "as is, Neither(None)".to_owned()),
            ("a@notexample.jp", "x@sub.example.jp", rewritten("example.jp")),
            ("", "x@example.jp", rewritten("example.jp")),
            ("no address", "x@example.jp", rewritten("example.jp")),
            ("a@例え.jp", "x@app.test", rewritten("xn--r8jz45g.jp")),
            ("a@[192.0.2.1]", "x@[192.0.2.1]", "as is, Neither(None)".to_owned()),
        ] {
            assert_eq!(check(&domains, advanced(false, ReturnForm::Token), from, sender), expected, "{from} {sender}");
        }
    }

    #[test]
    fn what_cannot_be_rewritten_goes_as_it_is() {
        let token = "b-0123456789abcdefghj0-0123456789abcdef";
        assert!(verp::is_shaped(token));
        let domains = [SendingDomain { name: "a.example", rewrites: true, return_domain: "Bounce.A.example" }];
        let rewritten = |word| format!("{word} at bounce.a.example, Domain(\"a.example\")");
        for (sender, form, expected) in [
            (format!("{token}@bounce.a.example"), ReturnForm::Token, "as is, ReturnAddress".to_owned()),
            (format!("{token}@{ADVANCED}"), ReturnForm::KeepLocal, "as is, ReturnAddress".to_owned()),
            (format!("{token}@elsewhere.example"), ReturnForm::Token, rewritten("token")),
            // The domain of the mail and of what comes back may be the same.
            ("x@bounce.a.example".to_owned(), ReturnForm::KeepLocal, rewritten("kept")),
            ("x@bounce.a.example".to_owned(), ReturnForm::Token, rewritten("token")),
        ] {
            assert_eq!(check(&domains, advanced(false, form), "a@a.example", &sender), expected, "{sender}");
        }
        let long: &str = format!("{}.example", ["a"; 100].join(".")).leak();
        let domains = [SendingDomain { name: "a.example", rewrites: true, return_domain: long }];
        let sender = format!("{}@x", "l".repeat(64));
        let kept = |form| check(&domains, advanced(false, form), "a@a.example", &sender);
        assert_eq!(kept(ReturnForm::KeepLocal), "as is, Impossible");
        assert!(kept(ReturnForm::Token).starts_with("token at"));
        let nowhere = Advanced { return_domain: "", ..advanced(true, ReturnForm::Token) };
        assert_eq!(check(&[], nowhere, "", "x@y.example"), "as is, Impossible");
    }
}
