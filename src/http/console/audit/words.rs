//! What the acts of the operation log are called, in both languages.
//!
//! Always: an act without words here is shown by its own name.

use crate::http::words::Lang;

/// What acts are about: the start of their names, and the words.
const AREAS: [(&str, &str, &str); 13] = [
    ("queue.", "Queue", "キュー"),
    ("suppress.", "Suppression", "配信停止"),
    ("unsubscribe.", "Unsubscribes", "配信解除"),
    ("user.", "Users and accounts", "ユーザー・アカウント"),
    ("domain.", "Sending domains", "送信ドメイン"),
    ("dkim.", "DKIM keys", "DKIM鍵"),
    ("dmarc.", "DMARC reports", "DMARCレポート"),
    ("tls_report.", "TLS reports", "TLSレポート"),
    ("webhook.", "Webhooks", "Webhook"),
    ("owner_link.", "Links for application owners", "アプリケーション担当者用リンク"),
    ("download", "Downloads", "ダウンロード"),
    ("config.", "Configuration", "設定ファイル"),
    ("api.", "HTTP API", "HTTP API"),
];

/// Acts in words.
const ACTS: [(&str, &str, &str); 63] = [
    ("dkim.made", "a new DKIM key is made", "DKIM鍵の作成"),
    ("dkim.hurried", "a DKIM key is to sign without waiting", "DKIM鍵の即時切り替え"),
    ("dkim.appeared", "a DKIM key is new in the config", "設定ファイルのDKIM鍵を追加"),
    ("dkim.published", "a DKIM record is everywhere", "DKIMレコードの公開を確認"),
    ("dkim.unpublished", "a DKIM record is gone again", "DKIMレコードの公開が途切れた"),
    ("dkim.active", "a DKIM key signs", "DKIM鍵の署名開始"),
    ("dkim.retiring", "a DKIM key signs no more", "DKIM鍵の署名終了"),
    ("dkim.drained", "no mail needs a DKIM key any more", "DKIM鍵を必要とするメールがなくなった"),
    ("dkim.retired", "a DKIM record may be removed", "DKIMレコードの削除が可能"),
    ("dkim.gone", "a DKIM key is forgotten", "DKIM鍵の破棄"),
    ("dkim.record-missing", "a signing key's DKIM record is missing", "署名中の鍵のDKIMレコードが見つからない"),
    ("dkim.record-back", "a signing key's DKIM record is back", "署名中の鍵のDKIMレコードが復旧"),
    ("dkim.aborted", "a DKIM rotation was given up", "DKIM鍵の更新の中止"),
    ("dkim.left", "a DKIM key left the config", "設定ファイルのDKIM鍵を削除"),
    ("owner_link.add", "make a link for an owner", "担当者用リンクの作成"),
    ("owner_link.revoke", "revoke a link for an owner", "担当者用リンクの無効化"),
    ("suppress.forget", "forget errors of an address", "エラー記録の消去"),
    ("queue.flush", "force send", "強制送信"),
    ("queue.hold", "hold", "保留"),
    ("queue.release", "release", "保留解除"),
    ("queue.drop", "drop", "破棄"),
    ("queue.fail", "fail", "配信中止"),
    ("queue.pause", "pause a destination", "宛先ドメインの一時停止"),
    ("queue.resume", "resume a destination", "宛先ドメインの再開"),
    ("suppress.add", "suppress an address", "配信停止の追加"),
    ("suppress.lift", "lift a suppression", "配信停止の解除"),
    ("suppress.exempt", "exempt an address", "配信停止の対象外に設定"),
    ("suppress.exempt_end", "end an exemption", "対象外の取り消し"),
    ("suppress.import", "import suppressions", "配信停止の取り込み"),
    ("suppress.undo", "undo an incident", "インシデントの取り消し"),
    ("suppress.release", "suppress what was held back", "保留した配信停止の適用"),
    ("suppress.discard", "discard what was held back", "保留した配信停止の破棄"),
    ("unsubscribe.add", "add an unsubscription", "配信解除の追加"),
    ("unsubscribe.cancel", "lift an unsubscription", "配信解除の取り消し"),
    ("unsubscribe.import", "import unsubscriptions", "配信解除の取り込み"),
    ("user.add", "add a user", "ユーザーの追加"),
    ("user.set", "change a user", "ユーザーの変更"),
    ("user.remove", "remove a user", "ユーザーの削除"),
    ("user.password", "change a password or key", "パスワード・キーの変更"),
    ("user.lock", "lock an account", "アカウントのロック"),
    ("user.unlock", "unlock an account", "ロックの解除"),
    ("user.reset", "set a password by a mailed link", "メールによるパスワード再設定"),
    ("user.totp", "change two-factor sign-in", "二段階認証の変更"),
    ("user.recovery-codes", "make new recovery codes", "リカバリーコードの再発行"),
    ("user.recovery-use", "sign in with a recovery code", "リカバリーコードによるログイン"),
    ("user.make-admin", "hand over the group administrator's role", "グループ管理者の交代"),
    ("webhook.replay", "send events again", "イベントの再送信"),
    ("webhook.resume", "resume a webhook", "Webhookの再開"),
    ("webhook.test", "send a test event", "テストイベントの送信"),
    ("user.set-up", "set up the first account", "最初のアカウントの作成"),
    ("user.reset-mail", "mail a link to set a password", "パスワード再設定メールの送信"),
    ("user.session-end", "end a session", "セッションの終了"),
    ("user.sign-out", "sign somebody out everywhere", "全セッションのログアウト"),
    ("webhook.pause", "pause a webhook", "Webhookの一時停止"),
    ("domain.check", "check a domain now", "送信ドメインの確認"),
    ("domain.dkim-rotate", "begin a new DKIM key", "DKIM鍵の更新"),
    ("domain.dkim-abort", "give up a new DKIM key", "DKIM鍵の更新の中止"),
    ("dmarc.import", "import DMARC reports", "DMARCレポートの取り込み"),
    ("tls_report.import", "import TLS reports", "TLSレポートの取り込み"),
    ("message.download", "download a message", "メッセージのダウンロード"),
    ("api.download", "download by the API", "APIによるダウンロード"),
    ("console.download", "download in the console", "管理画面からのダウンロード"),
    ("config.reload", "reload the configuration", "設定の再読み込み"),
];

/// The words of an act.
pub(super) fn act(lang: Lang, act: &str) -> Option<&'static str> {
    ACTS.iter().find(|(known, ..)| *known == act).map(|(_, english, japanese)| lang.say(english, japanese))
}

/// The areas, for a choice.
pub(super) fn areas(lang: Lang) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("", lang.say("everything", "すべて"))];
    all.extend(AREAS.iter().map(|(start, english, japanese)| (*start, lang.say(english, japanese))));
    all
}

/// By which door somebody signed in.
pub(super) fn door(lang: Lang, word: &str) -> String {
    match word {
        "smtp" => "SMTP".to_owned(),
        "http" | "api" => "HTTP API".to_owned(),
        "console" => lang.say("console", "管理画面").to_owned(),
        other => crate::http::words::clean(&crate::http::words::clip(other, 40)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_in_words_belongs_to_an_area() {
        for (name, english, japanese) in ACTS {
            assert!(AREAS.iter().any(|(start, ..)| name.contains(start)), "{name}");
            assert!(!english.is_empty() && !japanese.is_ascii(), "{name}");
        }
    }
}
