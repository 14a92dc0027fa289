//! What whoever owns an application can do about its errors, class by class.
//!
//! Sources: cmc.md §5.1 (the classes), RFC 3463.

use crate::{event::ErrorClass, http::words::Lang};

/// What can be done.
pub fn advice(lang: Lang, class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::UnknownHost | ErrorClass::BadAddress => lang.say(
            "Check what people type where they sign up: ask for the address twice, or send a mail to confirm it.",
            "登録時の入力ミスが主な原因です。再入力や確認メールで検証してください。",
        ),
        ErrorClass::UnknownUser => lang.say(
            "Remove these addresses from your lists. Many of them harm how providers see all your mail.",
            "リストから削除してください。多いほど送信元の評価が下がり、他のメールも届きにくくなります。",
        ),
        ErrorClass::ResendTimeout => lang.say(
            "The receiver was not reachable, or put the mail off for days. If it is one provider, see its state below.",
            "受信側に接続できないか、一時拒否が続きました。特定のプロバイダーに偏る場合は下のプロバイダーの状態を確認してください。",
        ),
        ErrorClass::Rejected => lang.say(
            "The receiver does not want this mail. Look at content, sending rate and the sending domain's SPF, DKIM and DMARC.",
            "受信側の方針で拒否されました。内容・送信ペース・送信ドメインのSPF/DKIM/DMARCを確認してください。",
        ),
        ErrorClass::OverCapacity => lang.say(
            "Nothing to do at once; an address that stays full for weeks is no longer read.",
            "すぐの対応は不要です。数週間続く場合は使われていないアドレスと考えられます。",
        ),
        ErrorClass::ForwardingError | ErrorClass::ReceivingServerError => lang.say(
            "The fault is the receiver's. Only they can mend it.",
            "受信側の設定や障害が原因です。受信側での対応が必要です。",
        ),
        ErrorClass::TooLarge => lang.say(
            "Send a link instead of an attachment, or make pictures smaller.",
            "添付の代わりにリンクを送るか、画像を小さくしてください。",
        ),
        ErrorClass::Blocked => lang.say(
            "Errors came before, so nothing is sent there. Remove them from your lists, or ask the administrator to lift one.",
            "過去のエラーにより送信を停止しています。リストから削除するか、管理者に解除を依頼してください。",
        ),
        ErrorClass::Unsubscribed => lang.say(
            "These people left the list. Do not send to them again.",
            "受信者が配信解除しています。送信対象から外してください。",
        ),
        ErrorClass::Other => lang.say(
            "Ask the administrator of this server what the receivers answered.",
            "受信側の応答の詳細は、このサーバーの管理者に確認してください。",
        ),
    }
}
