//! The HTML of a mail, as a document of its own for a frame that may do nothing.
//!
//! In: a mail, taken apart.  Out: [`HtmlView`]: the document, with the pictures that the mail brings along inside it.
//! Always: it is as hostile as it came: whoever serves it forbids scripts, forms, frames and every load, and shows it sandboxed;
//! the document holds at most [`HTML_MAX`] octets of HTML and [`PICTURES_MAX`] of pictures; any input is read in one pass, a
//! picture is decoded once however often it is named, and none makes it fail.
//! Sources: RFC 2392 (cid), RFC 2397 (data), HTML Living Standard §13.2.5 (how far tags are read).

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::decoders::html::html_to_text;

use super::parts::{Part, Parts};

/// Octets of HTML that are shown; real mail has a tenth of it.
pub const HTML_MAX: usize = 2 << 20;
/// Octets of pictures that are put in, in their own form; what is more stays away.
pub const PICTURES_MAX: usize = 8 << 20;
/// Links that are told.
pub const LINKS_MAX: usize = 100;
/// Octets of a link that is told; a longer one is left out.
const LINK_OCTETS_MAX: usize = 2_000;
/// Pictures that browsers show, and that run nothing where an `img` shows them.
const PICTURES: [&str; 8] =
    ["image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp", "image/bmp", "image/avif", "image/svg+xml"];

/// A document for a sandboxed frame.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HtmlView {
    /// The document.
    pub document: String,
    /// The HTML was longer than [`HTML_MAX`].
    pub is_cut: bool,
    /// Pictures that the mail brings along and that are in the document.
    pub pictures: usize,
    /// Pictures that it names and does not bring along, or that were too many octets.
    pub pictures_missing: usize,
    /// Things that it would load from elsewhere: they stay away.
    pub remote: usize,
    /// Where its links lead, in order, each once: `https`, `http` and `mailto`.
    pub links: Vec<String>,
}

/// The document of a mail; `None`: it has no HTML.
pub fn html_view(parts: &Parts<'_>) -> Option<HtmlView> {
    let whole = parts.html()?;
    let html = &whole[..whole.floor_char_boundary(HTML_MAX)];
    let mut view = HtmlView { is_cut: html.len() < whole.len(), ..HtmlView::default() };
    look(html, &mut view);
    view.document = with_pictures(html, &parts.attachments, &mut view.pictures, &mut view.pictures_missing);
    Some(view)
}

/// Puts the pictures of the mail in the place of their `cid:`.
fn with_pictures(html: &str, attachments: &[Part<'_>], found: &mut usize, missing: &mut usize) -> String {
    let mut pictures: HashMap<&str, Picture<'_>> = attachments
        .iter()
        .filter(|part| !part.content_id().is_empty() && PICTURES.contains(&part.content_type.as_str()))
        .map(|part| (part.content_id(), Picture::Asleep(part)))
        .collect();
    let mut out = String::with_capacity(html.len());
    let (mut left, mut from) = (PICTURES_MAX, 0);
    for at in places_of_cid(html).take(PLACES_MAX) {
        let rest = &html[at + CID.len()..];
        let rest = &rest[..rest.floor_char_boundary(CONTENT_ID_MAX)];
        let end = rest.find(['"', '\'', ')', '>', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        let picture = pictures.get_mut(decoded(&rest[..end]).as_str()).and_then(|picture| {
            let (octets, data) = picture.data(left)?;
            left = left.checked_sub(octets)?;
            Some(data)
        });
        match picture {
            Some(data) => {
                out.push_str(&html[from..at]);
                out.push_str(data);
                from = at + CID.len() + end;
                *found += 1;
            }
            None => *missing += 1,
        }
    }
    out.push_str(&html[from..]);
    out
}

/// A picture of the mail: decoded at the first place that names it, and never again.
enum Picture<'a> {
    Asleep(&'a Part<'a>),
    /// Its octets, and the URL that holds them.
    Shown(usize, String),
    TooLarge,
}

impl Picture<'_> {
    /// Its octets and its URL; `None`: it has more than `left`, which only shrinks.
    fn data(&mut self, left: usize) -> Option<(usize, &str)> {
        if let Picture::Asleep(part) = self {
            let bytes = part.bytes();
            *self = if bytes.len() <= left {
                let data = format!("data:{};base64,{}", part.content_type, STANDARD.encode(&bytes));
                Picture::Shown(bytes.len(), data)
            } else {
                Picture::TooLarge
            };
        }
        match self {
            Picture::Shown(octets, data) => Some((*octets, data)),
            Picture::Asleep(_) | Picture::TooLarge => None,
        }
    }
}

/// Places of a document where a picture is put in.
const PLACES_MAX: usize = 1_000;
/// Octets of a content id in a document.
const CONTENT_ID_MAX: usize = 1_000;
/// The scheme of what a mail brings along.
const CID: &str = "cid:";

/// Where a value begins with `cid:`, in any case.
fn places_of_cid(html: &str) -> impl Iterator<Item = usize> {
    let bytes = html.as_bytes();
    let begins = |at: usize| {
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        matches!(before, b'"' | b'\'' | b'=' | b'(' | b' ')
    };
    let is_cid = move |(at, window): &(usize, &[u8])| window.eq_ignore_ascii_case(CID.as_bytes()) && begins(*at);
    bytes.windows(CID.len()).enumerate().filter(is_cid).map(|(at, _)| at)
}

/// A content id as it stands in a URL: `%` and two digits are an octet.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match (first, pair) {
            (b'%', Some(octet)) => {
                out.push(octet);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Counts what would be loaded and gathers links.
fn look(html: &str, view: &mut HtmlView) {
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let name_end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if name_end == 0 {
            continue;
        }
        let (name, after) = rest.split_at(name_end);
        rest = attributes(after, |attribute, value| seen(name, attribute, value, view));
        // What stands in these is no tags.
        for raw in ["style", "script", "title", "textarea"] {
            if name.eq_ignore_ascii_case(raw) {
                let end = end_of(rest, raw);
                if raw == "style" {
                    view.remote += remote_urls(&rest[..end]);
                }
                rest = &rest[end..];
            }
        }
    }
}

/// Where the raw text of an element ends.
fn end_of(text: &str, name: &str) -> usize {
    let closes = |at: &usize| {
        let after = &text.as_bytes()[at + 2..];
        after.get(..name.len()).is_some_and(|there| there.eq_ignore_ascii_case(name.as_bytes()))
    };
    text.match_indices("</").map(|(at, _)| at).find(closes).unwrap_or(text.len())
}

/// Tells each attribute of a tag; answers what is behind it.
fn attributes(tag: &str, mut tell: impl FnMut(&str, &str)) -> &str {
    let mut rest = tag;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return rest;
        }
        if let Some(behind) = rest.strip_prefix('>') {
            return behind;
        }
        let ends_name = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        // A name may begin with anything, an equals sign as well.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let name_end = rest[first..].find(ends_name).map_or(rest.len(), |end| first + end);
        let (name, after) = rest.split_at(name_end);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let (value, behind) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
        };
        tell(name, value);
        rest = behind;
    }
}

fn seen(tag: &str, attribute: &str, value: &str, view: &mut HtmlView) {
    let is = |name: &str| attribute.eq_ignore_ascii_case(name);
    let tag_is = |name: &str| tag.eq_ignore_ascii_case(name);
    if is("src") || is("background") || is("poster") || (is("href") && tag_is("link")) {
        view.remote += usize::from(is_remote(value));
    } else if is("srcset") {
        view.remote += usize::from(value.split(',').any(is_remote));
    } else if is("style") {
        view.remote += remote_urls(value);
    } else if is("href") && (tag_is("a") || tag_is("area")) && value.len() <= LINK_OCTETS_MAX {
        let link = html_to_text(value);
        let link = link.trim();
        let scheme = link.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let is_link = matches!(scheme.as_str(), "http" | "https" | "mailto");
        if is_link && view.links.len() < LINKS_MAX && !view.links.iter().any(|known| known == link) {
            view.links.push(link.to_owned());
        }
    }
}

fn is_remote(value: &str) -> bool {
    let value = value.trim_start();
    let begins = |with: &str| value.get(..with.len()).is_some_and(|there| there.eq_ignore_ascii_case(with));
    begins("http:") || begins("https:") || begins("//")
}

/// `url(…)` of a style that leads elsewhere.
fn remote_urls(style: &str) -> usize {
    let inside = style.match_indices("url(").map(|(at, found)| style[at + found.len()..].trim_start());
    inside.filter(|url| is_remote(url.trim_start_matches(['"', '\'']))).count()
}

#[cfg(test)]
#[path = "html_view_tests.rs"]
mod tests;
