//! A QR code as a drawing.
//!
//! In: a text.  Out: an SVG, black on white in both themes, since cameras want it so.
//! Always: drawn on the server, so that the secret in it goes to nobody else; colours are presentation attributes, which the
//! policy of the console allows.
//! Sources: ISO/IEC 18004 (a quiet zone of four modules).

use std::fmt::Write;

use fast_qr::{ECL, QRBuilder};
use maud::{Markup, html};

use crate::secret::Secret;

/// Modules that stay white around it.
const QUIET: usize = 4;

/// The drawing; `None`: the text is too long for one.
pub(super) fn svg(text: &Secret<String>, label: &str) -> Option<Markup> {
    let code = QRBuilder::new(text.reveal().as_str()).ecl(ECL::M).build().ok()?;
    let size = code.size + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size {
        let mut x = 0;
        while x < code.size {
            let run = code[y][x..].iter().take_while(|module| module.value()).count();
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    Some(html! {
        svg role="img" aria-label=(label) viewBox=(format!("0 0 {size} {size}")) width="220" height="220" shape-rendering="crispEdges" {
            rect width=(size) height=(size) fill="#fff" {}
            path d=(path) fill="#000" {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_eyes_and_the_quiet_zone_are_there() {
        let drawn =
            svg(&Secret::new("otpauth://totp/Hikyaku:a@b.example?secret=GEZDGNBV".into()), "QR").expect("it fits");
        let drawn = drawn.into_string();
        // Seven dark modules in a row at the corners: the first row has two of them, the last of the lower eye one.
        assert!(drawn.contains("M4 4h7v1h-7z"), "{drawn}");
        let size: usize = drawn
            .split("viewBox=\"0 0 ")
            .nth(1)
            .and_then(|s| s.split(' ').next())
            .expect("a size")
            .parse()
            .expect("a number");
        assert!(drawn.contains(&format!("M{} 4h7v1h-7z", size - 11)), "{drawn}");
        assert!(drawn.contains(&format!("M4 {}h7v1h-7z", size - 5)), "{drawn}");
        assert!(!drawn.contains("style=") && drawn.len() < 20_000);
        assert!(svg(&Secret::new("x".repeat(5_000)), "QR").is_none());
    }
}
