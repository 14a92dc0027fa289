//! Hikyaku.

pub mod budget;
pub mod clock;
pub mod event;
pub mod ids;
pub mod metrics;
pub mod secret;

pub mod smtp;

pub mod mail;

pub mod config;

pub mod store;

pub mod runtime;

pub mod account;

pub mod deliver;
