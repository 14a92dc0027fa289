//! Words on DMARC.
//!
//! In: what was seen.  Out: sentences.
//! Always: as in [`super`].
//! Sources: RFC 9989; R1, R2.

use super::{Language, both, list};
use crate::doctor::seen::Dmarc;

pub(super) fn seen(seen: &Dmarc, subject: &str, language: Language) -> String {
    match seen {
        Dmarc::Missing { asked } => {
            let asked = list(asked, language);
            both!(
                language,
                "No DMARC record applies to {subject}; asked were {asked}.",
                "{subject} に適用される DMARC レコードがありません（確認した名前：{asked}）。"
            )
        }
        Dmarc::Own { record } => both!(
            language,
            "{subject} has a record of its own, which applies: {record}",
            "{subject} 自身のレコードが適用されます：「{record}」"
        ),
        Dmarc::Inherited { record, from, public_suffix, tag, asked } => {
            let asked = list(asked, language);
            if *public_suffix {
                return both!(
                    language,
                    "{subject} has no record of its own; that of the public suffix {from} applies, by {tag}= (asked: {asked}): {record}",
                    "{subject} 自身のレコードはなく、公開サフィックス {from} のレコードの {tag}= が適用されます（確認した名前：{asked}）：「{record}」"
                );
            }
            both!(
                language,
                "{subject} has no record of its own; that of the organizational domain {from} covers it, by {tag}= (asked: {asked}): {record}",
                "{subject} 自身のレコードはなく、組織ドメイン {from} のレコードの {tag}= が適用されます（確認した名前：{asked}）：「{record}」"
            )
        }
        Dmarc::Invalid { at, why } => {
            both!(
                language,
                "The DMARC record at {at} does not count: {why}",
                "{at} の DMARC レコードは無効です：「{why}」"
            )
        }
        Dmarc::Remarks { remarks } => {
            let remarks = remarks.join(match language {
                Language::English => "; ",
                Language::Japanese => "、",
            });
            both!(
                language,
                "The record has tags that receivers of today pass over: {remarks}",
                "現在の受信側では無視されるタグがあります：「{remarks}」"
            )
        }
        Dmarc::Policy { policy, testing: false } => both!(
            language,
            "Mail of {subject} that fails DMARC is treated by p={policy}.",
            "DMARC に合格しない {subject} のメールには p={policy} が適用されます。"
        ),
        Dmarc::Policy { policy, testing: true } => both!(
            language,
            "The policy p={policy} of {subject} is only being tried (t=y).",
            "{subject} のポリシー p={policy} は試験中です（t=y）。"
        ),
        Dmarc::Subdomains { tag, policy, own } => both!(
            language,
            "Subdomains of {subject} are protected less ({tag}={policy}) than the domain itself (p={own}).",
            "{subject} のサブドメインの保護（{tag}={policy}）がドメイン自身（p={own}）より弱くなっています。"
        ),
        Dmarc::ReportsHere { address } => {
            both!(language, "Aggregate reports come to {address}.", "集計レポートは {address} に届きます。")
        }
        Dmarc::ReportsElsewhere { address, places } if places.is_empty() => both!(
            language,
            "The record asks nobody for reports; the monitor here waits for them at {address}.",
            "レコードにレポートの送り先がありません。このサーバーは {address} で待っています。"
        ),
        Dmarc::ReportsElsewhere { address, places } => {
            let places = list(places, language);
            both!(
                language,
                "Reports go to {places}, not to {address}: the monitor here sees none.",
                "レポートの送り先は {places} で、{address} がありません。このサーバーには届きません。"
            )
        }
        Dmarc::NoReportAddress { places } if places.is_empty() => both!(
            language,
            "The record asks nobody for reports, and [bounce] report_address is not set.",
            "レコードにレポートの送り先がなく、[bounce] の report_address も設定されていません。"
        ),
        Dmarc::NoReportAddress { places } => {
            let places = list(places, language);
            both!(
                language,
                "Reports go to {places}; [bounce] report_address is not set, so that the monitor here sees none.",
                "レポートの送り先は {places} です。[bounce] の report_address が未設定のため、このサーバーでは見られません。"
            )
        }
        Dmarc::Authorised { name } => both!(
            language,
            "{name} says that reports about {subject} are wanted.",
            "{name} により、{subject} のレポートの受け取りが承認されています。"
        ),
        Dmarc::NotAuthorised { name, address } => both!(
            language,
            "Reports about {subject} should go to {address}, of another domain, and {name} does not say that they are wanted there.",
            "{subject} のレポートの送り先 {address} は別のドメインですが、受け取りを承認する {name} がありません。"
        ),
        Dmarc::SpfAlignment { envelope, strict, aligned, passes } => {
            let mode = mode(*strict);
            let state = match (aligned, passes) {
                (true, Some(true)) => both!(language, "it counts for DMARC", "DMARC で有効です"),
                (true, Some(false)) => {
                    both!(language, "aligned, but SPF does not pass", "一致していますが SPF に合格しません")
                }
                (true, None) => {
                    both!(language, "aligned; whether SPF passes is not known", "一致していますが SPF の合否は不明です")
                }
                (false, _) => {
                    both!(language, "not aligned, so that it does not count", "一致しないため DMARC では無効です")
                }
            };
            both!(
                language,
                "SPF: mail leaves with the envelope domain {envelope}; with aspf={mode}: {state}.",
                "SPF：エンベロープのドメインは {envelope}、aspf={mode}：{state}。"
            )
        }
        Dmarc::DkimAlignment { signing, .. } if signing.is_empty() => {
            both!(language, "DKIM: mail of {subject} is not signed.", "DKIM：{subject} のメールは署名されません。")
        }
        Dmarc::DkimAlignment { signing, strict, aligned, verifies } => {
            let mode = mode(*strict);
            let state = match (aligned, verifies) {
                (true, Some(true)) => both!(language, "it counts for DMARC", "DMARC で有効です"),
                (true, Some(false)) => {
                    both!(
                        language,
                        "aligned, but the signature cannot be verified",
                        "一致していますが署名を検証できません"
                    )
                }
                (true, None) => both!(
                    language,
                    "aligned; whether the signature can be verified is not known",
                    "一致していますが署名を検証できるかは不明です"
                ),
                (false, _) => {
                    both!(language, "not aligned, so that it does not count", "一致しないため DMARC では無効です")
                }
            };
            both!(
                language,
                "DKIM: mail is signed with d={signing}; with adkim={mode}: {state}.",
                "DKIM：署名のドメインは d={signing}、adkim={mode}：{state}。"
            )
        }
        Dmarc::Passes { spf, dkim } => {
            let by = match (spf, dkim) {
                (true, true) => "SPF, DKIM",
                (true, false) => "SPF",
                (false, _) => "DKIM",
            };
            both!(
                language,
                "Our mail of {subject} passes DMARC by {by}.",
                "{subject} のメールは {by} により DMARC に合格します。"
            )
        }
        Dmarc::Fails { policy } => both!(
            language,
            "Our own mail of {subject} fails DMARC, and the policy is p={policy}.",
            "このサーバーから送る {subject} のメールは DMARC に合格せず、ポリシーは p={policy} です。"
        ),
    }
}

fn mode(strict: bool) -> &'static str {
    if strict { "s" } else { "r" }
}

pub(super) fn why(seen: &Dmarc, language: Language) -> String {
    match seen {
        Dmarc::Missing { .. } | Dmarc::Own { .. } | Dmarc::Inherited { .. } => both!(
            language,
            "Gmail, Yahoo and Microsoft want a DMARC record of every bulk sender, with p=none at least. The record of the \
             organizational domain covers its subdomains; a record of their own takes its place.",
            "Gmail、Yahoo、Microsoft は一括送信者に DMARC レコード（p=none 以上）を求めます。組織ドメインのレコードはサブドメインにも適用され、サブドメイン自身のレコードがあればそちらが優先されます。"
        ),
        Dmarc::Invalid { .. } => both!(
            language,
            "Receivers treat a record that they cannot read as if there were none.",
            "解釈できないレコードは、ないものとして扱われます。"
        ),
        Dmarc::Remarks { .. } => both!(
            language,
            "They do no harm, and do not do what they say: RFC 9989 dropped pct, rf and ri.",
            "害はありませんが効果もありません。pct、rf、ri は RFC 9989 で廃止されました。"
        ),
        Dmarc::Policy { .. } => both!(
            language,
            "With p=none forged mail is delivered all the same; quarantine and reject protect the domain's name.",
            "p=none ではなりすましメールも配信されます。quarantine と reject がドメインの名前を守ります。"
        ),
        Dmarc::Subdomains { .. } => both!(
            language,
            "Forgers use the name that is protected least.",
            "なりすましには、最も保護の弱い名前が使われます。"
        ),
        Dmarc::ReportsHere { .. } | Dmarc::ReportsElsewhere { .. } | Dmarc::NoReportAddress { .. } => both!(
            language,
            "Reports show who sends in the domain's name; they reach this server only while rua names its report address.",
            "レポートで、誰がドメインの名前で送っているかが分かります。rua にこのサーバーの受信アドレスがある間だけ届きます。"
        ),
        Dmarc::Authorised { .. } | Dmarc::NotAuthorised { .. } => both!(
            language,
            "Reporters send nothing to another domain that does not say that it wants it (RFC 9990).",
            "別のドメインへのレポートは、受け取り側の承認がなければ送られません（RFC 9990）。"
        ),
        Dmarc::SpfAlignment { .. } | Dmarc::DkimAlignment { .. } | Dmarc::Passes { .. } | Dmarc::Fails { .. } => both!(
            language,
            "DMARC passes when SPF or DKIM passes for a domain that is aligned with the header's From; both are better, since \
             forwarding breaks SPF.",
            "ヘッダー From と一致するドメインで SPF か DKIM に合格すれば DMARC に合格します。転送で SPF は失敗するため、両方が望まれます。"
        ),
    }
}

pub(super) fn fix(seen: &Dmarc, language: Language) -> String {
    match seen {
        Dmarc::Missing { .. } => both!(
            language,
            "Publish the record below; when the reports show that all own mail passes, raise p to quarantine and then to reject.",
            "下記のレコードを公開し、レポートで自社のメールがすべて合格していることを確認したら、p を quarantine、reject へ上げてください。"
        ),
        Dmarc::Invalid { .. } => {
            both!(language, "Replace what is there by the record below.", "下記のレコードに置き換えてください。")
        }
        Dmarc::Remarks { .. } => both!(
            language,
            "`hikyaku dmarc record NAME` writes the record anew.",
            "`hikyaku dmarc record ドメイン名` でレコードを作り直せます。"
        ),
        Dmarc::Policy { testing: true, .. } => both!(
            language,
            "Take t=y out when the reports show that all own mail passes.",
            "レポートで自社のメールがすべて合格していることを確認したら、t=y を外してください。"
        ),
        Dmarc::Policy { .. } => both!(
            language,
            "Raise p when `hikyaku dmarc report` shows that all own mail passes.",
            "`hikyaku dmarc report` で自社のメールがすべて合格していることを確認したら、p を上げてください。"
        ),
        Dmarc::Subdomains { tag, own, .. } => {
            both!(language, "Set {tag}={own}, or leave {tag} out.", "{tag}={own} にするか、{tag} を削除してください。")
        }
        Dmarc::ReportsElsewhere { address, .. } => both!(
            language,
            "Add mailto:{address} to rua, as below; the addresses that are there may stay.",
            "下記のとおり rua に mailto:{address} を追加してください。既存の送り先はそのままで構いません。"
        ),
        Dmarc::NoReportAddress { .. } => both!(
            language,
            "Set report_address in [bounce] and name it in rua, to see the reports here.",
            "[bounce] の report_address を設定し、rua に追加すると、ここでレポートを見られます。"
        ),
        Dmarc::NotAuthorised { .. } => both!(
            language,
            "Publish the record below in the zone of the report address.",
            "レポート受信アドレスのゾーンで下記のレコードを公開してください。"
        ),
        Dmarc::SpfAlignment { strict, aligned: false, .. } => alignment(*strict, "SPF", language),
        Dmarc::DkimAlignment { strict, aligned: false, .. } => alignment(*strict, "DKIM", language),
        Dmarc::SpfAlignment { .. } => both!(language, "See what is said about SPF.", "SPF の項目を確認してください。"),
        Dmarc::DkimAlignment { .. } => {
            both!(language, "See what is said about DKIM.", "DKIM の項目を確認してください。")
        }
        Dmarc::Fails { .. } => both!(
            language,
            "Sign with a key of the header's domain (`hikyaku domain dkim-new`), or use a return domain below it whose SPF record \
             names this server.",
            "ヘッダーのドメインの鍵で署名する（`hikyaku domain dkim-new`）か、その下のリターンドメインを使い、SPF レコードにこのサーバーを記載してください。"
        ),
        Dmarc::Own { .. }
        | Dmarc::Inherited { .. }
        | Dmarc::ReportsHere { .. }
        | Dmarc::Authorised { .. }
        | Dmarc::Passes { .. } => String::new(),
    }
}

fn alignment(strict: bool, what: &str, language: Language) -> String {
    match (what, strict) {
        ("SPF", true) => both!(
            language,
            "With aspf=s the envelope's domain must be the header's own: use aspf=r, and a return domain below it.",
            "aspf=s ではエンベロープのドメインがヘッダーと同一である必要があります。aspf=r とし、その下のリターンドメインを使ってください。"
        ),
        ("SPF", false) => both!(
            language,
            "Set return_domain of the [[domain]] to a name below the header's domain.",
            "[[domain]] の return_domain をヘッダーのドメインの下の名前にしてください。"
        ),
        (_, true) => both!(
            language,
            "With adkim=s the signature must be of the header's own domain: make a key for it, or use adkim=r.",
            "adkim=s では署名のドメインがヘッダーと同一である必要があります。そのドメインの鍵を作るか、adkim=r にしてください。"
        ),
        (_, false) => both!(
            language,
            "Make a key for the header's domain with `hikyaku domain dkim-new`.",
            "`hikyaku domain dkim-new` でヘッダーのドメインの鍵を作ってください。"
        ),
    }
}
