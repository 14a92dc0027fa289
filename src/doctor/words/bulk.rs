//! Words on the rules for bulk senders.
//!
//! In: what was seen.  Out: sentences.
//! Always: as in [`super`].
//! Sources: the table of rules in `doctor/rules.rs`.

use super::{Language, both};
use crate::{
    doctor::seen::{Bulk, Provider, Requirement, State},
    language::number,
};

fn provider_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Gmail => "Gmail",
        Provider::Yahoo => "Yahoo",
        Provider::Microsoft => "Microsoft (Outlook.com)",
    }
}

fn requirement_name(requirement: Requirement, language: Language) -> String {
    match requirement {
        Requirement::Spf => both!(language, "SPF passes", "SPF に合格"),
        Requirement::Dkim => both!(language, "DKIM passes", "DKIM に合格"),
        Requirement::DmarcRecord => both!(language, "a DMARC record, p=none at least", "DMARC レコード（p=none 以上）"),
        Requirement::Alignment => {
            both!(language, "SPF or DKIM is aligned with the header's From", "SPF か DKIM がヘッダー From と一致")
        }
        Requirement::ReverseDns => {
            both!(language, "reverse names that lead back to the addresses", "正引きと一致する逆引き")
        }
        Requirement::Tls => both!(language, "mail goes over TLS", "TLS による送信"),
        Requirement::OneClick => {
            both!(language, "one-click unsubscribe in mail to subscribers", "配信メールのワンクリック配信解除")
        }
    }
}

pub(super) fn seen(seen: &Bulk, language: Language) -> String {
    match seen {
        Bulk::NoFigures => both!(
            language,
            "Nothing was counted for this domain in the last days, so that volume, TLS and one-click unsubscribe are not known.",
            "このドメインの最近の送信実績がなく、送信量、TLS、ワンクリック配信解除の状況は不明です。"
        ),
        Bulk::Volume { provider, busiest, days, bulk_from } => {
            let (name, busiest) = (provider_name(*provider), number(*busiest));
            match bulk_from.map(number) {
                Some(from) => both!(
                    language,
                    "{name}: at most {busiest} mails a day in the last {days} days; senders of {from} a day are bulk senders.",
                    "{name}：直近 {days} 日間の最大は 1 日 {busiest} 通です（1 日 {from} 通から一括送信者とみなされます）。"
                ),
                None => both!(
                    language,
                    "{name}: at most {busiest} mails a day in the last {days} days; who is a bulk sender it does not say in figures.",
                    "{name}：直近 {days} 日間の最大は 1 日 {busiest} 通です（一括送信者とみなされる通数は公表されていません）。"
                ),
            }
        }
        Bulk::Rule { provider, requirement, of_all, state, .. } => {
            let (name, what) = (provider_name(*provider), requirement_name(*requirement, language));
            let whom = if *of_all {
                both!(language, "every sender", "すべての送信者")
            } else {
                both!(language, "bulk senders", "一括送信者")
            };
            match state {
                State::Met => both!(
                    language,
                    "{name} asks of {whom}: {what}. It is so.",
                    "{name} の要件（{whom}）：{what}。満たしています。"
                ),
                State::Unmet => both!(
                    language,
                    "{name} asks of {whom}: {what}. It is not so.",
                    "{name} の要件（{whom}）：{what}。満たしていません。"
                ),
                State::Partly { percent } => both!(
                    language,
                    "{name} asks of {whom}: {what}. It is so for {percent} % of the mail.",
                    "{name} の要件（{whom}）：{what}。満たしているのは {percent} % のメールです。"
                ),
                State::Unknown => both!(
                    language,
                    "{name} asks of {whom}: {what}. Nobody can tell now whether it is so.",
                    "{name} の要件（{whom}）：{what}。現時点では判断できません。"
                ),
            }
        }
    }
}

pub(super) fn why(seen: &Bulk, language: Language) -> String {
    match seen {
        Bulk::NoFigures | Bulk::Volume { .. } => both!(
            language,
            "From a certain volume on providers ask for more, and count all mail of an organizational domain together; Gmail never \
             forgets who once was a bulk sender.",
            "一定の通数を超えると要件が増えます。通数は組織ドメイン全体で合算され、Gmail では一度一括送信者になると解除されません。"
        ),
        Bulk::Rule { provider, .. } => {
            let rules = crate::doctor::rules::of(*provider);
            let (source, since, read) = (rules.source, rules.since, rules.read_on);
            both!(
                language,
                "Mail that does not meet it is put off, refused or treated as spam. The rule, since {since}: {source} (as of {read}).",
                "満たさないメールは、一時拒否、拒否、または迷惑メール扱いになります。{since} から適用。出典：{source}（{read} 時点）。"
            )
        }
    }
}

pub(super) fn fix(seen: &Bulk, language: Language) -> String {
    match seen {
        Bulk::Rule { state: State::Met, .. } | Bulk::NoFigures | Bulk::Volume { .. } => String::new(),
        Bulk::Rule { requirement, .. } => match requirement {
            Requirement::Spf => both!(language, "See what is said about SPF.", "SPF の項目を確認してください。"),
            Requirement::Dkim => both!(language, "See what is said about DKIM.", "DKIM の項目を確認してください。"),
            Requirement::DmarcRecord | Requirement::Alignment => {
                both!(language, "See what is said about DMARC.", "DMARC の項目を確認してください。")
            }
            Requirement::ReverseDns => {
                both!(language, "See what is said about our addresses.", "送信元アドレスの項目を確認してください。")
            }
            Requirement::Tls => both!(
                language,
                "Set tls in [delivery] to \"opportunistic\" or more.",
                "[delivery] の tls を \"opportunistic\" 以上にしてください。"
            ),
            Requirement::OneClick => both!(
                language,
                "Set up [unsubscribe] with a filter that matches the mail to subscribers, or let the application write \
                 List-Unsubscribe and List-Unsubscribe-Post.",
                "[unsubscribe] を設定して配信メールに一致するフィルターを作るか、アプリケーションで List-Unsubscribe と List-Unsubscribe-Post を付けてください。"
            ),
        },
    }
}
