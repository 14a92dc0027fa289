//! The words themselves: of reasons, of our own codes, of what happened without an answer.
//!
//! Always: what happened in one or two sentences, then what to do, if there is anything to do; every one stands in `ALL`, which a
//! test reads.

use super::Plain;
use crate::{
    event::{ErrorClass, Phase},
    smtp::reply::Enhanced,
};

macro_rules! plain {
    ($($name:ident: $en:literal, $ja:literal $(=> $do_en:literal, $do_ja:literal)?;)*) => {
        $(pub(super) const $name: Plain = plain!(@one $en, $ja $(=> $do_en, $do_ja)?);)*
        /// Every one.
        #[cfg(test)]
        pub(super) const ALL: &[Plain] = &[$($name),*];
    };
    (@one $en:literal, $ja:literal) => { Plain::only(($en, $ja)) };
    (@one $en:literal, $ja:literal => $do_en:literal, $do_ja:literal) => { Plain::of(($en, $ja), ($do_en, $do_ja)) };
}

plain! {
    TAKEN:
        "The receiving server took the mail. What it does with it now, inbox or spam folder, is its own affair.",
        "受信側のサーバーがメールを受け取りました。受信トレイに入るか迷惑メールになるかは受信側の判断です。";
    TAKEN_AGAIN:
        "The receiving server took the mail. An earlier try may have been taken too, without our hearing of it.",
        "受信側のサーバーがメールを受け取りました。以前の試行も受け取られていた可能性があります（重複の可能性）。";
    KEPT_HERE:
        "It is kept in the sandbox of this relay, and was sent nowhere.",
        "このサーバーのサンドボックスに保管しました。外部には送信していません。";
    DROPPED:
        "An operator removed this recipient from the queue. Neither the sender nor the recipient was told.",
        "運用者がこの宛先をキューから削除しました。差出人にも宛先にも通知していません。";
    GIVEN_UP:
        "An operator gave this recipient up.",
        "運用者がこの宛先への配信を中止しました。";
    COMPLAINED:
        "The recipient reported the mail as spam.",
        "受信者がこのメールを迷惑メールとして報告しました。" =>
        "Write no more to this person unless they ask for it.",
        "本人の希望がない限り、この宛先には送信しないでください。";
    SUPPRESSED_HERE:
        "It was not sent: the address is on the suppression list because of earlier errors.",
        "過去のエラーにより配信停止中の宛先のため、送信していません。" =>
        "If you know that the address is good again, lift the suppression.",
        "宛先が有効だと確認できたら、配信停止を解除してください。";
    UNSUBSCRIBED:
        "It was not sent: the recipient has unsubscribed from this list.",
        "受信者が配信の停止を希望（ワンクリック配信解除）しているため、送信していません。" =>
        "Lift it only when the recipient has asked for the mail again.",
        "受信者本人が再び希望した場合だけ解除してください。";
    LOST_AFTER_DOT:
        "The whole mail was sent, but the answer never came: it may have been delivered. It is tried again, so that the recipient may get it twice.",
        "本文をすべて送信しましたが、応答が得られませんでした。届いている可能性があり、再送により重複する場合があります。";
    NOT_TRIED:
        "It was not tried: it waits in our queue.",
        "まだ送信していません（キューで待機中です）。";
    NO_WAY:
        "No mail server could be found for this destination.",
        "この宛先のメールサーバーが見つかりませんでした。" =>
        "Check the domain for a misspelling.",
        "ドメイン名の入力間違いがないか確認してください。";
    NO_CONNECTION:
        "No connection to the receiving server came about. It is tried again by itself.",
        "受信側のサーバーに接続できませんでした。自動的に再送します。" =>
        "If other destinations fail, too, check this server's network and its firewall for port 25.",
        "ほかの宛先でも起きる場合は、このサーバーのネットワークとポート25の制限を確認してください。";
    LOST:
        "The receiving server broke off or went silent in the middle. It is tried again by itself.",
        "通信の途中で切断されたか、応答がなくなりました。自動的に再送します。";
    NO_DOMAIN:
        "The domain does not exist, or takes mail nowhere.",
        "宛先のドメインが存在しないか、メールの受け取り先がありません。" =>
        "Check the address for a misspelling.",
        "アドレスの入力間違いがないか確認してください。";
    NULL_MX:
        "The domain says itself that it takes no mail (null MX).",
        "宛先のドメインは、メールを受け取らないと宣言しています（Null MX）。";
    DNS_TROUBLE:
        "The DNS of the destination gave no answer. It is tried again by itself.",
        "宛先の DNS から応答が得られませんでした。自動的に再送します。" =>
        "If all destinations fail, check this server's resolvers ([dns] servers).",
        "すべての宛先で起きる場合は、このサーバーの DNS 設定（[dns] servers）を確認してください。";
    LOOPS:
        "The mail would come back to this very server: it loops.",
        "メールがこのサーバー自身に戻ってきます（ループ）。" =>
        "Check the MX records of the destination and the routes of this server.",
        "宛先の MX レコードと、このサーバーの経路設定を確認してください。";
    TLS_FAILED:
        "No TLS came about that is as secure as is asked for. Nothing was sent.",
        "求められる安全性の TLS 接続が確立できなかったため、送信していません。" =>
        "Look at the conversation for the reason: an expired certificate, or another name in it; the receiver must correct it.",
        "通信記録で理由（証明書の期限切れや名前の不一致など）を確認してください。修正は受信側が行います。";
    LOGIN_FAILED:
        "The smarthost did not take our login.",
        "スマートホストへのログインに失敗しました。" =>
        "Check [delivery] smarthost_user and its password.",
        "[delivery] smarthost_user とパスワードを確認してください。";
    TOO_LARGE:
        "The mail is larger than the receiver takes.",
        "メールのサイズが受信側の上限を超えています。" =>
        "Send the file as a link.",
        "添付ファイルをリンクで送るなどしてください。";
    NEEDS_UTF8:
        "The address or the header has letters that this receiver cannot handle (SMTPUTF8).",
        "アドレスまたはヘッダーの文字（SMTPUTF8）を受信側が扱えません。";
    BAD_ADDRESS:
        "The address is not written as an address must be.",
        "アドレスの書式が正しくありません。" =>
        "Correct the address.",
        "アドレスを修正してください。";
    EXPIRED:
        "It could not be delivered in its time, and was given up.",
        "期限までに配信できなかったため、配信を終了しました。";
    DAMAGED:
        "The mail could not be read from our own disk; it is held.",
        "このサーバーのディスクからメールを読み出せないため、保留しています。" =>
        "Run hikyaku verify and read the journal.",
        "hikyaku verify を実行し、ログを確認してください。";
    NEEDS_DEADLINE:
        "The sender asks for delivery or return in time, which the receiver does not offer.",
        "差出人が期限付きの配信を求めていますが、受信側が対応していません。";
    NEEDS_REQUIRE_TLS:
        "The sender asks for TLS all the way, which the receiver does not offer.",
        "差出人が全経路の TLS を求めていますが、受信側が対応していません。";
    GUARDED:
        "The DNS leads to an address of a private network, where this server sends no mail.",
        "DNS が示す先が内部ネットワークのアドレスのため、送信していません。";
    OUR_TROUBLE:
        "This server had trouble of its own: no free file or no such source address. It is tried again by itself.",
        "このサーバー側の問題（ファイル数の上限や送信元アドレスの不備など）で送信できませんでした。自動的に再送します。" =>
        "Read the journal of this server.",
        "このサーバーのログを確認してください。";
    NOT_SMTP:
        "What answers there does not speak SMTP. It is tried again by itself.",
        "接続先が SMTP ではない応答を返しました。自動的に再送します。";
    USER_UNKNOWN:
        "The address does not exist.",
        "宛先のアドレスが存在しません。" =>
        "Remove it from your lists. It comes onto the suppression list by itself after repeated errors.",
        "送信リストから削除してください。エラーが続くと自動的に配信停止になります。";
    MAYBE_UNKNOWN:
        "The receiver refuses mail for this address: it may not exist, or the recipient does not want mail from us.",
        "受信側がこの宛先への受信を拒否しました。アドレスが存在しないか、受信者の設定によるものです。";
    FILTERED:
        "The recipient's own settings refuse our mail, as phones with domain filters do.",
        "受信者の設定（携帯電話のドメイン指定受信など）により拒否されました。" =>
        "Ask the recipient to allow your domain.",
        "受信者に、送信ドメインの受信許可を依頼してください。";
    SUSPENDED:
        "The mailbox is switched off or suspended.",
        "宛先のメールボックスが停止されています。";
    MOVED:
        "The recipient has moved to another address.",
        "受信者は別のアドレスに移転しています。";
    MAILBOX_FULL:
        "The mailbox is full.",
        "宛先のメールボックスが容量超過です。" =>
        "Nothing but waiting, or another way to the recipient, helps.",
        "空きができるまで待つか、別の方法で受信者に連絡してください。";
    SYSTEM_FULL:
        "The receiving server has no room. It is tried again by itself.",
        "受信側のサーバーの容量が不足しています。自動的に再送します。";
    HOST_UNKNOWN:
        "The domain of the address is not known.",
        "宛先のドメインが見つかりません。" =>
        "Check the address for a misspelling.",
        "アドレスの入力間違いがないか確認してください。";
    GREYLISTED:
        "The receiver does not know us yet and asks us to come back later (greylisting). It is tried again by itself.",
        "受信側が初めての送信元に再送を求めています（グレイリスト）。自動的に再送します。";
    ON_HOLD:
        "The receiver does not take the mail for now. It is tried again by itself.",
        "受信側が一時的に受信を見合わせています。自動的に再送します。";
    CLOSING:
        "The receiving server is busy or going down. It is tried again by itself.",
        "受信側のサーバーが混雑または停止中です。自動的に再送します。";
    SPEEDING:
        "We send faster than the receiver likes. It is tried again by itself, and more slowly.",
        "送信速度が受信側の制限を超えました。速度を落として自動的に再送します。" =>
        "If it stays so, set a [[delivery.rule]] with an interval for this destination.",
        "続く場合は、この宛先に [[delivery.rule]] で間隔を設定してください。";
    TOO_MANY_CONNECTIONS:
        "The receiver wants fewer connections at once. It is tried again by itself.",
        "同時接続数が受信側の制限を超えました。自動的に再送します。" =>
        "If it stays so, set a [[delivery.rule]] with fewer connections for this destination.",
        "続く場合は、この宛先に [[delivery.rule]] で接続数を設定してください。";
    AUTH_FAILED:
        "SPF, DKIM or DMARC did not pass, and the receiver refuses such mail.",
        "送信ドメイン認証（SPF・DKIM・DMARC）が不合格のため拒否されました。" =>
        "Look at the page of the sending domain: it shows which record is missing and what to write.",
        "「送信ドメイン」の画面で、足りないレコードとその内容を確認してください。";
    BAD_REPUTATION:
        "The receiver refuses our address or domain for its reputation.",
        "送信元の評価（レピュテーション）を理由に拒否されました。" =>
        "See why with hikyaku diagnose; send only to people who want the mail.",
        "hikyaku diagnose で原因を確認し、希望した人だけに送信してください。";
    BLOCKED:
        "The receiver blocks our sending address, often because a block list names it.",
        "受信側が送信元 IP アドレスをブロックしています。ブロックリストへの登録が主な原因です。" =>
        "The answer often names the list: ask there to be taken off, once the cause is gone.",
        "応答に書かれたリストを確認し、原因を取り除いてから解除を申請してください。";
    PTR:
        "Our sending address has no name in reverse DNS (PTR) that leads back to it.",
        "送信元 IP アドレスの逆引き（PTR）がないか、正引きと一致しません。" =>
        "Ask whoever gave you the address to set its PTR record to this server's name.",
        "IP アドレスの提供元に、このサーバーの名前を PTR に設定するよう依頼してください。";
    SPAM:
        "The receiver takes the mail for spam.",
        "受信側が迷惑メールと判定しました。" =>
        "Look at the subject, the links and the authentication of this mail.",
        "件名・リンク・送信ドメイン認証を確認してください。";
    VIRUS:
        "The receiver found a virus, or a kind of file that it does not take.",
        "受信側がウイルス、または許可されない種類の添付ファイルを検出しました。" =>
        "Check the attachments, and the machine that they come from.",
        "添付ファイルと、送信元の端末を確認してください。";
    CONTENT:
        "Something in the content or the header is refused.",
        "メールの内容またはヘッダーが拒否されました。";
    NOT_RFC:
        "The mail does not keep to the rules of the format, and the receiver insists on them.",
        "メールの書式が規格に合わないため拒否されました。" =>
        "Check what the sending program writes: a missing Date or Message-ID, two From lines, bare line feeds.",
        "送信プログラムの出力（Date・Message-ID の欠落、From の重複、改行コードなど）を確認してください。";
    POLICY:
        "The receiver's own rules refuse the mail.",
        "受信側のポリシーにより拒否されました。" =>
        "The answer is all that it tells: ask its postmaster, with the answer at hand.",
        "応答の内容を添えて、受信側の管理者に問い合わせてください。";
    SENDER_REFUSED:
        "The receiver refuses the sender's address.",
        "差出人のアドレスが受信側に拒否されました。" =>
        "Check that the sender's domain exists and has an MX record.",
        "差出人のドメインが存在し、MX レコードがあるか確認してください。";
    NO_RELAYING:
        "The server that the DNS names for this domain does not take its mail.",
        "DNS が示すサーバーが、このドメインのメールを受け付けていません。" =>
        "The receiver must correct its DNS or its server.",
        "受信側で DNS またはサーバーの設定を修正する必要があります。";
    SUPPRESSED_THERE:
        "The next server's own suppression list holds the address.",
        "中継先のサーバーで配信停止になっている宛先です。" =>
        "Lift it there.",
        "中継先の管理画面で解除してください。";
    LOGIN_DEMANDED:
        "The receiver demands a login, which a server for incoming mail must not.",
        "受信側のサーバーがログインを求めています（受信用サーバーの設定の誤りです）。";
    SYSTEM_ERROR:
        "The receiving server has trouble of its own.",
        "受信側のサーバーに障害があります。";
    NETWORK_ERROR:
        "The receiver's network has trouble. It is tried again by itself.",
        "受信側のネットワークに障害があります。自動的に再送します。";
    SYNTAX:
        "The receiving server did not understand a command, which no server should do.",
        "受信側のサーバーがコマンドを解釈できませんでした。" =>
        "Read the conversation, and tell the receiver's postmaster.",
        "通信記録を確認し、受信側の管理者に連絡してください。";
    UNKNOWN:
        "The answer is unlike any that we know. It is shown as it came.",
        "既知の分類に当てはまらない応答です。応答をそのまま表示しています。";
}

/// The words of a reason, as the classifier names it; some share a word, and their class tells them apart.
pub(super) fn of_reason(reason: &str, class: ErrorClass) -> Plain {
    match (reason, class) {
        ("userunknown" | "syntaxerror", ErrorClass::BadAddress) => BAD_ADDRESS,
        ("userunknown", _) => USER_UNKNOWN,
        ("filtered", ErrorClass::UnknownUser) => MAYBE_UNKNOWN,
        ("filtered", _) => FILTERED,
        ("suspend", _) => SUSPENDED,
        ("hasmoved", _) => MOVED,
        ("mailboxfull", _) => MAILBOX_FULL,
        ("systemfull", _) => SYSTEM_FULL,
        ("hostunknown", _) => HOST_UNKNOWN,
        ("notaccept", _) => NULL_MX,
        ("onhold", ErrorClass::ResendTimeout) => GREYLISTED,
        ("onhold", _) => ON_HOLD,
        ("expired", _) => CLOSING,
        ("speeding", _) => SPEEDING,
        ("toomanyconn", _) => TOO_MANY_CONNECTIONS,
        ("authfailure", _) => AUTH_FAILED,
        ("badreputation", _) => BAD_REPUTATION,
        ("blocked", _) => BLOCKED,
        ("requireptr", _) => PTR,
        ("spamdetected", _) => SPAM,
        ("virusdetected", _) => VIRUS,
        ("contenterror", _) => CONTENT,
        ("notcompliantrfc", _) => NOT_RFC,
        ("exceedlimit" | "mesgtoobig", _) => TOO_LARGE,
        ("failedstarttls", _) => TLS_FAILED,
        ("networkerror", ErrorClass::ReceivingServerError) => LOOPS,
        ("networkerror", _) => NETWORK_ERROR,
        ("norelaying", _) => NO_RELAYING,
        ("policyviolation", _) => POLICY,
        ("rejected", _) => SENDER_REFUSED,
        ("securityerror", ErrorClass::ReceivingServerError) => LOGIN_DEMANDED,
        ("securityerror", _) => POLICY,
        ("suppressed", _) => SUPPRESSED_THERE,
        ("syntaxerror", _) => SYNTAX,
        ("systemerror" | "mailererror", _) => SYSTEM_ERROR,
        _ => UNKNOWN,
    }
}

/// The words of a code that we wrote ourselves; `None`: the phase tells more.
pub(super) fn of_own_code(code: Enhanced, phase: Option<Phase>) -> Option<Plain> {
    let Enhanced(class, subject, detail) = code;
    Some(match (subject, detail) {
        (1, 2) => NO_DOMAIN,
        (1, 3) => BAD_ADDRESS,
        (1, 10) => NULL_MX,
        (3, 0) => DAMAGED,
        (3, 3) => NEEDS_DEADLINE,
        (3, 4) => TOO_LARGE,
        (3, 5) => OUR_TROUBLE,
        (4, 1) => NO_CONNECTION,
        (4, 2) => LOST,
        (4, 4) if class == 5 => GUARDED,
        (4, 3 | 4) => DNS_TROUBLE,
        (4, 6) => LOOPS,
        (4, 7) => EXPIRED,
        (5, 0) => NOT_SMTP,
        (6, 7 | 9) => NEEDS_UTF8,
        (7, 0) if phase == Some(Phase::Auth) => LOGIN_FAILED,
        (7, 4 | 5) => TLS_FAILED,
        (7, 30) => NEEDS_REQUIRE_TLS,
        _ => return None,
    })
}
