//! Reports by file: what somebody collected elsewhere, brought here.

use maud::html;

use super::{super::Told, super::parts, Answer, Args, Section, Visit};
use crate::{dmarc::row::By, store::AuditEntry};

/// Reasons that are told.
const REASONS_MAX: usize = 3;

/// `/dmarc/import`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let title = visit.say("Import reports", "レポートの取り込み");
    let lead = visit.say(
        "Reports that came somewhere else: a mail, an mbox, XML, or any of them in zip or gzip. What is known already counts once.",
        "ほかの場所に届いていたレポートを取り込みます。メール、mbox、XML、またはその zip・gzip に対応しています。すでにあるものは二重に集計されません。",
    );
    let content = html! {
        (parts::back_to(visit, "/dmarc", visit.say("DMARC monitor", "DMARCモニター")))
        (parts::heading(title, lead))
        section {
            (visit.post_file("/dmarc/import", "stack-form", &html! {
                (parts::Field { name: "report", label: visit.say("File", "ファイル"), kind: "file", required: true,
                    hint: visit.say("You vouch for it: its reports count as if their sender were proven.", "取り込んだレポートは、送信者を確認済みのものとして集計します。"),
                    ..parts::Field::default() }.show())
                div class="actions" { button { (visit.say("Import", "取り込む")) } }
            }))
            p class="soft" {
                (visit.say("Many or large files at once: ", "多数または大きなファイルの場合：")) code { "hikyaku dmarc import FILE…" }
            }
        }
    };
    visit.page(Section::Dmarc, title, &content)
}

/// Takes the file.
pub(super) fn take(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let Some(file) = visit.form.file("report") else {
        return visit.refuse(
            400,
            visit.say(
                "No file was chosen. Go back and choose one.",
                "ファイルが選択されていません。前のページに戻って選択してください。",
            ),
        );
    };
    let done = visit.daemon.dmarc().import(&[("upload".to_owned(), file)], By::File)?;
    if let Some(error) = done.first().map(|file| file.error.as_str()).filter(|error| !error.is_empty()) {
        let words = if visit.lang.japanese {
            format!(
                "ファイルを読み取れませんでした（{}）。DMARC レポートのファイルか確認してください。",
                parts::clip(error, 200)
            )
        } else {
            format!("Nothing was taken: {}. See that the file is a DMARC report.", parts::clip(error, 200))
        };
        return visit.refuse(400, words);
    }
    let reports = || done.iter().flat_map(|file| &file.reports);
    let count = |became: &str| reports().filter(|report| report.became == became).count();
    let (new, known, refused) = (count("new"), count("known"), count("refused"));
    let entry = AuditEntry {
        at: visit.now,
        who: visit.who(),
        from: visit.from(),
        act: "dmarc.import".to_owned(),
        object: "upload".to_owned(),
        detail: format!("{new} new, {known} known, {refused} refused"),
    };
    visit.daemon.audit(entry)?;
    let mut words = if visit.lang.japanese {
        format!("{new} 件を取り込みました（既存 {known} 件、対象外 {refused} 件）。")
    } else {
        format!("{new} reports were taken, {known} were known already, {refused} were refused.")
    };
    for why in reports().map(|report| report.why.as_str()).filter(|why| !why.is_empty()).take(REASONS_MAX) {
        words.push(' ');
        words.push_str(&parts::clip(why, 120));
    }
    let told = if new + known > 0 { Told::good(words) } else { Told::bad(words) };
    visit.done("/dmarc", &told)
}
