//! What names the mail that came back.
//!
//! In: the returned header, as a part of its own or as text in the notice, and the mail's own header.  Out: an [`Original`].
//! Always: every address that may be a return address of ours is listed once, the surest first; lists are bounded.
//! Sources: RFC 5321 §4.4, RFC 3464 §2.2.1.

use super::{Original, address, head::Head};

/// Return addresses listed at most.
const RETURN_PATHS_MAX: usize = 16;
/// Lines in front of a returned header that are no fields and are stepped over.
const JUNK_LINES_MAX: usize = 8;

/// The header in the text behind a notice: indented, quoted or with lines in front of it.
pub(super) fn header_in(text: &str) -> Head {
    let mut section = String::with_capacity(text.len().min(16 * 1024));
    let mut junk = 0;
    let mut indent = 0;
    for line in text.lines() {
        let line = line.strip_prefix("> ").or_else(|| line.strip_prefix('>')).unwrap_or(line);
        if section.is_empty() {
            let trimmed = line.trim_start();
            if !is_field(trimmed) {
                junk += usize::from(!trimmed.is_empty());
                if junk > JUNK_LINES_MAX {
                    break;
                }
                continue;
            }
            indent = line.len() - trimmed.len();
        } else if line.trim().is_empty() {
            break;
        }
        let line = if line.len() >= indent && line.is_char_boundary(indent) && line[..indent].trim().is_empty() {
            &line[indent..]
        } else {
            line.trim_start()
        };
        section.push_str(line);
        section.push('\n');
    }
    Head::of(section.as_bytes())
}

fn is_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| {
        name.len() > 1 && name.len() < 60 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

/// What names the mail.
pub(super) fn original(head: &Head, returned: &Head, envid: &str, senders: &[String]) -> Original {
    let mut original = Original {
        message_id: bracketed(&returned.message_id),
        envid: envid.to_owned(),
        return_paths: Vec::new(),
        subject: returned.subject.clone(),
        api_data: returned.api_data.clone(),
    };
    let paths = returned.return_path.iter().chain(senders).chain(&head.to).chain(&head.delivered_to);
    for path in paths.filter(|p| address::is_one(p)) {
        let list = &mut original.return_paths;
        if list.len() < RETURN_PATHS_MAX && !list.iter().any(|known| address::same(known, path)) {
            list.push(path.clone());
        }
    }
    original
}

/// A Message-ID with its brackets, without what stands around it.
fn bracketed(id: &str) -> String {
    match (id.find('<'), id.rfind('>')) {
        (Some(open), Some(close)) if open < close => id[open..=close].to_owned(),
        _ if id.is_empty() => String::new(),
        _ => format!("<{}>", id.trim_matches(['<', '>'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_header_is_found_behind_its_mark() {
        for text in [
            "\n\nReturn-Path: <r@s.example>\nSubject: x\n y\nMessage-ID: <1@s>\n\nSubject: body\n",
            "\nsome words\n    Return-Path: <r@s.example>\n    Subject: x\n     y\n    Message-ID: <1@s>\n\n",
            "> Return-Path: <r@s.example>\n> Subject: x y\n> Message-ID: 1@s\n>\n> Subject: body\n",
        ] {
            let head = header_in(text);
            assert_eq!(head.subject, "x y", "{text}");
            let original = original(&Head::of(b"To: <b-token@return.example>\n"), &head, "", &[]);
            assert_eq!(original.message_id, "<1@s>");
            assert_eq!(original.return_paths, ["r@s.example", "b-token@return.example"]);
        }
        assert!(header_in("no header at all\n\n").is_empty());
    }
}
