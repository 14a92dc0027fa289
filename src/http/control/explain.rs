//! `explain` over the control socket: what would happen to a mail, and why.

use super::{Answer, Refused};
use crate::{
    http::{
        daemon::{Daemon, ExplainQuery},
        exchange::{Request, Response},
        rows::FactOut,
    },
    smtp::address::Mailbox,
};

/// How the null reverse-path is written.
const NULL_SENDER: &str = "<>";

/// `explain RECIPIENT --from ADDR [--user U]`: one fact a line.
pub(super) fn explain(daemon: &dyn Daemon, request: &Request) -> Answer {
    let sender = match request.param("from").trim() {
        NULL_SENDER => None,
        text => Some(address(text, "from")?),
    };
    let query = ExplainQuery {
        recipient: address(request.param("recipient").trim(), "recipient")?,
        sender,
        user: request.param("user").to_owned(),
    };
    if !query.user.is_empty() && !daemon.accounts()?.iter().any(|account| account.name == query.user) {
        return Err(Refused::new(404, format!("there is no user {:?}", query.user), "user"));
    }
    let rows: Vec<FactOut> = daemon.explain(&query)?.iter().map(FactOut::from).collect();
    Ok(Response::lines(&rows))
}

fn address(text: &str, field: &'static str) -> Result<Mailbox, Refused> {
    match text {
        "" => Err(Refused::new(400, format!("explain needs an address in {field}"), field)),
        _ => Mailbox::parse(text)
            .map_err(|why| Refused::new(400, format!("{text:?} is not a mail address: {why}"), field)),
    }
}
