//! However the octets of a session are cut into pieces, and however late its questions are answered: it says the same.
//!
//! Sessions are put together at random from what clients, broken clients and attackers send.

use proptest::prelude::*;

use crate::{
    driver::{Cut, Driver},
    script,
};

const FRAGMENTS: [&str; 43] = [
    "EHLO c.test\r\n",
    "EHLO c.test\r\n",
    "HELO c.test\r\n",
    "MAIL FROM:<a@b.test>\r\n",
    "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n",
    "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n",
    "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nBDAT 7\r\n",
    "MAIL FROM:<a@b.test> SIZE=5\r\n",
    "MAIL FROM:<a@b.test> MT-PRIORITY=3 HOLDFOR=60 BY=90;R\r\n",
    "MAIL FROM:<a@b.test> HOLDFOR=100 BY=90;R\r\n",
    "MAIL FROM:<a@b.test> REQUIRETLS\r\n",
    "RCPT TO:<c@d.test>\r\n",
    "RCPT TO:<bad..@d.test>\r\n",
    "DATA\r\n",
    "BDAT 5\r\n",
    "BDAT 70 LAST\r\n",
    "BDAT 0\r\n",
    "BDAT 0 LAST\r\n",
    "BDAT x\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN\r\n",
    "AUTH PLAIN AHUAcA==\r\n",
    "AUTH LOGIN dQ==\r\n",
    "AHUAcA==\r\n",
    "*\r\n",
    "QUIT\r\n",
    "GET / HTTP/1.1\r\n",
    ".\r\n",
    "\r\n.\r\n",
    "\r\n.\r\n",
    "\r\n",
    "\n",
    "\r",
    ".",
    "..",
    "\0",
    "\u{16}\u{3}",
    "some text\r\nof two lines\r\n",
    "a",
    "飛脚",
    "<long>",
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..FRAGMENTS.len(), 0..24).prop_map(|picks| {
        let long = format!("NOOP {}", "x".repeat(2_100));
        let pieces: Vec<&str> =
            picks.iter().map(|i| if FRAGMENTS[*i] == "<long>" { long.as_str() } else { FRAGMENTS[*i] }).collect();
        pieces.concat().into_bytes()
    })
}

fn transcript(settings: &str, batches: [&[u8]; 2], cut: Cut) -> String {
    let mut driver = Driver::new(script::config(settings).expect("the settings are right"), cut);
    driver.start();
    for batch in batches {
        // A batch into a closed session is refused by the driver; the transcript shows that it is closed.
        let _ = driver.send(batch);
        let _ = driver.handshake("TLSv1.3");
    }
    driver.transcript()
}

proptest! {
    #[test]
    fn a_session_says_the_same_however_its_octets_are_cut(
        first in input(),
        second in input(),
        settings in prop_oneof![
            Just("tls=offered auth=offered"),
            Just("tls=offered auth=offered size=40 recipients=2"),
            Just("auth=offered normalize role=inbound"),
            Just("tls=offered mt_priority future=3600 deliver_by require_tls"),
        ],
        seed in 1u64..,
    ) {
        let batches = [&first[..], &second[..]];
        let whole = transcript(settings, batches, Cut::Whole);
        for cut in [Cut::Octets, Cut::WholeLate, Cut::OctetsLate, Cut::Random(seed)] {
            prop_assert_eq!(&transcript(settings, batches, cut), &whole, "{:?}", cut);
        }
    }
}
