//! `hikyaku dmarc import FILE|DIR|MBOX…`: reports from files, folders of files, and mailbox files.
//!
//! In: paths.  Out: for each file what became of it, and how many there were at the end.
//! Always: files travel to the daemon in requests of a few megabytes, so that neither side holds more; what cannot be read or is
//! no report keeps the others from nothing; folders are read to a bounded depth, and never through links that lead in circles.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};

use crate::{
    cli::{
        client::{Client, DONE, NO, Query, Trouble},
        table::{Output, clean},
    },
    dmarc::{
        monitor::FileOut,
        read::mbox::{self, Item, Mails},
    },
    http::{
        control::dmarc::{FILES_MAX, FileHead},
        relay::BODY_API_MAX,
        words::number,
    },
    tls_report::gzip,
};

/// Octets of a request, unless one file alone is larger.
const REQUEST_MAX: usize = 4 << 20;
/// Octets of a file as it travels.
const SENT_MAX: usize = BODY_API_MAX as usize - (64 << 10);
/// Octets of a file as it lies there: XML packs to a tenth.
const FILE_MAX: usize = 64 << 20;
/// Larger files are packed for the way, unless they are already.
const PACKED_FROM: usize = 1 << 20;
/// How gzip and ZIP files begin.
const PACKED: [&[u8]; 2] = [&[0x1f, 0x8b], b"PK"];
/// Folders in folders.
const DEPTH_MAX: usize = 8;

/// The command.
pub(super) fn command() -> Command {
    Command::new("import")
        .about("Takes reports from files (XML, gzip, ZIP, mails), folders of them, and mailbox files; exit code 1 if one holds none")
        .arg(Arg::new("paths").value_name("FILE|DIR|MBOX").num_args(1..).required(true))
}

pub(super) fn run_to(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut import =
        Import { client, json: args.get_flag("json"), body: Vec::new(), files: 0, counts: Counts::default() };
    for path in args.get_many::<String>("paths").unwrap_or_default() {
        import.path(Path::new(path), 0, output)?;
    }
    import.send(output)?;
    import.end(output)
}

/// How many there were.
#[derive(Clone, Copy, Default, Debug, serde::Serialize, serde::Deserialize)]
struct Counts {
    files: u64,
    new: u64,
    known: u64,
    refused: u64,
    rows: u64,
    without_report: u64,
    unreadable: u64,
}

struct Import<'a> {
    client: &'a Client,
    json: bool,
    body: Vec<u8>,
    files: usize,
    counts: Counts,
}

impl Import<'_> {
    fn path(&mut self, path: &Path, depth: usize, output: &mut Output<'_>) -> Result<(), Trouble> {
        let read = fs::metadata(path).and_then(|meta| if meta.is_dir() { names(path).map(Some) } else { Ok(None) });
        match read {
            Err(error) => self.skip(path, &error.to_string(), output),
            Ok(Some(_)) if depth >= DEPTH_MAX => self.skip(path, "folders in folders go too deep here", output),
            Ok(Some(names)) => names.into_iter().try_for_each(|name| self.path(&name, depth + 1, output)),
            Ok(None) => self.file(path, output),
        }
    }

    fn file(&mut self, path: &Path, output: &mut Output<'_>) -> Result<(), Trouble> {
        let mut reader = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) => return self.skip(path, &error.to_string(), output),
        };
        let is_mbox = match reader.fill_buf() {
            Ok(start) => mbox::is_mbox(start),
            Err(error) => return self.skip(path, &error.to_string(), output),
        };
        let name = path.display().to_string();
        if !is_mbox {
            let mut octets = Vec::new();
            if let Err(error) = reader.take(FILE_MAX as u64 + 1).read_to_end(&mut octets) {
                return self.skip(path, &error.to_string(), output);
            }
            return self.add(name, octets, output);
        }
        for (n, mail) in Mails::new(reader, FILE_MAX).enumerate() {
            let of_mail = format!("{name}#{}", n + 1);
            match mail {
                Ok(Item::Mail(octets)) => self.add(of_mail, octets, output)?,
                Ok(Item::TooLong(octets)) => {
                    self.skip(Path::new(&of_mail), &format!("{} octets are too many", number(octets)), output)?;
                }
                Err(error) => return self.skip(path, &error.to_string(), output),
            }
        }
        Ok(())
    }

    /// Adds a file to the request; sends what is there when it is enough.
    fn add(&mut self, name: String, octets: Vec<u8>, output: &mut Output<'_>) -> Result<(), Trouble> {
        if octets.len() > FILE_MAX {
            return self.skip(Path::new(&name), &format!("it is over {} MiB", FILE_MAX >> 20), output);
        }
        let is_packed = PACKED.iter().any(|magic| octets.starts_with(magic));
        let octets = if octets.len() > PACKED_FROM && !is_packed { gzip(&octets) } else { octets };
        if octets.len() > SENT_MAX {
            return self.skip(Path::new(&name), &format!("it is over {} MiB, packed", SENT_MAX >> 20), output);
        }
        if self.body.len() + octets.len() > REQUEST_MAX || self.files >= FILES_MAX {
            self.send(output)?;
        }
        let head = FileHead { file: name, octets: octets.len() as u64 };
        serde_json::to_writer(&mut self.body, &head).map_err(|error| Trouble::Usage(error.to_string()))?;
        self.body.push(b'\n');
        self.body.extend_from_slice(&octets);
        self.files += 1;
        Ok(())
    }

    fn send(&mut self, output: &mut Output<'_>) -> Result<(), Trouble> {
        if self.files == 0 {
            return Ok(());
        }
        let body = std::mem::take(&mut self.body);
        self.files = 0;
        let answer = self.client.post("dmarc/import", &Query::default(), &body)?;
        if self.json {
            output.out.write_all(&answer.body)?;
        }
        for file in answer.rows::<FileOut>()? {
            self.tell(&file, output)?;
        }
        Ok(())
    }

    fn tell(&mut self, file: &FileOut, output: &mut Output<'_>) -> Result<(), Trouble> {
        self.counts.files += 1;
        let name = clean(&file.file);
        for report in &file.reports {
            match report.became.as_str() {
                "new" => {
                    self.counts.new += 1;
                    self.counts.rows += report.rows;
                }
                "known" => self.counts.known += 1,
                _ => self.counts.refused += 1,
            }
            if self.json {
                continue;
            }
            let (organization, id) = (clean(&report.organization), clean(&report.report_id));
            if report.why.is_empty() {
                let rows =
                    if report.kind == "aggregate" { format!(", {} rows", number(report.rows)) } else { String::new() };
                output.line(&format!(
                    "{name}: {} {} report about {} from {organization} ({id}{rows})",
                    report.became,
                    report.kind,
                    clean(&report.domain)
                ))?;
            } else {
                output.note(&format!("{name}: refused: {} ({organization} {id})", clean(&report.why)))?;
            }
        }
        if !file.error.is_empty() {
            self.counts.without_report += 1;
            if !self.json {
                output.note(&format!("{name}: {}", clean(&file.error)))?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, why: &str, output: &mut Output<'_>) -> Result<(), Trouble> {
        self.counts.files += 1;
        self.counts.unreadable += 1;
        output.note(&format!("{}: {}", clean(&path.display().to_string()), clean(why)))
    }

    fn end(&self, output: &mut Output<'_>) -> Result<u8, Trouble> {
        let c = &self.counts;
        let code = if c.refused + c.without_report + c.unreadable == 0 { DONE } else { NO };
        if self.json {
            return Ok(code);
        }
        let mut parts = vec![format!("{} new with {} rows", number(c.new), number(c.rows))];
        for (n, what) in [
            (c.known, "known before"),
            (c.refused, "refused"),
            (c.without_report, "files without a report"),
            (c.unreadable, "files not read"),
        ] {
            if n > 0 {
                parts.push(format!("{} {what}", number(n)));
            }
        }
        output.line(&format!("{} files: {}.", number(c.files), parts.join(", ")))?;
        Ok(code)
    }
}

/// What is in a folder, in the order of names; hidden files and links to folders are left out.
fn names(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let leads_away = entry.file_type()?.is_symlink() && entry.path().is_dir();
        if !is_hidden && !leads_away {
            names.push(entry.path());
        }
    }
    names.sort();
    Ok(names)
}
