//! SIGHUP: the config file is read again, what can change changes, what cannot is named, and the difference goes to the
//! operation log.
//!
//! Always: a file with errors changes nothing; secrets are hidden in every text.

use std::path::Path;

use crate::{
    app::{
        Daemon,
        daemon::{archive, retention},
        web,
    },
    clock::Timestamp,
    config::{self, Config, ConfigErrors, Delivery, Diff, Files, Loaded, Surroundings},
    deliver::rule_history,
    journal,
    net::tls::check_files,
    schedule::task::Settings,
    store::{AuditEntry, Store},
};

/// Reads the config again and puts it in force.
pub async fn reload(daemon: &Daemon) {
    let Some(path) = &daemon.config_path else {
        log::warn!("act=config.reload what=\"the demo has no config file; nothing was read\"");
        return;
    };
    let path_read = path.clone();
    let loaded = match smol::unblock(move || read(&path_read)).await {
        Ok(loaded) => loaded,
        Err(errors) => {
            for line in errors.to_string().lines() {
                log::error!("act=config.reload {line}");
            }
            log::error!("act=config.reload result=\"refused: the config before stays in force\"");
            record(daemon, "refused: the file has errors, see the daemon's log").await;
            return;
        }
    };
    for warning in &loaded.warnings {
        log::warn!("config {warning}");
    }
    let old = daemon.config();
    let mut new = loaded.config;
    let differences = config::difference(&old, &new);
    let as_read = new.clone();
    keep_what_needs_a_restart(&old, &mut new);
    config::lines::note_waiting(&mut new, &as_read);
    put_in_force(daemon, new);
    if let Err(error) = daemon.rotation.follow_config().await {
        log::error!("act=config.reload error=\"{error}\" what=\"the keys of dkim-rotate are as they were\"");
    }
    note_rules(&daemon.store, &daemon.config().delivery, daemon.clock.now()).await;
    record(daemon, &describe(&differences)).await;
}

fn read(path: &Path) -> Result<Loaded, ConfigErrors> {
    let around = Surroundings { check_tls: &check_files, ..Surroundings::of_this_machine(Files::Needed) };
    config::read_with(path, &around)
}

/// `data_dir`, `threads`, `hostname` and addresses stay as they are until the next start.
fn keep_what_needs_a_restart(old: &Config, new: &mut Config) {
    new.server.data_dir.clone_from(&old.server.data_dir);
    new.server.threads = old.server.threads;
    new.server.hostname.clone_from(&old.server.hostname);
    new.server.memory_limit = old.server.memory_limit;
    new.dkim.threads = old.dkim.threads;
    new.listeners.clone_from(&old.listeners);
    new.http.address = old.http.address;
    new.http.tls = old.http.tls;
    new.unsubscribe.address = old.unsubscribe.address;
    new.unsubscribe.tls = old.unsubscribe.tls;
    // The sandbox and the real thing are different parts of the daemon.
    let sandbox = |c: &Config| c.delivery.mode == config::Mode::Sandbox;
    if sandbox(old) != sandbox(new) {
        new.delivery.mode = old.delivery.mode;
        new.delivery.smarthost.clone_from(&old.delivery.smarthost);
        log::warn!("act=config.reload key=delivery.mode what=\"to and from the sandbox needs a restart\"");
    }
}

/// Keeps what changed in the delivery-speed rules, for who asks later why mail is refused.
pub(super) async fn note_rules(store: &Store, delivery: &Delivery, now: Timestamp) {
    match rule_history::note(store, delivery, now).await {
        Ok(changes) => changes.iter().for_each(|c| log::info!("rule={:?} act={}", c.rule, c.way.word())),
        Err(error) => {
            log::error!("act=rules error=\"{error}\" what=\"changes of the delivery-speed rules are not kept\"")
        }
    }
}

fn put_in_force(daemon: &Daemon, new: Config) {
    journal::reconfigure(&new.log);
    if let (Some(tls), Some(certificate), Some(key)) = (&daemon.tls, &new.tls.certificate, &new.tls.private_key)
        && let Err(error) = tls.reload(certificate, key)
    {
        log::error!("act=config.reload error=\"{error}\" what=\"the certificate before stays in use\"");
    }
    daemon.store.reconfigure(retention(&new), new.queue.disk_free_min);
    daemon.store.archive_to(archive(&new));
    daemon.accounts.reconfigure(&new.accounts);
    daemon.scheduler.reconfigure(Settings::from(&new));
    daemon.resolver.reconfigure(&new.dns);
    daemon.signing_keys.reload(&new);
    if let Some(deliverer) = &daemon.deliverer {
        deliverer.reconfigure(&new);
    }
    daemon.http.reconfigure(web::names(&new));
    if let Some(one_click) = &daemon.one_click {
        one_click.reconfigure(&new);
    }
    daemon.config.swap(new);
    daemon.suppressions.kick();
    daemon.webhooks.reconfigure();
}

fn describe(differences: &[Diff]) -> String {
    if differences.is_empty() {
        log::info!("act=config.reload result=\"nothing changed\"");
        return "nothing changed".to_owned();
    }
    let mut lines = Vec::with_capacity(differences.len());
    for diff in differences {
        let line = format!("{}: {} -> {}", diff.key, diff.old, diff.new);
        if diff.needs_restart {
            log::warn!("act=config.reload {line} result=\"takes a restart\"");
            lines.push(format!("{line} (takes a restart)"));
        } else {
            log::info!("act=config.reload {line}");
            lines.push(line);
        }
    }
    lines.join("; ")
}

async fn record(daemon: &Daemon, detail: &str) {
    let entry = AuditEntry {
        at: daemon.clock.now(),
        who: "hikyaku".to_owned(),
        from: "SIGHUP".to_owned(),
        act: "config.reload".to_owned(),
        object: daemon.config_path.as_ref().map_or_else(String::new, |p| p.display().to_string()),
        detail: detail.to_owned(),
    };
    if let Err(error) = daemon.store.audit(entry).await {
        log::error!("act=config.reload error=\"{error}\"");
    }
}
