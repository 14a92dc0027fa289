//! Words on the records that a domain should have: comments in a zone file.
//!
//! In: what a record is for.  Out: a sentence.
//! Always: one line, without a line end, so that it stays a comment.
//! Sources: as in [`super`].

use super::{Language, both};
use crate::doctor::finding::Purpose;

/// What it is for.
pub fn purpose(purpose: Purpose, language: Language) -> String {
    match purpose {
        Purpose::Spf => both!(
            language,
            "SPF of the domain in From: what is published, with this server's addresses",
            "From のドメインの SPF（公開中の内容にこのサーバーのアドレスを加えたもの）"
        ),
        Purpose::ReturnSpf => both!(
            language,
            "SPF of the return domain, which receivers check",
            "リターンドメインの SPF（受信側が確認するもの）"
        ),
        Purpose::ReturnMx => both!(
            language,
            "Bounces come here by the return domain's MX",
            "リターンドメインの MX（バウンスメールの受け取り）"
        ),
        Purpose::ReportMx => {
            both!(language, "Reports and complaints come here", "レポートと迷惑メール申告を受け取るドメインの MX")
        }
        Purpose::Dkim => both!(language, "DKIM: the public key of a key that signs", "DKIM：署名に使う鍵の公開鍵"),
        Purpose::DkimWaiting => both!(
            language,
            "DKIM: a key that does not sign now (it waits, or mail that it signed is still on its way)",
            "DKIM：現在は署名に使っていない鍵（公開待ち、または署名済みのメールが配信中）"
        ),
        Purpose::Dmarc => {
            both!(language, "DMARC: the policy, and where reports go", "DMARC：ポリシーとレポートの送り先")
        }
        Purpose::DmarcInherited => both!(
            language,
            "DMARC: the organizational domain's record covers this domain; it needs none of its own",
            "DMARC：組織ドメインのレコードが適用されるため、このドメイン自身のレコードは不要です"
        ),
        Purpose::DmarcAuthorisation => both!(
            language,
            "DMARC: the report address's domain says that it wants the reports",
            "DMARC：レポート受信アドレスのドメインによる受け取りの承認"
        ),
        Purpose::TlsRpt => both!(
            language,
            "TLS reports about mail to the domain come here",
            "このドメイン宛てのメールに関する TLS レポートの送り先"
        ),
        Purpose::Sts => {
            both!(language, "MTA-STS: the id of the policy that is published", "MTA-STS：公開中のポリシーの id")
        }
        Purpose::Hello => both!(
            language,
            "The name that this server says hello with leads to its address",
            "このサーバーの EHLO 名のアドレス"
        ),
        Purpose::ReverseName => both!(
            language,
            "The address is called so: whoever gave you the address publishes this",
            "アドレスの逆引き（アドレスの割り当て元が設定します）"
        ),
    }
}
