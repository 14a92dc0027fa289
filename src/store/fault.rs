//! How trouble of the database becomes a [`StoreError`].
//!
//! Always: in the writer, trouble of redb is final; in a reader it is an error of that read; a row that cannot be
//! understood is named.

use super::{codec::RowError, tables::DATABASE_FILE, types::StoreError};

/// In the writer: any trouble of redb ends the writer.
pub(super) trait Fatal<T> {
    /// Turns it into `Failed`.
    fn fatal(self) -> Result<T, StoreError>;
}

/// In a reader: trouble is told.
pub(super) trait Reading<T> {
    /// Turns it into `Damaged` or `Read`.
    fn reading(self) -> Result<T, StoreError>;
}

impl<T, E: Into<redb::Error>> Fatal<T> for Result<T, E> {
    fn fatal(self) -> Result<T, StoreError> {
        self.map_err(|e| StoreError::Failed(format!("{DATABASE_FILE}: {}", e.into())))
    }
}

impl<T, E: Into<redb::Error>> Reading<T> for Result<T, E> {
    fn reading(self) -> Result<T, StoreError> {
        self.map_err(|e| match e.into() {
            redb::Error::Corrupted(why) => StoreError::Damaged(format!(
                "{DATABASE_FILE} is damaged ({why}): stop the daemon, run `hikyaku verify`, and restore the last backup"
            )),
            other => StoreError::Read { what: DATABASE_FILE.to_owned(), cause: other.to_string() },
        })
    }
}

/// A row that cannot be read.
pub(super) fn bad_row(what: std::fmt::Arguments<'_>, why: RowError) -> StoreError {
    StoreError::Damaged(format!("{DATABASE_FILE}: the row of {what} is damaged: {why}; run `hikyaku verify`"))
}
