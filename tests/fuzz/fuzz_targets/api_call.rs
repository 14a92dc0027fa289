//! Any call of the API, with any Content-Type: reading its parameters never panics, and files are pieces of the body.
//!
//! The input's first line is the Content-Type, the rest the body.

#![no_main]

use hikyaku::http::{
    api::ask::Ask,
    exchange::{Door, Method, Peer, Request},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|b| *b == b'\n').unwrap_or(input.len());
    let target = "/api/v2/emails/send.json";
    let peer = Peer::Address([192, 0, 2, 1].into());
    let Some(mut request) = Request::of_target(Method::Post, target, Door::Public, peer) else { return };
    request.content_type = String::from_utf8_lossy(&input[..end]).into_owned();
    request.body = input.get(end + 1..).unwrap_or_default().to_vec();
    let Ok(ask) = Ask::read(&request) else { return };
    let names: Vec<String> = ask.values().map(|(name, _)| name.to_owned()).collect();
    for name in &names {
        if let Ok(Some(text)) = ask.text(name) {
            assert!(!text.contains('\0'));
        }
        let _ = (ask.number(name, 0..=9), ask.flag(name), ask.date(name), ask.json(name), ask.texts(name));
    }
    let octets: usize = ask.files().iter().map(|file| file.bytes.len()).sum();
    assert!(octets <= request.body.len());
});
