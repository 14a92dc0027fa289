//! The attachments of a mail: a list, and each as a file.

use maud::{Markup, html};

use super::super::{
    Answer, Missing, Right, Visit,
    mail::note_download,
    parts::{foreign, number, size},
};
use crate::{
    http::exchange::{Response, percent_encode},
    ids::MessageId,
    mail::parts::{Part, Parts},
};

/// Attachments that are listed.
const LISTED_MAX: usize = 100;

/// The list, each with a link to its file.
pub(super) fn list(visit: &Visit<'_>, id: MessageId, parts: &Parts<'_>) -> Markup {
    let all = &parts.attachments;
    html! {
        section {
            h2 { (visit.say("Attachments", "添付ファイル")) small { (number(all.len() as u64)) } }
            ul class="rows" {
                @for (n, part) in all.iter().take(LISTED_MAX).enumerate() {
                    @let row = row(part, n + 1);
                    li {
                        @if visit.may(Right::Download) {
                            a class="row mail" href={ "/sandbox/" (id) "/part/" (n + 1) } download { (row) }
                        } @else {
                            div class="row mail" { (row) }
                        }
                    }
                }
            }
            @if all.len() > LISTED_MAX {
                p class="hint" { (visit.say("The first 100 are listed; the download of the mail has all.", "先頭の100件を表示しています。すべてはメールのダウンロードに含まれます。")) }
            }
        }
    }
}

fn row(part: &Part<'_>, n: usize) -> Markup {
    html! {
        span class="what" {
            span class="strong" { (foreign(&part.file_name(n), 200)) }
            span class="reply mono" { (foreign(&part.content_type, 100)) }
        }
        span class="soft nowrap" { (size(part.bytes().len() as u64)) }
    }
}

/// One of them as a file, whatever it says it is: no browser renders or runs it here.
pub(super) fn download(visit: &Visit<'_>, id: MessageId, n: &str) -> Answer {
    let n: usize = n.parse().map_err(|_| Missing::Nothing)?;
    let (_, source) = visit.daemon.sandbox_read(id)?.ok_or(Missing::Nothing)?;
    let parts = Parts::of(&source);
    let part = n.checked_sub(1).and_then(|at| parts.attachments.get(at)).ok_or(Missing::Nothing)?;
    let (name, octets) = (percent_encode(&part.file_name(n)), part.bytes().into_owned());
    note_download(visit, id, octets.len() as u64)?;
    Ok(Response::new(200, "application/octet-stream", octets)
        .with("Content-Disposition", format!("attachment; filename*=UTF-8''{name}")))
}
