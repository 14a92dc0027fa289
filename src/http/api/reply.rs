//! Good answers: rows and messages as JSON or XML.
//!
//! In: rows of cells.  Out: `{"plural":[{…}]}`, or `<plural><singular>…</singular></plural>`; nothing to tell is 204.
//! Always: keys come in the order that the row has; what XML 1.0 cannot carry becomes U+FFFD, so that no answer is unreadable.
//! Sources: XML 1.0 §2.2 and §2.4.

use super::Format;
use crate::http::exchange::{JSON, Response};

/// XML.
pub const XML: &str = "application/xml; charset=utf-8";
/// How each XML answer begins.
pub const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";

/// The content type of a format.
pub fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => JSON,
        Format::Xml => XML,
    }
}

/// One value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell {
    /// A string.
    Text(String),
    /// A number: statistics alone have them.
    Number(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Cell::Number(number)
    }
}

/// A list of rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rows {
    /// The name of the list: `deliveries`.
    pub plural: &'static str,
    /// The name of a row: `delivery`.
    pub singular: &'static str,
    /// The rows: names and values in order.
    pub rows: Vec<Vec<(&'static str, Cell)>>,
}

impl Rows {
    /// The answer: 200 with the rows, or 204 without a body when there are none.
    pub fn response(&self, format: Format) -> Response {
        if self.rows.is_empty() {
            return Response::new(204, "", Vec::new());
        }
        let body = match format {
            Format::Json => self.json(),
            Format::Xml => self.xml(),
        };
        Response::new(200, content_type(format), body)
    }

    fn json(&self) -> String {
        let mut out = String::with_capacity(64 + self.rows.len() * 256);
        out.push('{');
        push_json(&mut out, self.plural);
        out.push_str(":[");
        for (n, row) in self.rows.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            push_object(&mut out, row);
        }
        out.push_str("]}");
        out
    }

    fn xml(&self) -> String {
        let mut out = String::from(XML_DECLARATION);
        out.extend(["<", self.plural, ">"]);
        for row in &self.rows {
            out.extend(["<", self.singular, ">"]);
            push_elements(&mut out, row);
            out.extend(["</", self.singular, ">"]);
        }
        out.extend(["</", self.plural, ">"]);
        out
    }
}

/// One object that is the whole answer: `{"id":"…"}`, or `<root><id>…</id></root>`.
pub fn object(format: Format, root: &'static str, row: &[(&'static str, Cell)]) -> Response {
    let mut out = String::new();
    match format {
        Format::Json => push_object(&mut out, row),
        Format::Xml => {
            out.push_str(XML_DECLARATION);
            out.extend(["<", root, ">"]);
            push_elements(&mut out, row);
            out.extend(["</", root, ">"]);
        }
    }
    Response::new(200, content_type(format), out)
}

/// `{"message":"success"}`, or `<response><message>success</message></response>`.
pub fn message(format: Format, text: &str) -> Response {
    object(format, "response", &[("message", text.into())])
}

fn push_object(out: &mut String, row: &[(&'static str, Cell)]) {
    out.push('{');
    for (n, (name, cell)) in row.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_json(out, name);
        out.push(':');
        match cell {
            Cell::Text(text) => push_json(out, text),
            Cell::Number(number) => out.push_str(&number.to_string()),
        }
    }
    out.push('}');
}

fn push_json(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn push_elements(out: &mut String, row: &[(&'static str, Cell)]) {
    for (name, cell) in row {
        match cell {
            Cell::Text(text) => push_element(out, name, text),
            Cell::Number(number) => push_element(out, name, &number.to_string()),
        }
    }
}

/// `<name>text</name>`, escaped.
pub(super) fn push_element(out: &mut String, name: &str, text: &str) {
    out.extend(["<", name, ">"]);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A reader would make a line feed of a bare one.
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}' => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out.extend(["</", name, ">"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        api::{
            Language,
            fault::{Expected, Why},
        },
        exchange::Body,
    };

    fn text(response: Response) -> String {
        let Body::Bytes(bytes) = response.body else { panic!("a stream") };
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn rows() -> Rows {
        let row =
            vec![("date", "2024-05-01".into()), ("reason", "a<b>&\"\u{1}\u{fffe}\r\n飛".into()), ("queued", 10.into())];
        Rows { plural: "statistics", singular: "statistic", rows: vec![row] }
    }

    #[test]
    fn rows_are_written_in_both_formats_with_nothing_that_breaks_them() {
        assert_eq!(
            text(rows().response(Format::Json)),
            r#"{"statistics":[{"date":"2024-05-01","reason":"a<b>&\"\u0001￾\r\n飛","queued":10}]}"#
        );
        assert_eq!(
            text(rows().response(Format::Xml)),
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<statistics><statistic><date>2024-05-01</date>\
             <reason>a&lt;b&gt;&amp;&quot;\u{fffd}\u{fffd}&#13;\n飛</reason><queued>10</queued></statistic></statistics>"
        );
        let none = Rows { rows: Vec::new(), ..rows() }.response(Format::Json);
        assert_eq!((none.status, none.content_type), (204, ""));
        assert_eq!(text(none), "");
        assert_eq!(text(message(Format::Json, "success")), r#"{"message":"success"}"#);
    }

    #[test]
    fn faults_are_written_in_both_formats_and_languages() {
        let fault = Why::Missing.of("to").and(Why::WrongType { expected: Expected::Text }.of("subject"));
        assert_eq!(
            text(fault.response(Format::Json, Language::English)),
            r#"{"errors":[{"code":"03-001","field":"to","message":"This parameter is required."},{"code":"03-002","field":"subject","message":"Must be a string."}]}"#
        );
        assert_eq!(
            text(fault.response(Format::Xml, Language::Japanese)),
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<errors><error><code>03-001</code><field>to</field>\
             <message>必須パラメータです。</message></error><error><code>03-002</code><field>subject</field>\
             <message>文字列を指定してください。</message></error></errors>"
        );
        let later = Why::RateLimit { after: std::time::Duration::from_millis(1500) }.fault();
        let response = later.response(Format::Json, Language::English);
        assert_eq!((response.status, response.headers), (429, vec![("Retry-After", "2".to_owned())]));
    }
}
