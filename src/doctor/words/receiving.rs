//! Words on the domain as a receiver: MTA-STS, TLS reports, DANE; and BIMI.
//!
//! In: what was seen.  Out: sentences.
//! Always: as in [`super`].
//! Sources: RFC 8461, RFC 8460, RFC 7672; BIMI draft.

use super::{Language, both, list, quotes};
use crate::{
    doctor::seen::{Bimi, Dane, Sts, TlsRpt},
    language::number,
};

pub(super) fn sts_seen(seen: &Sts, subject: &str, language: Language) -> String {
    match seen {
        Sts::Absent => both!(language, "{subject} has no MTA-STS.", "{subject} に MTA-STS は設定されていません。"),
        Sts::BadRecord { records } => {
            let records = quotes(records, language);
            both!(
                language,
                "The records at _mta-sts.{subject} are none that counts: exactly one valid one is needed: {records}",
                "_mta-sts.{subject} のレコードは無効です（正しいレコードが 1 件だけ必要です）：{records}"
            )
        }
        Sts::Record { id } => both!(
            language,
            "{subject} has an MTA-STS record with the id {id}.",
            "{subject} の MTA-STS レコードの id は {id} です。"
        ),
        Sts::Certificate { why } => both!(
            language,
            "The certificate of mta-sts.{subject} is not accepted: {why}",
            "mta-sts.{subject} の証明書が受け入れられません：「{why}」"
        ),
        Sts::NotFetched { why } => both!(
            language,
            "The policy of {subject} cannot be fetched: {why}",
            "{subject} のポリシーを取得できません：「{why}」"
        ),
        Sts::BadPolicy { why } => both!(
            language,
            "The policy of {subject} cannot be read: {why}",
            "{subject} のポリシーを解釈できません：「{why}」"
        ),
        Sts::Policy { mode, mx, max_age } => {
            let (hosts, max_age) = (list(mx, language), number(*max_age));
            both!(
                language,
                "The policy of {subject} is mode {mode} for {hosts}, kept for {max_age} seconds.",
                "{subject} のポリシーは mode: {mode}、対象は {hosts}、保持期間は {max_age} 秒です。"
            )
        }
        Sts::ShortLived { max_age } => {
            let max_age = number(*max_age);
            both!(
                language,
                "The policy of {subject} is kept for {max_age} seconds only.",
                "{subject} のポリシーの保持期間が {max_age} 秒と短すぎます。"
            )
        }
        Sts::HostNotAllowed { host, enforced: true } => both!(
            language,
            "The policy does not allow the MX host {host} of {subject}: senders that follow it deliver nothing there.",
            "{subject} の MX ホスト {host} がポリシーに含まれておらず、MTA-STS に従う送信側は配信しません。"
        ),
        Sts::HostNotAllowed { host, enforced: false } => both!(
            language,
            "The policy does not allow the MX host {host} of {subject}.",
            "{subject} の MX ホスト {host} がポリシーに含まれていません。"
        ),
        Sts::HostsAllowed => both!(
            language,
            "The policy allows all MX hosts of {subject}.",
            "{subject} の MX ホストはすべてポリシーに含まれています。"
        ),
    }
}

pub(super) fn sts_why(seen: &Sts, language: Language) -> String {
    match seen {
        Sts::HostNotAllowed { .. } | Sts::HostsAllowed => both!(
            language,
            "In mode enforce a host that the policy does not name gets no mail (RFC 8461 §5).",
            "mode が enforce の場合、ポリシーにないホストにはメールが届きません（RFC 8461 §5）。"
        ),
        Sts::Absent | Sts::Record { .. } | Sts::Policy { .. } => both!(
            language,
            "With MTA-STS senders insist on TLS and a valid certificate when they write to the domain.",
            "MTA-STS があると、このドメイン宛てのメールには TLS と正しい証明書が必須になります。"
        ),
        Sts::BadRecord { .. }
        | Sts::Certificate { .. }
        | Sts::NotFetched { .. }
        | Sts::BadPolicy { .. }
        | Sts::ShortLived { .. } => both!(
            language,
            "Senders go on as if the domain had no policy, once they forgot the one before.",
            "送信側は、以前のポリシーの期限が切れると、ポリシーがないものとして扱います。"
        ),
    }
}

pub(super) fn sts_fix(seen: &Sts, subject: &str, language: Language) -> String {
    match seen {
        Sts::Absent => both!(
            language,
            "If the domain's MX hosts have certificates of their names: serve a policy at \
             https://mta-sts.{subject}/.well-known/mta-sts.txt in mode testing, and publish `_mta-sts.{subject}. TXT \"v=STSv1; id=1\"`.",
            "MX ホストが自身の名前の証明書を持つ場合は、https://mta-sts.{subject}/.well-known/mta-sts.txt に mode: testing のポリシーを置き、`_mta-sts.{subject}. TXT \"v=STSv1; id=1\"` を公開してください。"
        ),
        Sts::BadRecord { .. } => {
            both!(language, "Leave exactly one record there, as below.", "下記のレコードを 1 件だけ残してください。")
        }
        Sts::Certificate { .. } => both!(
            language,
            "Give mta-sts.{subject} a certificate of that name from a public authority.",
            "mta-sts.{subject} に、その名前の公的な認証局の証明書を設定してください。"
        ),
        Sts::NotFetched { .. } => both!(
            language,
            "Serve the policy as text/plain at https://mta-sts.{subject}/.well-known/mta-sts.txt, without redirects.",
            "https://mta-sts.{subject}/.well-known/mta-sts.txt でポリシーを text/plain で、リダイレクトなしで公開してください。"
        ),
        Sts::BadPolicy { .. } => both!(
            language,
            "Correct the policy and change the id of the record.",
            "ポリシーを修正し、レコードの id を変更してください。"
        ),
        Sts::Policy { mode, .. } if mode == "none" => both!(
            language,
            "If it is not to be given up: set the mode to testing, and then to enforce.",
            "廃止の予定がなければ、mode を testing、次に enforce にしてください。"
        ),
        Sts::Policy { .. } => both!(
            language,
            "When the TLS reports show no failures, set the mode to enforce and change the id.",
            "TLS レポートに失敗がなければ、mode を enforce にし、id を変更してください。"
        ),
        Sts::ShortLived { .. } => {
            both!(
                language,
                "Set max_age to a week at least (604800).",
                "max_age を 1 週間（604800）以上にしてください。"
            )
        }
        Sts::HostNotAllowed { host, .. } => both!(
            language,
            "Add `mx: {host}` to the policy and change the id of the record.",
            "ポリシーに `mx: {host}` を追加し、レコードの id を変更してください。"
        ),
        Sts::Record { .. } | Sts::HostsAllowed => String::new(),
    }
}

pub(super) fn tls_rpt_seen(seen: &TlsRpt, subject: &str, language: Language) -> String {
    match seen {
        TlsRpt::Absent => {
            both!(language, "{subject} asks nobody for TLS reports.", "{subject} は TLS レポートを求めていません。")
        }
        TlsRpt::Bad { records } => {
            let records = quotes(records, language);
            both!(
                language,
                "The records at _smtp._tls.{subject} are none that counts: {records}",
                "_smtp._tls.{subject} のレコードは無効です：{records}"
            )
        }
        TlsRpt::Found { places } => {
            let places = list(places, language);
            both!(
                language,
                "TLS reports about {subject} go to {places}.",
                "{subject} の TLS レポートの送り先は {places} です。"
            )
        }
    }
}

pub(super) fn tls_rpt_why(language: Language) -> String {
    both!(
        language,
        "TLS reports tell when others could not write to the domain over TLS (RFC 8460).",
        "TLS レポートにより、他のサーバーが TLS でメールを送れなかったことが分かります（RFC 8460）。"
    )
}

pub(super) fn tls_rpt_fix(seen: &TlsRpt, language: Language) -> String {
    match seen {
        TlsRpt::Absent => both!(
            language,
            "Publish a record, as `hikyaku domain records` prints it; with [tls_report] address set, the reports are read here.",
            "`hikyaku domain records` が表示するレコードを公開してください。[tls_report] の address を設定すると、ここで読めます。"
        ),
        TlsRpt::Bad { .. } => {
            both!(language, "Leave exactly one record there, as below.", "下記のレコードを 1 件だけ残してください。")
        }
        TlsRpt::Found { .. } => String::new(),
    }
}

pub(super) fn dane_seen(seen: &Dane, subject: &str, language: Language) -> String {
    match seen {
        Dane::MxNotSecure => both!(
            language,
            "The MX answer of {subject} is not proven by DNSSEC (or our resolver does not validate): DANE does not apply.",
            "{subject} の MX の回答は DNSSEC で検証されていません（またはリゾルバーが検証しません）。DANE は適用されません。"
        ),
        Dane::MxSecure => both!(
            language,
            "The MX answer of {subject} is proven by DNSSEC.",
            "{subject} の MX の回答は DNSSEC で検証されています。"
        ),
        Dane::Absent => both!(
            language,
            "The MX host {subject} has no TLSA record.",
            "MX ホスト {subject} に TLSA レコードがありません。"
        ),
        Dane::NotSecure { count } => both!(
            language,
            "The MX host {subject} has TLSA records ({count}) that are not proven by DNSSEC: nobody uses them.",
            "MX ホスト {subject} の TLSA レコード（{count} 件）は DNSSEC で検証されておらず、使われません。"
        ),
        Dane::Unusable { count } => both!(
            language,
            "The MX host {subject} has TLSA records ({count}), none of which can be used for mail.",
            "MX ホスト {subject} の TLSA レコード（{count} 件）に、メールで使えるものがありません。"
        ),
        Dane::Found { usable, count } => both!(
            language,
            "The MX host {subject} has TLSA records: {usable} of {count} can be used.",
            "MX ホスト {subject} の TLSA レコードは {count} 件中 {usable} 件が有効です。"
        ),
    }
}

pub(super) fn dane_why(language: Language) -> String {
    both!(
        language,
        "With DANE senders insist on TLS and on the certificate that the DNS names, without a public authority (RFC 7672).",
        "DANE があると、DNS で示した証明書による TLS が、認証局に頼らず必須になります（RFC 7672）。"
    )
}

pub(super) fn dane_fix(seen: &Dane, language: Language) -> String {
    match seen {
        Dane::NotSecure { .. } => both!(
            language,
            "Sign the zone of the MX host with DNSSEC, or take the records out.",
            "MX ホストのゾーンを DNSSEC で署名するか、レコードを削除してください。"
        ),
        Dane::Unusable { .. } => both!(
            language,
            "Publish a record of the form `3 1 1 SHA-256-OF-THE-KEY`.",
            "`3 1 1 公開鍵の SHA-256` の形式のレコードを公開してください。"
        ),
        Dane::MxNotSecure | Dane::Absent => both!(
            language,
            "Nothing has to be done; with a signed zone, TLSA records protect mail to the domain.",
            "対応は必須ではありません。署名されたゾーンであれば、TLSA レコードで受信メールを保護できます。"
        ),
        Dane::MxSecure | Dane::Found { .. } => String::new(),
    }
}

pub(super) fn bimi_seen(seen: &Bimi, subject: &str, language: Language) -> String {
    match seen {
        Bimi::Absent => both!(language, "{subject} has no BIMI record.", "{subject} に BIMI レコードはありません。"),
        Bimi::Declined => both!(
            language,
            "{subject} says that it shows no logo (l= is empty).",
            "{subject} はロゴを表示しないと宣言しています（l= が空）。"
        ),
        Bimi::Bad { why } => both!(
            language,
            "The BIMI record of {subject} does not count: {why}",
            "{subject} の BIMI レコードは無効です：「{why}」"
        ),
        Bimi::Found { logo, certificate } if certificate.is_empty() => both!(
            language,
            "The logo of {subject} is {logo}, without a certificate.",
            "{subject} のロゴは {logo} で、証明書はありません。"
        ),
        Bimi::Found { logo, certificate } => both!(
            language,
            "The logo of {subject} is {logo}, certified by {certificate} (neither was fetched).",
            "{subject} のロゴは {logo}、証明書は {certificate} です（いずれも取得していません）。"
        ),
        Bimi::WeakPolicy { why } => both!(
            language,
            "The DMARC policy of {subject} is too weak for BIMI: {why}.",
            "{subject} の DMARC ポリシーは BIMI の条件を満たしません：「{why}」。"
        ),
        Bimi::StrongPolicy => both!(
            language,
            "The DMARC policy of {subject} is strong enough for BIMI.",
            "{subject} の DMARC ポリシーは BIMI の条件を満たしています。"
        ),
    }
}

pub(super) fn bimi_why(language: Language) -> String {
    both!(
        language,
        "Gmail, Yahoo and Apple show the logo beside mail that passes DMARC with p=quarantine or p=reject, for all of it; Gmail and \
         Apple want a certificate for it.",
        "Gmail、Yahoo、Apple は、p=quarantine または p=reject（全体に適用）の DMARC に合格したメールにロゴを表示します。Gmail と Apple は証明書を求めます。"
    )
}

pub(super) fn bimi_fix(seen: &Bimi, language: Language) -> String {
    match seen {
        Bimi::Bad { .. } => both!(
            language,
            "The form is `v=BIMI1; l=https://…/logo.svg; a=https://…/certificate.pem`.",
            "形式は `v=BIMI1; l=https://…/logo.svg; a=https://…/certificate.pem` です。"
        ),
        Bimi::WeakPolicy { .. } => both!(
            language,
            "Raise p (and sp) to quarantine or reject, without t=y and without pct below 100.",
            "t=y や 100 未満の pct を付けずに、p（および sp）を quarantine か reject にしてください。"
        ),
        Bimi::Found { .. } => both!(
            language,
            "Get a mark certificate (VMC or CMC) and name it with a=.",
            "マーク証明書（VMC または CMC）を取得し、a= に指定してください。"
        ),
        Bimi::Absent | Bimi::Declined | Bimi::StrongPolicy => String::new(),
    }
}
