//! The logs over the control socket: deliveries, errors, and the operation log.
//!
//! Always: nothing older than its view's retention is answered (R13), even if the pruner has not come by yet.

use super::{Answer, LOOKED_BACK_TO, PAGE_ROWS_MAX, Refused, number, page_of, time, with_cursor};
use crate::{
    clock::Timestamp,
    event::ErrorClass,
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
        rows::{AuditOut, LogOut, kinds_of},
    },
    store::{AuditPage, AuditQuery, LogQuery, LogRow, Page},
};

/// Pages looked through at most for rows after a number; a follower that is further behind asks again.
const FOLLOW_PAGES_MAX: usize = 20;

fn period(
    request: &Request,
    about: &About,
    now: Timestamp,
    kept: std::time::Duration,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Refused> {
    let since = time(request, about, now, "since")?;
    let until = time(request, about, now, "until")?;
    if let (Some(from), Some(to)) = (since, until)
        && from >= to
    {
        return Err(Refused::new(400, "since must be before until", "since"));
    }
    let oldest = now.minus(kept);
    Ok((Some(since.map_or(oldest, |t| t.max(oldest))), until))
}

/// `log deliveries` and `log errors`.
pub(super) fn events(daemon: &dyn Daemon, about: &About, request: &Request, errors_only: bool) -> Answer {
    let now = daemon.now();
    let kept = if errors_only { about.retention.error_log } else { about.retention.delivery_log };
    let (from, to) = period(request, about, now, kept)?;
    let message = match request.param("id") {
        "" => None,
        text => Some(text.parse().map_err(|e| Refused::new(400, format!("{text:?} is {e}"), "id"))?),
    };
    let query = LogQuery {
        from,
        to,
        recipient: request.param("recipient").to_owned(),
        sender: request.param("sender").to_owned(),
        message_id: request.param("message_id").to_owned(),
        api_data: request.param("api_data").to_owned(),
        subject: request.param("subject").to_owned(),
        user: request.param("user").to_owned(),
        kinds: kinds_of(request.param("status")).map_err(|words| Refused::new(400, words, "status"))?,
        exact: request.flag("exact"),
        message,
        errors_only,
        domain: request.param("domain").to_owned(),
        classes: classes_of(request.param("class"))?,
        ..LogQuery::default()
    };
    if let Some(after) = number(request, "after")? {
        let rows: Vec<LogOut> = rows_after(daemon, &query, after)?.iter().map(LogOut::from).collect();
        return Ok(Response::lines(&rows));
    }
    let page = daemon.log_page(&query, &page_of(request)?)?;
    let rows: Vec<LogOut> = page.rows.iter().map(LogOut::from).collect();
    let response = with_cursor(Response::lines(&rows), page.next);
    Ok(match page.looked_back_to {
        Some(at) => response.with(LOOKED_BACK_TO, at.rfc3339()),
        None => response,
    })
}

/// Classes of errors in a list with commas, by word or CMC's number.
fn classes_of(list: &str) -> Result<Vec<ErrorClass>, Refused> {
    let of = |word: &str| {
        let by_word = ErrorClass::ALL.into_iter().find(|class| class.word() == word);
        let class = by_word.or_else(|| word.parse().ok().and_then(ErrorClass::from_code));
        class.ok_or_else(|| Refused::new(400, format!("{word:?} is no class of errors"), "class"))
    };
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(of).collect()
}

/// Rows with a number over `after`, the oldest first: what `--follow` asks again and again.
fn rows_after(daemon: &dyn Daemon, query: &LogQuery, after: u64) -> Result<Vec<LogRow>, Refused> {
    let mut found = Vec::new();
    let mut page = Page { rows_max: PAGE_ROWS_MAX, ..Page::default() };
    for _ in 0..FOLLOW_PAGES_MAX {
        let answer = daemon.log_page(query, &page)?;
        let reached = answer.rows.iter().any(|row| row.number <= after);
        found.extend(answer.rows.into_iter().filter(|row| row.number > after));
        match answer.next {
            Some(next) if !reached => page.cursor = Some(next),
            Some(_) | None => break,
        }
    }
    found.sort_by_key(|row| row.number);
    Ok(found)
}

/// `log audit`.
pub(super) fn audit(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let (from, to) = period(request, about, daemon.now(), about.retention.audit_log)?;
    let query = AuditQuery {
        from,
        to,
        who: request.param("who").to_owned(),
        act: request.param("act").to_owned(),
        ..AuditQuery::default()
    };
    if let Some(after) = number(request, "after")? {
        return Ok(Response::lines(&audit_after(daemon, &query, after)?));
    }
    let page = daemon.audit_page(&query, &page_of(request)?)?;
    Ok(with_cursor(Response::lines(&audit_rows(&page)), page.next))
}

fn audit_rows(page: &AuditPage) -> Vec<AuditOut> {
    let numbered = page.rows.iter().zip(&page.numbers);
    numbered.map(|(entry, number)| AuditOut { number: *number, ..AuditOut::from(entry) }).collect()
}

/// Entries with a number over `after`, the oldest first.
fn audit_after(daemon: &dyn Daemon, query: &AuditQuery, after: u64) -> Result<Vec<AuditOut>, Refused> {
    let query = AuditQuery { after: Some(after), ..query.clone() };
    let mut page = Page { rows_max: PAGE_ROWS_MAX, ..Page::default() };
    let mut found = Vec::new();
    for _ in 0..FOLLOW_PAGES_MAX {
        let answer = daemon.audit_page(&query, &page)?;
        found.extend(audit_rows(&answer).into_iter().filter(|row| row.number > after));
        match answer.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    found.sort_by_key(|row| row.number);
    Ok(found)
}
