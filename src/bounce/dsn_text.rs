//! The words of a notification: for people, in English and then in Japanese.
//!
//! Always: says what happened, to whom, what the other side answered, and what the reader can do.

use std::fmt::Write;

use super::dsn_write::{Action, InTime, RecipientReport, Report};
use crate::mail::compose;

/// Recipients named in the text; the machine-readable part names all.
const NAMED_MAX: usize = 100;
/// Characters of an answer in the text.
const REPLY_CHARS_MAX: usize = 500;

/// The subject, in both languages.
pub(super) fn subject(action: Action) -> &'static str {
    match action {
        Action::Failed => "Your mail could not be delivered / メールを配信できませんでした",
        Action::Delayed => "Your mail is delayed / メールの配信が遅れています",
        Action::Delivered => "Your mail was delivered / メールを配信しました",
        Action::Relayed => "Your mail was passed on / メールを中継しました",
    }
}

/// The text part.
pub(super) fn text(report: &Report<'_>) -> String {
    let mut out = String::with_capacity(2_048);
    let action = report.recipients.first().map_or(Action::Failed, |r| r.action);
    let date = compose::date(report.arrived_at);
    let _ = write!(out, "{}\r\n\r\n", english(action, report.deliver_by.is_some()));
    about(&mut out, report, &date, ["Accepted", "Held until", "Subject", "Queue id", "Reported by"]);
    for recipient in report.recipients.iter().take(NAMED_MAX) {
        recipient_text(
            &mut out,
            recipient,
            ["The other side answered", "What happened", "The time that you gave for its delivery is over."],
            english_hint,
        );
    }
    more(&mut out, report, "more recipients: see the attached report");
    let _ = write!(out, "\r\n----\r\n\r\n{}\r\n\r\n", japanese(action, report.deliver_by.is_some()));
    about(&mut out, report, &date, ["受付日時", "配信予約日時", "件名", "キューID", "通知元"]);
    for recipient in report.recipients.iter().take(NAMED_MAX) {
        recipient_text(
            &mut out,
            recipient,
            ["相手先サーバーの応答", "状況", "ご指定の配信期限を過ぎました。"],
            japanese_hint,
        );
    }
    more(&mut out, report, "件の宛先については添付のレポートをご覧ください");
    out
}

/// `by`: the mail came with a deadline, so that a relay is told although the next system may report too.
fn english(action: Action, by: bool) -> &'static str {
    match action {
        Action::Failed => "Your mail could not be delivered to the recipients below, and it will not be tried again.",
        Action::Delayed => {
            "Your mail could not be delivered to the recipients below yet. You need not do anything: it is tried again\r\n\
             until it is delivered or its time is over; in that case you will get another notice."
        }
        Action::Delivered => "Your mail was delivered to the recipients below, as you asked to be told.",
        Action::Relayed if by => {
            "Your mail was handed to the mail system of the recipients below. Whether it is delivered in the time that\r\n\
             you gave is now in that system's hands."
        }
        Action::Relayed => {
            "Your mail was handed to the mail system of the recipients below. That system sends no delivery reports,\r\n\
             so this is the last thing that we can tell you about it."
        }
    }
}

fn japanese(action: Action, by: bool) -> &'static str {
    match action {
        Action::Failed => "お送りいただいたメールは、次の宛先に配信できませんでした。再送は行われません。",
        Action::Delayed => {
            "お送りいただいたメールは、次の宛先にまだ配信できていません。自動的に再送を続けますので、操作は不要です。\r\n\
             期限までに配信できなかった場合は、あらためてお知らせします。"
        }
        Action::Delivered => "お送りいただいたメールは、次の宛先に配信されました（ご依頼によりお知らせします）。",
        Action::Relayed if by => {
            "お送りいただいたメールは、次の宛先のメールシステムに引き渡されました。\r\n\
             ご指定の期限までに配信されるかどうかは、相手先のシステムによります。"
        }
        Action::Relayed => {
            "お送りいただいたメールは、次の宛先のメールシステムに引き渡されました。\r\n\
             相手先は配信通知に対応していないため、これ以降の状況はお知らせできません。"
        }
    }
}

fn about(out: &mut String, report: &Report<'_>, date: &str, labels: [&str; 5]) {
    let [accepted, held, subject, queue_id, by] = labels;
    let _ = write!(out, "  {accepted}: {date}\r\n");
    if let Some(until) = report.hold.map(|hold| hold.release_at(report.arrived_at)) {
        let _ = write!(out, "  {held}: {}\r\n", compose::date(until));
    }
    if !report.subject.is_empty() {
        let _ = write!(out, "  {subject}: {}\r\n", one_line(report.subject));
    }
    let _ = write!(out, "  {queue_id}: {}\r\n  {by}: {}\r\n\r\n", report.message, report.hostname);
}

fn recipient_text(
    out: &mut String,
    recipient: &RecipientReport<'_>,
    labels: [&str; 3],
    hint: fn(Action, &str) -> Option<&'static str>,
) {
    let _ = write!(out, "<{}>\r\n", recipient.address);
    if !recipient.reply.is_empty() && matches!(recipient.action, Action::Failed | Action::Delayed) {
        let label = if recipient.host.is_empty() { labels[1] } else { labels[0] };
        let host = if recipient.host.is_empty() { String::new() } else { format!(" ({})", recipient.host) };
        let _ = write!(out, "    {label}{host}:\r\n    {}\r\n", one_line(recipient.reply));
    }
    let is_over = matches!(recipient.in_time, InTime::Over | InTime::OverReturned);
    if is_over && matches!(recipient.action, Action::Failed | Action::Delayed) {
        let _ = write!(out, "    {}\r\n", labels[2]);
    }
    if let Some(hint) = hint(recipient.action, &recipient.status()) {
        let _ = write!(out, "    {hint}\r\n");
    }
    out.push_str("\r\n");
}

fn more(out: &mut String, report: &Report<'_>, words: &str) {
    if report.recipients.len() > NAMED_MAX {
        let _ = write!(out, "... {} {words}\r\n", report.recipients.len() - NAMED_MAX);
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REPLY_CHARS_MAX).collect()
}

/// The subject and detail of a status code, without its class.
fn detail(status: &str) -> &str {
    status.split_once('.').map_or("", |(_, detail)| detail)
}

fn english_hint(action: Action, status: &str) -> Option<&'static str> {
    if action != Action::Failed {
        return None;
    }
    Some(match detail(status) {
        "1.1" | "1.6" => "This address does not exist there. Please check its spelling.",
        "1.2" | "1.10" | "4.4" => "This domain takes no mail, or does not exist. Please check its spelling.",
        "1.3" => "This address is not written as mail addresses are. Please check its spelling.",
        "2.1" => "This mailbox is closed. Please reach the recipient in another way.",
        "2.2" => "This mailbox is full. Please try again later, or reach the recipient in another way.",
        "2.3" | "3.4" => "The mail is too large for the recipient. Please send it without large attachments.",
        "4.7" => "The destination could not be reached, or did not take the mail, until its time was over.",
        d if d.starts_with("7.") => {
            "The recipient's side refuses this mail by its rules. Please ask its administrator."
        }
        _ => return None,
    })
}

fn japanese_hint(action: Action, status: &str) -> Option<&'static str> {
    if action != Action::Failed {
        return None;
    }
    Some(match detail(status) {
        "1.1" | "1.6" => "この宛先は存在しません。アドレスに誤りがないかご確認ください。",
        "1.2" | "1.10" | "4.4" => {
            "このドメインは存在しないか、メールを受け取りません。アドレスに誤りがないかご確認ください。"
        }
        "1.3" => "アドレスの形式が正しくありません。ご確認ください。",
        "2.1" => "このメールボックスは利用されていません。別の方法でご連絡ください。",
        "2.2" => "宛先のメールボックスがいっぱいです。時間をおいて再送するか、別の方法でご連絡ください。",
        "2.3" | "3.4" => "メールのサイズが宛先の上限を超えています。添付ファイルを減らしてお送りください。",
        "4.7" => "期限までに宛先のサーバーに接続できないか、受け取られませんでした。",
        d if d.starts_with("7.") => "宛先側の規則により受信が拒否されました。宛先の管理者にお問い合わせください。",
        _ => return None,
    })
}
