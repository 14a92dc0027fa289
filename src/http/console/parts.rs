//! The parts that pages are made of, so that all of them look and read alike.
//!
//! Always: what came with a mail or from a peer is escaped, cleaned of what would reorder it, and clipped; every control has a name.
//! Sources: HTML Living Standard, WCAG 2.2 (names, contrast, target size).

use maud::{Markup, html};

use super::Visit;
pub use crate::http::words::{clean, clip, number, size};
use crate::{clock::Timestamp, event::Class, http::words::Lang};

/// The title of a page and a sentence below it; `lead` may be empty.
pub fn heading(title: &str, lead: &str) -> Markup {
    html! { div class="heading" { h1 { (title) } @if !lead.is_empty() { p class="lead" { (lead) } } } }
}

/// The way back, above a title: to where this page belongs.
pub fn back_to(visit: &Visit<'_>, path: &str, words: &str) -> Markup {
    html! { p class="back" { a href=(visit.href(path)) { "← " (words) } } }
}

/// A sentence of ours in which `…` is something to type.
pub fn with_code(text: &str, characters: usize) -> Markup {
    let cleaned = clean(&clip(text, characters));
    let pieces = cleaned.split('`').enumerate();
    html! { bdi { @for (n, piece) in pieces { @if n % 2 == 1 { code { (piece) } } @else { (piece) } } } }
}

/// A card with a title; `small` is said beside it and may be empty.
pub fn panel(title: &str, small: &str, content: &Markup) -> Markup {
    html! {
        section { h2 { (title) @if !small.is_empty() { small { (small) } } } (content) }
    }
}

/// Nothing is here: says so, and what to do next.
pub fn empty(words: &str, next: &str) -> Markup {
    // Japanese sentences follow each other without a space.
    let joint = if next.is_empty() || words.ends_with('。') { "" } else { " " };
    html! { p class="empty" { (words) (joint) (next) } }
}

/// Text that came with a mail: escaped, without characters that would reorder it, and never longer than is good for a list.
pub fn foreign(text: &str, characters: usize) -> Markup {
    html! { bdi { (clean(&clip(text, characters))) } }
}

/// The same where lines count: each is cleaned by itself.
pub fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(clean).collect();
    lines.join("\n")
}

/// A mail's subject, or our words for none.
pub fn subject(lang: Lang, text: &str, characters: usize) -> Markup {
    html! {
        @if text.is_empty() {
            span class="soft" { (lang.say("(no subject)", "（件名なし）")) }
        } @else {
            (foreign(text, characters))
        }
    }
}

/// What stands in brackets behind something, with the brackets of the language.
pub fn bracketed(lang: Lang, content: &Markup) -> Markup {
    html! { @if lang.japanese { "（" (content) "）" } @else { " (" (content) ")" } }
}

/// A word in a coloured oval: `queued`, `succeeded`, `deferred`, `failed` and their kin are classes of the stylesheet.
pub fn pill(class: &str, words: &str) -> Markup {
    html! { span class={ "pill " (class) } { (words) } }
}

/// Text that is there to be copied: a DNS record, a key, a command. With script, a button copies it.
pub fn copyable(text: &str) -> Markup {
    html! { pre class="record" data-copy tabindex="0" { (clean_lines(text)) } }
}

/// Names and values, one below the other.
pub fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! { dl class="facts" { @for (name, value) in rows { dt { (name) } dd { (value) } } } }
}

/// Large numbers side by side: a class for the colour, a name, a value.
pub fn figures(rows: &[(&str, &str, u64)]) -> Markup {
    html! {
        dl class="figures" { @for (class, name, value) in rows { div class=(class) { dt { (name) } dd { (number(*value)) } } } }
    }
}

/// Views of one thing, side by side: address, name, whether it is this one.
pub fn tabs(visit: &Visit<'_>, label: &str, tabs: &[(&str, &str, bool)]) -> Markup {
    html! {
        nav class="tabs" aria-label=(label) {
            @for (path, name, is_shown) in tabs {
                a href=(visit.href(path)) aria-current=[is_shown.then_some("page")] { (name) }
            }
        }
    }
}

/// Onward through a list. `looked_back_to`: the page ended there before it was full.
pub fn pager(visit: &Visit<'_>, next: Option<&str>, looked_back_to: Option<Timestamp>) -> Markup {
    let is_later = !visit.request.param("cursor").is_empty();
    html! {
        @if let Some(at) = looked_back_to {
            p class="hint" {
                (visit.say("Looked through so far: back to ", "ここまでの検索範囲：")) (visit.when(at))
                (visit.say("", " まで"))
            }
        }
        @if is_later || next.is_some() {
            p class="onward" {
                @if is_later { a href=(visit.link_with(&[("cursor", "")])) { (visit.say("From the start", "最初から")) } " " }
                @if let Some(next) = next {
                    a class="next" rel="next" href=(visit.link_with(&[("cursor", next)])) { (visit.say("Go on", "続きを見る")) " →" }
                }
            }
        }
    }
}

/// A field of a form.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// What it is called in the form.
    pub name: &'a str,
    /// What people read.
    pub label: &'a str,
    /// What is in it.
    pub value: &'a str,
    /// `text`, `search`, `email`, `password`, `number`, `date`, `datetime-local`, `file`.
    pub kind: &'a str,
    /// A sentence below it; may be empty.
    pub hint: &'a str,
    /// What stands in it while it is empty; may be empty.
    pub placeholder: &'a str,
    /// It must be filled in.
    pub required: bool,
    /// Letters at most.
    pub max: u32,
    /// What the browser may fill in (`autocomplete`); empty: nothing.
    pub autocomplete: &'a str,
}

impl Default for Field<'_> {
    fn default() -> Self {
        Field {
            name: "",
            label: "",
            value: "",
            kind: "text",
            hint: "",
            placeholder: "",
            required: false,
            max: 500,
            autocomplete: "",
        }
    }
}

impl Field<'_> {
    /// The field with its label.
    pub fn show(&self) -> Markup {
        let hint = (!self.hint.is_empty()).then(|| format!("hint-{}", self.name));
        let autocomplete = if self.autocomplete.is_empty() { "off" } else { self.autocomplete };
        html! {
            label class="field" {
                span { (self.label) }
                input type=(self.kind) name=(self.name) value=[(self.kind != "file").then_some(self.value)]
                    maxlength=[(self.kind != "file" && self.kind != "number").then_some(self.max)] required[self.required]
                    placeholder=[(!self.placeholder.is_empty()).then_some(self.placeholder)]
                    autocomplete=(autocomplete) aria-describedby=[hint.as_deref()];
                @if let Some(hint) = &hint { small id=(hint) { (self.hint) } }
            }
        }
    }
}

/// A longer text: one item a line.
pub fn text_area(name: &str, label: &str, value: &str, rows: u32, hint: &str) -> Markup {
    html! {
        label class="field wide" {
            span { (label) }
            textarea name=(name) rows=(rows) spellcheck="false" { (value) }
            @if !hint.is_empty() { small { (hint) } }
        }
    }
}

/// One of several: value and words; `chosen` is the value that stands.
pub fn select(name: &str, label: &str, options: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        label class="field" {
            span { (label) }
            select name=(name) {
                @for (value, words) in options { option value=(value) selected[*value == chosen] { (words) } }
            }
        }
    }
}

/// A box to tick.
pub fn check_box(name: &str, value: &str, label: &str, is_ticked: bool) -> Markup {
    html! {
        label class="tick" { input type="checkbox" name=(name) value=(value) checked[is_ticked]; span { (label) } }
    }
}

/// A box to tick at the start of a row: what it names is for those who do not see the row.
pub fn tick_row(name: &str, value: &str, names: &str) -> Markup {
    html! { input type="checkbox" name=(name) value=(value) aria-label=(clean(&clip(names, 200))); }
}

/// A box that ticks all of a name on this page; there with script only.
pub fn tick_all(visit: &Visit<'_>, name: &str) -> Markup {
    html! { input type="checkbox" data-all=(name) hidden aria-label=(visit.say("All on this page", "このページのすべて")); }
}

/// A meter: how much of something is used. Beside it stands the text.
pub fn meter(value: u64, max: u64, label: &str) -> Markup {
    html! { meter min="0" max=(max.max(1)) value=(value.min(max)) aria-label=(label) {} }
}

/// A priority class for people (R5).
pub fn class_name(lang: Lang, class: Class) -> &'static str {
    match class {
        Class::High => lang.say("high", "高"),
        Class::Normal => lang.say("normal", "通常"),
        Class::Low => lang.say("low", "低"),
    }
}
