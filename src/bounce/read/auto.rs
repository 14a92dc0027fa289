//! Tells automatic answers from bounces: vacation notes, challenges, receipts of reading.
//!
//! In: the mail's own header and its notice.  Out: whether a program answered.
//! Always: asked only of what is no bounce; a person's mail is none.
//! Sources: RFC 3834 §5, RFC 8098; what programs before RFC 3834 wrote.

use super::{
    head::Head,
    rules::{self, Phrase},
};

/// A program answered, on its own or for a person.
pub(super) fn is_answer(head: &Head, notice: &str) -> bool {
    let by_field = matches!(head.auto_submitted.as_str(), "auto-replied" | "auto-notified") || head.is_auto_answer;
    if by_field || rules::subject(&head.subject).has(Phrase::SubjectAnswer) {
        return true;
    }
    // RFC 3834 §3.3: an answer has the null sender, or its words give it away.
    let is_null = head.return_path.as_deref() == Some("") || head.auto_submitted == "auto-generated";
    is_null && rules::notice(notice).has(Phrase::Answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_mail_of_people() {
        for (head, notice, expected) in [
            ("Auto-Submitted: auto-replied\n", "", true),
            ("Auto-Submitted: no\n", "I am out of the office", false),
            ("Precedence: auto_reply\n", "", true),
            ("X-Autoreply: yes\n", "", true),
            ("Subject: Automatic reply: Nyaan\n", "", true),
            ("Subject: Out of Office\n", "", true),
            ("Subject: Re: hi\nReturn-Path: <>\n", "I'm on vacation until May", true),
            ("Subject: Re: hi\nReturn-Path: <a@b.example>\n", "I'm on vacation next week, shall we?", false),
            ("Subject: 自動返信\n", "", true),
            ("Subject: hello\n", "hello", false),
        ] {
            assert_eq!(is_answer(&Head::of(head.as_bytes()), notice), expected, "{head} {notice}");
        }
    }
}
