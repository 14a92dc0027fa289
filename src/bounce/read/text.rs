//! Reads bounces that are written for people: a notice in words, then the mail that came back.
//!
//! In: the text of a mail, its header.  Out: what is said of each recipient, and where the returned mail begins.
//! Always: what counts is decided by the rules of the data files; a mail is a bounce only if its words say that mail did not
//! arrive *and* its subject or its sender is a mail system's (or its words are such as only a mail system writes); at most
//! [`NOTICE_MAX`] octets and [`LINES_MAX`] lines are read.
//! Sources: the mails that caused each rule, named beside it.

use super::{
    Action, address,
    codes::Codes,
    dsn::ROWS_MAX,
    head::Head,
    row::{self, Found},
    rules::{self, LineKind, Phrase, Phrases},
};

/// Octets of a notice that are read: longer ones repeat themselves.
const NOTICE_MAX: usize = 48 * 1024;
/// Lines of a notice that are read.
const LINES_MAX: usize = 600;
/// Octets of a line that rules see.
const LINE_MAX: usize = 1_000;
/// Octets of the notice whose words are weighed.
const WEIGHED_MAX: usize = 6 * 1024;
/// Octets kept of what is said of one recipient.
const WORDS_MAX: usize = 2_048;

/// A text: its notice, and the mail that it returns.
#[derive(Debug, Default)]
pub(super) struct Notice<'t> {
    lines: Vec<&'t str>,
    /// What follows the notice.
    pub(super) returned: &'t str,
    /// The notice in one line.
    pub(super) words: String,
    phrases: Phrases,
    subject: Phrases,
    daemon: bool,
}

/// Divides a text and weighs its words.
pub(super) fn notice<'t>(text: &'t str, head: &Head) -> Notice<'t> {
    let text = &text[..text.floor_char_boundary(NOTICE_MAX)];
    let mut notice = Notice::default();
    let mut at = 0;
    for line in text.split_inclusive('\n').take(LINES_MAX) {
        let shown = line.trim_end();
        let shown = &shown[..shown.floor_char_boundary(LINE_MAX)];
        // Nothing that long is a mark, and marks need words around them.
        let kind = if shown.trim().is_empty() { None } else { rules::line(shown).map(|l| l.kind) };
        match kind {
            Some(LineKind::End) if !notice.lines.is_empty() || at == 0 => {
                notice.returned = &text[at + line.len()..];
                break;
            }
            Some(LineKind::First) if notice.lines.iter().any(|l| !l.is_empty()) => {
                notice.returned = &text[at..];
                break;
            }
            _ => notice.lines.push(shown),
        }
        at += line.len();
    }
    for line in &notice.lines {
        if notice.words.len() > WEIGHED_MAX {
            break;
        }
        let line = line.trim().trim_start_matches(['>', '|', '*', '#']).trim();
        if !line.is_empty() {
            if !notice.words.is_empty() {
                notice.words.push(' ');
            }
            notice.words.push_str(line);
        }
    }
    notice.phrases = rules::notice(&notice.words);
    notice.subject = rules::subject(&head.subject);
    notice.daemon = head.return_path.as_deref() == Some("") || rules::from(&head.from).has(Phrase::Daemon);
    notice
}

impl Notice<'_> {
    /// The mail says that mail did not arrive, or is late.
    pub(super) fn is_bounce(&self, head: &Head) -> bool {
        let says = |p| self.phrases.has(p);
        if says(Phrase::Certain) || !head.failed.is_empty() {
            return true;
        }
        let subject = self.subject.has(Phrase::SubjectFailed) || self.subject.has(Phrase::SubjectDelayed);
        let words = says(Phrase::Failed) || says(Phrase::Delayed);
        let is_answer =
            !head.auto_submitted.is_empty() && head.auto_submitted != "no" && head.auto_submitted != "auto-generated";
        if words && subject && (self.daemon || !self.returned.is_empty()) {
            return true;
        }
        if words && self.daemon && !self.subject.has(Phrase::SubjectAnswer) && !says(Phrase::Answer) {
            return !is_answer || subject;
        }
        subject && self.daemon && Codes::of(&self.words).reply.is_some()
    }

    /// It is late, and not given up.
    pub(super) fn is_delay(&self) -> bool {
        let late = self.phrases.has(Phrase::Delayed) || self.subject.has(Phrase::SubjectDelayed);
        late && !self.phrases.has(Phrase::Final)
    }

    /// The last obstacle was a temporary one.
    fn is_temporary(&self) -> bool {
        self.phrases.has(Phrase::Temporary)
    }

    /// What is said of each recipient.
    pub(super) fn recipients(&self, head: &Head, returned: &Head) -> Vec<Found> {
        let mut reader = Reader::default();
        let mut sender_next = false;
        for line in &self.lines {
            let line = line.strip_prefix("> ").unwrap_or(line);
            let known = if line.trim().is_empty() { None } else { rules::line(line) };
            if std::mem::take(&mut sender_next) && known.is_some_and(|k| k.address.is_some()) {
                continue;
            }
            match known {
                Some(known) => {
                    sender_next = known.kind == LineKind::Sender && known.address.is_none() && !line.contains('@');
                    reader.known(known.kind, known.address, known.text, line);
                }
                None if line.trim().is_empty() => reader.blank(),
                None => reader.words(line),
            }
        }
        reader.finish(self, head, returned)
    }
}

/// Words about one recipient.
#[derive(Debug, Default)]
struct About {
    address: String,
    /// The words that decide.
    said: Vec<String>,
    /// All words.
    all: String,
}

#[derive(Debug, Default)]
struct Reader {
    rows: Vec<About>,
    /// The one that words are about now.
    current: Option<usize>,
    /// Words before any recipient.
    early: About,
    /// Recipients of poor lines.
    mentioned: Vec<String>,
    /// The last words decide, and go on in the next line.
    goes_on: bool,
}

impl Reader {
    fn known(&mut self, kind: LineKind, address: Option<&str>, text: Option<&str>, line: &str) {
        match kind {
            LineKind::Recipient => {
                let Some(address) = address else { return };
                self.open(address);
                self.goes_on = false;
                if let Some(text) = text.filter(|t| t.chars().any(char::is_alphanumeric)) {
                    let target = self.target();
                    push(&mut target.all, text);
                    target.said.push(text.to_owned());
                    self.goes_on = true;
                } else if !is_bare(line) {
                    push(&mut self.target().all, line.trim());
                }
            }
            LineKind::Said => {
                // An answer may name whom it is about.
                if let Some(at) =
                    address::all(line).find_map(|a| self.rows.iter().position(|r| address::same(&r.address, a)))
                {
                    self.current = Some(at);
                }
                let target = self.target();
                push(&mut target.all, line.trim());
                target.said.push(text.unwrap_or_default().to_owned());
                self.goes_on = true;
            }
            LineKind::About => {
                if let Some(address) = address
                    && self.mentioned.len() < ROWS_MAX
                {
                    self.mentioned.push(address.to_owned());
                }
                self.words(line);
            }
            LineKind::Noise => self.goes_on = false,
            LineKind::Sender | LineKind::End | LineKind::First => self.goes_on = false,
        }
    }

    fn words(&mut self, line: &str) {
        let goes_on = self.goes_on;
        let target = self.target();
        push(&mut target.all, line.trim());
        if goes_on && let Some(last) = target.said.last_mut() {
            push(last, line.trim());
        }
    }

    fn blank(&mut self) {
        self.goes_on = false;
    }

    fn open(&mut self, address: &str) {
        let known = self.rows.iter().position(|r| address::same(&r.address, address));
        let at = known.unwrap_or_else(|| {
            if self.rows.len() < ROWS_MAX {
                self.rows.push(About { address: address.to_owned(), ..About::default() });
            }
            self.rows.len() - 1
        });
        self.current = Some(at);
    }

    fn target(&mut self) -> &mut About {
        match self.current {
            Some(at) => &mut self.rows[at],
            None => &mut self.early,
        }
    }

    fn finish(mut self, notice: &Notice<'_>, head: &Head, returned: &Head) -> Vec<Found> {
        let is_own = |a: &str| head.to.iter().chain(&head.delivered_to).any(|own| address::same(own, a));
        // The sender of what came back is named in many notices, and is hardly ever its recipient, too.
        if self.rows.iter().any(|r| !is_own(&r.address)) {
            self.rows.retain(|r| !is_own(&r.address));
        }
        let agrees = |r: &About| head.failed.iter().any(|f| address::same(f, &r.address));
        if !head.failed.is_empty() && self.rows.len() != head.failed.len() && !self.rows.iter().any(agrees) {
            let words =
                std::mem::take(&mut self.rows).into_iter().fold(std::mem::take(&mut self.early), |mut early, row| {
                    push(&mut early.all, &row.all);
                    early.said.extend(row.said);
                    early
                });
            self.early = words;
            self.rows = head.failed.iter().map(|a| About { address: a.clone(), ..About::default() }).collect();
        }
        if self.rows.is_empty() {
            let named = self.mentioned.iter().filter(|a| !is_own(a) && !is_system(a)).map(String::as_str);
            let mut named: Vec<&str> = named.collect();
            if let Some(in_both) = named.iter().find(|a| returned.to.iter().any(|t| address::same(t, a))) {
                named = vec![in_both];
            }
            let recipient = match (named.first(), returned.to.as_slice()) {
                (Some(named), _) => (*named).to_owned(),
                (None, [one]) => one.clone(),
                (None, _) => self.mentioned.iter().find(|a| !is_system(a)).cloned().unwrap_or_default(),
            };
            self.rows.push(About { address: recipient, ..About::default() });
        }
        share(&mut self.rows, &self.early);
        let action = if notice.is_delay() { Action::Delayed } else { Action::Failed };
        let is_temporary = notice.is_temporary();
        // Of several recipients nobody knows whom the words mean.
        let phase = if self.rows.len() == 1 { row::phase(&notice.words) } else { None };
        let found = |row: About| {
            let with_code = row.said.iter().position(|s| Codes::of(s) != Codes::default());
            let said = with_code.or((!row.said.is_empty()).then_some(0)).map(|at| row.said[at].clone());
            Found {
                recipient: row.address,
                action: Some(action),
                diagnostic: said.filter(|s| !s.is_empty()).unwrap_or_else(|| row.all.clone()),
                context: if row.all.is_empty() { notice.words.clone() } else { row.all },
                is_temporary,
                phase,
                ..Found::default()
            }
        };
        self.rows.into_iter().map(found).collect()
    }
}

/// A recipient of whom nothing is said shares the words of the next one, or those that stood before all.
fn share(rows: &mut [About], early: &About) {
    let mut next: Option<(Vec<String>, String)> = None;
    for row in rows.iter_mut().rev() {
        if row.all.is_empty() && row.said.is_empty() {
            if let Some((said, all)) = &next {
                row.said.clone_from(said);
                row.all.clone_from(all);
            }
        } else {
            next = Some((row.said.clone(), row.all.clone()));
        }
    }
    for row in rows {
        if row.said.is_empty() && !early.said.is_empty() {
            row.said.clone_from(&early.said);
        }
        if row.all.is_empty() {
            row.all.clone_from(&early.all);
        }
    }
}

/// The line has an address and nothing else to say.
fn is_bare(line: &str) -> bool {
    address::first(line).is_some_and(|a| line.replace(a, "").chars().filter(|c| c.is_alphanumeric()).count() < 8)
}

/// An address of the mail system itself.
fn is_system(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default();
    ["postmaster", "mailer-daemon", "abuse", "support", "helpdesk"].iter().any(|s| local.eq_ignore_ascii_case(s))
}

fn push(out: &mut String, text: &str) {
    if text.is_empty() || out.len() + text.len() >= WORDS_MAX {
        return;
    }
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(text);
}
