//! Tokens of unsubscribe links: whatever stands in a URL is opened or refused, and what opens seals again.

#![no_main]

use hikyaku::unsubscribe::token::{LIST_OCTETS_MAX, TOKEN_MAX, open, seal};
use libfuzzer_sys::fuzz_target;

const KEY: [u8; 32] = [7; 32];

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    // Nobody knows the key: what the fuzzer makes opens only by a break of the cipher.
    assert_eq!(open(&text, |_| Some(KEY)), None);
    // Text and nonce of the fuzzer's choice come back as they were.
    let Some((nonce, rest)) = data.split_first_chunk::<12>() else { return };
    let rest = String::from_utf8_lossy(rest);
    let Some((address, list)) = rest.split_once('\n') else { return };
    let Ok(address) = hikyaku::smtp::address::Mailbox::parse(address) else { return };
    match seal(3, &KEY, *nonce, &address, list) {
        Some(token) => {
            assert!(token.len() <= TOKEN_MAX && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            let leaving = open(&token, |epoch| (epoch == 3).then_some(KEY)).expect("what was sealed opens");
            assert_eq!((leaving.address, leaving.list.as_str()), (address, list));
        }
        None => assert!(list.is_empty() || list.len() > LIST_OCTETS_MAX),
    }
});
