//! What the operator may wish of the keys, and why a wish is not granted.

use super::life::CannotAbort;
use crate::{
    dkim::{key::KeyFault, public::Algorithm},
    store::StoreError,
};

/// Keys at most: what the store has rooms for, with some to spare.
pub(super) const KEYS_MAX: usize = 50_000;

/// What the operator wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The domain.
    pub domain: String,
    /// Which key.
    pub algorithm: Algorithm,
    /// Bits of an RSA key.
    pub bits: usize,
    /// The selector; empty: one of the day.
    pub selector: String,
    /// Sign as soon as the record is everywhere.
    pub hurry: bool,
}

/// Why a wish is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not ours.
    #[error("the config has no [[domain]] of the name {0}: add it, and reload")]
    NoSuchDomain(String),
    /// One at a time.
    #[error("a rotation of this algorithm is under way: {0} is {1}; give it up with --abort, or wait")]
    UnderWay(String, &'static str),
    /// Nothing is signed here.
    #[error("in the sandbox nothing leaves, and nothing is signed: there is nothing to rotate")]
    Sandbox,
    /// The selector is not free, or is none.
    #[error("{0}")]
    Selector(String),
    /// The key cannot be made.
    #[error("{0}")]
    Key(#[from] KeyFault),
    /// There is nothing to go back to.
    #[error("{0}")]
    Abort(#[from] CannotAbort),
    /// Both algorithms could be meant.
    #[error("keys of both algorithms could be meant: say --algorithm rsa or --algorithm ed25519")]
    WhichOne,
    /// Too many keys.
    #[error("there are {KEYS_MAX} keys already")]
    TooMany,
    /// The store's.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Refusal {
    /// The same in Japanese.
    pub fn japanese(&self) -> String {
        match self {
            Refusal::NoSuchDomain(domain) => format!(
                "設定ファイルに {domain} という [[domain]] がありません。追加してから再読み込みしてください。"
            ),
            Refusal::UnderWay(selector, stage) => format!(
                "このアルゴリズムのローテーションはすでに進行中です（{selector}：{stage}）。中止するか、完了をお待ちください。"
            ),
            Refusal::Sandbox => {
                "サンドボックスモードではメールは送信されず署名もされないため、ローテーションする鍵がありません。".into()
            }
            Refusal::Selector(why) => format!("このセレクターは使えません（{why}）。"),
            Refusal::Key(why) => format!("鍵を作成できません（{why}）。"),
            Refusal::Abort(CannotAbort::Nothing) => {
                "進行中のローテーションはなく、ここで管理している鍵も署名していません。".into()
            }
            Refusal::Abort(CannotAbort::NoOther) => {
                "前の鍵はすでに破棄されており、設定ファイルにもこのアルゴリズムの鍵がないため、ほかに署名できる鍵がありません。\
                 代わりに新しいローテーションを開始してください（鍵が漏れた場合は「待たずに切り替える」を選択）。"
                    .into()
            }
            Refusal::WhichOne => "両方のアルゴリズムの鍵があります。RSA か Ed25519 を選んでください。".into(),
            Refusal::TooMany => "鍵の数が上限に達しています。".into(),
            Refusal::Store(error) => format!("保存できませんでした（{error}）。"),
        }
    }
}
