//! The promises, tested against the real binary on loopback: one file a promise.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod api_send;
mod api_transaction;
mod authentication;
mod backup;
mod commands;
mod console_floods;
mod console_lists;
mod console_queue;
mod console_system;
mod content;
mod diagnose;
mod dkim;
mod dkim_keys;
mod dmarc;
mod door;
mod expiry;
mod failure;
mod figures;
mod idle;
mod inbound;
mod inbound_webhook;
mod isolation;
mod limits;
mod log_export;
mod manners;
mod mx;
mod permission;
mod restart;
mod retry;
mod return_paths;
mod sandbox;
mod signals;
mod smuggling;
mod start;
mod suppression;
mod systemd;
mod tls_in;
mod tls_out;
mod tls_reports;
mod unsubscribe;
mod webhooks;
