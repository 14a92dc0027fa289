//! Output for people and programs: aligned tables, CSV, JSON Lines as they came.
//!
//! Always: what came with a mail cannot drive the terminal (control and direction characters are shown as `·`); wide
//! Japanese characters take two columns; CSV is `sheet.rs`.
//! Sources: UAX #11 (East Asian Width), UAX #9 (direction characters).

use std::io::{self, BufWriter, Write};

use clap::{Arg, ArgAction};

use super::client::{DONE, NO, Trouble};
pub use crate::{http::words::clean, sheet::Sheet as Csv};

/// `--json`, before or after a noun's verb.
pub fn json_flag() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .global(true)
        .help("Print JSON Lines (snake_case, times in UTC), for programs")
}

/// Where a command writes: standard output and error, or a test's buffers.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Notes and errors.
    pub err: &'a mut dyn Write,
}

impl Output<'_> {
    /// A line of results.
    pub fn line(&mut self, text: &str) -> Result<(), Trouble> {
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// A line for the person, beside the results.
    pub fn note(&mut self, text: &str) -> Result<(), Trouble> {
        self.out.flush()?;
        self.err.write_all(text.as_bytes())?;
        self.err.write_all(b"\n")?;
        Ok(())
    }
}

/// Runs a command on the process's output; answers its exit code.
pub fn on_terminal(command: impl FnOnce(&mut Output<'_>) -> Result<u8, Trouble>) -> u8 {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut err = io::stderr().lock();
    finish(&mut Output { out: &mut out, err: &mut err }, command)
}

/// Runs a command; its trouble becomes a line on `err` and an exit code.
pub fn finish(output: &mut Output<'_>, command: impl FnOnce(&mut Output<'_>) -> Result<u8, Trouble>) -> u8 {
    let result = command(output).and_then(|code| {
        output.out.flush()?;
        Ok(code)
    });
    match result {
        Ok(code) => code,
        Err(trouble) => {
            let code = trouble.code();
            if code != DONE {
                let said = output
                    .out
                    .flush()
                    .and_then(|()| writeln!(output.err, "hikyaku: {}", clean_lines(&trouble.to_string())));
                if said.is_err() {
                    return code.max(NO);
                }
            }
            code
        }
    }
}

/// A table: its head, its rows, and which columns are numbers.
pub struct Table {
    head: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

/// Blanks between two columns.
const GAP: usize = 2;
/// Columns that a cell takes at most, but for the last one of a row.
const CELL_MAX: usize = 48;

impl Table {
    /// A table of these columns; a name that starts with `>` is a number, aligned right.
    pub fn new(columns: &[&'static str]) -> Self {
        Table {
            head: columns.iter().map(|c| c.trim_start_matches('>')).collect(),
            right: columns.iter().map(|c| c.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells are cleaned here.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len(), "a cell for every column");
        let last = N.saturating_sub(1);
        self.rows.push(
            cells
                .into_iter()
                .enumerate()
                .map(|(i, cell)| if i == last { clean(&cell) } else { fit(&clean(&cell), CELL_MAX) })
                .collect(),
        );
    }

    /// True when it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes it, each line after `indent`.
    pub fn print(&self, output: &mut Output<'_>, indent: &str) -> Result<(), Trouble> {
        let mut widths: Vec<usize> = self.head.iter().map(|h| width(h)).collect();
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(width(cell));
            }
        }
        let head: Vec<String> = self.head.iter().map(|h| (*h).to_owned()).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = indent.to_owned();
            for (i, (cell, w)) in row.iter().zip(&widths).enumerate() {
                let pad = w - width(cell);
                if self.right[i] {
                    line.extend(std::iter::repeat_n(' ', pad));
                }
                line.push_str(cell);
                if i + 1 < row.len() {
                    let behind = if self.right[i] { GAP } else { pad + GAP };
                    line.extend(std::iter::repeat_n(' ', behind));
                }
            }
            output.line(line.trim_end())?;
        }
        Ok(())
    }
}

fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Wide and fullwidth characters take two columns, combining marks none; ambiguous ones one, as most terminals draw them.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x20..=0x7e => 1,
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f | 0x3099 | 0x309a | 0x20d0..=0x20ff | 0xe0100..=0xe01ef => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0x33ff
        | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xa000..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// A text of at most `columns`, with an ellipsis when it was longer.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += char_width(c);
        if used >= columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_stay_in_line() {
        let mut table = Table::new(&["NAME", ">N", "WORDS"]);
        table.row(["飛脚".into(), "7".into(), "a".into()]);
        table.row(["abc".into(), "1234".into(), "b\x1b[2J\u{202e}\nc".into()]);
        let mut out = Vec::new();
        let mut err = Vec::new();
        table.print(&mut Output { out: &mut out, err: &mut err }, "").expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, "NAME     N  WORDS\n飛脚     7  a\nabc   1234  b·[2J· c\n");
        assert_eq!([width("飛脚ｶﾅ"), width("が"), width("か\u{3099}")], [6, 2, 2]);
        assert_eq!([fit("飛脚便り", 5), fit("abc", 3), fit("abcd", 3)], ["飛脚…", "abc", "ab…"]);
    }
}
