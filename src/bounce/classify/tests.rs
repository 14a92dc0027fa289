//! Every rule hits its example; the corpus of replies is understood.

use super::*;

fn said(text: &str) -> Said<'_> {
    Said { phase: None, code: None, enhanced: None, text }
}

#[test]
fn every_rule_is_the_first_that_its_examples_hit() {
    let mut wrong = Vec::new();
    for rule in rules::all() {
        assert!(!rule.seen.is_empty(), "{}: a rule without an example", rule.id);
        for example in &rule.seen {
            let (_, by) = judge_and_tell(&said(example));
            if by != DecidedBy::Rule(rule.id) {
                wrong.push(format!("{}: {by:?}: {example}", rule.id));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_rule_can_be_told_by_a_needle() {
    assert_eq!(rules::without_needle(), Vec::<&str>::new());
}

#[test]
fn the_words_that_cannot_be_mistaken_beat_the_code_beside_them() {
    for (text, reason, class, hard, trouble) in [
        ("550 5.1.1 <a@example.jp> blocked using Spamhaus", "blocked", 4, false, Trouble::Reputation),
        ("550 5.7.1 user unknown", "userunknown", 2, true, Trouble::Recipient),
        ("550 5.1.2 User reject", "filtered", 4, false, Trouble::Recipient),
        ("554 5.7.1 <a@example.jp>: mailbox is over quota", "mailboxfull", 5, false, Trouble::Recipient),
        ("550 5.2.1 Host Unknown", "hostunknown", 1, true, Trouble::Recipient),
        ("450 4.2.2 <a@example.jp>... Mailbox Full", "mailboxfull", 5, false, Trouble::Recipient),
        ("450 4.1.1 <a@example.jp>... User unknown", "userunknown", 2, false, Trouble::Recipient),
        // The word stands in a name, not in the answer.
        ("550 5.1.1 <spam.quota.full@blocked.example.jp>: no", "userunknown", 2, true, Trouble::Recipient),
        ("550 5.2.2 no. See https://example.com/virus/spam", "mailboxfull", 5, false, Trouble::Recipient),
        // The sender's domain, not the recipient's.
        ("550 5.1.8 Domain of sender address a@example.jp does not exist", "rejected", 4, false, Trouble::Policy),
        ("550 <a@example.jp>: Helo command rejected: Host not found", "blocked", 4, false, Trouble::Reputation),
        ("Host or domain name not found, try again", "networkerror", 3, false, Trouble::Destination),
        ("550 5.7.27 Sender address has null MX", "rejected", 4, false, Trouble::Policy),
        ("556 5.1.10 Recipient address has null MX", "notaccept", 1, true, Trouble::Recipient),
    ] {
        let judged = judge(&said(text));
        assert!(judged.known, "{text}");
        let got = (judged.reason, judged.class.code(), judged.hard, judged.trouble);
        assert_eq!(got, (reason, class, hard, trouble), "{text}");
    }
}

#[test]
fn what_nothing_knows_is_told_apart() {
    for (phase, code, text, known) in [
        (Phase::Content, 550, "Zut alors", false),
        (Phase::Rcpt, 550, "Zut alors", false),
        // Nothing to learn from.
        (Phase::Rcpt, 550, "", true),
        (Phase::Rcpt, 421, "Zut alors", true),
        (Phase::Rcpt, 550, "5.1.1 zut", true),
        (Phase::Content, 554, "zut 5.7.1", true),
    ] {
        let judged = judge(&Said { phase: Some(phase), code: Some(code), enhanced: None, text });
        assert_eq!(judged.known, known, "{phase:?} {code} {text}: {judged:?}");
        assert!(judged.known || !judged.hard, "what is not known is never hard");
    }
}

#[test]
fn a_failure_at_another_address_is_class_6_and_never_the_recipients() {
    let there = judge(&said("550 5.1.1 user unknown")).at_another_address();
    let got = (there.class.code(), there.hard, there.trouble, there.reason);
    assert_eq!(got, (6, false, Trouble::Destination, "userunknown"));
}

#[test]
fn after_the_content_an_unknown_user_may_be_a_filter() {
    for (phase, text, hard) in [
        (Phase::Rcpt, "550 <a@example.jp>: User unknown", true),
        (Phase::Content, "550 <a@example.jp>: User unknown", false),
        (Phase::Content, "550 5.1.1 <a@example.jp>: User unknown", true),
    ] {
        let judged = judge(&Said { phase: Some(phase), ..said(text) });
        assert_eq!((judged.class.code(), judged.hard), (2, hard), "{phase:?} {text}");
    }
}

/// For a word of the corpus: the reasons and the classes that are right for it. The corpus is made of several suites with words
/// of their own; those of coarse meaning leave more than one answer.
fn right_for(word: &str) -> Option<(&'static [&'static str], &'static [u8])> {
    Some(match word {
        "userunknown" => (&["userunknown"], &[2, 9]),
        "no_such_recipient" => (&["userunknown", "filtered", "suspend"], &[2]),
        "recipient_disabled_or_recipient_rate_limited" => (&["suspend", "speeding", "userunknown"], &[2, 4]),
        // Another suite's word for what a filter says, and for "unknown user" after the content.
        "filtered" => (&["filtered", "userunknown"], &[2, 4]),
        "mailboxfull" | "mailbox_full" | "mailbox_over_quota" => (&["mailboxfull"], &[5]),
        "systemfull" => (&["systemfull"], &[5]),
        "suspend" => (&["suspend"], &[2]),
        "hasmoved" => (&["hasmoved"], &[2]),
        "hostunknown" => (&["hostunknown"], &[1]),
        "notaccept" => (&["notaccept"], &[1]),
        "server_unknown" => (&["hostunknown", "notaccept", "networkerror"], &[1, 3]),
        "expired" | "server_timeout" => (&["expired", "networkerror"], &[3]),
        "networkerror" => (&["networkerror", "hostunknown"], &[3, 7, 1]),
        "service_not_available" => (&["expired", "toomanyconn", "badreputation"], &[3, 4]),
        "action_not_taken_mailbox_unavailable" => (&["speeding"], &[4]),
        "action_aborted_local_error" => (&["systemerror", "rejected"], &[7, 4]),
        "action_not_taken" => (&["filtered", "userunknown", "blocked"], &[2, 4]),
        "transaction_failed" => (&["policyviolation", "networkerror", "badreputation", "spamdetected"], &[4, 7]),
        "spam_content" => (&["spamdetected", "virusdetected", "badreputation", "blocked", "policyviolation"], &[4]),
        "ip_blocked_spam" => (&["speeding", "blocked"], &[4]),
        "reputation" | "badreputation" => (&["badreputation", "speeding"], &[4]),
        "authfailure" | "authentication_failure" => (&["authfailure"], &[4]),
        "blocked" => (&["blocked"], &[4]),
        "requireptr" => (&["requireptr"], &[4]),
        "rejected" => (&["rejected"], &[4]),
        "securityerror" => (&["securityerror"], &[4, 7]),
        "policyviolation" => (&["policyviolation"], &[4]),
        "spamdetected" => (&["spamdetected"], &[4]),
        "virusdetected" => (&["virusdetected"], &[4]),
        "notcompliantrfc" => (&["notcompliantrfc"], &[4]),
        "toomanyconn" => (&["toomanyconn"], &[4]),
        "speeding" => (&["speeding"], &[4]),
        "norelaying" => (&["norelaying"], &[7]),
        "failedstarttls" => (&["failedstarttls"], &[7]),
        "mailererror" => (&["mailererror"], &[7]),
        "systemerror" => (&["systemerror"], &[7]),
        "exceedlimit" | "mesgtoobig" => (&["exceedlimit", "mesgtoobig"], &[8]),
        "syntaxerror" => (&["syntaxerror"], &[99, 9]),
        "onhold" => (&["onhold", "undefined"], &[99, 3]),
        _ => return None,
    })
}

/// Prints every miss; `--nocapture` shows them where the test passes.
#[test]
#[allow(clippy::print_stderr)]
fn the_reasons_of_the_corpus_are_understood() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora/replies.tsv");
    let Ok(corpus) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return;
    };
    let (mut rows, mut reasons, mut classes, mut kinds, mut hards) = (0, 0, 0, 0, 0);
    for line in corpus.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [text, code, status, word, kind] = fields[..] else { panic!("a row of five: {line}") };
        if word.is_empty() {
            continue;
        }
        let (right_reasons, right_classes) = right_for(word).unwrap_or_else(|| panic!("no class for {word}"));
        let mut numbers = status.split('.').map(|n| n.parse().ok());
        let enhanced = match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten()) {
            (Some(class), Some(subject), Some(detail)) => Some(Enhanced(class as u8, subject, detail)),
            _ => None,
        };
        let (judged, by) = judge_and_tell(&Said { phase: None, code: code.parse().ok(), enhanced, text });
        rows += 1;
        let right = (right_reasons.contains(&judged.reason), right_classes.contains(&judged.class.code()));
        reasons += u32::from(right.0);
        classes += u32::from(right.1);
        // The suites with words of their own call every 5yz hard.
        let says_kind = matches!(kind, "hard" | "soft") && !word.contains('_');
        let kind_right = judged.hard == (kind == "hard");
        kinds += u32::from(says_kind);
        hards += u32::from(says_kind && kind_right);
        if right != (true, true) || says_kind && !kind_right {
            let text: String = text.chars().take(160).collect();
            eprintln!("miss: wanted {word} ({kind}): {judged:?} by {by:?}: {code} {status} {text}");
        }
    }
    eprintln!("{rows} replies: reason {reasons}, class {classes}; {kinds} with a kind: {hards}");
    assert!(rows > 0 && classes * 100 >= rows * 97 && reasons * 100 >= rows * 95, "class {classes}, reason {reasons}");
    assert!(hards * 100 >= kinds * 93, "hard or soft {hards} of {kinds}");
}
