//! XML as events, within bounds: the one place that meets the XML library.
//!
//! In: octets in any charset.  Out: [`Event`]s with local names and texts; a [`NoReport`] that says where it went wrong.
//! Always: no DTD is processed: a document that has one is refused, so there are no entities but XML's own five, nothing is
//! fetched and nothing grows; depth, attributes, the length of each event and of the whole are bounded; names are compared
//! without their prefixes.
//! Sources: XML 1.0 §2.8, §4.6, Namespaces in XML §3.

use std::io::{self, BufRead};

use quick_xml::{
    Reader,
    errors::{Error, IllFormedError},
    escape::resolve_xml_entity,
    events::{BytesStart, Event as XmlEvent},
};

use super::text::{Stop, Utf8};
use crate::{
    dmarc::report::{Fault, NoReport},
    mail::inflate,
};

/// Elements in elements; the schemas have six.
pub(super) const DEPTH_MAX: usize = 32;
/// Attributes of an element; the schemas have one, and namespaces.
pub(super) const ATTRIBUTES_MAX: usize = 32;
/// Octets of an element's name that a refusal tells.
const NAME_TOLD_MAX: usize = 40;
/// What must not follow the end: then an end tag stands where none belongs, or there is a second report.
const MORE: &[u8] = b"<record";
/// Octets of an element's text that are looked at: four times what is kept.
pub(super) const SAID_MAX: usize = 1_024;
/// Octets that are passed over at once behind the end.
const DRAIN_CHUNK: usize = 8 << 10;
/// Octets that may follow the end of a report in all: blanks, and what mail programs add.
const DRAINED_MAX: usize = 1 << 20;

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// An element begins: see [`Pull::name`].
    Start,
    /// The innermost element ends: see [`Pull::said`].
    End,
    /// The document ends.
    Eof,
}

/// What an event of the library means for the state here.
enum Step {
    Nothing,
    Open { is_empty: bool },
    Close,
    Eof,
    Refuse(Fault),
    Mismatch(Box<str>),
}

/// Reads events.
pub(super) struct Pull<R> {
    reader: Reader<Utf8<R>>,
    buffer: Vec<u8>,
    /// Names of the open elements, with slashes, and where each begins.
    path: String,
    starts: Vec<usize>,
    /// The text since the last tag.
    said: String,
    /// `<a/>` was read: its end is owed.
    owes_end: bool,
    /// Nothing but text was read since the innermost element began.
    is_leaf: bool,
    namespace: Option<String>,
    /// An end tag with another name was forgiven.
    is_forgiven: bool,
}

impl<R: BufRead> Pull<R> {
    /// Reads the events of a text.
    pub(super) fn new(text: Utf8<R>) -> Self {
        let mut reader = Reader::from_reader(text);
        // `AT&T` stands in names of organizations.
        reader.config_mut().allow_dangling_amp = true;
        Pull {
            reader,
            buffer: Vec::new(),
            path: String::new(),
            starts: Vec::new(),
            said: String::new(),
            owes_end: false,
            is_leaf: false,
            namespace: None,
            is_forgiven: false,
        }
    }

    /// The namespace that the root names, if any.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Elements that are open.
    pub(super) fn depth(&self) -> usize {
        self.starts.len()
    }

    /// Whether an end tag had another name than its element.
    pub(super) fn is_forgiven(&self) -> bool {
        self.is_forgiven
    }

    /// The local name of the innermost element.
    pub(super) fn name(&self) -> &str {
        self.starts.last().map_or("", |start| &self.path[*start..])
    }

    /// The text before the end tag that was read last; its first [`SAID_MAX`] octets.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// The text below.
    pub(super) fn text(&mut self) -> &mut Utf8<R> {
        self.reader.get_mut()
    }

    /// A refusal at this place.
    pub(super) fn no(&self, fault: Fault) -> NoReport {
        NoReport { fault, file: String::new(), element: self.path.clone(), octet: Some(self.reader.buffer_position()) }
    }

    /// The next event.
    ///
    /// # Errors
    /// The document is no XML, is too large, or has a DTD.
    pub(super) fn next(&mut self) -> Result<Event, NoReport> {
        self.said.clear();
        if self.owes_end {
            self.owes_end = false;
            self.close();
            return Ok(Event::End);
        }
        loop {
            match self.step() {
                Step::Nothing => {}
                Step::Open { is_empty } => {
                    self.is_leaf = true;
                    self.said.clear();
                    self.owes_end = is_empty;
                    return Ok(Event::Start);
                }
                Step::Close => {
                    self.close();
                    return Ok(Event::End);
                }
                Step::Eof => return Ok(Event::Eof),
                // A wrong name that is no open element's, behind nothing but text, can only mean the innermost. Behind other
                // elements it could mean one that was never seen to begin.
                Step::Mismatch(found) if self.is_leaf && !self.is_open(&found) => {
                    self.is_forgiven = true;
                    self.close();
                    return Ok(Event::End);
                }
                Step::Mismatch(found) => {
                    let found = bounded(&found);
                    return Err(self.no(Fault::Broken(format!("it is no XML: </{found}> ends another element"))));
                }
                Step::Refuse(fault) => return Err(self.no(fault)),
            }
        }
    }

    fn step(&mut self) -> Step {
        self.buffer.clear();
        self.reader.get_mut().mark();
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(XmlEvent::Start(start)) => open(&mut self.path, &mut self.starts, &mut self.namespace, &start, false),
            Ok(XmlEvent::Empty(start)) => open(&mut self.path, &mut self.starts, &mut self.namespace, &start, true),
            Ok(XmlEvent::End(_)) => Step::Close,
            Ok(XmlEvent::Text(text)) => {
                say(&mut self.said, &text);
                Step::Nothing
            }
            Ok(XmlEvent::CData(text)) => {
                say(&mut self.said, &text);
                Step::Nothing
            }
            Ok(XmlEvent::GeneralRef(name)) => {
                match (name.resolve_char_ref(), resolve_xml_entity(&name)) {
                    (Ok(Some(letter)), _) => say(&mut self.said, letter.encode_utf8(&mut [0; 4])),
                    (_, Some(text)) => say(&mut self.said, text),
                    // An entity that nobody defined stays as it is written.
                    _ => {
                        for text in ["&", &*name, ";"] {
                            say(&mut self.said, text);
                        }
                    }
                }
                Step::Nothing
            }
            Ok(XmlEvent::DocType(_)) => {
                Step::Refuse(Fault::Forbidden("it has a document type declaration (DTD), which no report needs"))
            }
            Ok(XmlEvent::Eof) => Step::Eof,
            Ok(XmlEvent::Comment(_) | XmlEvent::PI(_) | XmlEvent::Decl(_)) => Step::Nothing,
            Err(Error::IllFormed(IllFormedError::MismatchedEndTag { found, .. })) => Step::Mismatch(found.into()),
            // A declaration with the wrong version or none harms nobody.
            Err(Error::IllFormed(IllFormedError::MissingDeclVersion(_) | IllFormedError::UnknownVersion)) => {
                Step::Nothing
            }
            Err(error) => Step::Refuse(fault(&error)),
        }
    }

    /// Reads on behind the end of the root, so that checksums are compared and nothing is overlooked.
    ///
    /// # Errors
    /// The file does not match its checksum, or more follows than blanks and a few words.
    pub(super) fn drain(&mut self) -> Result<(), NoReport> {
        let mut buffer = [0; DRAIN_CHUNK];
        let (mut octets, mut kept) = (0, 0);
        while octets <= DRAINED_MAX {
            match io::Read::read(self.reader.get_mut().inner(), &mut buffer[kept..]) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    let read = &buffer[..kept + n];
                    if read.windows(MORE.len()).any(|w| w == MORE) {
                        return Err(self.no(Fault::Broken("records follow the end of the report".to_owned())));
                    }
                    octets += n;
                    // It may stand across two readings.
                    let end = kept + n;
                    kept = end.min(MORE.len() - 1);
                    buffer.copy_within(end - kept..end, 0);
                }
                // All of the report is there; only the checksum is not.
                Err(error) if inflate::Fault::of(&error) == Some(&inflate::Fault::Ended) => return Ok(()),
                Err(error) => return Err(self.no(io_fault(&error))),
            }
        }
        Err(self.no(Fault::TooLarge("too much follows the end of the report", DRAINED_MAX as u64)))
    }

    fn close(&mut self) {
        self.is_leaf = false;
        let start = self.starts.pop().unwrap_or(0);
        self.path.truncate(start.saturating_sub(1));
    }

    /// Whether an element of this name is open, the innermost left out.
    fn is_open(&self, name: &str) -> bool {
        let name = local(name);
        let outer = self.starts.len().saturating_sub(1);
        (0..outer).any(|n| {
            let end = self.starts[n + 1].saturating_sub(1);
            self.path[self.starts[n]..end] == *name
        })
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Adds to a text what there is room for.
fn say(said: &mut String, text: &str) {
    let room = SAID_MAX.saturating_sub(said.len());
    said.push_str(&text[..text.floor_char_boundary(room)]);
}

/// An element begins.
fn open(
    path: &mut String,
    starts: &mut Vec<usize>,
    namespace: &mut Option<String>,
    start: &BytesStart<'_>,
    is_empty: bool,
) -> Step {
    if starts.len() >= DEPTH_MAX {
        return Step::Refuse(Fault::TooLarge("elements stand too deep in one another", DEPTH_MAX as u64));
    }
    let is_root = starts.is_empty();
    if !is_root {
        path.push('/');
    }
    starts.push(path.len());
    let name = start.local_name().into_inner();
    let name = &name[..name.floor_char_boundary(NAME_TOLD_MAX)];
    if name.bytes().all(|b| b.is_ascii_graphic()) {
        path.push_str(name);
    } else {
        path.extend(name.chars().map(|c| if c.is_control() || c == ' ' { '?' } else { c }));
    }
    if start.attributes_raw().trim_ascii().is_empty() {
        return Step::Open { is_empty };
    }
    let mut count = 0;
    // Without the library's check for doubles, which compares each with all.
    for attribute in start.attributes().with_checks(false).take(ATTRIBUTES_MAX + 1) {
        count += 1;
        let Ok(attribute) = attribute else { continue };
        if is_root && attribute.key.into_inner().starts_with("xmlns") && attribute.value.contains("dmarc") {
            *namespace = Some(bounded(&attribute.value));
        }
    }
    match count > ATTRIBUTES_MAX {
        true => Step::Refuse(Fault::TooLarge("an element has too many attributes", ATTRIBUTES_MAX as u64)),
        false => Step::Open { is_empty },
    }
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::Io(error) => io_fault(error),
        other => Fault::Broken(format!("it is no XML: {}", bounded(&other.to_string()))),
    }
}

/// What an error of the readers below means.
pub(super) fn io_fault(error: &io::Error) -> Fault {
    match (Stop::of(error), inflate::Fault::of(error)) {
        (Some(Stop::Whole(max)), _) => Fault::TooLarge("the report is too long", max),
        (Some(Stop::Event), _) => {
            Fault::TooLarge("a tag or a text of the report is too long", super::text::EVENT_OCTETS_MAX)
        }
        (_, Some(fault)) => inflation(fault),
        _ => Fault::Broken(bounded(&error.to_string())),
    }
}

/// What a fault of inflation means.
pub(super) fn inflation(fault: &inflate::Fault) -> Fault {
    use inflate::Fault as F;
    match fault {
        F::TooLong(max) => Fault::TooLarge("the compressed file holds too much", *max),
        F::Ratio => Fault::TooLarge("the compressed file holds too many times its size", inflate::RATIO_MAX),
        F::Members => Fault::TooLarge("the gzip file has too many members", u64::from(inflate::MEMBERS_MAX)),
        F::Ended | F::Differs | F::Broken(_) => Fault::Broken(bounded(&fault.to_string())),
    }
}

/// A text of another program, short enough for a sentence.
fn bounded(text: &str) -> String {
    super::values::line(text).0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events in short, and the refusal that ended them.
    fn events(text: &str) -> (String, Option<NoReport>) {
        let mut pull = Pull::new(Utf8::new(text.as_bytes(), text.as_bytes(), 10 << 20));
        let mut out = String::new();
        loop {
            match pull.next() {
                Ok(Event::Start) => out.push_str(&format!("<{}>", pull.name())),
                Ok(Event::End) => out.push_str(&format!("{}</>", pull.said())),
                Ok(Event::Eof) => return (out, None),
                Err(no) => return (out, Some(no)),
            }
        }
    }

    #[test]
    fn events_come_without_prefixes_and_with_forgiveness() {
        for (text, expected) in [
            ("<?xml version='1.0'?><!-- c --><n:a x='1'><b/>t<![CDATA[<&>]]></n:a>", "<a><b></>t<&></>"),
            ("<a>&lt;&#65;&#x42;&amp;&unknown;</a>", "<a><AB&&unknown;</>"),
            ("<a>AT&T & Co</a>", "<a>AT&T & Co</>"),
            ("<a><genertor>x</generator><b>y</b></a>", "<a><genertor>x</><b>y</></>"),
            ("<?xml version=\"9\"?><a/>", "<a></>"),
            ("<?xml?><a/>", "<a></>"),
        ] {
            assert_eq!(events(text), (expected.to_owned(), None), "{text}");
        }
    }

    #[test]
    fn refusals_say_where() {
        let no = |text: &str| events(text).1.unwrap_or_else(|| panic!("{text} was read")).to_string();
        assert!(no("<a><b>x<c>y</c></d></a>").contains("</d> ends another element, in <a/b>"), "never seen to begin");
        assert_eq!(
            no("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>"),
            "it has a document type declaration (DTD), which no report needs, at octet 54"
        );
        assert!(no("<a><b></a>").contains("in <a/b>, at octet"), "{}", no("<a><b></a>"));
        assert!(no("<a><b").contains("in <a>"));
        let deep = "<a>".repeat(DEPTH_MAX + 1);
        assert!(no(&deep).contains("elements stand too deep in one another (the limit is 32)"), "{}", no(&deep));
        let many = format!("<a {}/>", (0..40).map(|n| format!("x{n}='1' ")).collect::<String>());
        assert!(no(&many).contains("too many attributes"));
        let long = format!("<a x='{}'/>", "y".repeat(200_000));
        assert!(no(&long).contains("a tag or a text of the report is too long"));
        let text = format!("<a>{}", "y".repeat(200_000));
        assert!(no(&text).contains("a tag or a text of the report is too long"));
    }
}
