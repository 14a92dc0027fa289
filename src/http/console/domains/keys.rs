//! The keys that sign for a domain: how they stand, and a rotation step by step.
//!
//! Always: a private key never comes near a page; whoever begins or gives up a rotation is named in the operation log, beside what
//! the daemon notes of the keys themselves.

use maud::{Markup, html};
use smol::future::block_on;

use super::{
    super::{Told, parts},
    Answer, Args, Right, Section, Tab, Visit, domain_of, foreign, head, note, path, record, title,
};
use crate::{
    config::Mode,
    dkim::{key::RSA_BITS_DEFAULT, public::Algorithm},
    doctor::finding::RecordToPublish,
    http::words::Lang,
    signing::{
        life::{Life, Origin, Stage},
        view::KeyView,
        wish::{Refusal, Wish},
        witness::Says,
        words::{self, Words, japanese},
    },
};

/// Keys that are listed.
const KEYS_MAX: usize = 50;
/// Servers of a record that are listed.
const SERVERS_MAX: usize = 40;
/// Letters of what a server says.
const SAYS_CHARS: usize = 300;

fn words_of(lang: Lang, view: &KeyView) -> &Words {
    if lang.japanese { &view.words_ja } else { &view.words }
}

fn human(lang: Lang, duration: std::time::Duration) -> String {
    if lang.japanese { japanese::human(duration) } else { crate::when::human(duration) }
}

fn kind(lang: Lang, life: &Life) -> String {
    match life.algorithm() {
        Algorithm::RsaSha256 if lang.japanese => format!("RSA {}ビット", life.public.bits()),
        Algorithm::RsaSha256 => format!("RSA, {} bits", life.public.bits()),
        Algorithm::Ed25519Sha256 => "Ed25519".to_owned(),
    }
}

fn stage_pill(lang: Lang, view: &KeyView) -> Markup {
    let (class, words) = match view.life.stage {
        Stage::Pending => ("waiting", lang.say("to be published", "公開待ち")),
        Stage::Published => ("scheduled", lang.say("published, waits", "公開済み・切替待ち")),
        Stage::Idle => ("", lang.say("idle", "未使用")),
        Stage::Active if view.signs => ("succeeded", lang.say("signs", "署名中")),
        Stage::Active => ("failed", lang.say("does not sign", "署名停止")),
        Stage::Retiring => ("", lang.say("retiring", "引退中")),
        Stage::Retired => ("", lang.say("retired", "引退")),
    };
    parts::pill(class, words)
}

/// `/domains/NAME/keys`
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    let mut keys = visit.daemon.signing_keys().keys(Some(&domain));
    let known = keys.len();
    // Those that somebody waits for, or that sign, before those that are over.
    keys.sort_by_key(|key| match key.life.stage {
        Stage::Pending | Stage::Published => 0,
        Stage::Active => 1,
        Stage::Idle => 2,
        Stage::Retiring => 3,
        Stage::Retired => 4,
    });
    keys.truncate(KEYS_MAX);
    let is_sandbox = visit.about.mode == Mode::Sandbox;
    let signing = keys.iter().filter(|key| key.signs).count();
    let lead = html! {
        @match signing {
            0 => (visit.say("No key signs for this domain.", "このドメインに署名している鍵はありません。")),
            1 => (visit.say("One key signs this domain's mail.", "1つの鍵がこのドメインのメールに署名しています。")),
            n => {
                (parts::number(n as u64))
                (visit.say(" keys sign this domain's mail.", "個の鍵がこのドメインのメールに署名しています。"))
            }
        }
    };
    let under_way: Vec<&KeyView> = keys.iter().filter(|key| key.life.is_under_way()).collect();
    let content = html! {
        (head(visit, &domain, Tab::Keys, &lead))
        @for key in &under_way { (wizard(visit, &domain, key, &keys)) }
        section {
            h2 { (visit.say("Keys", "鍵の一覧")) }
            @if keys.is_empty() {
                (parts::empty(
                    visit.say("There is no key yet: mail of this domain leaves unsigned, and large receivers refuse that.", "鍵がまだありません。署名のないメールは大手プロバイダーで拒否されます。"),
                    visit.say("Make one below.", "下のフォームで作成してください。"),
                ))
            } @else {
                ul class="findings" { @for key in &keys { li { (card(visit, key)) } } }
                @if known > keys.len() {
                    p class="hint" { (parts::number((known - keys.len()) as u64)) (visit.say(" more: ", "件を省略：")) code { "hikyaku domain keys " (domain) } }
                }
            }
            @if visit.may(Right::Act) && !keys.is_empty() {
                (visit.post(&path(&domain, "/keys/look"), "actions", &html! {
                    button class="plain" { (visit.say("Ask the servers now", "今すぐサーバーに問い合わせる")) }
                }))
            }
        }
        @if is_sandbox {
            p class="note" { (visit.say("In the sandbox nothing leaves, and nothing is signed: keys are not rotated.", "サンドボックスモードではメールは送信されず署名もされないため、鍵のローテーションは行いません。")) }
        } @else if visit.may(Right::Administer) {
            (begin_form(visit, &domain, &keys))
            (back_form(visit, &domain, &keys))
        }
    };
    visit.page(Section::Domains, &title(visit, &domain, Tab::Keys), &content)
}

/// A key, in short, with its record folded away.
fn card(visit: &Visit<'_>, key: &KeyView) -> Markup {
    let (life, said) = (&key.life, words_of(visit.lang, key));
    let origin = match life.origin {
        Origin::Managed => visit.say("made here", "ここで作成"),
        Origin::Configured => visit.say("from the config file", "設定ファイルで指定"),
    };
    html! {
        p class="whom" {
            (stage_pill(visit.lang, key)) " "
            span class="strong" { (foreign(&life.selector, 63)) } " "
            span class="soft" { (kind(visit.lang, life)) " · " (origin) }
            @if let Some(since) = life.signs_since {
                span class="soft" { " · " (visit.say("first signed ", "署名開始 ")) (visit.when_short(since)) }
            }
        }
        @for alarm in &said.alarms { p class="note bad" { (foreign(alarm, 500)) } }
        @if !said.todo.is_empty() { p { (foreign(&said.todo, 500)) } }
        p class="soft" { (foreign(&said.next, 500)) }
        details {
            summary { (visit.say("Record, and what the servers say", "レコードと各サーバーの応答")) }
            (record(visit, &RecordToPublish::txt(life.record_name(), life.record())))
            (servers(visit, key))
        }
    }
}

/// What each server said when it was last asked.
fn servers(visit: &Visit<'_>, key: &KeyView) -> Markup {
    let Some(looked_at) = key.looked_at else {
        return parts::empty(
            visit.say("The DNS was not asked since the start.", "起動後、まだ DNS に問い合わせていません。"),
            "",
        );
    };
    let class = |says: &Says| match says {
        Says::Right => "succeeded",
        Says::Absent | Says::Revoked | Says::Wrong(_) => "failed",
        Says::Refused(_) | Says::Silent(_) | Says::NoWay(_) => "deferred",
    };
    let says = |says: &Says| if visit.lang.japanese { japanese::says(says) } else { says.words() };
    html! {
        p class="soft" { (visit.say("Asked ", "問い合わせ：")) (visit.ago(looked_at)) }
        @if let Some(trouble) = &key.seen.trouble { p class="note bad" { (foreign(trouble, SAYS_CHARS)) } }
        ul class="servers" {
            @for witness in key.seen.witnesses.iter().take(SERVERS_MAX) {
                li {
                    span class={ "dot " (class(&witness.says)) } aria-hidden="true" {}
                    span class="strong" { (foreign(&witness.who(), 300)) } " "
                    span class="soft" { (foreign(&says(&witness.says), SAYS_CHARS)) }
                }
            }
        }
    }
}

/// Where a step stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    Now,
    Later,
}

/// A rotation that is under way, step by step.
fn wizard(visit: &Visit<'_>, domain: &str, key: &KeyView, keys: &[KeyView]) -> Markup {
    let life = &key.life;
    let of_family = |other: &&KeyView| other.life.algorithm() == life.algorithm() && other.signs;
    let before = keys.iter().find(of_family);
    let is_published = life.stage == Stage::Published;
    let (publish, wait) = if is_published { (Step::Done, Step::Now) } else { (Step::Now, Step::Later) };
    let have = key.seen.witnesses.iter().filter(|witness| witness.says == Says::Right).count();
    html! {
        section {
            h2 {
                (visit.say("Rotation under way", "ローテーション進行中"))
                small { (foreign(&life.selector, 63)) " · " (kind(visit.lang, life)) }
            }
            ol class="steps" {
                (step(visit, Step::Done, visit.say("The key is made", "鍵を作成"), &html! { (visit.when(life.made)) }))
                (step(visit, publish, visit.say("Publish its record", "レコードを公開"), &html! {
                    @if !is_published {
                        (record(visit, &RecordToPublish::txt(life.record_name(), life.record())))
                        @if !key.seen.witnesses.is_empty() {
                            p class="soft" {
                                (parts::number(have as u64)) " / " (parts::number(key.seen.witnesses.len() as u64))
                                (visit.say(" servers have it.", " のサーバーにレコードがあります。"))
                            }
                        }
                        (servers(visit, key))
                    }
                }))
                (step(visit, wait, visit.say("Wait until nobody remembers that it was not there", "キャッシュの期限切れを待つ"), &html! {
                    @if is_published { p { (foreign(&words_of(visit.lang, key).next, 500)) } }
                    @else {
                        p class="soft" {
                            (visit.say("As long as the longest TTL: ", "最長の TTL の間：")) (human(visit.lang, life.hold()))
                            (visit.say(" at least.", "以上"))
                        }
                    }
                }))
                (step(visit, Step::Later, visit.say("It signs, by itself", "自動的に署名を開始"), &html! {
                    @if let Some(before) = before {
                        p class="soft" {
                            (visit.say("In the place of ", "切り替え元：")) (foreign(&before.life.selector, 63))
                            (visit.say(", which signs until then.", "（それまではこの鍵が署名します）"))
                        }
                    }
                }))
                (step(visit, Step::Later, visit.say("The key before retires", "前の鍵が引退"), &html! {
                    p class="soft" {
                        (visit.say("Its record stays until the last mail that it signed has left the queue, and a week longer; then this page says that it may go.",
                            "前の鍵で署名した最後のメールがキューから出た後、さらに1週間レコードを残します。削除できる時期になればこのページに表示します。"))
                    }
                }))
            }
            @if visit.may(Right::Administer) {
                div class="actions" {
                    @if !life.hurry {
                        details class="sure" {
                            summary class="button plain" { (visit.say("Switch without waiting…", "待たずに切り替える…")) }
                            p {
                                (visit.say("If the key before has leaked: this key signs as soon as every server has its record. Receivers whose caches remember that it was not there may refuse mail for as long as its TTL.",
                                    "前の鍵が漏れた場合の操作です。すべてのサーバーにレコードが揃い次第、署名を開始します。「レコードなし」をキャッシュしている受信側では、TTL の間メールが拒否される可能性があります。"))
                            }
                            (visit.button(&path(domain, "/keys/rotate"), "danger",
                                &[("algorithm", life.algorithm().key_type()), ("hurry", "1")],
                                visit.say("Switch as soon as it is published", "公開され次第切り替える")))
                        }
                    }
                    details class="sure" {
                        summary class="button plain" { (visit.say("Give it up…", "中止する…")) }
                        p { (visit.say("The new key is forgotten; its record may be removed. What signs now goes on.", "新しい鍵を破棄します。そのレコードは削除してかまいません。現在の鍵がそのまま署名を続けます。")) }
                        (visit.button(&path(domain, "/keys/abort"), "danger", &[("algorithm", life.algorithm().key_type())],
                            visit.say("Give the rotation up", "ローテーションを中止")))
                    }
                }
            }
        }
    }
}

fn step(visit: &Visit<'_>, state: Step, title: &str, content: &Markup) -> Markup {
    let (class, words) = match state {
        Step::Done => ("done", visit.say("done", "完了")),
        Step::Now => ("now", visit.say("now", "現在")),
        Step::Later => ("later", visit.say("later", "これから")),
    };
    html! {
        li class=(class) aria-current=[(state == Step::Now).then_some("step")] {
            p class="strong" { (title) span class="soft" { (parts::bracketed(visit.lang, &html! { (words) })) } }
            (content)
        }
    }
}

/// The form that begins a rotation; there is none while one of each algorithm is under way.
fn begin_form(visit: &Visit<'_>, domain: &str, keys: &[KeyView]) -> Markup {
    let is_free = |algorithm| !keys.iter().any(|key| key.life.algorithm() == algorithm && key.life.is_under_way());
    let mut algorithms: Vec<(&str, &str)> = Vec::new();
    if is_free(Algorithm::RsaSha256) {
        algorithms.push(("rsa", visit.say("RSA (for everybody)", "RSA（標準）")));
    }
    if is_free(Algorithm::Ed25519Sha256) {
        algorithms.push(("ed25519", visit.say("Ed25519 (beside RSA)", "Ed25519（RSA と併用）")));
    }
    html! {
        @if !algorithms.is_empty() {
            section {
                h2 { (if keys.is_empty() { visit.say("Make a key", "鍵を作成") } else { visit.say("Start a rotation", "ローテーションを開始") }) }
                p class="soft" {
                    (visit.say("A new key is made here; you publish its record; it signs once everybody can see it, and the key before retires. Nothing else is to be done.",
                        "新しい鍵をここで作成し、レコードを公開していただくと、全体に行き渡った時点で自動的に署名を開始し、前の鍵は引退します。"))
                }
                (visit.post(&path(domain, "/keys/rotate"), "stack-form", &html! {
                    div class="fields" {
                        (parts::select("algorithm", visit.say("Algorithm", "アルゴリズム"), &algorithms, "rsa"))
                        (parts::select("bits", visit.say("Bits of an RSA key", "RSA の鍵長"),
                            &[("2048", "2048"), ("3072", "3072"), ("4096", "4096")], "2048"))
                        (parts::Field {
                            name: "selector", label: visit.say("Selector", "セレクター"), max: 63,
                            placeholder: visit.say("one of the day", "自動（日付から作成）"),
                            ..parts::Field::default()
                        }.show())
                    }
                    div class="actions" { button { (visit.say("Make the key", "鍵を作成")) } }
                }))
            }
        }
    }
}

/// The form that goes back to the key before, where a key that was made here signs and nothing is under way.
fn back_form(visit: &Visit<'_>, domain: &str, keys: &[KeyView]) -> Markup {
    let signs = |key: &&KeyView| key.life.origin == Origin::Managed && key.life.stage == Stage::Active;
    let is_under_way = |algorithm| keys.iter().any(|key| key.life.algorithm() == algorithm && key.life.is_under_way());
    let has_other = |view: &KeyView| {
        let other = |key: &KeyView| {
            matches!(key.life.stage, Stage::Retiring | Stage::Idle) && key.life.algorithm() == view.life.algorithm()
        };
        keys.iter().any(other)
    };
    html! {
        @for key in keys.iter().filter(signs).filter(|key| has_other(key) && !is_under_way(key.life.algorithm())) {
            section {
                details class="sure" {
                    summary { (visit.say("Go back to the key before", "前の鍵に戻す")) (parts::bracketed(visit.lang, &html! { (kind(visit.lang, &key.life)) })) }
                    p { (visit.say("If receivers refuse what the new key signed: the key before signs again, at once.", "新しい鍵の署名が受信側で拒否される場合の操作です。ただちに前の鍵での署名に戻します。")) }
                    (visit.button(&path(domain, "/keys/abort"), "danger", &[("algorithm", key.life.algorithm().key_type())],
                        visit.say("Go back", "前の鍵に戻す")))
                }
            }
        }
    }
}

/// Begins a rotation, or hurries one.
pub(super) fn rotate(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    let back = path(&domain, "/keys");
    let Some(algorithm) = Algorithm::from_key_type(visit.form.text("algorithm")) else {
        return visit
            .refuse(400, visit.say("The algorithm is RSA or Ed25519.", "アルゴリズムは RSA か Ed25519 です。"));
    };
    let wish = Wish {
        domain: domain.clone(),
        algorithm,
        bits: visit.form.text("bits").parse().unwrap_or(RSA_BITS_DEFAULT),
        selector: visit.form.text("selector").to_owned(),
        hurry: visit.form.flag("hurry"),
    };
    let keys = visit.daemon.signing_keys();
    let made = match block_on(keys.begin(&wish)) {
        Ok(made) => made,
        Err(refusal) => return refused(visit, &back, refusal),
    };
    note(visit, "domain.dkim-rotate", &made.record_name(), if wish.hurry { "without waiting for caches" } else { "" })?;
    // The first look is part of the answer: a record that was published before is seen at once.
    block_on(keys.look_now(&domain));
    let told = match (wish.hurry, visit.lang.japanese) {
        (true, false) => format!("{} signs as soon as every server has its record.", made.selector),
        (true, true) => format!("{} は、すべてのサーバーにレコードが揃い次第署名を開始します。", made.selector),
        (false, false) => format!("The key {} is made. Publish its record now.", made.selector),
        (false, true) => format!("鍵 {} を作成しました。レコードを公開してください。", made.selector),
    };
    visit.done(&back, &Told::good(told))
}

/// Gives a rotation up, or goes back to the key before.
pub(super) fn abort(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    let back = path(&domain, "/keys");
    let algorithm = Algorithm::from_key_type(visit.form.text("algorithm"));
    let told = match block_on(visit.daemon.signing_keys().abort(&domain, algorithm)) {
        Ok(told) => told,
        Err(refusal) => return refused(visit, &back, refusal),
    };
    let detail: Vec<String> = told.iter().map(|t| format!("{}: {}", t.selector, words::sentence(&t.what))).collect();
    note(visit, "domain.dkim-abort", &domain, &detail.join("; "))?;
    let done =
        visit.say("Done. The list says which key signs now.", "実行しました。現在署名している鍵は一覧で確認できます。");
    visit.done(&back, &Told::good(done))
}

/// Asks the servers now.
pub(super) fn look(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    block_on(visit.daemon.signing_keys().look_now(&domain));
    visit.done(
        &path(&domain, "/keys"),
        &Told::good(visit.say("The servers were asked.", "サーバーに問い合わせました。")),
    )
}

fn refused(visit: &Visit<'_>, back: &str, refusal: Refusal) -> Answer {
    if let Refusal::Store(error) = refusal {
        return Err(error.into());
    }
    let words = if visit.lang.japanese { refusal.japanese() } else { refusal.to_string() };
    visit.done(back, &Told::bad(words))
}
