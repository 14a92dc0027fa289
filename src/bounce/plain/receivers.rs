//! What large receivers say in a code of their own, and what they want us to do.
//!
//! In: an answer.  Out: plain words, where it is one of these.
//! Always: a rule needs a mark that only that receiver writes; the first that fits counts.
//! Sources: Google's "Email sender guidelines" and its list of SMTP errors; Microsoft's "NDRs and fix email delivery issues" and the
//! Outlook.com postmaster pages; Yahoo's Sender Hub; Apple's postmaster page; Spamhaus. As of 2026-11.

use super::Plain;

/// Marks, in lower case: one of `any` must stand in the answer, and all of `all`.
struct Rule {
    any: &'static [&'static str],
    all: &'static [&'static str],
    plain: Plain,
}

const fn rule(any: &'static [&'static str], all: &'static [&'static str], plain: Plain) -> Rule {
    Rule { any, all, plain }
}

/// Octets of an answer that are looked at.
const LOOKED_OCTETS_MAX: usize = 2000;

/// The words of the rule that fits.
pub(super) fn known(reply: &str) -> Option<Plain> {
    let lower = reply[..reply.floor_char_boundary(LOOKED_OCTETS_MAX)].to_ascii_lowercase();
    let has = |mark: &&str| lower.contains(*mark);
    RULES.iter().find(|r| r.any.iter().any(has) && r.all.iter().all(has)).map(|r| r.plain)
}

/// Every rule's words.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static Plain> {
    RULES.iter().map(|r| &r.plain)
}

const RULES: &[Rule] = &[
    // ---- Gmail: its answers end in `gsmtp` or name support.google.com, its codes are its own ----
    rule(
        &["5.7.26", "4.7.26", "4.7.27", "5.7.27", "4.7.30", "5.7.30", "4.7.32", "5.7.32", "5.7.40", "4.7.40"],
        &[],
        Plain::of(
            (
                "Gmail and its like want mail that proves its sender: SPF, DKIM or DMARC did not pass for the From domain.",
                "Gmail などの受信側が、送信ドメイン認証（SPF・DKIM・DMARC）の不合格を理由に拒否しました。",
            ),
            (
                "Look at the page of the sending domain: it shows which record is missing and what to write.",
                "「送信ドメイン」の画面で、足りないレコードとその内容を確認してください。",
            ),
        ),
    ),
    rule(
        &["5.7.25", "4.7.23", "5.7.23 the ip", "ptr record"],
        &[],
        Plain::of(
            (
                "The receiver wants our sending address to have a name in reverse DNS (PTR) that leads back to it.",
                "送信元 IP アドレスの逆引き（PTR）がないか、正引きと一致しないため拒否されました。",
            ),
            (
                "Ask whoever gave you the address to set its PTR record to this server's name.",
                "IP アドレスの提供元に、このサーバーの名前を PTR に設定するよう依頼してください。",
            ),
        ),
    ),
    rule(
        &["4.7.29", "5.7.29"],
        &[],
        Plain::of(
            ("The receiver takes mail over TLS only.", "受信側は TLS による接続だけを受け付けています。"),
            (
                "Set [delivery] tls to at least \"opportunistic\".",
                "[delivery] tls を \"opportunistic\" 以上にしてください。",
            ),
        ),
    ),
    rule(
        &["4.7.28", "5.7.28", "unusual rate of unsolicited mail"],
        &[],
        Plain::of(
            (
                "Gmail takes less from us for now: too much mail, or too many complaints about it.",
                "Gmail が一時的に受信を制限しています。送信量または迷惑メール申告が多いためです。",
            ),
            (
                "Send less for some hours; look at the complaints of the domain in Google Postmaster Tools.",
                "数時間は送信量を抑え、Google Postmaster Tools で迷惑メール率を確認してください。",
            ),
        ),
    ),
    rule(
        &["receiving mail at a rate", "receiving mail too quickly"],
        &[],
        Plain::only((
            "This one mailbox gets too much mail at the moment. It is tried again by itself.",
            "この宛先のメールボックスが短時間に多くのメールを受信しています。自動的に再送します。",
        )),
    ),
    // ---- Microsoft ----
    rule(
        &[
            "5.7.606",
            "5.7.607",
            "5.7.608",
            "5.7.609",
            "5.7.61",
            "5.7.62",
            "5.7.63",
            "5.7.64",
            "banned sending ip",
            "5.7.511",
        ],
        &[],
        Plain::of(
            (
                "Microsoft has put our sending address on its block list.",
                "Microsoft が送信元 IP アドレスをブロックしています。",
            ),
            (
                "Ask for removal at https://sender.office.com/ and find out what caused it before you send more.",
                "https://sender.office.com/ で解除を申請し、原因を確認してから送信を再開してください。",
            ),
        ),
    ),
    rule(
        &["(s3140)", "(s3150)", "s3140", "s3150"],
        &[],
        Plain::of(
            (
                "Microsoft (Outlook.com, Hotmail) blocks our network for its reputation.",
                "Microsoft（Outlook.com・Hotmail）が、送信元ネットワークの評価を理由にブロックしています。",
            ),
            (
                "Ask at https://olcsupport.office.com/ and register the address with SNDS and JMRP.",
                "https://olcsupport.office.com/ に問い合わせ、SNDS・JMRP に登録してください。",
            ),
        ),
    ),
    rule(
        &["4.7.650", "4.7.651", "rp-001", "rp-002", "rp-003"],
        &[],
        Plain::of(
            (
                "Microsoft slows mail from our address down for its reputation. It is tried again by itself.",
                "Microsoft が送信元 IP アドレスの評価により受信を一時的に制限しています。自動的に再送します。",
            ),
            (
                "If it stays so, send less to Microsoft for some days: a new address needs a warm-up.",
                "続く場合は、数日間 Microsoft 宛の送信量を抑えてください。新しい IP アドレスには慣らし（ウォームアップ）が必要です。",
            ),
        ),
    ),
    rule(
        &["5.7.515"],
        &[],
        Plain::of(
            (
                "Microsoft wants SPF, DKIM and DMARC to pass from who sends this much.",
                "Microsoft は、この送信量の送信者に SPF・DKIM・DMARC すべての合格を求めています。",
            ),
            (
                "Look at the page of the sending domain: it shows which record is missing and what to write.",
                "「送信ドメイン」の画面で、足りないレコードとその内容を確認してください。",
            ),
        ),
    ),
    rule(
        &["5.4.1 recipient address rejected: access denied"],
        &[],
        Plain::only((
            "Microsoft 365 does not know this address at that domain.",
            "Microsoft 365 に、この宛先アドレスは登録されていません。",
        )),
    ),
    // ---- Yahoo and AOL ----
    rule(
        &["[tss04]", "[tss05]", "[ts01]", "[ts02]", "[ts03]", "[ts04]", "unexpected volume or user complaints"],
        &[],
        Plain::of(
            (
                "Yahoo takes less from us for now: unusual volume, or complaints. It is tried again by itself.",
                "Yahoo（米国）が、送信量または迷惑メール申告により受信を一時的に制限しています。自動的に再送します。",
            ),
            (
                "Look at the complaints, and send less to Yahoo until it takes mail again.",
                "迷惑メール申告を確認し、受信が再開されるまで Yahoo 宛の送信量を抑えてください。",
            ),
        ),
    ),
    rule(
        &["[tss09]", "[tss11]", "[ph01]", "5.7.9 message not accepted for policy"],
        &[],
        Plain::of(
            (
                "Yahoo refuses this mail for good, by its policy: content, links, or DMARC.",
                "Yahoo（米国）がポリシー（内容・リンク・DMARC など）により受信を拒否しました。",
            ),
            (
                "Check DMARC of the From domain, and the links of the mail; ask at https://senders.yahooinc.com/.",
                "From ドメインの DMARC とメール内のリンクを確認し、https://senders.yahooinc.com/ に問い合わせてください。",
            ),
        ),
    ),
    // ---- Apple ----
    rule(
        &[
            "[cs01]",
            "[hm07]",
            "[hm08]",
            "icloud.com/postmaster",
            "support.apple.com/en-us/ht204137",
            "support.apple.com/ht204137",
        ],
        &[],
        Plain::of(
            (
                "Apple (iCloud) refuses this mail by its policy for mail in bulk.",
                "Apple（iCloud）が、一括送信に関するポリシーにより受信を拒否しました。",
            ),
            (
                "Check the authentication of the From domain; then write to icloudadmin@apple.com with the answer.",
                "From ドメインの送信ドメイン認証を確認し、応答を添えて icloudadmin@apple.com に問い合わせてください。",
            ),
        ),
    ),
    // ---- lists that many receivers ask ----
    rule(
        &["spamhaus"],
        &[],
        Plain::of(
            (
                "Our sending address or a link in the mail is on the Spamhaus block list.",
                "送信元 IP アドレス、またはメール内のリンクが Spamhaus のブロックリスト（block list）に載っています。",
            ),
            (
                "Look it up at https://check.spamhaus.org/: the page says why, and how to be taken off.",
                "https://check.spamhaus.org/ で理由と解除方法を確認してください。",
            ),
        ),
    ),
    rule(
        &["barracudacentral", "barracuda reputation"],
        &[],
        Plain::of(
            (
                "Our sending address is on the block list of Barracuda.",
                "送信元 IP アドレスが Barracuda のブロックリストに載っています。",
            ),
            (
                "Ask at https://www.barracudacentral.org/rbl/removal-request.",
                "https://www.barracudacentral.org/rbl/removal-request で解除を申請してください。",
            ),
        ),
    ),
    rule(
        &["spamcop"],
        &[],
        Plain::of(
            (
                "Our sending address is on the block list of SpamCop.",
                "送信元 IP アドレスが SpamCop のブロックリストに載っています。",
            ),
            (
                "It ends by itself within a day of the last complaint: find out who complained, at https://www.spamcop.net/bl.shtml.",
                "最後の報告から 1 日ほどで自動的に解除されます。https://www.spamcop.net/bl.shtml で報告内容を確認してください。",
            ),
        ),
    ),
    rule(
        &["proofpoint", "pphosted"],
        &["block"],
        Plain::of(
            (
                "Proofpoint, which guards this receiver, blocks our sending address.",
                "受信側が利用する Proofpoint が送信元 IP アドレスをブロックしています。",
            ),
            ("Ask at https://ipcheck.proofpoint.com/.", "https://ipcheck.proofpoint.com/ で解除を申請してください。"),
        ),
    ),
];
