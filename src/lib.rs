//! Hikyaku (飛脚): a self-hosted mail relay appliance. **This page is the map.**
//!
//! Applications hand over their mail by SMTP or HTTP; the answer is yes once the mail is on disk; it is delivered with good manners;
//! and an exact, searchable record says what became of every recipient. One binary, one TOML file, one data directory.
//!
//! # The life of a message
//!
//! ```text
//!   client app                                                              remote MX, smarthost, sandbox
//!      │ SMTP                                                                    ▲
//!      ▼                                                                         │ SMTP
//!  intake/listener ─► intake/session ◄─steps─► smtp/server      smtp/client ◄─steps─► deliver/attempt
//!                         │ questions → intake/policy               ▲   ▲             │
//!                         │ content   → intake/spool   deliver/route┘   │ deliver/pool▼
//!                         ▼                                             │        deliver/verdict
//!                    intake/submit ─► store/writer ─Receipt─► schedule/core ─Job─┘    │ Outcome
//!                         ▲               │ (fsync)  ▲               ▲                ▼
//!    bounce/dsn_write ────┘               ▼          └─── Change ────┴────────── schedule/task
//!         ▲                          event log      (state + event, one commit)
//!         └── bounce/notice ◄── notices owed ──┘
//!                                         │
//!              http/console · http/metrics · http/control ─ control.sock ─ cli        (readers of the log)
//! ```
//!
//! # By HTTP, and out by HTTP
//!
//! ```text
//!   client app ─HTTP─► http/front ─► http/server ─► http/api: ask → caller → emails ─► mail/{letter,merge} ─► intake/hand_in ─► intake/submit
//!                                                        └──────────► transaction ─► store, suppress, unsubscribe   (/openapi.json says what)
//!
//!   event log ─► webhook/page ─► webhook/endpoint (a task each) ─► webhook/sender ─► net/kept ─HTTPS─► your program
//!   suppress ──(same commit)──► webhook/outbox ──┘    └─► memos: place, history
//!   inbound mail ─► webhook/inbound ─► queue, lane webhook/NAME ─► webhook/inbound_deliver ─► your program
//! ```
//!
//! # By the browser
//!
//! ```text
//!   browser ─► http/front ─► http/server ─► console/gate (cookie → session, form's token) ─► console/place: the table of pages, who may
//!      console/{door, overview, owner, mail, logs, queue, lists, domains, dmarc, users, webhooks, sandbox, audit, settings}
//!         └─► daemon: store, scheduler, account, suppress, signing … ─► layout, parts, http/chart ─► HTML in two languages
//!   smtp/client/tape ─► deliver/talk ─► verdict ─► store/conversations (same commit) ─► console/mail, bounce/plain (plain words)
//! ```
//!
//! # What comes back
//!
//! ```text
//!   remote MX ─SMTP─► intake/session ─► intake/inlets (which address, whose token: bounce/verp)
//!                          │ the whole mail, in RAM under a lease
//!                          ▼
//!                     bounce/mailroom ─► bounce/read ─► bounce/classify        (pure: what it says, what it means)
//!                          │      │
//!                          │      ├─► bounce/find: which recipient ─► Store::returned     (the error log, linked; no state)
//!                          │      └─► unsubscribe/list             (a complaint leaves the list of the mail)
//!                          └─► bounce/forward ─► intake/submit     (to its sender, or to postmaster)
//!
//!   event log ─► suppress/follow ─► errors counted, brake, incidents ─► the list ─► suppress/lookup ◄─ RCPT, submit, retry
//!   a click   ─► http/one_click ─► unsubscribe/list ────────────────────────────────────┘
//! ```
//!
//! # Who we are, and who others say we are
//!
//! ```text
//!   deliver/trial ─► deliver/lead ─► signing/threads ─► dkim/sign            (once a mail; kept while it waits: store/leads)
//!                       └─ unsubscribe/links       signing/ring ◄─ [[domain.dkim]], signing/rotate ◄─ memos: keys and their lives
//!
//!   the DNS ─► lookup ─► spf, dmarc/tree_walk, dkim/record ─► doctor/checks ─► finding::Report ─► words (English, Japanese)
//!                                                                └─► doctor/round, daily ─► memos, journal, webhook/outbox
//!   error log, streams, rules' history, findings ─► diagnose ─► causes, the likeliest first
//!
//!   mail that comes in ─► authres: spf, dkim/verify, dmarc ─► a mark ─► dmarc/sink, tls_report/sink
//!   a report ─► dmarc/read ─► dmarc/keep ─► memos by domain and day ─► dmarc/views (label: whose address is it?)
//! ```
//!
//! One direction: `intake` and `deliver` never meet; they share the store and the scheduler. Everything enters by one
//! door, [`intake::submit`]. What the [`sandbox`] takes (all mail in its mode, mail of an API user whose sandbox is on) is kept
//! there for the console; it ends as the log says, and goes nowhere.
//!
//! # Who may import whom
//!
//! A test (`tests/tidy.rs`) reads the `use crate::` lines.
//!
//! | layer | rooms | may use |
//! |---|---|---|
//! | 0 words | [`clock`] [`ids`] [`secret`] [`budget`] [`event`] [`fact`] [`metrics`] [`journal`] [`language`] [`when`] | each other |
//! | 1 pure | [`der`], [`lookup`], [`smtp`], [`mail`], [`sheet`], [`dkim`], [`spf`], `dmarc/{record,tree_walk,generate,report,read}`, `authres/results`, `signing/{life,words}`, `doctor/{seen,finding,words}`, `bounce/{envelope_from,verp,classify,plain,read,dsn_write}`, `deliver/{route,tls_policy,sts_policy,verdict,counted,lately}`, `schedule/` but its shell (`task`, `attempt`, `results`, `shelf`, `locate`), `intake/proxy`, `unsubscribe/{token,headers,row}` | layer 0, and the rooms to their left |
//! | 2 state | [`config`] (owns toml), [`store`] (owns redb), [`sandbox`], [`records`], `deliver/rules`, `intake/{policy,inlets,spam,forwarding}`, `suppress/{lookup,told}`, `webhook/inbound_lane`, `unsubscribe/filters` | 0, 1 |
//! | 3 shells | [`runtime`], [`net`] (owns rustls and the DNS codec), [`intake`], [`deliver`], [`schedule`], [`bounce`], [`suppress`], [`unsubscribe`], [`tls_report`], [`signing`], [`authres`], [`dmarc`], [`doctor`], [`diagnose`], [`account`], [`webhook`], [`http`] (owns tiny_http) | 0–2, and `intake/submit` |
//! | 4 wiring | [`app`], [`cli`] (owns clap) | everything |
//!
//! # The promises, and where they are kept
//!
//! - **P1** 250 means on disk: [`store::Receipt`] is made by the writer alone, after its commit; `smtp::server::Answer::Queued`
//!   is the only way to the 250 after content.
//! - **P2** nothing accepted is lost: every recipient ends in exactly one final event; `store/writer.rs`, `tests/crash`.
//! - **P3** duplicates only where SMTP cannot avoid them: `possible_duplicate` in the event.
//! - **P4** state and log cannot disagree: a [`store::Change`] carries both; one transaction applies them.
//! - **P5** memory is bounded by configuration: [`budget::Budget`], the window of `schedule/core.rs`.
//! - **P6** one slow destination delays nobody else: `schedule/core.rs`, `schedule/site.rs`.
//! - **P7** nobody relays without permission: `intake/policy.rs`, `intake/inlets.rs`.
//!
//! # Where to start reading
//!
//! `app/mod.rs` puts the parts together in the order of start and of drain; `schedule/task.rs` and `intake/session.rs` are
//! the two loops of the flow; `deliver/verdict.rs` is the one table of what every answer means.

// Layer 0: words.
pub mod budget;
pub mod clock;
pub mod event;
pub mod fact;
pub mod ids;
pub mod journal;
pub mod language;
pub mod metrics;
pub mod secret;
pub mod when;

// Layer 1: pure.
pub mod der;
pub mod dkim;
pub mod lookup;
pub mod mail;
pub mod sheet;
pub mod smtp;
pub mod spf;

// Layer 2: state.
pub mod config;
pub mod records;
pub mod sandbox;
pub mod store;

// Layer 3: shells, in the order of the flow.
pub mod account;
pub mod authres;
pub mod bounce;
pub mod deliver;
pub mod diagnose;
pub mod dmarc;
pub mod doctor;
pub mod http;
pub mod intake;
pub mod net;
pub mod runtime;
pub mod schedule;
pub mod signing;
pub mod suppress;
pub mod tls_report;
pub mod unsubscribe;
pub mod webhook;

// Layer 4: wiring.
pub mod app;
pub mod cli;
