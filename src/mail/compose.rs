//! Small parts of messages that we write ourselves: dates, Message-IDs, folded fields.
//!
//! Always: what is written is ASCII or UTF-8 as it was given, in lines of at most 998 octets, ended by CRLF.
//! Sources: RFC 5322 §3.3, §3.6.4 and §2.1.1.

use std::fmt::Write;

use crate::{clock::Timestamp, ids::MessageId};

/// Where a field is folded when it can be (RFC 5322 §2.1.1).
pub const LINE_MAX: usize = 78;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Seconds of a day.
const DAY: u64 = 86_400;
/// The last second that a four-digit year can name: 9999-12-31T23:59:59Z.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A date as header fields write it, in UTC: `Tue, 24 Nov 2026 13:35:10 +0000`.
pub fn date(at: Timestamp) -> String {
    let mut out = String::with_capacity(31);
    push_date(&mut out, at);
    out
}

/// Appends [`date`].
pub fn push_date(out: &mut String, at: Timestamp) {
    let seconds = at.as_seconds().min(SECONDS_MAX);
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{}, {day} {} {year:04} {:02}:{:02}:{:02} +0000",
        WEEKDAYS[(days % 7) as usize],
        MONTHS[month as usize],
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    );
}

/// Year, month (from 0) and day of the month of a day since the epoch, by the proleptic Gregorian calendar: eras of 400
/// years, years that begin in March so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    (year, month, day)
}

/// The Message-ID that we give to a message that has none.
pub fn message_id(id: MessageId, hostname: &str) -> String {
    format!("<{id}@{hostname}>")
}

/// Writes a header field of words, folded before a word that would pass [`LINE_MAX`].
#[derive(Debug)]
pub struct Folder<'a> {
    out: &'a mut String,
    line_start: usize,
}

impl<'a> Folder<'a> {
    /// Starts the field `name`.
    pub fn new(out: &'a mut String, name: &str) -> Self {
        let line_start = out.len();
        out.push_str(name);
        out.push(':');
        Folder { out, line_start }
    }

    /// Appends a word after a blank, or after a fold when the line would get too long.
    pub fn word(&mut self, word: &str) -> &mut Self {
        let is_first = self.out.len() == self.line_start;
        if !is_first && self.out.len() - self.line_start + 1 + word.len() > LINE_MAX {
            self.fold();
        } else {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self
    }

    /// Appends a group of words that begins on a line of its own.
    pub fn line(&mut self, text: &str) -> &mut Self {
        self.fold();
        self.out.push_str(text);
        self
    }

    /// Appends text to the last word.
    pub fn glue(&mut self, text: &str) -> &mut Self {
        self.out.push_str(text);
        self
    }

    /// Ends the field.
    pub fn end(&mut self) {
        self.out.push_str("\r\n");
    }

    fn fold(&mut self) {
        self.out.push_str("\r\n");
        self.line_start = self.out.len();
        self.out.push('\t');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_read_as_the_standard_wants() {
        for (seconds, expected) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 +0000"),
            (1_795_527_310, "Tue, 24 Nov 2026 13:35:10 +0000"),
            (SECONDS_MAX, "Fri, 31 Dec 9999 23:59:59 +0000"),
        ] {
            assert_eq!(date(Timestamp::from_millis(seconds * 1000)), expected);
        }
        assert_eq!(date(Timestamp::MAX), date(Timestamp::from_millis(SECONDS_MAX * 1000)));
    }

    proptest! {
        #[test]
        fn dates_agree_with_the_calendar(seconds in 0u64..SECONDS_MAX) {
            let ours = date(Timestamp::from_millis(seconds * 1000));
            let theirs = jiff::Timestamp::from_second(seconds as i64).expect("in range");
            prop_assert_eq!(ours, theirs.strftime("%a, %-d %b %Y %H:%M:%S +0000").to_string());
        }
    }
}
