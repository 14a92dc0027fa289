//! A mail as its reader would see it, as text, and as it is.

use maud::{Markup, html};

use super::super::{
    Visit,
    parts::{bracketed, clean, clean_lines, clip, empty, foreign, number},
};
use crate::{
    ids::MessageId,
    mail::{
        html_view::html_view,
        mime_walk::{View, cut, view},
        parts::Parts,
    },
};

/// Octets of source shown in the page; the download has all.
const SOURCE_MAX: usize = 96 * 1024;
/// Octets of text shown in the page.
const TEXT_MAX: usize = 96 * 1024;
/// Octets of all header values shown in the page.
const HEADERS_MAX: usize = 64 * 1024;
/// Letters of one header's value.
const HEADER_MAX: usize = 4_000;
/// Letters of a link.
const LINK_MAX: usize = 300;

/// The frame, and what is not in it.
pub(super) fn html(visit: &Visit<'_>, id: MessageId, parts: &Parts<'_>) -> Markup {
    let Some(view) = html_view(parts) else { return text_is_left_out(visit) };
    let ja = visit.lang.japanese;
    let mut notes: Vec<String> = Vec::new();
    if view.remote > 0 {
        let n = number(view.remote as u64);
        notes.push(match (ja, view.remote) {
            (true, _) => format!("外部から読み込む画像・スタイル {n} 件は表示していません。"),
            (false, 1) => "1 picture or style from elsewhere is not loaded.".to_owned(),
            (false, _) => format!("{n} pictures and styles from elsewhere are not loaded."),
        });
    }
    if view.pictures_missing > 0 {
        let n = number(view.pictures_missing as u64);
        notes.push(match (ja, view.pictures_missing) {
            (true, _) => format!("cid: で参照された画像 {n} 件が見つからないか、大きすぎます。"),
            (false, 1) => "1 picture named by cid: is not in the mail, or is too large.".to_owned(),
            (false, _) => format!("{n} pictures named by cid: are not in the mail, or are too large."),
        });
    }
    if view.is_cut {
        notes.push(
            visit
                .say("The HTML is very long: its end is left out.", "HTML が非常に長いため、末尾を省略しています。")
                .into(),
        );
    }
    html! {
        @if !notes.is_empty() { p class="hint" { (notes.join(" ")) } }
        iframe class="mail-frame" sandbox="" loading="lazy" referrerpolicy="no-referrer" src={ "/sandbox/" (id) "/frame" }
            title=(visit.say("The mail as HTML; scripts, forms and links do nothing in it", "メールの HTML 表示（スクリプト・フォーム・リンクは動作しません）")) {}
        @if !view.links.is_empty() {
            details class="spaced" {
                summary { (visit.say("Its links", "メール内のリンク")) (bracketed(visit.lang, &html! { (number(view.links.len() as u64)) })) }
                ul class="notes links" {
                    @for link in &view.links {
                        li { a class="mono" href=(link) rel="noreferrer noopener nofollow" target="_blank" { (foreign(link, LINK_MAX)) } }
                    }
                }
            }
        }
    }
}

fn text_is_left_out(visit: &Visit<'_>) -> Markup {
    empty(visit.say("This mail has no HTML.", "HTML パートはありません。"), "")
}

/// The text, without what would reorder it.
pub(super) fn text(visit: &Visit<'_>, source: &[u8]) -> Markup {
    let View { text, text_is_from_html, text_is_cut, .. } = view(source);
    let (shown, is_cut) = cut(&text, TEXT_MAX);
    html! {
        @if text_is_from_html {
            p class="hint" { (visit.say("This mail is HTML; here it is as text.", "HTML メールをテキストにして表示しています。")) }
        }
        @if shown.trim().is_empty() {
            (empty(visit.say("This mail has no text.", "本文はありません。"), ""))
        } @else {
            pre class="letter" dir="auto" tabindex="0" { (clean_lines(&shown)) }
        }
        @if text_is_cut || is_cut {
            p class="hint" { (visit.say("The rest is left out here: download the mail to see all.", "以下は省略しました。全文はダウンロードしてご覧ください。")) }
        }
    }
}

/// Every header field, decoded.
pub(super) fn headers(source: &[u8]) -> Markup {
    let mut left = HEADERS_MAX;
    let fields = view(source).fields;
    let fields = fields.iter().take_while(|(name, value)| {
        let octets = name.len() + value.len().min(HEADER_MAX) + 40;
        let fits = left >= octets;
        left = left.saturating_sub(octets);
        fits
    });
    html! {
        dl class="facts" {
            @for (name, value) in fields {
                dt class="mono" { (foreign(name, 100)) } dd class="mono" { bdi { (clean(&clip(value, HEADER_MAX))) } }
            }
        }
    }
}

/// The source as it is.
pub(super) fn source(visit: &Visit<'_>, source: &[u8]) -> Markup {
    let (text, is_cut) = cut(&String::from_utf8_lossy(&source[..source.len().min(SOURCE_MAX)]), SOURCE_MAX);
    html! {
        pre tabindex="0" { (clean_lines(&text)) }
        @if is_cut || source.len() > SOURCE_MAX {
            p class="hint" {
                (visit.say("Shown: the first 96 KiB. Octets in all: ", "先頭の 96 KiB を表示しています。全体のバイト数：")) (number(source.len() as u64))
            }
        }
    }
}
