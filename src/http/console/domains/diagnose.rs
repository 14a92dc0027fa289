//! Why mail of a domain is refused: the question, and the likely causes with what speaks for them (R10).

use std::time::Duration;

use maud::{Markup, html};

use super::{super::parts, Answer, Args, Section, Tab, Visit, domain_of, foreign, head, language, path, title};
use crate::{
    diagnose::NoDiagnosis,
    http::rows_diagnose::{AnswerOut, CauseOut, DiagnosisOut, Wrong, question_of},
};

/// Hours that may be looked back, with their words.
const PERIODS: [(&str, &str, &str); 4] =
    [("6", "6 hours", "6時間"), ("24", "24 hours", "24時間"), ("72", "3 days", "3日間"), ("168", "7 days", "7日間")];
/// The period when nothing is said.
const HOURS: u64 = 24;
/// Letters of an answer of a server.
const REPLY_CHARS: usize = 300;
/// Letters of a sentence.
const SENTENCE_CHARS: usize = 1_000;

/// `/domains/NAME/diagnose`
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    show(visit, &domain, None)
}

/// Diagnoses.
pub(super) fn run(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    let hours = visit.form.text("hours").parse().unwrap_or(HOURS);
    let destination = visit.form.text("destination");
    let from = visit.now.minus(Duration::from_secs(hours.saturating_mul(3_600)));
    let question = match question_of(&domain, destination, (from, visit.now), "") {
        Ok(question) => question,
        Err(Wrong::Domain) => {
            return visit.refuse(400, visit.say("This is no domain name.", "ドメイン名ではありません。"));
        }
        Err(Wrong::Destination) => {
            return visit.refuse(400, visit.say(
                "The destination is a domain, a host, or a provider such as gmail. Go back and write it so.",
                "宛先ドメインには、ドメイン・ホスト名、または gmail などのプロバイダー名を入力してください。前のページに戻って修正してください。",
            ));
        }
        Err(Wrong::Period) => {
            return visit
                .refuse(400, visit.say("The period is none that can be looked at.", "この期間は指定できません。"));
        }
    };
    let diagnosis = match visit.daemon.diagnose(&question) {
        Ok(diagnosis) => diagnosis,
        Err(NoDiagnosis::Busy) => {
            return visit.refuse(
                503,
                visit.say(
                    "Other diagnoses are running. Go back and try again in a few seconds.",
                    "ほかの診断を実行中です。数秒後にもう一度お試しください。",
                ),
            );
        }
        Err(NoDiagnosis::Store(error)) => return Err(error.into()),
    };
    let out = DiagnosisOut::of(&diagnosis, language(visit.lang), &visit.about.zone);
    show(visit, &domain, Some(&out))
}

fn show(visit: &Visit<'_>, domain: &str, found: Option<&DiagnosisOut>) -> Answer {
    let lead = html! {
        (visit.say("Why is this domain's mail refused? The log, the DNS, the delivery-speed rules and the days before are compared.",
            "このドメインのメールが拒否される理由を、ログ・DNS・配信速度の設定・過去の傾向から調べます。"))
    };
    let periods: Vec<(&str, &str)> = PERIODS.iter().map(|(value, en, ja)| (*value, visit.say(en, ja))).collect();
    let hours = Some(visit.form.text("hours")).filter(|hours| !hours.is_empty()).unwrap_or("24");
    let destination = visit.form.text("destination");
    let content = html! {
        (head(visit, domain, Tab::Diagnose, &lead))
        section {
            (visit.post(&path(domain, "/diagnose"), "stack-form", &html! {
                div class="fields" {
                    (parts::select("hours", visit.say("Looked back", "対象期間"), &periods, hours))
                    (parts::Field {
                        name: "destination", label: visit.say("Destination", "宛先ドメイン"), value: destination, max: 253,
                        placeholder: visit.say("all of them; or gmail, docomo.ne.jp …", "すべて（または gmail、docomo.ne.jp など）"),
                        ..parts::Field::default()
                    }.show())
                }
                div class="actions" {
                    button { (visit.say("Diagnose", "診断する")) }
                    span class="soft" { (visit.say("Takes some seconds.", "数秒かかります。")) }
                }
            }))
        }
        @if let Some(found) = found { (result(visit, found)) }
    };
    visit.page(Section::Domains, &title(visit, domain, Tab::Diagnose), &content)
}

fn result(visit: &Visit<'_>, found: &DiagnosisOut) -> Markup {
    html! {
        section {
            h2 { (visit.say("What happened", "状況")) }
            (parts::figures(&[
                ("delivered", visit.say("Delivered", "配信済み"), found.delivered),
                ("deferred", visit.say("Tries deferred", "再送待ちとなった試行"), found.deferred),
                ("failed", visit.say("Failed", "失敗"), found.failed),
                ("failed", visit.say("Bounced later", "不達通知"), found.bounced),
            ]))
            ul class="notes" { @for sentence in &found.summary { li { (foreign(sentence, SENTENCE_CHARS)) } } }
        }
        section {
            h2 { (visit.say("Likely causes", "考えられる原因")) small { (visit.say("the likeliest first", "可能性の高い順")) } }
            @if found.causes.is_empty() {
                (parts::empty(
                    visit.say("Nothing stands out.", "目立った原因は見つかりませんでした。"),
                    visit.say("Look at the answers below, or ask for a longer period.", "下の応答を確認するか、期間を長くしてお試しください。"),
                ))
            } @else {
                ul class="findings" { @for cause in &found.causes { li { (cause_card(visit, cause)) } } }
            }
        }
        @if !found.answers.is_empty() { (answers(visit, &found.answers)) }
    }
}

fn cause_card(visit: &Visit<'_>, cause: &CauseOut) -> Markup {
    let class = match cause.certainty.as_str() {
        "likely" => "failed",
        "possible" => "deferred",
        _ => "",
    };
    html! {
        p class="whom" {
            (parts::pill(class, &cause.certainty_says)) " "
            span class="strong" { (foreign(&cause.title, 300)) }
        }
        @if !cause.figures.is_empty() {
            ul class="notes" { @for figure in &cause.figures { li { (foreign(&figure.says, SENTENCE_CHARS)) } } }
        }
        @if !cause.next.is_empty() {
            p class="strong next" { (visit.say("What to do", "対応")) }
            ol class="notes" { @for next in &cause.next { li { (parts::with_code(next, SENTENCE_CHARS)) } } }
        }
    }
}

fn answers(visit: &Visit<'_>, answers: &[AnswerOut]) -> Markup {
    html! {
        section {
            h2 { (visit.say("What was answered", "受信側の応答")) small { (visit.say("most often first", "多い順")) } }
            table class="stack" {
                thead {
                    tr {
                        th { (visit.say("Answer", "応答")) }
                        th { (visit.say("Destination", "宛先ドメイン")) }
                        th class="number" { (visit.say("Times", "回数")) }
                        th class="number" { (visit.say("For good", "うち失敗")) }
                        th class="number" { (visit.say("Recipients", "宛先数")) }
                    }
                }
                tbody {
                    @for answer in answers {
                        tr {
                            td class="wide" { span class="clip" { (foreign(&answer.reply, REPLY_CHARS)) } }
                            td class="destination" { (foreign(&answer.destination, 253)) }
                            td class="number" data-label=(visit.say("Times", "回数")) { (parts::number(answer.events)) }
                            td class="number" data-label=(visit.say("For good", "うち失敗")) { (parts::number(answer.failed)) }
                            td class="number" data-label=(visit.say("Recipients", "宛先数")) { (parts::number(answer.recipients)) }
                        }
                    }
                }
            }
        }
    }
}
