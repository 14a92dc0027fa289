//! The API user of an SMTP session: its login, and what it may send.
//!
//! Always: what a user may do is asked anew at every MAIL; its rate is counted when a message is whole, before anything of it
//! is stored for good, and looked at before the content is sent at all.
//! Sources: RFC 4954 §6, RFC 6409 §6.1.

use smol::Timer;

use super::Talk;
use crate::{
    account::{Door, Login, LoginRefusal},
    intake::{inbound::Stored, policy},
    mail::header::Facts,
    secret::Secret,
    smtp::{params::Envelope, reply::Reply, server::Answer},
    store::Rights,
};

impl Talk {
    pub(super) async fn log_in(&mut self, name: String, password: Secret<String>) -> Answer<Stored> {
        match self.entrance.accounts.check(Door::Smtp, self.address, &name, &password).await {
            Ok(login) => {
                let name = login.name.clone();
                self.user = Some(login);
                Answer::LoggedIn { name }
            }
            Err(LoginRefusal::Wrong { after }) => {
                log::warn!("session source={} act=login user=\"{}\" refused=wrong", self.address, name.escape_debug());
                Timer::after(after).await;
                Answer::No(Reply::bad_credentials())
            }
            Err(LoginRefusal::NotAllowed) => Answer::No(Reply::login_not_allowed()),
            Err(LoginRefusal::Expired) => Answer::No(Reply::login_expired()),
            Err(LoginRefusal::Busy { .. }) => Answer::No(Reply::login_busy()),
            Err(LoginRefusal::TurnedAway { .. }) => Answer::NoAndClose(Reply::too_many_logins()),
        }
    }

    /// What the user may do is asked anew for every mail; false: it may not be here any more.
    pub(super) fn renew_login(&mut self) -> bool {
        let Some(login) = &self.user else { return true };
        match self.entrance.accounts.renew(Door::Smtp, self.address, login) {
            Ok(login) => {
                self.user = Some(login);
                true
            }
            Err(refusal) => {
                log::warn!("session source={} user={} refused=\"{refusal:?}\"", self.address, login.name);
                self.user = None;
                false
            }
        }
    }

    /// So many recipients could come now; they are counted when the message is whole.
    pub(super) fn could_submit(&self, recipients: usize) -> Result<(), Reply> {
        let Some(login) = &self.user else { return Ok(()) };
        let could = self.entrance.accounts.could_submit(&login.name, recipients);
        could.map_err(|retry| Reply::rate_reached(retry.seconds()))
    }

    /// The whole message may come: its header's From is the user's, and so many recipients are not too many.
    pub(super) fn may_submit(&self, login: &Login, envelope: &Envelope, facts: &Facts) -> Result<(), Reply> {
        let from = [&facts.from].into_iter().filter(|from| !from.is_empty()).chain(&facts.from_others);
        policy::may_use_header_from(&login.rights, from.map(String::as_str))?;
        let taken = self.entrance.accounts.may_submit(&login.name, envelope.recipients.len());
        taken.map_err(|retry| Reply::rate_reached(retry.seconds()))
    }

    pub(super) fn rights(&self) -> Option<&Rights> {
        self.user.as_ref().map(|login| &login.rights)
    }

    pub(super) fn user_name(&self) -> Option<&str> {
        self.user.as_ref().map(|login| login.name.as_str())
    }
}
