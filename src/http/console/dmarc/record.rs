//! Writes a domain's record: a new one from what is wanted, or a better one from an old one; with what each tag means.
//!
//! Always: our own report address is in it (R2); what is shown needs no DNS; the DNS is asked only when the form says so.

use maud::{Markup, html};

use super::{
    super::{domains, parts},
    Answer, Args, DOMAIN_CHARS, Section, Visit, foreign,
};
use crate::{
    dmarc::{
        generate::{self, Authorisation, Changed, Wanted},
        monitor::{LookedUp, domain_named},
        record::{FailureOptions, Mode, Policy, Record},
        tree_walk::{Discovery, Whence},
    },
    doctor::finding::RecordToPublish,
    http::exchange::Method,
    smtp::address::Mailbox,
};

/// Addresses for reports, beside ours.
const ADDRESSES_MAX: usize = 10;
/// Letters of an old record that are read.
const OLD_CHARS: usize = 2_000;

/// What the form has: of the query, or of the body when the DNS is asked, too.
struct Asked<'a> {
    visit: &'a Visit<'a>,
    is_act: bool,
}

impl Asked<'_> {
    fn text(&self, name: &str) -> &str {
        if self.is_act { self.visit.form.text(name) } else { self.visit.request.param(name).trim() }
    }

    fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name), "" | "0")
    }

    /// The addresses of a field.
    fn addresses(&self, name: &str) -> Result<Vec<Mailbox>, String> {
        let words = self.text(name).split([',', '\n', ' ', '\r', '\t']).map(str::trim).filter(|word| !word.is_empty());
        let bare = words.map(|word| word.strip_prefix("mailto:").unwrap_or(word));
        bare.take(ADDRESSES_MAX).map(|word| Mailbox::parse(word).map_err(|_| word.to_owned())).collect()
    }
}

/// The fields that are carried from one form to the other.
const FIELDS: [&str; 10] = ["domain", "p", "sp", "np", "adkim", "aspf", "t", "rua", "ruf", "old"];

/// `/dmarc/record`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let asked = Asked { visit, is_act: visit.request.method == Method::Post };
    let ours = visit.daemon.dmarc().report_address();
    let title = visit.say("Write a DMARC record", "DMARCレコードの作成");
    let lead = visit.say(
        "Say what receivers should do with mail that fails; the record has this relay's report address in it.",
        "認証に失敗したメールの扱いを選ぶと、当サーバーのレポート受信アドレスを含むレコードを作成します。",
    );
    let written = match asked.text("domain") {
        "" => None,
        text => Some(match domain_named(text).filter(|domain| domain.contains('.')) {
            Some(domain) => write(&asked, &domain, ours.as_ref()).map(|(record, changes)| (domain, record, changes)),
            None => Err(visit
                .say(
                    "That is no domain name. Write it as example.jp.",
                    "ドメイン名ではありません。example.jp のように入力してください。",
                )
                .to_owned()),
        }),
    };
    let looked_up = match &written {
        Some(Ok((domain, record, _))) if asked.is_act => Some(visit.daemon.dmarc().look_up(domain, Some(record))),
        _ => None,
    };
    let content = html! {
        (parts::back_to(visit, "/dmarc", visit.say("DMARC monitor", "DMARCモニター")))
        (parts::heading(title, lead))
        @if ours.is_none() {
            p class="note bad" {
                (visit.say("No report address is set: set [bounce] report_address in the config file and reload, or no report will arrive here.",
                    "レポートの受信アドレスが設定されていません。設定ファイルの [bounce] report_address を設定して再読み込みしないと、レポートが届きません。"))
            }
        }
        @match &written {
            Some(Ok((domain, record, changes))) => (result(&asked, domain, record, changes, looked_up.as_ref(), ours.as_ref())),
            Some(Err(words)) => p class="note bad" { (foreign(words, 400)) },
            None => {}
        }
        (form(&asked))
    };
    visit.page(Section::Dmarc, title, &content)
}

/// The record that was asked for.
fn write(asked: &Asked<'_>, _domain: &str, ours: Option<&Mailbox>) -> Result<(Record, Vec<Changed>), String> {
    let visit = asked.visit;
    let bad_address = |word: String| {
        if visit.lang.japanese {
            format!("{word} はメールアドレスではありません。")
        } else {
            format!("{word} is no mail address.")
        }
    };
    let (rua, ruf) = (asked.addresses("rua").map_err(bad_address)?, asked.addresses("ruf").map_err(bad_address)?);
    let old = parts::clip(asked.text("old"), OLD_CHARS);
    if !old.is_empty() {
        let mut upgraded = generate::upgrade(&old, ours).map_err(|_| {
            visit
                .say(
                    "The old record does not begin with v=DMARC1, or is too long.",
                    "元のレコードが v=DMARC1 で始まっていないか、長すぎます。",
                )
                .to_owned()
        })?;
        rua.iter().for_each(|address| upgraded.add_report_address(address));
        return Ok((upgraded.record, upgraded.changes));
    }
    let mode = |name| if asked.text(name) == "s" { Mode::Strict } else { Mode::Relaxed };
    let mut all: Vec<Mailbox> = ours.into_iter().cloned().collect();
    all.extend(rua);
    let wanted = Wanted {
        p: Policy::read(asked.text("p")).unwrap_or_default(),
        sp: Policy::read(asked.text("sp")),
        np: Policy::read(asked.text("np")),
        adkim: mode("adkim"),
        aspf: mode("aspf"),
        testing: asked.flag("t"),
        rua: all,
        fo: FailureOptions { any: !ruf.is_empty(), ..FailureOptions::default() },
        ruf,
        ..Wanted::default()
    };
    Ok((generate::build(&wanted), Vec::new()))
}

fn form(asked: &Asked<'_>) -> Markup {
    let visit = asked.visit;
    let none = visit.say("none: only report", "none：レポートのみ");
    let quarantine = visit.say("quarantine: put it aside", "quarantine：迷惑メールとして隔離");
    let reject = visit.say("reject: refuse it", "reject：受信を拒否");
    let policies = [("none", none), ("quarantine", quarantine), ("reject", reject)];
    let below: Vec<(&str, &str)> = [("", visit.say("the same", "同じ"))].into_iter().chain(policies).collect();
    let modes = [
        ("r", visit.say("relaxed: same organisation", "relaxed：同じ組織のドメイン")),
        ("s", visit.say("strict: same name", "strict：完全に同じドメイン")),
    ];
    html! {
        section {
            h2 { (visit.say("What is wanted", "設定内容")) }
            (visit.ask("/dmarc/record", "stack-form", &html! {
                div class="fields" {
                    (parts::Field { name: "domain", label: visit.say("Domain", "ドメイン"), value: asked.text("domain"), required: true, max: 253, placeholder: "example.jp", ..parts::Field::default() }.show())
                    (parts::select("p", visit.say("Mail that fails", "認証に失敗したメール"), &policies, asked.text("p")))
                    (parts::select("sp", visit.say("… of subdomains", "サブドメインの場合"), &below, asked.text("sp")))
                    (parts::select("np", visit.say("… of names that do not exist", "存在しないサブドメインの場合"), &below, asked.text("np")))
                    (parts::select("adkim", visit.say("Alignment of DKIM", "DKIM の照合"), &modes, asked.text("adkim")))
                    (parts::select("aspf", visit.say("Alignment of SPF", "SPF の照合"), &modes, asked.text("aspf")))
                    (parts::text_area("rua", visit.say("Further addresses for reports", "レポートの追加の送り先"), asked.text("rua"), 2,
                        visit.say("One a line; ours is added by itself.", "1行に1つ。当サーバーのアドレスは自動で入ります。")))
                    (parts::Field { name: "ruf", label: visit.say("Address for failed mails (ruf)", "失敗レポートの送り先（ruf）"), value: asked.text("ruf"), max: 500, ..parts::Field::default() }.show())
                    (parts::check_box("t", "1", visit.say("Being tested (t=y): one level below the policy", "試験中（t=y）：ポリシーより一段階弱い扱い"), asked.flag("t")))
                    (parts::text_area("old", visit.say("Or: an old record to make better", "または、改善する既存のレコード"), asked.text("old"), 2,
                        visit.say("Then its policies stay, and the fields above but the addresses do not count.", "この場合はポリシーをそのまま引き継ぎ、送り先以外の上の設定は使いません。")))
                }
                div class="actions" { button { (visit.say("Write the record", "レコードを作成")) } }
            }))
        }
    }
}

fn result(
    asked: &Asked<'_>,
    domain: &str,
    record: &Record,
    changes: &[Changed],
    looked_up: Option<&LookedUp>,
    ours: Option<&Mailbox>,
) -> Markup {
    let visit = asked.visit;
    let language = domains::language(visit.lang);
    let to_publish = RecordToPublish::txt(format!("_dmarc.{domain}"), record.to_string());
    html! {
        section {
            h2 { (visit.say("The record", "作成したレコード")) small { (foreign(domain, DOMAIN_CHARS)) } }
            (domains::record(visit, &to_publish))
            @if !changes.is_empty() {
                h3 { (visit.say("What was changed", "変更点")) }
                ul class="notes" { @for change in changes { li { (foreign(&change.text(language), 600)) } } }
            }
            details {
                summary { (visit.say("What each tag means", "各タグの意味")) }
                table class="stack" {
                    tbody {
                        @for tag in generate::explain(record, language) {
                            tr {
                                td class="mono" {
                                    @if tag.is_default { span class="soft" { (tag.tag) "=" (foreign(&tag.value, 120)) } }
                                    @else { (tag.tag) "=" (foreign(&tag.value, 300)) }
                                }
                                td class="wide" { (foreign(&tag.text, 600)) }
                            }
                        }
                    }
                }
            }
            @match looked_up {
                Some(looked_up) => (today(visit, domain, looked_up, ours)),
                None => {
                    (visit.post("/dmarc/record", "actions", &html! {
                        @for name in FIELDS { input type="hidden" name=(name) value=(asked.text(name)); }
                        button class="plain" { (visit.say("Ask the DNS", "DNS に問い合わせる")) }
                        span class="soft" { (visit.say("What is there today, and who else must allow the reports.", "現在のレコードと、レポートの受け取りに必要なほかのレコードを確認します。")) }
                    }))
                }
            }
        }
    }
}

/// What the DNS says today, and what must be published elsewhere.
fn today(visit: &Visit<'_>, domain: &str, looked_up: &LookedUp, ours: Option<&Mailbox>) -> Markup {
    html! {
        h3 { (visit.say("Today", "現在の状態")) }
        @match &looked_up.found {
            None => p { (visit.say("The DNS did not answer in time. Try again later.", "DNS の回答が時間内に得られませんでした。後でお試しください。")) },
            Some(found) => {
                p { (applies(visit, found)) }
                @if let (Some(text), Some(record)) = (&found.text, &found.record) {
                    (parts::copyable(text))
                    @if ours.is_some_and(|ours| !record.reports_to(ours)) {
                        p class="note bad spaced" { (visit.say("It does not name this relay's report address: no report arrives here.", "当サーバーのレポート受信アドレスが含まれていないため、レポートが届きません。")) }
                    }
                    @if found.whence == Some(Whence::Own) {
                        p class="actions" {
                            a class="button plain" href=(visit.href(&format!("/dmarc/record?domain={}&old={}",
                                crate::http::exchange::percent_encode(domain), crate::http::exchange::percent_encode(&parts::clip(text, OLD_CHARS))))) {
                                (visit.say("Make this one better instead", "このレコードを改善する"))
                            }
                        }
                    }
                }
            }
        }
        h3 { (visit.say("Elsewhere", "ほかのドメインに必要なレコード")) }
        @match &looked_up.authorisations {
            None => p { (visit.say("The DNS did not say whether the report addresses belong to another organisation. Try again later.", "レポートの送り先が別の組織かどうかを確認できませんでした。後でお試しください。")) },
            Some(needed) if needed.is_empty() => p { (visit.say("Nothing: all report addresses are of the same organisation.", "ありません。レポートの送り先はすべて同じ組織のドメインです。")) },
            Some(needed) => ul class="findings" { @for one in needed { li { (authorisation(visit, one)) } } },
        }
    }
}

fn applies(visit: &Visit<'_>, found: &Discovery) -> Markup {
    let at = found.policy_domain.as_deref().unwrap_or_default();
    html! {
        @match (found.whence, &found.trouble) {
            (Some(Whence::Own), _) => (visit.say("The domain has a record of its own:", "このドメイン自身のレコードがあります。")),
            (Some(Whence::Organizational | Whence::PublicSuffix), _) => {
                (visit.say("It has none of its own; that of this domain applies: ", "自身のレコードはなく、次のドメインのレコードが適用されます："))
                span class="strong" { (foreign(at, DOMAIN_CHARS)) } (parts::bracketed(visit.lang, &html! { (found.tag) "=" (found.effective.word()) }))
            }
            (None, Some(_)) => (visit.say("The DNS did not say which record applies.", "どのレコードが適用されるか、DNS の回答がありませんでした。")),
            (None, None) => (visit.say("No record applies today: neither its own name nor one above it has one.", "適用されるレコードはありません（上位のドメインにもありません）。")),
        }
    }
}

fn authorisation(visit: &Visit<'_>, one: &Authorisation) -> Markup {
    let (class, words) = match one.is_published {
        Some(true) => ("succeeded", visit.say("published", "公開済み")),
        Some(false) => ("deferred", visit.say("missing", "未公開")),
        None => ("", visit.say("the DNS did not say", "DNS の回答なし")),
    };
    html! {
        p class="whom" { (parts::pill(class, words)) " " (visit.say("so that reports may go to ", "レポートの送り先：")) (foreign(one.address.as_str(), 320)) }
        @if one.is_published != Some(true) { (domains::record(visit, &RecordToPublish::txt(one.name.clone(), one.text))) }
    }
}
