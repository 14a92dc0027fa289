//! `hikyaku backup FILE`: a consistent copy of the running daemon's store, as a tar.
//!
//! Always: FILE is whole or not there: the copy is written beside it (0600), synced, and only then takes its name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};

use super::{
    Target,
    args::text,
    client::{Client, DONE, Trouble},
    table::{Output, clean, json_flag, on_terminal},
};
use crate::http::words::size;

/// The command.
pub fn command() -> Command {
    Command::new("backup")
        .about("A consistent copy while running, as a tar")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .help("Where it goes; an older copy is replaced once the new one is whole"),
        )
        .arg(json_flag())
}

/// Runs it.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(args: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let file = PathBuf::from(text(args, "file"));
    let mut part = Part::create(&file).map_err(|e| Trouble::Usage(format!("{}: {e}", file.display())))?;
    let octets = Client::new(target).stream("backup", &mut part)?;
    part.keep(&file)?;
    if args.get_flag("json") {
        output.line(&serde_json::json!({ "file": file.display().to_string(), "octets": octets }).to_string())?;
    } else {
        output.line(&format!("{}: {}", clean(&file.display().to_string()), size(octets)))?;
    }
    Ok(DONE)
}

/// The copy while it is written; dropped before it is kept, it is deleted.
struct Part {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Part {
    fn create(beside: &Path) -> io::Result<Self> {
        let name =
            beside.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this names no file"))?;
        let mut part = name.to_os_string();
        part.push(format!(".{}.part", std::process::id()));
        let path = beside.with_file_name(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Part { path, file: Some(BufWriter::with_capacity(1 << 20, file)) })
    }

    fn keep(mut self, name: &Path) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let keep = || {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(&self.path, name)
        };
        keep().inspect_err(|_| self.remove())?;
        let folder = name.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    /// Nothing more can be done about a part that cannot be removed; its name says what it is.
    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.remove();
        }
    }
}
