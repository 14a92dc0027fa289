//! What the monitor says to people, in English and Japanese: what to do about a policy, and what is wrong with the reports.
//!
//! Always: a sentence or two that name the figures and the next step.

use serde::{Deserialize, Serialize};

use crate::language::number;

/// What is recommended about `p=reject`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Advice {
    /// Nothing was reported.
    #[default]
    NoReports,
    /// Too little to go by.
    TooLittle {
        /// Mails that were reported.
        messages: u64,
        /// Days with reports.
        days: u64,
        /// So many mails are wanted …
        messages_min: u64,
        /// … and so many days.
        days_min: u64,
    },
    /// Mail of this relay would be refused.
    FixRelay {
        /// So many.
        refused: u64,
        /// The policy is `reject` already: it is refused.
        is_reject: bool,
    },
    /// Mail of a known sender would be refused.
    FixKnown {
        /// Its name.
        name: String,
        /// So many.
        refused: u64,
        /// The policy is `reject` already.
        is_reject: bool,
    },
    /// No source is ours or known.
    NobodyIsKnown {
        /// Mails that were reported.
        messages: u64,
    },
    /// Go ahead.
    Ready {
        /// Mails of unknown sources that would be refused.
        refused: u64,
        /// Of these, forwarded ones.
        forwarded: u64,
        /// Legitimate mails that would be refused, within what forwarding breaks anyhow.
        lost: u64,
    },
    /// It is in force, and does what it should.
    InForce {
        /// Mails of unknown sources that failed.
        refused: u64,
        /// Legitimate mails that failed.
        lost: u64,
    },
}

fn mails(n: u64) -> String {
    if n == 1 { "1 mail".into() } else { format!("{} mails", number(n)) }
}

impl Advice {
    /// The sentence in English.
    pub fn english(&self) -> String {
        match self {
            Advice::NoReports => {
                "No reports in this time: nothing can be said. See whether the record's rua names our report address."
                    .into()
            }
            Advice::TooLittle { messages, days, messages_min, days_min } => format!(
                "Wait: {} of {days} days are too little to go by; {} and {days_min} days are wanted.",
                mails(*messages),
                mails(*messages_min)
            ),
            Advice::FixRelay { refused, is_reject: false } => format!(
                "Not yet: p=reject would refuse {} of this relay. See that it signs for this domain (hikyaku domain check), then wait for new reports.",
                mails(*refused)
            ),
            Advice::FixRelay { refused, is_reject: true } => format!(
                "Act now: p=reject is in force, and {} of this relay failed. See that it signs for this domain (hikyaku domain check).",
                mails(*refused)
            ),
            Advice::FixKnown { name, refused, is_reject: false } => format!(
                "Not yet: p=reject would refuse {} of {name}. Have {name} sign with this domain, or let SPF name it, then wait for new reports.",
                mails(*refused)
            ),
            Advice::FixKnown { name, refused, is_reject: true } => format!(
                "Act now: p=reject is in force, and {} of {name} failed. Have {name} sign with this domain, or let SPF name it.",
                mails(*refused)
            ),
            Advice::NobodyIsKnown { messages } => format!(
                "Look first: none of the {} came from this relay or a known sender. Name your senders in [[dmarc.sender]], and this relay's addresses in [domain_check].",
                mails(*messages)
            ),
            Advice::Ready { refused: 0, lost, .. } => {
                format!("Ready: p=reject would have refused no mail of unknown sources, and {} of yours.", mails(*lost))
            }
            Advice::Ready { refused, forwarded, lost } => format!(
                "Ready, once you have looked at the unknown sources: p=reject would have refused {} of theirs ({} of them forwarded, as receivers say), and {} of yours.",
                mails(*refused),
                number(*forwarded),
                mails(*lost)
            ),
            Advice::InForce { refused, lost } => format!(
                "p=reject is in force: {} of unknown sources failed, and {} of yours.",
                mails(*refused),
                mails(*lost)
            ),
        }
    }

    /// The sentence in Japanese.
    pub fn japanese(&self) -> String {
        match self {
            Advice::NoReports => {
                "この期間のレポートがないため判断できません。DMARCレコードのruaに当サーバーのレポート受信アドレスがあるか確認してください。".into()
            }
            Advice::TooLittle { messages, days, messages_min, days_min } => format!(
                "もう少し待ってください。{days}日間・{}通では判断材料が足りません（{days_min}日間・{}通以上が必要です）。",
                number(*messages),
                number(*messages_min)
            ),
            Advice::FixRelay { refused, is_reject: false } => format!(
                "まだp=rejectにしないでください。このリレーのメール{}通が拒否されます。このドメインのDKIM署名を確認し（hikyaku domain check）、新しいレポートを待ってください。",
                number(*refused)
            ),
            Advice::FixRelay { refused, is_reject: true } => format!(
                "至急対応してください。p=rejectが有効で、このリレーのメール{}通が認証に失敗しています。このドメインのDKIM署名を確認してください（hikyaku domain check）。",
                number(*refused)
            ),
            Advice::FixKnown { name, refused, is_reject: false } => format!(
                "まだp=rejectにしないでください。{name}のメール{}通が拒否されます。{name}でこのドメインのDKIM署名を行うか、SPFに追加し、新しいレポートを待ってください。",
                number(*refused)
            ),
            Advice::FixKnown { name, refused, is_reject: true } => format!(
                "至急対応してください。p=rejectが有効で、{name}のメール{}通が認証に失敗しています。{name}でこのドメインのDKIM署名を行うか、SPFに追加してください。",
                number(*refused)
            ),
            Advice::NobodyIsKnown { messages } => format!(
                "先に確認が必要です。{}通のうち、このリレーまたは既知の送信元のものがありません。[[dmarc.sender]]に送信元を、[domain_check]にこのリレーのアドレスを設定してください。",
                number(*messages)
            ),
            Advice::Ready { refused: 0, lost, .. } => {
                format!(
                    "p=rejectにできます。拒否されたはずのメールは、不明な送信元から0通、自社のメール{}通です。",
                    number(*lost)
                )
            }
            Advice::Ready { refused, forwarded, lost } => format!(
                "不明な送信元を確認したうえで、p=rejectにできます。拒否されたはずのメールは、不明な送信元から{}通（うち転送{}通）、自社のメール{}通です。",
                number(*refused),
                number(*forwarded),
                number(*lost)
            ),
            Advice::InForce { refused, lost } => format!(
                "p=rejectが有効です。認証に失敗したメールは、不明な送信元から{}通、自社のメール{}通です。",
                number(*refused),
                number(*lost)
            ),
        }
    }
}

/// What is wrong with the reports of a domain: nobody should look at an empty graph and think that all is well (R2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "alarm")]
pub enum Alarm {
    /// No DMARC record applies: nobody sends reports.
    NoRecord,
    /// The record that applies does not name our report address.
    NotOurs {
        /// The domain whose record applies.
        at: String,
        /// Our report address.
        wanted: String,
        /// Whom it names; empty: nobody.
        names: Vec<String>,
    },
    /// Our report address is in another domain, and the record that allows it is missing there.
    NotAllowed {
        /// Where that record belongs.
        name: String,
        /// What it says.
        value: String,
    },
    /// No report came, although mail left.
    Silent {
        /// When the last one came, RFC 3339; empty: none within a week.
        last: String,
        /// Mails that were delivered in the days that should have been reported.
        delivered: u64,
    },
}

impl Alarm {
    /// The word in the journal and for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Alarm::NoRecord => "no_record",
            Alarm::NotOurs { .. } => "not_ours",
            Alarm::NotAllowed { .. } => "not_allowed",
            Alarm::Silent { .. } => "silent",
        }
    }

    /// The sentence in English.
    pub fn english(&self, domain: &str) -> String {
        match self {
            Alarm::NoRecord => {
                format!("no DMARC record applies to {domain}: nobody sends reports (hikyaku dmarc record {domain})")
            }
            Alarm::NotOurs { at, wanted, names } if names.is_empty() => {
                format!("the DMARC record {} has no rua: no reports come. Add rua=mailto:{wanted}", whose(at, domain))
            }
            Alarm::NotOurs { at, wanted, names } => format!(
                "the DMARC record {} sends reports to {} but not to {wanted}: add it to rua",
                whose(at, domain),
                names.join(", ")
            ),
            Alarm::NotAllowed { name, value } => format!(
                "reports about {domain} go to another domain, which must allow it: publish {name} TXT \"{value}\""
            ),
            Alarm::Silent { last, delivered } => {
                let last = if last.is_empty() {
                    "none came within a week".to_owned()
                } else {
                    format!("the last came at {last}")
                };
                format!(
                    "no DMARC report about {domain} for two days, although {} of it left: {last}",
                    mails(*delivered)
                )
            }
        }
    }

    /// The sentence in Japanese.
    pub fn japanese(&self, domain: &str) -> String {
        match self {
            Alarm::NoRecord => format!(
                "{domain}に適用されるDMARCレコードがないため、レポートは届きません（hikyaku dmarc record {domain}）。"
            ),
            Alarm::NotOurs { at, wanted, names } if names.is_empty() => format!(
                "{domain}に適用される{at}のDMARCレコードにruaがないため、レポートは届きません。rua=mailto:{wanted} を追加してください。"
            ),
            Alarm::NotOurs { at, wanted, names } => format!(
                "{domain}に適用される{at}のDMARCレコードのruaは{}で、{wanted}がありません。ruaに追加してください。",
                names.join("、")
            ),
            Alarm::NotAllowed { name, value } => format!(
                "{domain}のレポートの宛先は別ドメインのため、許可が必要です。{name} TXT \"{value}\" を公開してください。"
            ),
            Alarm::Silent { last, delivered } => {
                let last = if last.is_empty() {
                    "この1週間届いていません".to_owned()
                } else {
                    format!("最後の受信：{last}")
                };
                format!(
                    "{domain}のメール{}通を配信しましたが、DMARCレポートが2日間届いていません（{last}）。",
                    number(*delivered)
                )
            }
        }
    }
}

/// Whose record applies, in English: `of example.jp`, `of example.jp, which applies to shop.example.jp,`.
fn whose(at: &str, domain: &str) -> String {
    if at == domain { format!("of {at}") } else { format!("of {at}, which applies to {domain},") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_advice_and_alarm_speaks_both_languages_and_names_its_figures() {
        let advice = [
            Advice::NoReports,
            Advice::TooLittle { messages: 41, days: 3, messages_min: 100, days_min: 7 },
            Advice::FixRelay { refused: 41, is_reject: false },
            Advice::FixRelay { refused: 41, is_reject: true },
            Advice::FixKnown { name: "Acme".into(), refused: 41, is_reject: false },
            Advice::FixKnown { name: "Acme".into(), refused: 41, is_reject: true },
            Advice::NobodyIsKnown { messages: 41 },
            Advice::Ready { refused: 0, forwarded: 0, lost: 41 },
            Advice::Ready { refused: 41, forwarded: 2, lost: 1 },
            Advice::InForce { refused: 41, lost: 0 },
        ];
        let large = Advice::Ready { refused: 12_345, forwarded: 1_000, lost: 2_345 };
        for text in [large.english(), large.japanese()] {
            assert!(["12,345", "1,000", "2,345"].iter().all(|figure| text.contains(figure)), "{text}");
        }
        for one in advice {
            for text in [one.english(), one.japanese()] {
                assert!(one == Advice::NoReports || text.contains("41"), "{text}");
            }
            assert!(one.japanese().chars().any(|c| c >= '\u{3040}'), "{one:?}");
            let json = serde_json::to_string(&one).expect("JSON");
            assert_eq!(serde_json::from_str::<Advice>(&json).expect("the same"), one);
        }
        let wanted = "dmarc@relay.example.jp".to_owned();
        let alarms = [
            Alarm::NoRecord,
            Alarm::NotOurs { at: "example.jp".into(), wanted: wanted.clone(), names: Vec::new() },
            Alarm::NotOurs { at: "example.jp".into(), wanted, names: vec!["mailto:a@b.example".into()] },
            Alarm::NotAllowed { name: "x._report._dmarc.relay.example.jp".into(), value: "v=DMARC1".into() },
            Alarm::Silent { last: String::new(), delivered: 9 },
            Alarm::Silent { last: "2026-11-24T00:00:00Z".into(), delivered: 9 },
        ];
        for one in alarms {
            assert!(one.english("mail.example.jp").contains("mail.example.jp"), "{one:?}");
            assert!(one.japanese("mail.example.jp").contains("mail.example.jp"), "{one:?}");
            let json = serde_json::to_string(&one).expect("JSON");
            assert_eq!(serde_json::from_str::<Alarm>(&json).expect("the same"), one);
        }
    }
}
