//! What a page's form sent: fields by name, and files.
//!
//! In: a body, and its Content-Type.  Out: [`Form`].
//! Always: fields are bounded in number by the body's own bound and `FIELDS_MAX`; a body that cannot be read is an empty form,
//! which no act takes: it has no token.
//! Sources: HTML Living Standard, form submission; RFC 7578.

use crate::http::{
    api::multipart,
    exchange::{Request, percent_decode},
};

/// Fields read at most: a page has 100 rows to tick.
const FIELDS_MAX: usize = 2_000;

/// A file: the field's name, its own name, what is in it.
type Sent = (String, String, Vec<u8>);

/// The fields of a form.
#[derive(Default)]
pub struct Form {
    texts: Vec<(String, String)>,
    files: Vec<Sent>,
}

impl Form {
    /// The form of a request's body.
    pub fn of(request: &Request) -> Self {
        let kind = request.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/x-www-form-urlencoded" => Form::of_pairs(&request.body),
            "multipart/form-data" => Form::of_parts(request),
            _ => Form::default(),
        }
    }

    fn of_pairs(body: &[u8]) -> Self {
        let Ok(body) = std::str::from_utf8(body) else { return Form::default() };
        let pairs = body.split('&').filter(|pair| !pair.is_empty()).take(FIELDS_MAX);
        let texts = pairs
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((percent_decode(name, true)?, percent_decode(value, true)?))
            })
            .collect();
        Form { texts, files: Vec::new() }
    }

    fn of_parts(request: &Request) -> Self {
        let Ok(parts) = multipart::parts(&request.body, &request.content_type) else { return Form::default() };
        let mut form = Form::default();
        for part in parts.into_iter().take(FIELDS_MAX) {
            match part.filename {
                Some(own) => form.files.push((part.name, own, part.bytes.to_vec())),
                None => {
                    if let Ok(text) = std::str::from_utf8(part.bytes) {
                        form.texts.push((part.name, text.to_owned()));
                    }
                }
            }
        }
        form
    }

    /// A field, without blanks around it; empty when it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A field as it was typed: passwords may begin with a blank.
    pub fn raw(&self, name: &str) -> &str {
        self.texts.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// All fields of a name, in order: what was ticked.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.texts.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A box that was ticked.
    pub fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name), "" | "0" | "false")
    }

    /// A file; `None`: none was chosen.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.sent(name).map(|(_, _, bytes)| bytes.as_slice())
    }

    /// A file's own name, as the browser tells it: a stranger's words; empty when none was chosen.
    pub fn file_name(&self, name: &str) -> &str {
        self.sent(name).map_or("", |(_, own, _)| own)
    }

    fn sent(&self, name: &str) -> Option<&Sent> {
        self.files.iter().find(|(n, _, bytes)| n == name && !bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::{Door, Method, Peer};

    fn form(content_type: &str, body: &str) -> Form {
        let mut request = Request::of_target(Method::Post, "/", Door::Public, Peer::User(0)).expect("a target");
        request.content_type = content_type.into();
        request.body = body.as_bytes().to_vec();
        Form::of(&request)
    }

    #[test]
    fn fields_are_read_by_name() {
        let form =
            form("application/x-www-form-urlencoded; charset=UTF-8", "a=+1&id=x&id=%E9%A3%9B&on=on&off=0&bad=%zz");
        assert_eq!((form.text("a"), form.raw("a"), form.text("none")), ("1", " 1", ""));
        assert_eq!(form.all("id").collect::<Vec<_>>(), ["x", "飛"]);
        assert!(form.flag("on") && !form.flag("off") && !form.flag("bad"));
    }

    #[test]
    fn files_are_told_from_fields() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nhi\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"list\"; filename=\"l.csv\"\r\n\r\na@b.example\r\n--b--\r\n";
        let form = form("multipart/form-data; boundary=b", body);
        assert_eq!((form.text("t"), form.file("list")), ("hi", Some(&b"a@b.example"[..])));
        assert!(form.file("t").is_none() && form.file_name("list") == "l.csv" && form.file_name("t").is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        for (kind, body) in
            [("text/plain", "a=1"), ("multipart/form-data", "a=1"), ("multipart/form-data; boundary=b", "x")]
        {
            assert_eq!(form(kind, body).text("a"), "", "{kind}");
        }
    }
}
