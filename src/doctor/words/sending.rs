//! Words on SPF and DKIM.
//!
//! In: what was seen.  Out: sentences.
//! Always: as in [`super`].
//! Sources: RFC 7208, RFC 6376, RFC 8301, RFC 8463.

use super::{Language, both, list, quotes};
use crate::doctor::seen::{Dkim, Spf};

pub(super) fn spf_seen(seen: &Spf, subject: &str, language: Language) -> String {
    match seen {
        Spf::Missing { neighbours } if neighbours.is_empty() => {
            both!(language, "{subject} has no SPF record.", "{subject} に SPF レコードがありません。")
        }
        Spf::Missing { neighbours } => {
            let others = quotes(neighbours, language);
            both!(
                language,
                "{subject} has no SPF record, but a text that looks like one and does not begin with \"v=spf1 \": {others}",
                "{subject} に SPF レコードがありません。似たテキストがありますが「v=spf1 」で始まっていません：{others}"
            )
        }
        Spf::Several { records } => {
            let (count, all) = (records.len(), quotes(records, language));
            both!(
                language,
                "{subject} has {count} SPF records, and only one is allowed: {all}",
                "{subject} に SPF レコードが {count} 件あります（許されるのは 1 件だけです）：{all}"
            )
        }
        Spf::Found { record } => both!(language, "{subject}: {record}", "{subject}：「{record}」"),
        Spf::Invalid { record, why } => both!(
            language,
            "The SPF record of {subject} is not valid: {why}. It says: {record}",
            "{subject} の SPF レコードが正しくありません：「{why}」。内容：「{record}」"
        ),
        Spf::Valid => both!(
            language,
            "The SPF record of {subject} can be read and followed.",
            "{subject} の SPF レコードは正しく解釈できます。"
        ),
        Spf::Lookups { lookups, spent } => {
            let terms: Vec<String> = spent.iter().map(|s| format!("{} ({})", s.term, s.lookups)).collect();
            let terms = list(&terms, language);
            if terms.is_empty() {
                return both!(
                    language,
                    "The SPF record of {subject} takes {lookups} of 10 look-ups.",
                    "{subject} の SPF レコードの DNS 参照は 10 回中 {lookups} 回です。"
                );
            }
            both!(
                language,
                "The SPF record of {subject} takes {lookups} of 10 look-ups: {terms}.",
                "{subject} の SPF レコードの DNS 参照は 10 回中 {lookups} 回です：{terms}。"
            )
        }
        Spf::Void { void } => both!(
            language,
            "Of the look-ups of {subject}'s SPF record {void} find nothing; two are allowed.",
            "{subject} の SPF レコードの DNS 参照のうち {void} 回は結果がありません（許容は 2 回です）。"
        ),
        Spf::Passes { address, matched } => both!(
            language,
            "Mail of {subject} passes by {matched} when it comes from {address}.",
            "{address} から送る場合、{matched} により SPF に合格します（{subject}）。"
        ),
        Spf::Fails { address, result, matched, .. } if matched.is_empty() => both!(
            language,
            "Mail does not pass when it comes from {address}: {result} ({subject}).",
            "{address} から送る場合、SPF に合格しません：{result}（{subject}）。"
        ),
        Spf::Fails { address, result, matched, .. } => both!(
            language,
            "Mail does not pass when it comes from {address}: {result}, by {matched} ({subject}).",
            "{address} から送る場合、{matched} により SPF に合格しません：{result}（{subject}）。"
        ),
        Spf::NoAddress => both!(
            language,
            "Which addresses others see our mail come from is not known, so that SPF of {subject} cannot be tried.",
            "外部から見える送信元アドレスが分からないため、{subject} の SPF を確認できません。"
        ),
        Spf::Smarthost { host } => both!(
            language,
            "Mail leaves by the smarthost {host}: its addresses, which its owner knows, must be in the SPF record of {subject}.",
            "メールはスマートホスト {host} から出ます。そのアドレス（管理者が把握しています）が {subject} の SPF レコードに必要です。"
        ),
        Spf::Everybody => both!(
            language,
            "The SPF record of {subject} lets everybody send: +all.",
            "{subject} の SPF レコードは +all で、誰でも送信できる設定です。"
        ),
        Spf::Open { all } if all.is_empty() => both!(
            language,
            "The SPF record of {subject} ends without \"all\": about other senders it says nothing.",
            "{subject} の SPF レコードに all がなく、他の送信元について何も示していません。"
        ),
        Spf::Open { all } => both!(
            language,
            "The SPF record of {subject} ends with {all}: about other senders it says nothing.",
            "{subject} の SPF レコードは {all} で終わり、他の送信元について何も示していません。"
        ),
        Spf::Closed { all } => both!(
            language,
            "The SPF record of {subject} ends with {all}.",
            "{subject} の SPF レコードは {all} で終わっています。"
        ),
        Spf::Ptr => both!(
            language,
            "The SPF record of {subject} uses \"ptr\".",
            "{subject} の SPF レコードで ptr が使われています。"
        ),
    }
}

pub(super) fn spf_why(seen: &Spf, language: Language) -> String {
    match seen {
        Spf::Missing { .. } | Spf::Found { .. } => both!(
            language,
            "Receivers ask this record who may send; large providers refuse mail of domains without one.",
            "受信側はこのレコードで送信を許された相手を確認します。大手プロバイダーはレコードのないドメインのメールを拒否します。"
        ),
        Spf::Several { .. } | Spf::Invalid { .. } | Spf::Valid => both!(
            language,
            "Where the record is in doubt, the result is \"permerror\" for all mail: nobody passes (RFC 7208 §4.5, §4.6).",
            "レコードに不備があると、すべてのメールが permerror となり、合格しません（RFC 7208 §4.5、§4.6）。"
        ),
        Spf::Lookups { .. } => both!(
            language,
            "Receivers stop after ten look-ups, and then nobody passes (RFC 7208 §4.6.4).",
            "受信側は DNS 参照を 10 回で打ち切り、それを超えると合格しません（RFC 7208 §4.6.4）。"
        ),
        Spf::Void { .. } => both!(
            language,
            "Receivers may stop after two look-ups that find nothing, and then nobody passes (RFC 7208 §4.6.4).",
            "結果のない DNS 参照が 2 回を超えると、受信側は打ち切り、合格しないことがあります（RFC 7208 §4.6.4）。"
        ),
        Spf::Passes { .. } | Spf::Fails { .. } | Spf::NoAddress | Spf::Smarthost { .. } => both!(
            language,
            "Mail that fails SPF is refused or goes to the spam folder, unless DKIM vouches for it.",
            "SPF に合格しないメールは、DKIM で認証されないかぎり拒否されるか迷惑メールになります。"
        ),
        Spf::Everybody => both!(
            language,
            "Anybody may send in the domain's name and pass; receivers distrust such domains.",
            "誰でもこのドメインを名乗って合格できるため、受信側はこうしたドメインを信用しません。"
        ),
        Spf::Open { .. } | Spf::Closed { .. } => both!(
            language,
            "Without -all or ~all at the end, forged mail is not told apart.",
            "末尾に -all か ~all がないと、なりすましメールを区別できません。"
        ),
        Spf::Ptr => both!(
            language,
            "It is slow, and many receivers pass over it (RFC 7208 §5.5 asks not to publish it).",
            "処理が遅く、無視する受信側も多いため、使用しないよう求められています（RFC 7208 §5.5）。"
        ),
    }
}

pub(super) fn spf_fix(seen: &Spf, subject: &str, language: Language) -> String {
    match seen {
        Spf::Missing { .. } => both!(
            language,
            "Publish the record below; add whoever else sends for the domain.",
            "下記のレコードを公開してください。他に送信元があれば追加してください。"
        ),
        Spf::Several { .. } => both!(
            language,
            "Make one record of them, the one below, and delete the others.",
            "下記の 1 件にまとめ、他は削除してください。"
        ),
        Spf::Invalid { .. } => {
            both!(language, "Correct the record as the message says.", "メッセージに従ってレコードを修正してください。")
        }
        Spf::Lookups { .. } => both!(
            language,
            "Replace the costliest includes by the networks behind them, or drop those that send no more. Another way: send under a \
             return domain of its own, whose record holds this server alone.",
            "参照の多い include をネットワークの記述に置き換えるか、使わなくなったものを削除してください。専用のリターンドメインで送る方法もあります。"
        ),
        Spf::Void { .. } => both!(
            language,
            "Take the terms out whose names do not exist any more.",
            "存在しなくなった名前を参照している項目を削除してください。"
        ),
        Spf::Fails { mechanism, .. } => both!(
            language,
            "Add {mechanism} to the record, as below.",
            "下記のとおり、レコードに {mechanism} を追加してください。"
        ),
        Spf::NoAddress => both!(
            language,
            "Set addresses in [domain_check] to what others see.",
            "[domain_check] の addresses に外部から見えるアドレスを設定してください。"
        ),
        Spf::Smarthost { .. } => both!(
            language,
            "Ask the smarthost's owner which include: to put into the record of {subject}.",
            "{subject} のレコードに入れる include: をスマートホストの管理者に確認してください。"
        ),
        Spf::Everybody | Spf::Open { .. } => both!(
            language,
            "Let the record end with -all, or with ~all at first.",
            "レコードの末尾を -all（まずは ~all）にしてください。"
        ),
        Spf::Ptr => {
            both!(language, "Write ip4:, ip6: or a: in its place.", "ip4:、ip6: または a: に置き換えてください。")
        }
        Spf::Found { .. } | Spf::Valid | Spf::Passes { .. } | Spf::Closed { .. } => String::new(),
    }
}

pub(super) fn dkim_seen(seen: &Dkim, subject: &str, language: Language) -> String {
    match seen {
        Dkim::NoKey => {
            both!(language, "No key signs mail of {subject}.", "{subject} のメールに署名する鍵がありません。")
        }
        Dkim::Signs { keys, domain } => {
            let keys = list(keys, language);
            both!(
                language,
                "Mail of {subject} is signed with d={domain} ({keys}).",
                "{subject} のメールは d={domain} で署名されます（{keys}）。"
            )
        }
        Dkim::NoRsa => both!(
            language,
            "Mail of {subject} is signed with Ed25519 keys alone.",
            "{subject} のメールの署名は Ed25519 の鍵だけで行われます。"
        ),
        Dkim::Missing => both!(
            language,
            "{subject} has no record, so that signatures with this key cannot be verified.",
            "{subject} にレコードがなく、この鍵による署名を検証できません。"
        ),
        Dkim::Several { count } => both!(
            language,
            "{subject} has {count} records, of which a receiver takes any.",
            "{subject} にレコードが {count} 件あり、受信側がどれを使うか分かりません。"
        ),
        Dkim::Invalid { record, why } => both!(
            language,
            "The record of {subject} cannot be read: {why}. It says: {record}",
            "{subject} のレコードを解釈できません：「{why}」。内容：「{record}」"
        ),
        Dkim::Matches { bits } => both!(
            language,
            "The record of {subject} is that of our key ({bits} bits).",
            "{subject} のレコードは秘密鍵と一致しています（{bits} ビット）。"
        ),
        Dkim::Differs { record } => both!(
            language,
            "The record of {subject} has another key than ours: {record}",
            "{subject} のレコードの公開鍵が秘密鍵と一致しません：「{record}」"
        ),
        Dkim::Revoked => both!(
            language,
            "The record of {subject} says that the key is revoked (p= is empty).",
            "{subject} のレコードは鍵の失効を示しています（p= が空）。"
        ),
        Dkim::Testing => both!(
            language,
            "The record of {subject} says t=y (testing).",
            "{subject} のレコードに t=y（試験中）が指定されています。"
        ),
        Dkim::Hash { allowed } => both!(
            language,
            "The record of {subject} allows the hashes {allowed} alone; signatures here use sha256.",
            "{subject} のレコードが許すハッシュは {allowed} だけで、署名に使う sha256 が含まれていません。"
        ),
        Dkim::Service { allowed } => both!(
            language,
            "The record of {subject} is for s={allowed}, not for mail.",
            "{subject} のレコードの用途は s={allowed} で、メールが含まれていません。"
        ),
        Dkim::Short { bits } => {
            both!(language, "The key of {subject} has {bits} bits.", "{subject} の鍵の長さは {bits} ビットです。")
        }
    }
}

pub(super) fn dkim_why(seen: &Dkim, language: Language) -> String {
    match seen {
        Dkim::NoKey | Dkim::Signs { .. } => both!(
            language,
            "Large providers want a signature under mail of every bulk sender, and it is what survives forwarding.",
            "大手プロバイダーは一括送信者に署名を求めます。また、転送されても有効なのは署名だけです。"
        ),
        Dkim::NoRsa => both!(
            language,
            "Gmail, Microsoft and many others do not verify Ed25519 signatures: for them such mail is unsigned.",
            "Gmail、Microsoft など多くの受信側は Ed25519 の署名を検証せず、署名のないメールとして扱います。"
        ),
        Dkim::Short { .. } => both!(
            language,
            "Keys of 1024 bits count as weak, shorter ones are not accepted (RFC 8301).",
            "1024 ビットの鍵は弱いとされ、それより短い鍵は受け付けられません（RFC 8301）。"
        ),
        Dkim::Testing => both!(
            language,
            "Receivers may treat such mail as unsigned (RFC 6376 §3.6.1).",
            "受信側は署名がないものとして扱うことがあります（RFC 6376 §3.6.1）。"
        ),
        Dkim::Missing
        | Dkim::Several { .. }
        | Dkim::Invalid { .. }
        | Dkim::Matches { .. }
        | Dkim::Differs { .. }
        | Dkim::Revoked
        | Dkim::Hash { .. }
        | Dkim::Service { .. } => both!(
            language,
            "A signature that cannot be verified is worth nothing: the mail counts as unsigned.",
            "検証できない署名には意味がなく、署名のないメールとして扱われます。"
        ),
    }
}

pub(super) fn dkim_fix(seen: &Dkim, subject: &str, language: Language) -> String {
    match seen {
        Dkim::NoKey => both!(
            language,
            "Make a key with `hikyaku domain dkim-new {subject}` and publish the record that it prints.",
            "`hikyaku domain dkim-new {subject}` で鍵を作り、表示されるレコードを公開してください。"
        ),
        Dkim::Missing => both!(language, "Publish the record below.", "下記のレコードを公開してください。"),
        Dkim::Several { .. } => both!(
            language,
            "Keep the record below and delete the others.",
            "下記のレコードだけを残し、他は削除してください。"
        ),
        Dkim::Invalid { .. } | Dkim::Differs { .. } | Dkim::Hash { .. } | Dkim::Service { .. } => {
            both!(language, "Replace the record by the one below.", "下記のレコードに置き換えてください。")
        }
        Dkim::Revoked => both!(
            language,
            "If it was revoked on purpose, change keys with `hikyaku domain dkim-rotate`; else publish the record below.",
            "意図した失効であれば `hikyaku domain dkim-rotate` で鍵を交換し、そうでなければ下記のレコードを公開してください。"
        ),
        Dkim::Testing => both!(
            language,
            "Publish the record below, without t=y, once signing works.",
            "署名の動作を確認したら、t=y のない下記のレコードに置き換えてください。"
        ),
        Dkim::NoRsa => both!(
            language,
            "Add an RSA key of 2048 bits with `hikyaku domain dkim-new {subject}`; both then sign.",
            "`hikyaku domain dkim-new {subject}` で 2048 ビットの RSA 鍵を追加してください（両方で署名されます）。"
        ),
        Dkim::Short { .. } => both!(
            language,
            "Change to a key of 2048 bits with `hikyaku domain dkim-rotate`.",
            "`hikyaku domain dkim-rotate` で 2048 ビットの鍵に交換してください。"
        ),
        Dkim::Signs { .. } | Dkim::Matches { .. } => String::new(),
    }
}
