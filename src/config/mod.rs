//! One TOML file becomes one typed value, or every error at once with line, key, reason and fix.
//!
//! In: a path, and what is around it ([`Surroundings`]).  Out: [`Loaded`] or [`ConfigErrors`]; [`effective`] settings;
//! the [`difference`] that a reload makes.
//! Always: unknown keys are errors; a fault hides no other; secrets are never shown.
//! Sources: config.md. The keys are listed once, in `keys.rs`, and explained to people in `config.example.toml`.

mod checks;
mod checks_auth;
mod checks_delivery;
mod checks_inbound;
mod checks_suppression;
mod checks_unsubscribe;
mod checks_webhook;
mod in_force;
pub mod inbound;
mod keys;
mod keys_auth;
mod keys_delivery;
mod kinds;
mod kinds_mail;
mod kinds_net;
pub mod lines;
mod not_yet;
mod problem;
mod read;
mod rewriting;
mod show;
mod surroundings;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_auth;
#[cfg(test)]
mod tests_delivery;
#[cfg(test)]
mod tests_example;
#[cfg(test)]
mod tests_lines;
#[cfg(test)]
mod tests_retention;
#[cfg(test)]
mod tests_unsubscribe;
#[cfg(test)]
mod tests_webhook;
mod types;
mod types_auth;
mod types_delivery;
mod types_service;

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use in_force::InForce;
pub use inbound::{Forward, ForwardMode, ForwardSide, InboundWebhook};
use keys::WEBHOOK_EVENTS;
pub use kinds::parse_duration;
pub use kinds_net::NotHostPort;
pub use problem::{ConfigErrors, Place, Problem, Warning};
pub use show::{Diff, difference, effective};
pub use surroundings::{CheckTls, Files, IsLocal, Surroundings};
pub use types::*;
pub use types_auth::*;
pub use types_delivery::*;
pub use types_service::*;

use checks::Checks;
use read::Facts;

/// Bytes of a config file at most: far more than a person writes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A config that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// What looks wrong but keeps nothing from working.
    pub warnings: Vec<Warning>,
}

/// Reads a config file on this machine, for the daemon.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn read(path: &Path) -> Result<Loaded, ConfigErrors> {
    read_with(path, &Surroundings::of_this_machine(Files::Needed))
}

/// Reads a config file and compares it with the given surroundings.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn read_with(path: &Path, around: &Surroundings<'_>) -> Result<Loaded, ConfigErrors> {
    match read_text(path) {
        Ok(text) => read_str(path, &text, around),
        Err(error) => Err(ConfigErrors { file: path.to_owned(), errors: vec![*error], warnings: Vec::new() }),
    }
}

/// Reads the text of a config file; `path` says where it came from and where its relative paths start.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn read_str(path: &Path, text: &str, around: &Surroundings<'_>) -> Result<Loaded, ConfigErrors> {
    let (mut config, facts, mut errors) = read::read(text, &folder_of(path), around.credentials.clone());
    let mut checks = Checks { config: &mut config, facts: &facts, around, errors: Vec::new(), warnings: Vec::new() };
    checks.run();
    let Checks { errors: more, mut warnings, .. } = checks;
    errors.extend(more);
    errors.sort_by_key(|problem| problem.place);
    warnings.sort_by_key(|problem| problem.place);
    if errors.is_empty() {
        config.origin = Arc::new(lines::Origin::of(path, text, &facts, &warnings));
        Ok(Loaded { config, warnings })
    } else {
        Err(ConfigErrors { file: path.to_owned(), errors, warnings })
    }
}

/// What a command needs that speaks to a running daemon.
#[derive(Clone, Debug)]
pub struct Glance {
    /// Where the control socket is.
    pub data_dir: PathBuf,
    /// The relay listeners.
    pub listeners: Vec<Listener>,
    /// The host name.
    pub hostname: String,
    /// Octets of a message at most.
    pub message_size_max: u64,
}

/// Reads of a file only what leads to the running daemon: an error elsewhere does not keep the operator from it.
///
/// # Errors
/// The file cannot be read, is not TOML, or has an error in `[server]` or a listener.
pub fn glance(path: &Path) -> Result<Glance, ConfigErrors> {
    let around = Surroundings::of_this_machine(Files::Ignored);
    let failed = |errors| Err(ConfigErrors { file: path.to_owned(), errors, warnings: Vec::new() });
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => return failed(vec![*error]),
    };
    let (mut config, facts, mut errors) = read::read(&text, &folder_of(path), around.credentials.clone());
    errors.retain(|error| error.key.is_empty() || error.key.starts_with("server") || error.key.starts_with("listener"));
    if !errors.is_empty() {
        return failed(errors);
    }
    Checks { config: &mut config, facts: &facts, around: &around, errors: Vec::new(), warnings: Vec::new() }.run();
    config.listeners.retain(|listener| listener.role == Role::Relay);
    Ok(Glance {
        data_dir: config.server.data_dir,
        listeners: config.listeners,
        hostname: config.server.hostname,
        message_size_max: config.relay.message_size_max,
    })
}

impl Config {
    /// The safe demo: loopback only, delivery held in the sandbox, data in `hikyaku-demo` under `folder`.
    pub fn demo(folder: &Path) -> Config {
        let mut config = Config::default();
        config.server.data_dir = folder.join(DEMO_FOLDER);
        config.delivery.mode = Mode::Sandbox;
        let around = Surroundings::of_this_machine(Files::Ignored);
        let facts = Facts::none();
        Checks { config: &mut config, facts: &facts, around: &around, errors: Vec::new(), warnings: Vec::new() }.run();
        config
    }
}

/// The demo's data directory, under the current one.
pub const DEMO_FOLDER: &str = "hikyaku-demo";

/// The text of a file, bounded; what is wrong with the file as a whole is a problem without a place.
fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let cannot = |error: &std::io::Error| {
        let fix = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "name an existing file with --config; config.example.toml is one to start from"
            }
            std::io::ErrorKind::PermissionDenied => "run this as root or as a member of the group hikyaku",
            _ => "name a plain file that can be read",
        };
        Box::new(Problem::new("", format!("the config file cannot be read: {error}"), fix))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| cannot(&e))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let reason = format!("the config file is longer than {FILE_BYTES_MAX} bytes");
        return Err(Box::new(Problem::new("", reason, "name the right file with --config")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let text = String::from_utf8_lossy(&bytes[..good]).into_owned();
        Box::new(Problem::new("", "the config file is not UTF-8 text", "save it as UTF-8").at(&text, good..good))
    })
}

/// The folder of a file, absolute where the current folder is known.
fn folder_of(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map(Path::to_owned).unwrap_or_default()
}
