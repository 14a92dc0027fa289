//! The stylesheet, the script and the icon: in the binary, kept by browsers for a day under an address of their version.

use crate::http::exchange::Response;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("console.js");
/// Seconds that a browser keeps them; their address changes with the version.
const KEEP_SECONDS: u32 = 86_400;

/// Where the icon is.
pub(super) const ICON_PATH: &str = concat!("/icon.svg?v=", env!("CARGO_PKG_VERSION"));
/// The icon.
pub(super) const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="32" height="32"><rect width="32" height="32" rx="8" fill="#b93a32"/><path d="M7 11.5h13.5M5 16h10M7 20.5h6" stroke="#fff" stroke-opacity=".65" stroke-width="2" stroke-linecap="round"/><path d="M13.5 9.500h12a1.500 1.500 0 0 1 1.450 1.900l-2.300 9.200a2 2 0 0 1-1.950 1.500h-11.500a1.300 1.300 0 0 1-1.260-1.620l2.350-9.400a1.500 1.500 0 0 1 1.210-1.580z" fill="#fff"/><path d="M12.800 11.200l6.100 5.300 7.700-5.300" fill="none" stroke="#b93a32" stroke-width="1.800" stroke-linejoin="round" stroke-linecap="round"/></svg>"##;

/// Where the stylesheet is.
pub(super) fn style_path() -> String {
    format!("/style.css?v={}-{}", env!("CARGO_PKG_VERSION"), STYLE.len())
}

/// Where the script is.
pub(super) fn script_path() -> String {
    format!("/console.js?v={}-{}", env!("CARGO_PKG_VERSION"), SCRIPT.len())
}

/// The file at a path; `None`: there is none.
pub(super) fn file(path: &str) -> Option<Response> {
    let (content_type, text) = match path {
        "/style.css" => ("text/css; charset=utf-8", STYLE),
        "/console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/icon.svg" | "/favicon.ico" => ("image/svg+xml", ICON),
        _ => return None,
    };
    let mut response = Response::new(200, content_type, text);
    response.keep_seconds = KEEP_SECONDS;
    Some(response)
}
