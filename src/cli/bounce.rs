//! `hikyaku bounce parse`: what is read in a bounce, a complaint or an automatic answer; works without a daemon.
//!
//! In: files.  Out: one row a recipient, and one for each file that is about nobody, so that scripts see every file.
//! Always: a file that cannot be read is named and does not stop the others; only the first `FILE_BYTES_MAX` octets are read.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;

use super::{
    client::{DONE, NO, Trouble},
    exit,
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::bounce::read::{Action, Kind, Reading, Row, read};

/// Octets read of a file: the reader itself looks at fewer.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Columns of the table; `REPLY` and `CLASS` are numbers.
const COLUMNS: [&str; 9] = ["FILE", "RECIPIENT", "ACTION", "STATUS", ">REPLY", ">CLASS", "KIND", "TROUBLE", "REASON"];

const HELP: &str = "\
One row a recipient; a mail that is about nobody has a row without recipient. `class` is CMC's number (1-11, 99),
`kind` is hard, soft, feedback (a complaint) or none (nothing failed).

Examples:
  hikyaku bounce parse returned.eml
  hikyaku bounce parse --json Maildir/new/* | jq -r 'select(.kind == \"hard\") | .recipient'
  hikyaku bounce parse - < returned.eml

Exit codes: 0 every file could be read, 1 not all (named on stderr), 2 wrong usage. No daemon is needed.";

/// The command.
pub(super) fn command() -> Command {
    let files = Arg::new("file")
        .value_name("FILE")
        .required(true)
        .num_args(1..)
        .value_parser(clap::value_parser!(PathBuf))
        .help("Mails, one a file; - is stdin");
    let parse = Command::new("parse")
        .about("What is read in a bounce, a complaint or an automatic answer (offline)")
        .arg(files)
        .after_help(HELP);
    Command::new("bounce")
        .about("Returned mail: what it says")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(parse)
}

/// Reads files.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let Some(("parse", matches)) = matches.subcommand() else { return exit::USAGE };
    let files: Vec<&PathBuf> = matches.get_many("file").unwrap_or_default().collect();
    let json = matches.get_flag("json");
    on_terminal(|output| parse(&files, json, output))
}

fn parse(files: &[&PathBuf], json: bool, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut table = Table::new(&COLUMNS);
    let mut code = DONE;
    for file in files {
        let name = file.display().to_string();
        let mail = match content(file) {
            Ok(mail) => mail,
            Err(error) => {
                output.note(&format!("hikyaku: {} cannot be read: {error}", clean(&name)))?;
                code = NO;
                continue;
            }
        };
        for line in lines(&name, &read(&mail)) {
            if json {
                let text = serde_json::to_string(&line).expect("texts and numbers are always JSON");
                output.line(&text)?;
            } else {
                table.row(line.cells());
            }
        }
    }
    if !table.is_empty() {
        table.print(output, "")?;
    }
    Ok(code)
}

fn content(file: &Path) -> io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    if file == Path::new("-") {
        io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut mail)?;
    } else {
        File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut mail)?;
    }
    Ok(mail)
}

/// One row, as it is shown.
#[derive(Serialize, PartialEq, Eq, Debug)]
struct Line<'r> {
    file: &'r str,
    recipient: &'r str,
    /// The other address that failed; empty: the same.
    failed_at: &'r str,
    action: &'static str,
    status: &'r str,
    reply_code: Option<u16>,
    class: Option<u8>,
    kind: &'static str,
    trouble: Option<&'static str>,
    reason: &'static str,
    host: &'r str,
    diagnostic: &'r str,
    message_id: &'r str,
}

impl Line<'_> {
    fn cells(&self) -> [String; COLUMNS.len()] {
        [
            self.file.to_owned(),
            self.recipient.to_owned(),
            self.action.to_owned(),
            self.status.to_owned(),
            self.reply_code.map(|c| c.to_string()).unwrap_or_default(),
            self.class.map(|c| c.to_string()).unwrap_or_default(),
            self.kind.to_owned(),
            self.trouble.unwrap_or_default().to_owned(),
            self.reason.to_owned(),
        ]
    }
}

fn lines<'r>(file: &'r str, reading: &'r Reading) -> Vec<Line<'r>> {
    let nobody = Line {
        file,
        recipient: "",
        failed_at: "",
        action: "",
        status: "",
        reply_code: None,
        class: None,
        kind: "none",
        trouble: None,
        reason: if reading.kind == Kind::AutoReply { "vacation" } else { "" },
        host: "",
        diagnostic: "",
        message_id: &reading.original.message_id,
    };
    if reading.rows.is_empty() {
        return vec![nobody];
    }
    let line = |row: &'r Row| Line {
        recipient: &row.recipient,
        failed_at: &row.failed_at,
        action: row.action.word(),
        status: &row.status,
        reply_code: row.reply_code,
        class: row.judged.map(|j| j.class.code()),
        kind: kind(row),
        trouble: row.judged.map(|j| j.trouble.word()),
        reason: row.judged.map_or(nobody.reason, |j| j.reason),
        host: &row.host,
        diagnostic: &row.diagnostic,
        ..nobody
    };
    reading.rows.iter().map(line).collect()
}

fn kind(row: &Row) -> &'static str {
    match row.action {
        Action::Feedback => "feedback",
        Action::Failed | Action::Delayed if row.judged.is_some_and(|j| j.hard) => "hard",
        Action::Failed | Action::Delayed => "soft",
        Action::Delivered | Action::Relayed | Action::Expanded | Action::Replied => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_stops_nothing() {
        let folder = std::env::temp_dir().join(format!("hikyaku-bounce-parse-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (missing, there) = (folder.join("missing.eml"), folder.join("there.eml"));
        std::fs::write(&there, "Subject: hello\r\n\r\nhello\r\n").expect("written");
        for json in [true, false] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = parse(&[&missing, &there], json, &mut Output { out: &mut out, err: &mut err });
            assert!(matches!(code, Ok(NO)));
            let (out, err) = (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned());
            assert!(out.contains("there.eml") && err.contains("missing.eml cannot be read"), "{out} {err}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn each_recipient_and_each_file_has_a_row() {
        let bounce = read(
            b"From: MAILER-DAEMON@x\r\nSubject: failure notice\r\nContent-Type: message/delivery-status\r\n\r\n\
              Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
              Diagnostic-Code: smtp; 550 5.1.1 unknown\r\n\r\nFinal-Recipient: rfc822; c@d.example\r\nAction: delivered\r\nStatus: 2.1.5\r\n",
        );
        let shown = lines("f", &bounce);
        assert_eq!(
            (shown.len(), shown[0].recipient, shown[0].status, shown[0].reply_code),
            (2, "a@b.example", "5.1.1", Some(550))
        );
        assert_eq!((shown[1].action, shown[1].kind, shown[1].class), ("delivered", "none", None));
        assert!(shown[0].class.is_some());
        let other = read(b"Subject: hello\r\n\r\nhello\r\n");
        let shown = lines("g", &other);
        assert_eq!((shown.len(), shown[0].recipient, shown[0].kind), (1, "", "none"));
        let json = serde_json::to_string(&shown[0]).expect("JSON");
        assert!(json.starts_with("{\"file\":\"g\",\"recipient\":\"\"") && json.contains("\"class\":null"), "{json}");
    }
}
