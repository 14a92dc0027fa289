//! CSV that spreadsheets open without harm: the one writer for exports, downloads and archives.
//!
//! In: a head and rows of cells.  Out: RFC 4180 lines with CRLF, one row at a time.
//! Always: a cell never starts a formula, whoever wrote what it holds; a byte order mark only where it is asked for (Excel takes a
//! file without one for the system's own charset); nothing is gathered: a row is written when it comes.
//! Sources: RFC 4180; OWASP, CSV injection.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// What UTF-8 files of Excel begin with.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// How a sheet is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// It begins with a byte order mark.
    pub bom: bool,
    /// Every cell is in quotes, as CMC writes its lists.
    pub quoted: bool,
}

/// A sheet that is being written.
pub struct Sheet<W: Write> {
    writer: csv::Writer<W>,
}

impl<W: Write> Sheet<W> {
    /// Starts a plain one with its head.
    ///
    /// # Errors
    /// What the writer below says; so everywhere here.
    pub fn new(to: W, head: &[&str]) -> io::Result<Self> {
        Sheet::with(to, head, Style::default())
    }

    /// [`Sheet::new`] with every cell in quotes.
    #[allow(clippy::missing_errors_doc)]
    pub fn quoted(to: W, head: &[&str]) -> io::Result<Self> {
        Sheet::with(to, head, Style { quoted: true, ..Style::default() })
    }

    /// Starts one of this style with its head.
    #[allow(clippy::missing_errors_doc)]
    pub fn with(mut to: W, head: &[&str], style: Style) -> io::Result<Self> {
        if style.bom {
            to.write_all(BOM)?;
        }
        let mut builder = csv::WriterBuilder::new();
        builder.terminator(csv::Terminator::CRLF);
        if style.quoted {
            builder.quote_style(csv::QuoteStyle::Always);
        }
        let mut writer = builder.from_writer(to);
        writer.write_record(head)?;
        Ok(Sheet { writer })
    }

    /// Writes a row; cells that a spreadsheet would calculate are made text. Rows are as long as the head.
    #[allow(clippy::missing_errors_doc)]
    pub fn row<I>(&mut self, cells: I) -> io::Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        for cell in cells {
            self.writer.write_field(harmless(cell.as_ref()).as_bytes())?;
        }
        self.writer.write_record(None::<&[u8]>)?;
        Ok(())
    }

    /// Writes what is left, and gives the writer below back.
    #[allow(clippy::missing_errors_doc)]
    pub fn finish(self) -> io::Result<W> {
        self.writer.into_inner().map_err(|e| e.into_error())
    }

    /// Writes what is left so far.
    #[allow(clippy::missing_errors_doc)]
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A cell that no spreadsheet takes for a formula: such a start gets an apostrophe before it.
pub fn harmless(cell: &str) -> Cow<'_, str> {
    match cell.trim_start_matches(' ').chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => format!("'{cell}").into(),
        Some(_) | None => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_never_starts_a_formula() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("  =x", "'  =x"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("＝x", "'＝x"),
            ("a=b", "a=b"),
            ("", ""),
            ("飛脚", "飛脚"),
        ] {
            assert_eq!(harmless(cell), expected);
        }
    }

    #[test]
    fn sheets_are_written_row_by_row_in_each_style() {
        let write = |style| {
            let mut sheet = Sheet::with(Vec::new(), &["a", "b"], style).unwrap();
            sheet.row(["=1", "x,\"y\"\r\nz"]).unwrap();
            sheet.row([String::new(), "飛脚".to_owned()]).unwrap();
            String::from_utf8(sheet.finish().unwrap()).unwrap()
        };
        assert_eq!(write(Style::default()), "a,b\r\n'=1,\"x,\"\"y\"\"\r\nz\"\r\n,飛脚\r\n");
        let full = write(Style { bom: true, quoted: true });
        assert_eq!(full, "\u{feff}\"a\",\"b\"\r\n\"'=1\",\"x,\"\"y\"\"\r\nz\"\r\n\"\",\"飛脚\"\r\n");
        assert!(
            Sheet::new(Vec::new(), &["a"]).unwrap().row(["1", "2"]).is_err(),
            "a row has as many cells as the head"
        );
    }
}
