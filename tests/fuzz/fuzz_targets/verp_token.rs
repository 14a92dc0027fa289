//! Any local part: it opens with no key of ours, and one that was minted opens with its own key alone, in any case of letters.

#![no_main]

use hikyaku::{
    bounce::verp::{TOKEN_OCTETS, Token, TokenKey, is_shaped, mint},
    ids::{MessageId, RecipientKey},
    smtp::address::{LOCAL_OCTETS_MAX, Mailbox},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u64, u32, u8)| {
    let (text, message, index, epoch) = input;
    let (own, other) = (TokenKey::new(&[1; 32]), TokenKey::new(&[2; 32]));
    if let Some(token) = Token::read(text) {
        assert!(is_shaped(text) && text.len() == TOKEN_OCTETS);
        let opened = token.open(&own);
        assert!(opened.is_none() || opened.is_some_and(|of| mint(&own, token.epoch(), of) == text.to_ascii_lowercase()));
    }
    let of = RecipientKey { message: MessageId::from_u64(message), index };
    let minted = mint(&own, epoch, of);
    assert!(minted.len() <= LOCAL_OCTETS_MAX && Mailbox::parse(&format!("{minted}@b.example")).is_ok());
    for form in [minted.clone(), minted.to_ascii_uppercase()] {
        let token = Token::read(&form).expect("the form of a token");
        assert_eq!((token.epoch(), token.open(&own), token.open(&other)), (epoch, Some(of), None));
    }
});
