//! The same in Japanese, for the console.
//!
//! In: a [`Life`] and what surrounds it; what a server says.  Out: sentences.
//! Always: as in [`super`]: what comes next, what is to be done and what is wrong are the same in both languages.

use std::time::Duration;

use super::{Around, Words};
use crate::{
    dkim::public::RSA_BITS_GOOD,
    signing::{
        life::{Life, Origin, Stage},
        witness::Says,
    },
};

/// A duration in its two largest units: `3日4時間`.
pub fn human(duration: Duration) -> String {
    let s = duration.as_secs();
    let two = |big: u64, b: &str, small: u64, l: &str| match small {
        0 => format!("{big}{b}"),
        _ => format!("{big}{b}{small}{l}"),
    };
    match s {
        0..60 => format!("{s}秒"),
        60..3_600 => two(s / 60, "分", s % 60, "秒"),
        3_600..86_400 => two(s / 3_600, "時間", s % 3_600 / 60, "分"),
        _ => two(s / 86_400, "日", s % 86_400 / 3_600, "時間"),
    }
}

/// What is to be said of a key.
pub fn say(life: &Life, around: &Around) -> Words {
    let now = around.now;
    let mut words = Words::default();
    match life.stage {
        Stage::Pending => {
            words.next = match life.silent_since {
                Some(since) => format!(
                    "応答したすべてのサーバーにレコードがあります。応答しないサーバーは1日後に対象から外します（{}前から無応答）",
                    human(now.since(since))
                ),
                None if around.looked => "すべてのサーバーにレコードが揃うと署名を開始します".into(),
                None => "サーバーにレコードを問い合わせています".into(),
            };
            if life.silent_since.is_none() {
                words.todo = format!("{} に TXT レコードを公開してください", life.record_name());
            }
        }
        Stage::Published => {
            let left = life.hold().saturating_sub(now.since(life.since));
            words.next = format!(
                "{}後に署名を開始します。それまでは「レコードなし」という結果がキャッシュに残っている可能性があります",
                human(left)
            );
        }
        Stage::Idle => {
            words.next = "署名していません。ローテーションで作成した別の鍵が署名しています".into();
            words.todo = "設定ファイルからこの鍵の行を削除するか、もう一方の鍵を中止してください".into();
        }
        Stage::Active => {
            words.next = match life.origin {
                Origin::Managed if !around.domain_is_listed => "ドメインが設定ファイルに戻ると署名を再開します".into(),
                Origin::Managed | Origin::Configured => "別の鍵に切り替わるまで署名します".into(),
            };
            if life.origin == Origin::Managed && !around.domain_is_listed {
                words
                    .alarms
                    .push(format!("署名していません。設定ファイルに {} という [[domain]] がありません", life.domain));
            }
        }
        Stage::Retiring => {
            let stays = life.record_stays();
            words.next = match life.drained {
                Some(drained) => {
                    format!("{}後に役目を終えます", human(stays.saturating_sub(now.since(drained))))
                }
                None => format!(
                    "この鍵で署名した可能性のあるメールがまだ待機しています。最後の1通が出てから{}後、保留がなければ遅くとも{}後に\
                     役目を終えます",
                    human(stays),
                    human((around.lifetime_max + stays).saturating_sub(now.since(life.since)))
                ),
            };
            words.todo = "レコードはそのまま残してください".into();
            if around.is_in_config {
                words.todo.push_str("。設定ファイルの行は削除してかまいません");
            }
        }
        Stage::Retired => {
            match life.gone {
                Some(_) => words.next = "何もありません。レコードは削除されています".into(),
                None => {
                    words.next = "1日に1回レコードを確認します".into();
                    words.todo = format!(
                        "{} の TXT レコードを \"v=DKIM1; p=\"（失効）に変えるか、削除してください",
                        life.record_name()
                    );
                }
            }
            if around.is_in_config {
                let joint = if words.todo.is_empty() { "" } else { "。" };
                words.todo.push_str(&format!("{joint}設定ファイルからこの鍵の行を削除してください"));
            }
        }
    }
    alarms(life, around, &mut words);
    words
}

fn alarms(life: &Life, around: &Around, words: &mut Words) {
    if let Some(since) = life.denied_since {
        let since = human(around.now.since(since));
        words.alarms.push(format!("{since}前からレコードがないか、内容が誤っています"));
        words.todo = format!("{} に TXT レコードを公開し直してください", life.record_name());
    }
    let Some(age) = life.age(around.now) else { return };
    if life.public.is_weak() {
        words.alarms.push(format!("{}ビットの鍵です。受信側は{RSA_BITS_GOOD}ビットを求めています", life.public.bits()));
    }
    if let Some(max) = around.age_max.filter(|max| age > *max) {
        words.alarms.push(format!(
            "署名を始めてから{}経ちました。[dkim] key_age_max（{}）を超えています",
            human(age),
            human(max)
        ));
    }
    if !words.alarms.is_empty() && words.todo.is_empty() && around.domain_is_listed {
        words.todo = "鍵のローテーションを開始してください".into();
    }
}

/// What a server says, as it stands behind its name.
pub fn says(says: &Says) -> String {
    match says {
        Says::Right => "レコードがあります".into(),
        Says::Absent => "レコードがありません".into(),
        Says::Revoked => "p= が空のレコードがあります（失効）".into(),
        Says::Wrong(what) => format!("内容が異なります（{what}）"),
        Says::Refused(why) => format!("回答できないと応答しました（{why}）"),
        Says::Silent(why) => format!("応答がありません（{why}）"),
        Says::NoWay(why) => format!("ここから到達できません（{why}）"),
    }
}
