//! Downloads: rows as CSV in a ZIP file, written while they are read.
//!
//! In: column names and rows, one after another.  Out: the octets of the archive.
//! Always: memory does not grow with the rows; every field is quoted, as CMC's are; a spreadsheet neither runs a field as a
//! formula nor meets more lines than it can open; an error cuts the archive before its directory, so that nobody takes it for whole.
//! Sources: cmc.md §8.1; RFC 4180; APPNOTE.TXT (ZIP); CWE-1236.

use std::io::{self, Write};

use flate2::{Compression, write::DeflateEncoder};
use rawzip::{CompressionMethod, ZipArchiveWriter, time::UtcDateTime};

use crate::{clock::Timestamp, sheet::Sheet};

/// Rows of one file of an archive; what is more goes into a second one. Excel opens 1,048,576 lines.
const FILE_ROWS_MAX: usize = 1_000_000;

/// One row of fields.
pub type Row = Vec<String>;

/// Writes a ZIP with one CSV file `<name>.csv`; with further ones, `<name>_2.csv` and on, where the rows are too many for one.
/// Each begins with the columns. `made` is the time that the files carry.
///
/// # Errors
/// The writer's, and the rows' own: the archive is then cut.
pub fn zip_of_csv(
    to: &mut dyn Write,
    name: &str,
    made: Timestamp,
    columns: &[&str],
    rows: &mut dyn Iterator<Item = io::Result<Row>>,
) -> io::Result<u64> {
    zip_in_files(to, name, made, columns, rows, FILE_ROWS_MAX)
}

fn zip_in_files(
    to: &mut dyn Write,
    name: &str,
    made: Timestamp,
    columns: &[&str],
    rows: &mut dyn Iterator<Item = io::Result<Row>>,
    file_rows_max: usize,
) -> io::Result<u64> {
    let made = UtcDateTime::from_unix(i64::try_from(made.as_seconds()).unwrap_or(0));
    let mut archive = ZipArchiveWriter::new(to);
    let mut rows = rows.peekable();
    let mut written = 0;
    for number in 1u64.. {
        let file = if number == 1 { format!("{name}.csv") } else { format!("{name}_{number}.csv") };
        let options = archive.new_file(&*file).compression_method(CompressionMethod::DEFLATE).last_modified(made);
        let (mut entry, config) = options.unix_permissions(0o644).start().map_err(io::Error::other)?;
        let data = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
        let mut sheet = Sheet::quoted(data, columns)?;
        for row in rows.by_ref().take(file_rows_max) {
            sheet.row(row?)?;
            written += 1;
        }
        let (encoder, descriptor) = sheet.finish()?.finish().map_err(io::Error::other)?;
        encoder.finish()?;
        entry.finish(descriptor).map_err(io::Error::other)?;
        if rows.peek().is_none() {
            break;
        }
    }
    archive.finish().map_err(io::Error::other)?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Names and contents of an archive's files.
    fn read(archive: &[u8]) -> Vec<(String, String)> {
        let archive = rawzip::ZipArchive::from_slice(archive).expect("a ZIP");
        let (mut entries, mut files) = (archive.entries(), Vec::new());
        while let Some(header) = entries.next_entry().expect("an entry") {
            let name = header.file_path().try_normalize().expect("a path").as_ref().to_owned();
            let entry = archive.get_entry(header.wayfinder()).expect("its data");
            let mut text = String::new();
            let inflated = flate2::read::DeflateDecoder::new(entry.data());
            entry.verifying_reader(inflated).read_to_string(&mut text).expect("its checksum");
            files.push((name, text));
        }
        files
    }

    fn row(fields: &[&str]) -> io::Result<Row> {
        Ok(fields.iter().map(|f| (*f).to_owned()).collect())
    }

    #[test]
    fn every_field_is_quoted_and_no_field_is_a_formula() {
        let rows = [
            row(&["2026-11-24 22:35:10", "a,\"b\"@example.jp", "飛脚\r\n二行"]),
            row(&["=HYPERLINK(1)", "-5", "+1 day"]),
        ];
        let mut out = Vec::new();
        let made = Timestamp::from_millis(1_795_527_310_000);
        let written = zip_of_csv(&mut out, "blocks", made, &["created", "email", "x"], &mut rows.into_iter());
        assert_eq!(written.expect("written"), 2);
        let text = "\"created\",\"email\",\"x\"\r\n\"2026-11-24 22:35:10\",\"a,\"\"b\"\"@example.jp\",\"飛脚\r\n二行\"\r\n\
                    \"'=HYPERLINK(1)\",\"'-5\",\"'+1 day\"\r\n";
        assert_eq!(read(&out), [("blocks.csv".to_owned(), text.to_owned())]);
    }

    #[test]
    fn what_is_too_much_for_a_spreadsheet_goes_on_in_another_file() {
        for (rows, files) in [(0, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
            let mut out = Vec::new();
            let mut all = (0..rows).map(|n| row(&[&n.to_string()]));
            zip_in_files(&mut out, "x", Timestamp::ZERO, &["n"], &mut all, 2).expect("written");
            let found = read(&out);
            assert_eq!(found.len(), files, "{rows}");
            assert!(found.iter().all(|(_, text)| text.starts_with("\"n\"\r\n")));
            let lines: usize = found.iter().map(|(_, text)| text.lines().count() - 1).sum();
            assert_eq!((lines, found.last().expect("one").0.as_str() == "x_3.csv"), (rows, files == 3));
        }
    }

    #[test]
    fn an_error_in_the_middle_leaves_no_whole_archive() {
        let mut rows = [row(&["1"]), Err(io::Error::other("the store stopped"))].into_iter();
        let mut out = Vec::new();
        assert!(zip_of_csv(&mut out, "x", Timestamp::ZERO, &["n"], &mut rows).is_err());
        assert!(rawzip::ZipArchive::from_slice(&out).is_err());
    }
}
