//! The diagnosis in words, in English and Japanese.
//!
//! In: figures, a language, a time zone.  Out: sentences.
//! Always: every figure has its words in both languages (the compiler lists them); what peers and mails said stands in quotes and is
//! cut; nothing here decides.
//! Sources: PRODUCT.md R10.

pub mod causes;

use std::fmt::Write as _;

use super::{
    figures::{Certainty, DAYS_BEFORE, Diagnosis, Figure, Kind},
    topic::Topic,
};
use crate::{
    clock::Timestamp,
    deliver::provider::Provider,
    doctor::words::{self as doctor, Language},
    language::number,
    when::Zone,
};

/// Characters of a quotation.
const QUOTE_CHARS_MAX: usize = 220;
/// Names of a list.
const NAMES_MAX: usize = 4;

/// Words of one language.
#[derive(Clone, Debug)]
pub struct Words<'z> {
    /// Which.
    pub language: Language,
    /// The zone of its times.
    pub zone: &'z Zone,
}

fn quoted(text: &str, language: Language) -> String {
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTE_CHARS_MAX).collect();
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        out.push('…');
    }
    language.pick(format!("\"{out}\""), format!("「{out}」"))
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn of(part: u64, whole: u64) -> f64 {
    super::tally::share(part, whole)
}

fn times(factor: f64) -> String {
    if factor < 10.0 { format!("{factor:.1}") } else { format!("{factor:.0}") }
}

fn octets(n: f64) -> String {
    if n >= 1_048_576.0 { format!("{:.1} MiB", n / 1_048_576.0) } else { format!("{:.0} KiB", n / 1024.0) }
}

fn interval(millis: u64, language: Language) -> String {
    match (millis, language) {
        (0, Language::English) => "no interval".to_owned(),
        (0, Language::Japanese) => "間隔なし".to_owned(),
        (n, Language::English) => format!("{n} ms between messages"),
        (n, Language::Japanese) => format!("間隔 {n} ミリ秒"),
    }
}

impl Words<'_> {
    fn is_japanese(&self) -> bool {
        self.language == Language::Japanese
    }

    fn pick<'w>(&self, english: &'w str, japanese: &'w str) -> &'w str {
        if self.is_japanese() { japanese } else { english }
    }

    fn at(&self, at: Timestamp) -> String {
        self.zone.full(at)
    }

    /// The word for how sure a cause is.
    pub fn certainty(&self, certainty: Certainty) -> &'static str {
        let (english, japanese) = match certainty {
            Certainty::Likely => ("likely", "有力"),
            Certainty::Possible => ("possible", "可能性あり"),
            Certainty::Hint => ("hint", "参考"),
        };
        if self.is_japanese() { japanese } else { english }
    }

    /// What an answer is about.
    pub fn topic(&self, topic: Topic) -> &'static str {
        let (english, japanese) = match topic {
            Topic::Dkim => ("DKIM", "DKIM"),
            Topic::Spf => ("SPF", "SPF"),
            Topic::Dmarc => ("DMARC", "DMARC"),
            Topic::Authentication => ("authentication", "送信ドメイン認証"),
            Topic::ReverseDns => ("reverse DNS", "逆引き"),
            Topic::SenderDomain => ("the sender's domain", "送信者ドメイン"),
            Topic::Sender => ("the sender", "送信者"),
            Topic::Blocklist => ("a blocklist", "ブロックリスト"),
            Topic::Reputation => ("reputation", "評価（レピュテーション）"),
            Topic::Speed => ("speed and limits", "速度・流量制限"),
            Topic::Content => ("spam", "迷惑メール判定"),
            Topic::Attachment => ("attachments and viruses", "添付・ウイルス"),
            Topic::Form => ("the mail's form", "メールの形式"),
            Topic::Size => ("size", "サイズ"),
            Topic::MailboxFull => ("a full mailbox", "容量超過"),
            Topic::UnknownUser => ("an unknown user", "宛先不明"),
            Topic::UnknownHost => ("an unknown domain", "ドメイン不明"),
            Topic::Filtered => ("the recipient's filter", "受信者の拒否設定"),
            Topic::Greylisting => ("greylisting", "グレイリスティング"),
            Topic::Network => ("connections and outages", "接続・障害"),
            Topic::Tls => ("TLS", "TLS"),
            Topic::Setup => ("relaying and logins", "中継・ログイン"),
            Topic::Policy => ("the destination's policy", "宛先の規則"),
            Topic::OwnList => ("our own lists", "こちらのリスト"),
            Topic::Complaint => ("a complaint", "迷惑メール申告"),
            Topic::Unknown => ("nothing known", "不明"),
        };
        if self.is_japanese() { japanese } else { english }
    }

    fn kind(&self, kind: Kind) -> &'static str {
        let (english, japanese) = match kind {
            Kind::Recipient => ("recipient", "宛先"),
            Kind::Destination => ("destination", "宛先ドメイン"),
            Kind::Provider => ("provider", "プロバイダー"),
            Kind::Source => ("source address", "送信元アドレス"),
            Kind::User => ("API user", "APIユーザー"),
            Kind::Subject => ("subject", "件名"),
        };
        if self.is_japanese() { japanese } else { english }
    }

    fn name(&self, kind: Kind, name: &str) -> String {
        match kind {
            Kind::Provider => Provider::from_word(name).map_or_else(|| name.to_owned(), |p| p.name().to_owned()),
            Kind::Subject if !name.is_empty() => quoted(name, self.language),
            Kind::Subject | Kind::User if name.is_empty() => self.pick("(none)", "（なし）").to_owned(),
            Kind::Recipient | Kind::Destination | Kind::Source | Kind::User | Kind::Subject => name.to_owned(),
        }
    }

    fn names(&self, names: &[String]) -> String {
        let mut out = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > NAMES_MAX {
            let more = names.len() - NAMES_MAX;
            let _ =
                if self.is_japanese() { write!(out, " ほか {more} 件") } else { write!(out, " and {more} more") };
        }
        out
    }

    /// A figure in a sentence.
    pub fn figure(&self, figure: &Figure) -> String {
        let ja = self.is_japanese();
        match figure {
            Figure::About { topics, refusals, of: whole } => {
                let topics = topics.iter().map(|t| self.topic(*t)).collect::<Vec<_>>().join(self.pick(", ", "、"));
                let (n, all, share) = (number(*refusals), number(*whole), percent(of(*refusals, *whole)));
                if ja {
                    format!("拒否 {all} 件のうち {n} 件（{share}）が次の内容です：{topics}")
                } else {
                    format!("{n} of {all} refusals ({share}) are about {topics}")
                }
            }
            Figure::Answer { example, events, recipients, destination, first, last, .. } => {
                let (said, n, people) = (quoted(example, self.language), number(*events), number(*recipients));
                let (first, last) = (self.at(*first), self.at(*last));
                if ja {
                    format!(
                        "応答 {said} — {n} 回、受信者 {people} 人、主な宛先ドメイン {destination}（{first} ~ {last}）"
                    )
                } else {
                    format!("{said} — {n} times to {people} recipients, mostly at {destination}, {first} to {last}")
                }
            }
            Figure::Since { at } => {
                let at = self.at(*at);
                if ja { format!("最初の拒否は {at}") } else { format!("the first of them came at {at}") }
            }
            Figure::Finding { check, finding, .. } => {
                let seen = doctor::seen(finding, self.language);
                if ja {
                    format!("ドメイン診断 [{check}]：{seen}")
                } else {
                    format!("domain check [{check}]: {seen}")
                }
            }
            Figure::Broke(broke) => {
                let (check, at) = (&broke.check, self.at(broke.at));
                if ja {
                    format!("[{check}] は {at} の確認で初めてエラーになりました")
                } else {
                    format!("[{check}] became an error in the check of {at}")
                }
            }
            Figure::Loosened(change) => {
                let (before, after) = change.connections;
                let (wait_before, wait_after) = change.interval_millis;
                let (wait_before, wait_after) =
                    (interval(wait_before, self.language), interval(wait_after, self.language));
                let (rule, at, whom) = (&change.rule, self.at(change.at), self.names(&change.destinations));
                let whom =
                    if whom.is_empty() { self.pick("all destinations", "すべての宛先").to_owned() } else { whom };
                if ja {
                    format!(
                        "配信速度ルール {rule} が {at} に緩められました：接続数 {before} → {after}、{wait_before} → {wait_after}（対象：{whom}）"
                    )
                } else {
                    format!(
                        "the speed rule {rule} was loosened at {at}: {before} → {after} connections, {wait_before} → {wait_after} (for {whom})"
                    )
                }
            }
            Figure::Speed(speed) => {
                let (to, n, wait) = (
                    &speed.destination,
                    number(speed.connections as u64),
                    interval(speed.interval_millis, self.language),
                );
                match (&speed.rule, ja) {
                    (Some(rule), true) => format!("{to} への現在の上限：ルール {rule}、接続 {n}、{wait}"),
                    (Some(rule), false) => format!("to {to} now: rule {rule}, {n} connections, {wait}"),
                    (None, true) => format!("{to} への現在の上限：ルールなし（全体の上限）、接続 {n}、{wait}"),
                    (None, false) => format!("to {to} now: no rule, the general limit of {n} connections, {wait}"),
                }
            }
            Figure::Volume { now, before_mean, before_busiest, factor } => {
                let (now, busiest, factor) = (number(*now), number(*before_busiest), times(*factor));
                let mean = number(before_mean.round() as u64);
                if ja {
                    format!(
                        "最も多い日で {now} 通。直前 {DAYS_BEFORE} 日は平均 {mean} 通/日、最大 {busiest} 通/日（{factor} 倍）"
                    )
                } else {
                    format!(
                        "{now} recipients on the busiest day; in the {DAYS_BEFORE} days before {mean} a day on average and {busiest} at most: {factor} times as many"
                    )
                }
            }
            Figure::RefusedRate { now, before } => {
                let (now, before) = (percent(*now), percent(*before));
                if ja {
                    format!("拒否率 {now}（直前 {DAYS_BEFORE} 日は {before}）")
                } else {
                    format!("{now} of all tries are refused, {before} in the {DAYS_BEFORE} days before")
                }
            }
            Figure::UnknownRate { now, before } => {
                let (now, before) = (percent(*now), percent(*before));
                if ja {
                    format!("結果のうち宛先不明が {now}（直前 {DAYS_BEFORE} 日は {before}）")
                } else {
                    format!("{now} of the recipients do not exist, {before} in the {DAYS_BEFORE} days before")
                }
            }
            Figure::Size { now, before, factor } => {
                let (now, before, factor) = (octets(*now), octets(*before), times(*factor));
                if ja {
                    format!("平均サイズ {now}（以前は {before}、{factor} 倍）")
                } else {
                    format!("a mail has {now} on average, {before} before: {factor} times as much")
                }
            }
            Figure::NewSubject { pattern, tries, share, share_before } => {
                let (pattern, n, share) = (quoted(pattern, self.language), number(*tries), percent(*share));
                match (*share_before > 0.0, ja) {
                    (false, true) => {
                        format!("件名 {pattern} は直前 {DAYS_BEFORE} 日の標本になく、今は {share}（{n} 件）")
                    }
                    (false, false) => {
                        format!(
                            "the subject {pattern} was in no mail of the sample before; now it is {share} ({n} tries)"
                        )
                    }
                    (true, true) => {
                        format!(
                            "件名 {pattern} は {before} から {share}（{n} 件）に増加",
                            before = percent(*share_before)
                        )
                    }
                    (true, false) => format!(
                        "the subject {pattern} grew from {before} to {share} of the mail ({n} tries)",
                        before = percent(*share_before)
                    ),
                }
            }
            Figure::Concentrated { kind, name, refusals, of: whole } => {
                let (what, name) = (self.kind(*kind), self.name(*kind, name));
                let (n, all, share) = (number(*refusals), number(*whole), percent(of(*refusals, *whole)));
                if ja {
                    format!("{all} 件のうち {n} 件（{share}）が{what} {name} に集中")
                } else {
                    format!("{n} of {all} ({share}) lie on the {what} {name}")
                }
            }
            Figure::Fares { kind, name, refused, tries, others_refused, others_tries } => {
                let (what, name) = (self.kind(*kind), self.name(*kind, name));
                let (own, rest) = (percent(of(*refused, *tries)), percent(of(*others_refused, *others_tries)));
                let (tries, others) = (number(*tries), number(*others_tries));
                if ja {
                    format!("{what} {name} の拒否率は {own}（{tries} 件中）、それ以外は {rest}（{others} 件中）")
                } else {
                    format!("of {name} {own} of {tries} tries are refused, of all others {rest} of {others}")
                }
            }
            Figure::Complaints { complaints, delivered } => {
                let (n, all, share) = (number(*complaints), number(*delivered), percent(of(*complaints, *delivered)));
                if ja {
                    format!("配信 {all} 通に対し迷惑メール申告 {n} 件（{share}）。上限の目安は 0.3 %")
                } else {
                    format!("{n} complaints about {all} delivered ({share}); providers bear 0.3 % at most")
                }
            }
            Figure::WarmUp(warm) => {
                let (source, day, days, sent, cap) =
                    (warm.source, warm.day, warm.days, number(warm.sent), number(warm.cap));
                if ja {
                    format!("送信元 {source} はウォームアップ {days} 日中の {day} 日目（本日 {sent} / 上限 {cap} 通）")
                } else {
                    format!("{source} is on day {day} of {days} of its warm-up: {sent} of {cap} recipients today")
                }
            }
            Figure::Brake(brake) => {
                let (place, since, errors, results) =
                    (&brake.place, self.at(brake.since), number(brake.errors.into()), number(brake.results.into()));
                if ja {
                    format!(
                        "{place} で {since} から、直近 {results} 件中 {errors} 件が宛先不明。配信停止の登録を保留中"
                    )
                } else {
                    format!(
                        "{place}: {errors} of its last {results} results were unknown users since {since}; they are held"
                    )
                }
            }
            Figure::Delist { list, url } => match (list.is_empty(), ja) {
                (true, true) => format!("応答に示された窓口：{url}"),
                (true, false) => format!("the answer points to {url}"),
                (false, true) => format!("{list} の解除窓口：{url}"),
                (false, false) => format!("{list} takes requests for removal at {url}"),
            },
            Figure::Listed { recipients, of: whole } => {
                let (n, all, share) = (number(*recipients), number(*whole), percent(of(*recipients, *whole)));
                if ja {
                    format!("{all} 人のうち {n} 人（{share}）には送信していません")
                } else {
                    format!("{n} of {all} recipients ({share}) were not written to")
                }
            }
        }
    }

    /// The diagnosis in a sentence or two: how much was refused, and that nothing stands out where nothing does.
    pub fn summary(&self, diagnosis: &Diagnosis) -> Vec<String> {
        let (g, ja) = (&diagnosis.gathered, self.is_japanese());
        let (q, t) = (&g.question, &g.tally);
        let mut out = Vec::new();
        let (from, to) = (self.at(g.looked_back_to.unwrap_or(q.from)), self.at(q.to));
        let (refused, tries) = (number(t.refused()), number(t.refused() + t.delivered));
        let (delivered, deferred, failed) = (number(t.delivered), number(t.deferred), number(t.failed));
        let came = number(t.bounced + t.complained);
        let rate = percent(t.refused_rate());
        let to_whom = q
            .destination
            .as_ref()
            .map_or_else(String::new, |d| if ja { format!("（宛先ドメイン {d}）") } else { format!(" to {d}") });
        out.push(if ja {
            format!(
                "{domain}{to_whom}、{from} ~ {to}：試行 {tries} 件中 {refused} 件が拒否（{rate}）。配信済み {delivered}、再送待ち {deferred}、失敗 {failed}、後からのエラー・報告 {came}",
                domain = q.domain
            )
        } else {
            format!(
                "{domain}{to_whom}, {from} to {to}: {refused} of {tries} tries refused ({rate}); {delivered} delivered, {deferred} deferred, {failed} failed, {came} came back later",
                domain = q.domain
            )
        });
        if let Some(back) = g.looked_back_to {
            let back = self.at(back);
            out.push(if ja {
                format!("ログが大きいため、{back} までさかのぼって調べました")
            } else {
                format!("the log is long: it was read back to {back}")
            });
        }
        if g.before.days > 0 {
            out.push(self.figure(&Figure::RefusedRate { now: t.refused_rate(), before: g.before.refused_rate }));
        } else {
            out.push(
                self.pick(
                    "nothing is known yet of the days before: volumes cannot be compared",
                    "以前の記録がまだないため、送信量の比較はできません",
                )
                .to_owned(),
            );
        }
        if g.findings.is_none() {
            out.push(
                self.pick(
                    "the domain's records could not be looked at: run `hikyaku domain check` by itself",
                    "ドメインの DNS は確認できませんでした。`hikyaku domain check` を別に実行してください",
                )
                .to_owned(),
            );
        }
        if diagnosis.causes.is_empty() {
            let nothing = if t.events == 0 {
                self.pick(
                    "No mail of this domain was sent in this time.",
                    "この期間に、このドメインのメールは送信されていません。",
                )
            } else {
                self.pick(
                    "Nothing stands out: refusals are few and spread, and the domain's records are in order as far as they were seen.",
                    "目立った原因はありません。拒否は少なく分散しており、確認できた範囲で DNS にも問題はありません。",
                )
            };
            out.push(nothing.to_owned());
        }
        out
    }
}
