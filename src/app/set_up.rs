//! Tells how the first account is made, while there is none: a link that counts once, on the terminal and in the journal.
//!
//! Always: whatever `log.level` says, or a quiet installation could never be entered.

use super::Daemon;
use crate::journal;

/// The page that makes it.
const PATH: &str = "/set-up";

/// Makes a new link and tells it; the one before counts no more.
pub(super) fn announce(daemon: &Daemon) {
    match daemon.accounts.set_up_begin() {
        Ok(None) => {}
        Ok(Some(token)) => {
            let url = daemon.config().http.public_url.trim_end_matches('/').to_owned();
            let text = format!(
                "act=set-up what=\"nobody can sign in to the console yet: open this link to make the first account. It counts once, \
                 until the next start or reload\" link={url}{PATH}?key={}",
                token.reveal()
            );
            journal::tell(module_path!(), &text);
        }
        Err(error) => log::error!("act=set-up error=\"{error}\""),
    }
}
