//! The causes in words: what each is called, and what to do about it.
//!
//! In: a cause, a language.  Out: its title; what to do next, one step a line.
//! Always: every cause has both in both languages (the compiler lists them); commands are those of this program.
//! Sources: PRODUCT.md R10.

use crate::{diagnose::figures::CauseId, doctor::words::Language};

/// English and Japanese.
type Both = (&'static str, &'static str);

fn in_language((english, japanese): Both, language: Language) -> &'static str {
    match language {
        Language::English => english,
        Language::Japanese => japanese,
    }
}

/// The cause in a line.
pub fn title(id: CauseId, language: Language) -> &'static str {
    in_language(titles(id), language)
}

/// What to do next, the first thing first; `NAME` stands for the domain.
pub fn next(id: CauseId, language: Language) -> Vec<&'static str> {
    in_language(steps(id), language).lines().collect()
}

fn titles(id: CauseId) -> Both {
    match id {
        CauseId::Dkim => ("DKIM does not pass", "DKIM が不合格になっています"),
        CauseId::Spf => ("SPF does not pass", "SPF が不合格になっています"),
        CauseId::Dmarc => ("DMARC does not pass", "DMARC が不合格になっています"),
        CauseId::Authentication => (
            "The mail is refused as unauthenticated (SPF, DKIM or DMARC)",
            "送信ドメイン認証（SPF・DKIM・DMARC）の不合格で拒否されています",
        ),
        CauseId::ReverseDns => (
            "Our sending address has no name that leads back to it (PTR)",
            "送信元アドレスの逆引き（PTR）がないか、正引きと一致しません",
        ),
        CauseId::SenderDomain => (
            "The sender's domain cannot be found, or takes no mail",
            "送信者のドメインが DNS で見つからないか、メールを受け取れません",
        ),
        CauseId::Sender => ("The sender's address is refused", "送信者アドレスが拒否されています"),
        CauseId::RuleLoosened => (
            "A delivery-speed rule was loosened, and the destinations now say: too fast",
            "配信速度ルールが緩められ、宛先が「速すぎる」と拒否しています",
        ),
        CauseId::Blocklist => (
            "Our address or domain is on a blocklist",
            "送信元アドレスまたはドメインがブロックリストに登録されています",
        ),
        CauseId::NewSubject => (
            "A new campaign is refused: its subject was not there before",
            "新しい配信が拒否されています（以前にはなかった件名です）",
        ),
        CauseId::Volume => ("Much more mail than before", "送信量が以前より大きく増えました"),
        CauseId::DeadList => (
            "Many addresses that do not exist: a new or bought list, most likely",
            "存在しないアドレスが多数あります（新しいリスト、または購入したリストの可能性が高い）",
        ),
        CauseId::OldAddresses => ("Addresses that do not exist, as before", "存在しないアドレス（以前と同程度）"),
        CauseId::OneProvider => (
            "One provider refuses us; the others take the mail",
            "特定の 1 プロバイダーだけが拒否しています（他の宛先には届いています）",
        ),
        CauseId::OneSource => (
            "One of our source addresses is refused; the others pass",
            "特定の送信元アドレスだけが拒否されています（他のアドレスは届いています）",
        ),
        CauseId::OneRecipient => {
            ("One recipient is tried and refused again and again", "特定の 1 受信者への再送が繰り返し拒否されています")
        }
        CauseId::OneDestination => ("One destination is in trouble", "特定の 1 宛先に障害があります"),
        CauseId::OwnNetwork => (
            "Hardly any destination can be reached: our own network or DNS",
            "ほとんどの宛先に接続できません（こちら側のネットワークまたは DNS の問題）",
        ),
        CauseId::WarmUp => {
            ("A new source address is still being warmed up", "新しい送信元アドレスがウォームアップ中です")
        }
        CauseId::Speed => ("We send faster than the destinations let us", "宛先の許容を超える速さで送信しています"),
        CauseId::OneSubject => ("One subject is refused; other mail passes", "特定の件名だけが拒否されています"),
        CauseId::Reputation => {
            ("Our address or domain has a bad name", "送信元アドレスまたはドメインの評価が低下しています")
        }
        CauseId::Content => ("The content is taken for spam", "本文が迷惑メールと判定されています"),
        CauseId::Attachment => ("An attachment is refused", "添付ファイルが拒否されています"),
        CauseId::Size => ("The mail is too large", "メールのサイズが大きすぎます"),
        CauseId::Form => ("The form of the mail is faulty", "メールの形式に誤りがあります"),
        CauseId::OneUser => ("One API user makes nearly all of it", "特定の APIユーザーのメールに集中しています"),
        CauseId::Complaints => ("Recipients complain", "受信者から迷惑メール申告が届いています"),
        CauseId::Brake => (
            "Unknown users jumped at a place, and suppression is held back there",
            "宛先不明が急増したため、その宛先の配信停止の登録を保留しています",
        ),
        CauseId::Tls => ("TLS fails", "TLS 接続に失敗しています"),
        CauseId::Setup => (
            "The destination's set-up: it relays nothing for this domain, or wants a login",
            "宛先側の設定（中継拒否、またはログインの要求）",
        ),
        CauseId::Policy => ("The destination's own rules refuse it", "宛先独自の規則により拒否されています"),
        CauseId::MailboxFull => ("Full mailboxes", "メールボックスの容量超過"),
        CauseId::Filtered => ("Recipients' own filters", "受信者自身の受信拒否設定"),
        CauseId::Greylisting => {
            ("Greylisting: come again later", "グレイリスティング（時間をおいて再送すれば届きます）")
        }
        CauseId::OwnLists => (
            "Recipients on our own lists (suppressed, unsubscribed) were not written to",
            "こちらの配信停止リスト・配信解除リストにより送信していません",
        ),
        CauseId::Unknown => ("Answers that nothing here knows", "分類できない応答です"),
    }
}

fn steps(id: CauseId) -> Both {
    match id {
        CauseId::Dkim => (
            "Run `hikyaku domain check NAME`: publish the DKIM record that it prints.\n\
             Then `hikyaku queue flush --destination …` sends what waits.",
            "`hikyaku domain check NAME` を実行し、表示された DKIM レコードを公開してください。\n\
             その後 `hikyaku queue flush --destination …` で滞留分を再送できます。",
        ),
        CauseId::Spf => (
            "Run `hikyaku domain check NAME`: correct the SPF record of the domain that it names.",
            "`hikyaku domain check NAME` を実行し、示されたドメインの SPF レコードを修正してください。",
        ),
        CauseId::Dmarc => (
            "Run `hikyaku domain check NAME`: it says which of SPF and DKIM is not aligned with From, and what to publish.",
            "`hikyaku domain check NAME` を実行してください。From と整合していない方（SPF・DKIM）と公開すべきレコードが分かります。",
        ),
        CauseId::Authentication => (
            "Run `hikyaku domain check NAME` and look at SPF, DKIM and DMARC.\n\
             Send a mail to a mailbox of the refusing provider and read its Authentication-Results.",
            "`hikyaku domain check NAME` で SPF・DKIM・DMARC を確認してください。\n\
             拒否したプロバイダーのメールボックスへ試送し、Authentication-Results を確認してください。",
        ),
        CauseId::ReverseDns => (
            "Ask whoever owns the address (provider, hosting) for the PTR record that `hikyaku domain check NAME` prints; the name must have the address.",
            "`hikyaku domain check NAME` が示す PTR レコードの設定を、アドレスの管理者（回線・ホスティング事業者）に依頼してください。正引きも一致が必要です。",
        ),
        CauseId::SenderDomain => (
            "Give the domain of the sender an MX or A record, or correct the sender; `hikyaku domain check NAME` shows what others see.",
            "送信者ドメインに MX または A レコードを設定するか、送信者アドレスを修正してください。`hikyaku domain check NAME` で外からの見え方を確認できます。",
        ),
        CauseId::Sender => (
            "Read the answer; the destination may want the sender to be allowed first (mailing lists, groups), or know another address.",
            "応答の内容を確認してください。宛先側で送信者の許可が必要な場合（メーリングリスト等）があります。",
        ),
        CauseId::RuleLoosened => (
            "Set the rule back to what it was before that date in the config file, and reload.\n\
             Loosen it again in small steps, once the answers have stopped for a day.",
            "設定ファイルのルールを、その日付より前の値に戻して再読み込みしてください。\n\
             拒否が 1 日止まってから、少しずつ緩めてください。",
        ),
        CauseId::Blocklist => (
            "Find out why first: a list is left for good only when its reason is gone (look at the next causes).\n\
             Then ask for removal at the address given, and send by another source address until then.",
            "まず登録の理由を確認してください。原因が残っていると再登録されます（下位の原因も参照）。\n\
             その後、示された窓口で解除を申請し、それまでは別の送信元アドレスを使ってください。",
        ),
        CauseId::NewSubject => (
            "Stop the campaign (`hikyaku queue hold`), and look at its words, links and attachments.\n\
             Send it to a few own mailboxes of the refusing provider before it goes on.",
            "その配信を止めて（`hikyaku queue hold`）、件名・本文・リンク・添付を見直してください。\n\
             再開の前に、拒否したプロバイダーの自分のメールボックスへ試送してください。",
        ),
        CauseId::Volume => (
            "Spread the mail over more days, or bound it by a [[delivery.rule]] for the refusing destinations.\n\
             If nobody knows of it: find the API user (`hikyaku stats --by-user`) and change its key.",
            "送信を数日に分けるか、拒否した宛先に [[delivery.rule]] で上限を設けてください。\n\
             心当たりがない場合は、APIユーザーを特定し（`hikyaku stats --by-user`）、キーを変更してください。",
        ),
        CauseId::DeadList => (
            "Stop sending to that list, and ask where its addresses come from; write only to those who asked for it.\n\
             Suppression takes the dead ones off by itself: `hikyaku suppress list`.",
            "そのリストへの送信を止め、アドレスの入手元を確認してください。同意した人だけに送ってください。\n\
             存在しないアドレスは自動的に配信停止になります（`hikyaku suppress list`）。",
        ),
        CauseId::OldAddresses => (
            "Let suppression take them off, and give them back to the program that keeps the list (`hikyaku suppress export`, webhooks).",
            "配信停止リストに任せ、結果を送信側システムの名簿にも反映してください（`hikyaku suppress export`、Webhook）。",
        ),
        CauseId::OneProvider => (
            "Read the provider's answer and follow its address; look at its postmaster tools.\n\
             Until it passes, send less there by a [[delivery.rule]].",
            "そのプロバイダーの応答に示された案内に従い、ポストマスターツールを確認してください。\n\
             解消するまで、[[delivery.rule]] でその宛先への送信を絞ってください。",
        ),
        CauseId::OneSource => (
            "Take the address out of [[delivery.source]] until it is clean, and find out who sent by it.\n\
             Ask for its removal where the answer says so.",
            "問題が解消するまで、そのアドレスを [[delivery.source]] から外し、そこから誰が送ったかを調べてください。\n\
             応答に窓口があれば解除を申請してください。",
        ),
        CauseId::OneRecipient => (
            "Nothing is wrong with the domain. Take that recipient off: `hikyaku queue drop --recipient …`, `hikyaku suppress add …`.",
            "ドメインの問題ではありません。その受信者を外してください（`hikyaku queue drop --recipient …`、`hikyaku suppress add …`）。",
        ),
        CauseId::OneDestination => (
            "Wait: the mail is tried again by itself. `hikyaku explain RECIPIENT --from …` shows its hosts now.\n\
             If it lasts, ask its postmaster by another way.",
            "自動的に再送されるので待ってください。`hikyaku explain RECIPIENT --from …` で現在のホストを確認できます。\n\
             長引く場合は、別の手段で相手の管理者に連絡してください。",
        ),
        CauseId::OwnNetwork => (
            "Look at this machine's way out: port 25 at the provider, firewall, routes, DNS (`hikyaku check`).",
            "このサーバーの外向き通信（事業者の 25 番ポート制限、ファイアウォール、経路、DNS）を確認してください（`hikyaku check`）。",
        ),
        CauseId::WarmUp => (
            "Leave the schedule of [delivery.warm_up] as it is, or make it slower; send only wanted mail by that address now.",
            "[delivery.warm_up] の予定を守るか遅くしてください。今はそのアドレスから、開封されやすいメールだけを送ってください。",
        ),
        CauseId::Speed => (
            "Give these destinations a [[delivery.rule]] with fewer connections or an interval, and reload.",
            "その宛先に、接続数を減らすか間隔を空ける [[delivery.rule]] を設定し、再読み込みしてください。",
        ),
        CauseId::OneSubject => (
            "Look at that mail's words, links and attachments; the rest of the mail passes.",
            "そのメールの件名・本文・リンク・添付を見直してください。他のメールは届いています。",
        ),
        CauseId::Reputation => (
            "Look at the provider's postmaster tools; send less and only to those who want it, until the name recovers.\n\
             Where the answer names an address, ask there.",
            "プロバイダーのポストマスターツールで評価を確認し、回復するまで希望者だけに少量ずつ送ってください。\n\
             応答に窓口があれば問い合わせてください。",
        ),
        CauseId::Content => (
            "Look at words, links (shorteners, new domains) and attachments; send the mail to own mailboxes of the refusing provider.",
            "件名・本文・リンク（短縮 URL、新しいドメイン）・添付を見直し、拒否したプロバイダーの自分のメールボックスへ試送してください。",
        ),
        CauseId::Attachment => (
            "Scan the attachment; send a link instead of a file that receivers do not take.",
            "添付ファイルをウイルス検査し、受信側が受け取らない種類はリンクで送ってください。",
        ),
        CauseId::Size => ("Make attachments smaller, or send links.", "添付を小さくするか、リンクで送ってください。"),
        CauseId::Form => (
            "Correct the program that writes the mail: the answer says what it minds (From, Date, line lengths, MIME).",
            "メールを作るプログラムを修正してください。応答に理由（From、Date、行の長さ、MIME）があります。",
        ),
        CauseId::OneUser => (
            "Look at what that user sends (`hikyaku log errors --user …`), and bound it (`hikyaku user set … --rate`).",
            "そのユーザーの送信内容を確認し（`hikyaku log errors --user …`）、必要なら上限を設けてください（`hikyaku user set … --rate`）。",
        ),
        CauseId::Complaints => (
            "Make leaving easy: one-click unsubscription for all bulk mail; stop what people complain of.",
            "配信解除を簡単にし（一括メールにはワンクリック配信解除）、報告の多い配信を止めてください。",
        ),
        CauseId::Brake => (
            "Ask the provider whether it has an outage; then `hikyaku suppress release` or `hikyaku suppress discard`.",
            "そのプロバイダーの障害情報を確認し、`hikyaku suppress release` または `hikyaku suppress discard` で確定してください。",
        ),
        CauseId::Tls => (
            "`hikyaku explain RECIPIENT --from …` shows the TLS policy and the host's certificate; `hikyaku tls-report list` what others report.",
            "`hikyaku explain RECIPIENT --from …` で TLS ポリシーと証明書を、`hikyaku tls-report list` で届いたレポートを確認してください。",
        ),
        CauseId::Setup => (
            "The destination must mend it: its MX does not take mail for the domain. With a smarthost: check its login.",
            "宛先側での修正が必要です（MX がそのドメインのメールを受け取りません）。スマートホスト利用時はログイン設定を確認してください。",
        ),
        CauseId::Policy => (
            "Read the answer; it names the rule, or a page that explains it.",
            "応答を確認してください。規則、またはその説明ページが示されています。",
        ),
        CauseId::MailboxFull => (
            "Nothing to mend here; who does not empty a mailbox does not read mail: ask the list's owner.",
            "こちらで直すものはありません。長く満杯の受信者は読んでいないので、名簿の見直しを検討してください。",
        ),
        CauseId::Filtered => (
            "These recipients do not take this mail (carriers' filters, own settings): ask them to allow the domain.",
            "受信者の設定（携帯キャリアの受信拒否など）です。ドメインの受信許可を案内してください。",
        ),
        CauseId::Greylisting => ("Nothing: the next try passes.", "対応は不要です。次の再送で届きます。"),
        CauseId::OwnLists => (
            "Nobody refused these: look at `hikyaku suppress list` and `hikyaku unsubscribe list`, and take them off the sender's list.",
            "拒否されたのではありません。`hikyaku suppress list`、`hikyaku unsubscribe list` を確認し、送信側の名簿から外してください。",
        ),
        CauseId::Unknown => (
            "Read them: a [[delivery.response]] can say what they mean.",
            "応答を確認してください。[[delivery.response]] で意味を設定できます。",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_words_in_both_languages() {
        for id in CauseId::ALL {
            for language in [Language::English, Language::Japanese] {
                assert!(!title(*id, language).is_empty() && !next(*id, language).is_empty(), "{id:?}");
            }
            let (english, japanese) = (next(*id, Language::English), next(*id, Language::Japanese));
            assert_eq!(english.len(), japanese.len(), "{id:?}: a step is missing in one language");
            assert!(title(*id, Language::English).is_ascii() && !title(*id, Language::Japanese).is_ascii(), "{id:?}");
        }
    }
}
