//! One tab: going to pages, keys, what stands there, how it is shown, and what the browser complained about.
//!
//! Always: a step that leads to another page waits until that one is loaded; scripts of a test run outside the page's own
//! policy and leave nothing in the page.

use std::{fmt, time::Duration};

use base64::Engine;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    devtools::Event,
    support::{now, wait},
};

/// How long a page may take to load on a busy machine.
const LOAD_LIMIT: Duration = Duration::from_secs(30);
/// Pixels of a picture's height at most.
const PICTURE_HEIGHT_MAX: u64 = 6000;

/// How a page is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Pixels across.
    pub width: u32,
    /// By night.
    pub dark: bool,
}

/// A desk and a telephone, by day and by night.
pub const SHOWN: [Shown; 4] = [
    Shown { width: 1280, dark: false },
    Shown { width: 1280, dark: true },
    Shown { width: 390, dark: false },
    Shown { width: 390, dark: true },
];

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.width, if self.dark { "dark" } else { "light" })
    }
}

/// What one load brought.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Status of the page itself.
    pub status: u64,
    /// The address and the octets of everything that came, heads included.
    pub parts: Vec<(String, u64)>,
    /// What the browser complained about: the policy, errors of scripts, what was not found.
    pub complaints: Vec<String>,
}

impl Loaded {
    /// Octets in all.
    pub fn weight(&self) -> u64 {
        self.parts.iter().map(|(_, octets)| octets).sum()
    }
}

/// A tab with cookies of its own.
pub struct Tab<'a> {
    browser: &'a Browser,
    session: String,
}

impl<'a> Tab<'a> {
    /// Made by [`Browser::tab`].
    pub fn new(browser: &'a Browser, session: String) -> Self {
        let tab = Tab { browser, session };
        for domain in ["Page", "Network", "Runtime", "Log"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab.show(SHOWN[0]);
        tab
    }

    /// A command to this tab; panics when Chromium refuses.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.browser.devtools().call(Some(&self.session), method, params);
        match answer {
            Ok(value) => value,
            Err(e) => panic!("{e}"),
        }
    }

    /// Loads a page.
    #[track_caller]
    pub fn go(&self, url: &str) -> Loaded {
        self.onward(url, || {
            let answer = self.call("Page.navigate", json!({ "url": url }));
            assert!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        })
    }

    /// Does something that leads to another page, and waits for it.
    #[track_caller]
    pub fn onward(&self, what: &str, step: impl FnOnce()) -> Loaded {
        self.onward_within(LOAD_LIMIT, what, step)
    }

    /// The same where the page takes its time, and leads on by itself.
    #[track_caller]
    pub fn onward_within(&self, limit: Duration, what: &str, step: impl FnOnce()) -> Loaded {
        self.browser.devtools().take(&self.session);
        step();
        let loaded = self.browser.devtools().wait(&self.session, limit, |e| e.method == "Page.loadEventFired");
        assert!(loaded, "{what}: not loaded within {limit:?}");
        // What was loaded is told before; a word more of the same breath is taken along.
        self.evaluate("0");
        read(&self.browser.devtools().take(&self.session))
    }

    /// Width, day or night.
    pub fn show(&self, shown: Shown) {
        let Shown { width, dark } = shown;
        let (height, telephone) = if width < 600 { (844, true) } else { (900, false) };
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": telephone }),
        );
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
        self.frame();
    }

    /// Puts a text into a field that is there, as a paste does.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        self.evaluate(&format!("document.querySelector({selector:?}).value = {text:?}; 0"));
    }

    /// Presses a button or a link that is there, and waits for the page that follows.
    #[track_caller]
    pub fn click(&self, selector: &str) -> Loaded {
        let script = format!("document.querySelector({selector:?}).click(); 0");
        self.onward(selector, || drop(self.evaluate(&script)))
    }

    /// A cookie that the browser would send to this address, as the browser keeps it; null: it has none of the name.
    pub fn cookie(&self, url: &str, name: &str) -> Value {
        let all = self.call("Network.getCookies", json!({ "urls": [url] }));
        let all = all["cookies"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|cookie| cookie["name"] == name).cloned().unwrap_or_default()
    }

    /// Is signed in from now on.
    pub fn sign_in(&self, url: &str, session: &str) {
        let cookie = json!({ "name": "hikyaku", "value": session, "url": url, "httpOnly": true, "sameSite": "Lax" });
        self.call("Network.setCookie", cookie);
    }

    /// The next visit of anything asks the server again.
    pub fn without_cache(&self) {
        self.call("Network.setCacheDisabled", json!({ "cacheDisabled": true }));
    }

    /// Pages run no script from now on.
    pub fn without_script(&self) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    }

    /// The value of an expression, promises awaited.
    #[track_caller]
    pub fn evaluate(&self, expression: &str) -> Value {
        let answer = self
            .call("Runtime.evaluate", json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }));
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{}: {thrown}", expression.chars().take(200).collect::<String>());
        answer["result"]["value"].clone()
    }

    /// The same as text; other values are empty.
    #[track_caller]
    pub fn text_of(&self, expression: &str) -> String {
        self.evaluate(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        wait::until(expression, || (self.evaluate(expression) == json!(true)).then_some(()));
    }

    /// The path and query of the page that is shown.
    pub fn at(&self) -> String {
        self.text_of("location.pathname + location.search")
    }

    /// Everything that stands on the page.
    pub fn words(&self) -> String {
        self.text_of("document.body.innerText")
    }

    /// Presses and releases a key by its name (`Tab`, `Shift+Tab`, `Enter`, ` `, `Escape`, `ArrowDown`, `a`).
    #[track_caller]
    pub fn press(&self, name: &str) {
        let (shift, key) = name.strip_prefix("Shift+").map_or((0, name), |key| (8, key));
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            "Escape" => ("Escape", 27, ""),
            " " => ("Space", 32, " "),
            "Backspace" => ("Backspace", 8, ""),
            "ArrowDown" => ("ArrowDown", 40, ""),
            "ArrowUp" => ("ArrowUp", 38, ""),
            // Of other signs the number names another key: a full stop would delete.
            other => {
                let letter = other.chars().next().filter(char::is_ascii_alphanumeric);
                ("", letter.map_or(0, |c| c.to_ascii_uppercase() as u32), other)
            }
        };
        let mut event = json!({
            "type": if text.is_empty() { "rawKeyDown" } else { "keyDown" },
            "key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": shift,
        });
        if !text.is_empty() {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event.clone());
        event["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", event);
    }

    /// Types a text where the focus is.
    #[track_caller]
    pub fn type_text(&self, text: &str) {
        for c in text.chars() {
            if c.is_ascii() {
                self.press(&c.to_string());
            } else {
                self.call("Input.insertText", json!({ "text": c.to_string() }));
            }
        }
    }

    /// The whole page as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let size =
            self.evaluate("({ w: innerWidth, h: Math.max(innerHeight, document.documentElement.scrollHeight) })");
        let height = size["h"].as_u64().unwrap_or(900).min(PICTURE_HEIGHT_MAX);
        let clip = json!({ "x": 0, "y": 0, "width": size["w"], "height": height, "scale": 1 });
        let answer = self
            .call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }));
        let text = answer["data"].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(text).expect("a picture comes as base64")
    }

    /// Waits until what was changed is drawn.
    fn frame(&self) {
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))");
    }
}

/// Reads the events of a load.
fn read(events: &[Event]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut addresses: Vec<(String, String)> = Vec::new();
    for Event { method, params, .. } in events {
        let id = || params["requestId"].as_str().unwrap_or_default().to_owned();
        match method.as_str() {
            "Network.responseReceived" => {
                let url = params["response"]["url"].as_str().unwrap_or_default().to_owned();
                let status = params["response"]["status"].as_u64().unwrap_or(0);
                if params["type"] == "Document" && loaded.status == 0 {
                    loaded.status = status;
                } else if status >= 400 {
                    loaded.complaints.push(format!("{url}: {status}"));
                }
                addresses.push((id(), url));
            }
            "Network.loadingFinished" => {
                let octets = params["encodedDataLength"].as_f64().unwrap_or(0.0) as u64;
                // What answered before is a part of the page before, which ended late.
                let url = addresses.iter().find(|(i, _)| *i == id()).map(|(_, url)| url.clone());
                loaded.parts.extend(url.map(|url| (url, octets)));
            }
            "Network.loadingFailed" if params["canceled"] != true => {
                loaded.complaints.push(format!("not loaded: {}", params["errorText"]));
            }
            "Log.entryAdded" if params["entry"]["level"] != "verbose" && params["entry"]["source"] != "network" => {
                loaded.complaints.push(format!("{} ({})", params["entry"]["text"], params["entry"]["source"]));
            }
            "Runtime.exceptionThrown" => loaded.complaints.push(params["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" => loaded.complaints.push(format!("console: {}", params["args"])),
            _ => {}
        }
    }
    loaded
}
