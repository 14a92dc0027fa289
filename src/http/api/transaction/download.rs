//! Downloads: the rows of a list as a ZIP of CSV, written while they are read.
//!
//! In: who reads a list page by page.  Out: a response that streams; 204 where there is nothing.
//! Always: one page of rows is in memory; few run at once; who took what is in the operation log before the
//! first octet goes.
//! Sources: cmc.md §8.1; R13 (downloading is a right of its own).

use std::io;

use super::{Call, stored};
use crate::http::{
    api::fault::{Fault, Why},
    archive::zip_of_csv,
    download::{Place, Read, Rows},
    exchange::Response,
};

/// Answers a download named `<name>-yyyyMMdd_HHmmss.zip`; `asked` says for the operation log what of the list it is.
pub(super) fn download(
    call: &Call<'_>,
    name: &'static str,
    columns: &'static [&'static str],
    asked: &str,
    read: Read,
) -> Result<Response, Fault> {
    let place = Place::take().ok_or(Why::Unavailable.fault())?;
    let mut rows = Rows::new(read);
    // Where nothing is found in time, nothing may still be found later.
    let deadline = call.deadline();
    while rows.is_bare() && !rows.is_all() && deadline.left().is_some() {
        rows.read_on().map_err(|error| stored(&error))?;
    }
    if rows.is_bare() && rows.is_all() {
        return Ok(Response::new(204, "", Vec::new()));
    }
    call.note("api.download", name.to_owned(), asked.to_owned())?;
    let (now, user) = (call.daemon.now(), call.caller.name.clone());
    let file = format!("{name}-{}", call.caller.zone.file_stamp(now));
    let disposition = format!("attachment; filename=\"{file}.zip\"");
    let stream = Box::new(move |to: &mut dyn io::Write| {
        let _place = place;
        let written = zip_of_csv(to, &file, now, columns, &mut rows)?;
        log::info!("act=api.download list={name} user={user} rows={written}");
        Ok(())
    });
    Ok(Response::stream("application/octet-stream", stream).with("Content-Disposition", disposition))
}
