//! Where mail in a domain's name comes from: our own, known senders', others'.

use maud::{Markup, html};

use super::{
    super::parts, Answer, Args, ROWS_MAX, Section, Tab, Visit, filters, foreign, head, left_out, made, overview,
    percent, query_of, title, who_pill,
};
use crate::dmarc::{
    row::Tally,
    views::{SourceOut, Who},
};

/// Letters that are searched for.
const SEARCH_CHARS: u32 = 253;

/// `/dmarc/NAME/sources`
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let query = query_of(visit, args)?;
    let overview = match overview(visit, &query, Tab::Sources) {
        Ok(overview) => overview,
        Err(answer) => return answer,
    };
    let (who, asked) = (visit.request.param("who"), visit.request.param("q").trim().to_ascii_lowercase());
    let only_failing = visit.request.flag("failing");
    let fits = |source: &&SourceOut| {
        let is_who = match (who, &source.who) {
            ("relay", Who::ThisRelay) | ("known", Who::KnownSender(_)) | ("unknown", Who::Unknown) => true,
            ("relay" | "known" | "unknown", _) => false,
            (_, _) => true,
        };
        let is_named = asked.is_empty()
            || source.name.contains(&asked)
            || source.source.to_string().contains(&asked)
            || source.who.word().to_lowercase().contains(&asked);
        is_who && is_named && (!only_failing || source.tally.spoofed > 0)
    };
    let rows: Vec<&SourceOut> = overview.sources.iter().filter(fits).collect();
    let from: usize = visit.request.param("cursor").parse().unwrap_or(0).min(rows.len());
    let next = (from + ROWS_MAX < rows.len()).then(|| (from + ROWS_MAX).to_string());
    let lead = html! {
        (parts::number(overview.sources_known)) (visit.say(" sources, those with the most mails first.", " の送信元（メール数の多い順）"))
    };
    let more = html! {
        (parts::select("who", visit.say("Whose", "送信元の種類"), &[
            ("", visit.say("all", "すべて")),
            ("relay", visit.say("this relay", "このリレー")),
            ("known", visit.say("known senders", "既知の送信元")),
            ("unknown", visit.say("unknown", "不明")),
        ], who))
        (parts::Field { name: "q", label: visit.say("Address or name", "アドレスまたは名前"), value: &asked, kind: "search", max: SEARCH_CHARS, ..parts::Field::default() }.show())
        (parts::check_box("failing", "1", visit.say("Only those whose mail fails", "不合格のある送信元のみ"), only_failing))
    };
    let content = html! {
        (head(visit, &query, Tab::Sources, &lead))
        (left_out(visit, &overview.report.left_out))
        section {
            (filters(visit, &query, "/sources", &more))
            @if rows.is_empty() {
                (parts::empty(visit.say("No source fits.", "該当する送信元はありません。"), visit.say("Ask for less, or for a longer period.", "条件を減らすか、期間を長くしてください。")))
            } @else {
                (table(visit, &rows[from..rows.len().min(from + ROWS_MAX)]))
            }
            @if next.is_none() && overview.others.messages > 0 { (others(visit, &overview.others)) }
            (parts::pager(visit, next.as_deref(), None))
            p class="hint tail" {
                (visit.say("Added up ", "集計：")) (made(visit, overview.made_at))
                @if overview.is_unfinished { " · " (visit.say("Names are still looked up: load the page again in a moment.", "名前を確認中です。しばらくしてから再読み込みしてください。")) }
            }
        }
        section {
            h2 { (visit.say("A source is yours and unknown here?", "「不明」の中に自社の送信元がある場合")) }
            p class="soft" {
                (visit.say("Name the service that sends for you in the config file, by the domain of its SPF include or by the name of its hosts; then its mail is told apart here.",
                    "代わりに送信しているサービスを、SPF の include に使うドメイン、またはホスト名の末尾で設定ファイルに登録すると、ここで区別して表示されます。"))
            }
            (parts::copyable("[[dmarc.sender]]\nname = \"Newsletter service\"\ninclude = \"spf.service.example\"\nrdns = \".mail.service.example\""))
        }
    };
    visit.page(Section::Dmarc, &title(&query), &content)
}

fn table(visit: &Visit<'_>, rows: &[&SourceOut]) -> Markup {
    let mails = visit.say("Mails", "メール数");
    let (dkim, spf) = (visit.say("DKIM passed", "DKIM 合格"), visit.say("SPF passed", "SPF 合格"));
    let (failed, acted) = (visit.say("Failed", "不合格"), visit.say("Put aside or refused", "隔離・拒否"));
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Source", "送信元")) }
                    th { (visit.say("Whose", "種類")) }
                    th class="number" { (mails) }
                    th class="number" { (dkim) }
                    th class="number" { (spf) }
                    th class="number" { (failed) }
                    th class="number" { (acted) }
                    th { (visit.say("Seen", "期間")) }
                }
            }
            tbody {
                @for row in rows {
                    tr class=[(row.who == Who::ThisRelay).then_some("own")] {
                        td class="destination" {
                            span class="mono" { (row.source) }
                            span class="reply block" {
                                @if !row.name.is_empty() { (foreign(&row.name, 253)) }
                                @else if row.is_looked_up { (visit.say("no name that leads back", "確認できる逆引き名なし")) }
                                @else { (visit.say("name is looked up", "名前を確認中")) }
                            }
                        }
                        td { (who_pill(visit, &row.who)) }
                        td class="number big" data-label=(mails) { (parts::number(row.tally.messages)) }
                        td class="number" data-label=(dkim) { (percent(row.tally.dkim, row.tally.messages)) }
                        td class="number" data-label=(spf) { (percent(row.tally.spf, row.tally.messages)) }
                        td class="number" data-label=(failed) {
                            (parts::number(row.tally.spoofed))
                            @if row.tally.forwarded > 0 { span class="reply block" { (parts::number(row.tally.forwarded)) (visit.say(" forwarded", " 転送")) } }
                        }
                        td class="number" data-label=(acted) { (parts::number(row.tally.quarantine.saturating_add(row.tally.reject))) }
                        td class="reply wide" {
                            span class="nowrap" { (row.first_day) } " – " span class="nowrap" { (row.last_day) }
                            span class="block" {
                                (parts::number(row.reporters))
                                @if row.reporters == 1 { (visit.say(" reporter", " 組織が報告")) } @else { (visit.say(" reporters", " 組織が報告")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn others(visit: &Visit<'_>, others: &Tally) -> Markup {
    html! {
        p class="hint" {
            (visit.say("Further sources together: ", "ほかの送信元の合計："))
            (parts::number(others.messages)) (visit.say(" mails, failed: ", " 通、不合格：")) (parts::number(others.spoofed)) ". "
            code { "hikyaku dmarc sources" }
        }
    }
}
