//! What is wrong, in English and Japanese: the message of each [`Why`].
//!
//! Always: a sentence for a person who writes a program; it names limits, never a path, a secret or an internal.

use std::time::Duration;

use super::{
    Language,
    fault::{Expected, Syntax, Unit, Why},
};

impl Why {
    /// The message in a language.
    pub fn message(&self, language: Language) -> String {
        match language {
            Language::English => self.english(),
            Language::Japanese => self.japanese(),
        }
    }

    fn english(&self) -> String {
        match self {
            Why::System => "A system error occurred. Please try again later.".into(),
            Why::Unavailable => "The server cannot take this now. Please try again later.".into(),
            Why::NotFound => "There is no such API.".into(),
            Why::MethodNotAllowed => "Use the POST method.".into(),
            Why::ForeignPage => "Web pages of other sites may not call this API. Call it from your server.".into(),
            Why::Unreadable { status: 408 } => "The request took too long.".into(),
            Why::Unreadable { status: 421 } => "This server does not go by that host name.".into(),
            Why::Unreadable { .. } => "The request could not be read as HTTP.".into(),
            Why::TooLarge { max } => format!("Too large: at most {max} bytes."),
            Why::MediaType => {
                "The Content-Type must be application/json, application/x-www-form-urlencoded or multipart/form-data, in UTF-8."
                    .into()
            }
            Why::Malformed { what } => format!("The body is not {}.", syntax(*what, Language::English)),
            Why::TooMuch { max } => format!("The request has too many parts: at most {max}."),
            Why::Missing => "This parameter is required.".into(),
            Why::WrongType { expected } => format!("Must be {}.", expected_english(*expected)),
            Why::Twice => "This parameter is given more than once.".into(),
            Why::TooLong { max, unit: Unit::Characters } => format!("Too long: at most {max} characters."),
            Why::TooLong { max, unit: Unit::Octets } => format!("Too long: at most {max} bytes."),
            Why::OutOfRange { min, max } => format!("Must be from {min} to {max}."),
            Why::TooMany { max } => format!("Too many values: at most {max}."),
            Why::NotOneOf { words } => format!("Must be one of: {}.", words.join(", ")),
            Why::BadAddress => "Not a valid e-mail address.".into(),
            Why::BadDate => "Must be a date as yyyy-mm-dd.".into(),
            Why::InFuture => "Must not be in the future.".into(),
            Why::WrongOrder => "The start must not be after the end.".into(),
            Why::RangeTooLong { days } => format!("The period is too long: at most {days} days."),
            Why::BadCharacter => "Contains a character that is not allowed here.".into(),
            Why::NotInCharset { characters } => format!("The charset cannot carry these characters: {characters}"),
            Why::HeaderNotAllowed => "This header cannot be set by the request.".into(),
            Why::NoValue { key } => format!("A recipient has no value for ((#{key}#))."),
            Why::Unknown => "Not found.".into(),
            Why::TooWide => "The search takes too long. Narrow it by time, or search for whole values.".into(),
            Why::OwnersWill => {
                "The owner of this address complained or unsubscribed: it stays blocked. Use blocks/cancel to lift it.".into()
            }
            Why::Credentials => "The api_user or api_key is wrong.".into(),
            Why::NotAllowed => "This API user is not allowed to use this API from here.".into(),
            Why::NoRight => "This API user does not have the permission.".into(),
            Why::Throttled { after } => {
                format!("Too many attempts. Please try again in {} seconds.", seconds(*after))
            }
            Why::RateLimit { after } => {
                format!("The sending limit of this API user is reached. Please try again in {} seconds.", seconds(*after))
            }
            Why::TooManyAtOnce { max } => format!("Too many simultaneous calls of this API user: at most {max}."),
            Why::FromNotAllowed => "Sending with this header From is not allowed.".into(),
            Why::SenderNotAllowed => "This API user is not allowed to send as this address.".into(),
            Why::Partly { accepted, of } => format!(
                "{accepted} of {of} mails were accepted. Repeat the request with the same Idempotency-Key to send the rest once."
            ),
            Why::MailLoop => "The mail has too many Received headers.".into(),
            Why::BadKey => "The Idempotency-Key must be 1 to 255 printable ASCII characters.".into(),
            Why::KeyReused => "This Idempotency-Key was used for another request.".into(),
            Why::KeyInUse => "A request with this Idempotency-Key is in progress.".into(),
            Why::KeysFull { max, .. } => format!("Too many Idempotency-Keys in 24 hours: at most {max}."),
        }
    }

    fn japanese(&self) -> String {
        match self {
            Why::System => "システムエラーが発生しました。しばらくしてから再度お試しください。".into(),
            Why::Unavailable => "現在リクエストを受け付けられません。しばらくしてから再度お試しください。".into(),
            Why::NotFound => "指定されたAPIは存在しません。".into(),
            Why::MethodNotAllowed => "POSTメソッドを使用してください。".into(),
            Why::ForeignPage => "他サイトのWebページからこのAPIを呼び出すことはできません。サーバーから呼び出してください。".into(),
            Why::Unreadable { status: 408 } => "リクエストの受信がタイムアウトしました。".into(),
            Why::Unreadable { status: 421 } => "このサーバーのホスト名ではありません。".into(),
            Why::Unreadable { .. } => "HTTPリクエストとして解釈できません。".into(),
            Why::TooLarge { max } => format!("サイズが大きすぎます。{max}バイト以内にしてください。"),
            Why::MediaType => {
                "Content-Typeは application/json、application/x-www-form-urlencoded、multipart/form-data のいずれか（UTF-8）を指定してください。"
                    .into()
            }
            Why::Malformed { what } => format!("リクエストボディが{}として正しくありません。", syntax(*what, Language::Japanese)),
            Why::TooMuch { max } => format!("リクエストの項目数が多すぎます。{max}個以内にしてください。"),
            Why::Missing => "必須パラメータです。".into(),
            Why::WrongType { expected } => format!("{}を指定してください。", expected_japanese(*expected)),
            Why::Twice => "パラメータが重複しています。".into(),
            Why::TooLong { max, unit: Unit::Characters } => format!("{max}文字以内で指定してください。"),
            Why::TooLong { max, unit: Unit::Octets } => format!("{max}バイト以内で指定してください。"),
            Why::OutOfRange { min, max } => format!("{min}から{max}の範囲で指定してください。"),
            Why::TooMany { max } => format!("指定できる数は{max}個までです。"),
            Why::NotOneOf { words } => format!("次のいずれかを指定してください：{}", words.join(", ")),
            Why::BadAddress => "メールアドレスの形式が正しくありません。".into(),
            Why::BadDate => "日付はyyyy-mm-ddの形式で指定してください。".into(),
            Why::InFuture => "未来の日時は指定できません。".into(),
            Why::WrongOrder => "開始は終了以前を指定してください。".into(),
            Why::RangeTooLong { days } => format!("期間は{days}日以内で指定してください。"),
            Why::BadCharacter => "使用できない文字が含まれています。".into(),
            Why::NotInCharset { characters } => format!("指定された文字コードで表現できない文字が含まれています：{characters}"),
            Why::HeaderNotAllowed => "このヘッダーは指定できません。".into(),
            Why::NoValue { key } => format!("宛先に差し込み文字 ((#{key}#)) の値がありません。"),
            Why::Unknown => "見つかりません。".into(),
            Why::TooWide => "検索に時間がかかりすぎます。期間を狭めるか、完全一致で検索してください。".into(),
            Why::OwnersWill => {
                "このアドレスの利用者が迷惑メール申告または配信解除をしたため、停止されたままです。解除するには blocks/cancel を使用してください。".into()
            }
            Why::Credentials => "APIユーザーまたはAPIキーが正しくありません。".into(),
            Why::NotAllowed => "このAPIユーザーはここからこのAPIを利用できません。".into(),
            Why::NoRight => "このAPIユーザーには権限がありません。".into(),
            Why::Throttled { after } => format!("試行回数が多すぎます。{}秒後に再度お試しください。", seconds(*after)),
            Why::RateLimit { after } => {
                format!("このAPIユーザーの送信数の上限に達しました。{}秒後に再度お試しください。", seconds(*after))
            }
            Why::TooManyAtOnce { max } => format!("このAPIユーザーの同時接続数の上限（{max}）を超えています。"),
            Why::FromNotAllowed => "このヘッダーFromでの送信は許可されていません。".into(),
            Why::SenderNotAllowed => "このAPIユーザーはこの送信元アドレスで送信できません。".into(),
            Why::Partly { accepted, of } => format!(
                "{of}件中{accepted}件を受け付けました。同じIdempotency-Keyで再度リクエストすると、残りが一度だけ送信されます。"
            ),
            Why::MailLoop => "Receivedヘッダーが多すぎます。".into(),
            Why::BadKey => "Idempotency-Keyは印字可能なASCII文字1〜255文字で指定してください。".into(),
            Why::KeyReused => "このIdempotency-Keyは別のリクエストで使用されています。".into(),
            Why::KeyInUse => "このIdempotency-Keyのリクエストは処理中です。".into(),
            Why::KeysFull { max, .. } => format!("24時間に使用できるIdempotency-Keyは{max}個までです。"),
        }
    }
}

fn seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

fn syntax(what: Syntax, language: Language) -> &'static str {
    match (what, language) {
        (Syntax::Json, Language::English) => "a JSON object",
        (Syntax::Json, Language::Japanese) => "JSONオブジェクト",
        (Syntax::Form, Language::English) => "application/x-www-form-urlencoded",
        (Syntax::Form, Language::Japanese) => "application/x-www-form-urlencoded",
        (Syntax::Multipart, Language::English) => "multipart/form-data with a boundary",
        (Syntax::Multipart, Language::Japanese) => "multipart/form-data",
        (Syntax::Utf8, Language::English) => "UTF-8",
        (Syntax::Utf8, Language::Japanese) => "UTF-8",
    }
}

fn expected_english(expected: Expected) -> &'static str {
    match expected {
        Expected::Text => "a string",
        Expected::Number => "an integer",
        Expected::Flag => "true or false",
        Expected::Texts => "a string or an array of strings",
        Expected::Json => "a JSON object or array, or a string that holds one",
        Expected::Address => "an address: a string, {\"name\",\"address\"}, or an array of these",
        Expected::Headers => "an array of {\"name\",\"value\"}, or an object",
        Expected::File => "a file",
    }
}

fn expected_japanese(expected: Expected) -> &'static str {
    match expected {
        Expected::Text => "文字列",
        Expected::Number => "整数",
        Expected::Flag => "trueまたはfalse",
        Expected::Texts => "文字列または文字列の配列",
        Expected::Json => "JSONのオブジェクトまたは配列",
        Expected::Address => "アドレス（文字列、{\"name\",\"address\"}、またはその配列）",
        Expected::Headers => "{\"name\",\"value\"}の配列、またはオブジェクト",
        Expected::File => "ファイル",
    }
}
