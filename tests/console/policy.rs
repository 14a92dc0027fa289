//! What slips through everything else is stopped by the browser: each page's policy lets run and load only what is ours.

use serde_json::json;

use crate::{browser::Browser, scene::Scene};

/// What a stranger would try, once markup of his were in the page; each sets or loads something.
const TRIES: &[(&str, &str)] = &[
    (
        "a script in the page",
        "{ const s = document.createElement('script'); s.textContent = 'window.slipped = 1'; document.body.append(s); }",
    ),
    (
        "a script from elsewhere",
        "{ const s = document.createElement('script'); s.src = 'http://127.0.0.1:9/x.js'; document.body.append(s); }",
    ),
    (
        "a script in an attribute",
        "{ const b = document.createElement('button'); b.setAttribute('onclick', 'window.slipped = 1'); \
         document.body.append(b); b.click(); }",
    ),
    (
        "a picture that fails",
        "document.body.insertAdjacentHTML('beforeend', '<img src=/nothing onerror=\"window.slipped = 1\">')",
    ),
    (
        "a picture that tells somebody",
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.gif\">')",
    ),
    (
        "a link that is a script",
        "{ const a = document.createElement('a'); a.href = 'javascript:window.slipped = 1'; document.body.append(a); a.click(); }",
    ),
    (
        "a style in an attribute",
        "{ const p = document.createElement('p'); p.setAttribute('style', 'position: fixed'); document.body.append(p); \
         if (getComputedStyle(p).position === 'fixed') window.slipped = 1; }",
    ),
    (
        "a frame from elsewhere",
        "document.body.insertAdjacentHTML('beforeend', '<iframe src=\"http://127.0.0.1:9/\"></iframe>')",
    ),
    (
        "a form that goes elsewhere",
        "{ const f = document.createElement('form'); f.action = 'http://127.0.0.1:9/'; f.method = 'post'; \
         document.body.append(f); f.submit(); }",
    ),
    ("words to elsewhere", "fetch('http://127.0.0.1:9/', { mode: 'no-cors' }).catch(() => 0)"),
    (
        "another base",
        "{ const b = document.createElement('base'); b.href = 'http://127.0.0.1:9/'; document.head.append(b); \
         if (document.baseURI.includes(':9/')) window.slipped = 1; }",
    ),
];

#[test]
fn what_slips_is_blocked() {
    let Some(browser) = Browser::start() else { return };
    let scene = Scene::start();
    let tab = browser.tab();
    tab.sign_in(&scene.url("/"), &scene.session);
    let page = format!("/message/{}", scene.name("delivered"));
    for (what, script) in TRIES {
        tab.go(&scene.url(&page));
        tab.evaluate(
            "window.blocked = []; document.addEventListener('securitypolicyviolation', e => window.blocked.push(e.violatedDirective)); 0",
        );
        tab.evaluate(&format!("{script}; 0"));
        tab.until("window.blocked.length > 0");
        assert_eq!(tab.evaluate("window.slipped === undefined"), json!(true), "{what} ran");
        assert_eq!(tab.at(), page, "{what} led away");
    }
}

#[test]
fn no_page_of_somebody_elses_frames_ours() {
    let Some(browser) = Browser::start() else { return };
    let scene = Scene::start();
    let tab = browser.tab();
    tab.sign_in(&scene.url("/"), &scene.session);
    tab.evaluate(&format!(
        "new Promise(done => {{ const f = document.createElement('iframe'); f.onload = done; f.src = {:?}; \
         document.body.append(f); setTimeout(done, 5000); }}).then(() => 0)",
        scene.url("/")
    ));
    // A page that may not be framed is replaced by an error of the browser's own, which nobody can read; ours would be readable
    // to a page of its own origin, which is what is tried here as well.
    let inner = "(() => { try { return document.querySelector('iframe').contentDocument?.body?.innerText || ''; } catch { return ''; } })()";
    assert_eq!(tab.text_of(inner), "");
    tab.go(&scene.url("/"));
    tab.evaluate(
        "new Promise(done => { const f = document.createElement('iframe'); f.onload = done; f.src = '/'; \
         document.body.append(f); setTimeout(done, 5000); }).then(() => 0)",
    );
    assert!(!tab.text_of(inner).contains("Hikyaku"), "not even a page of ours");
}

#[test]
fn html_of_a_mail_is_shown_and_does_nothing() {
    let Some(browser) = Browser::start() else { return };
    let scene = Scene::start();
    let tab = browser.tab();
    tab.sign_in(&scene.url("/sandbox"), scene.relay_of("/sandbox").1);
    let loaded = tab.go(&scene.url(&format!("/sandbox/{}", scene.name("sandboxed"))));
    assert_eq!(loaded.status, 200);
    tab.until("document.querySelector('main iframe') !== null");
    assert_eq!(tab.evaluate("document.querySelector('main iframe').hasAttribute('sandbox')"), json!(true));
    // It is a page of no origin: nobody reads it from outside, and it reads nothing of ours.
    let inside = "(() => { try { return String(document.querySelector('main iframe').contentDocument); } catch { return 'null'; } })()";
    assert_eq!(tab.text_of(inside), "null");
    tab.evaluate("document.querySelector('main iframe').scrollIntoView(); 0");
    tab.until("performance.getEntriesByType('resource').some(r => r.name.endsWith('/frame') && r.responseEnd > 0)");
    // What it would do happens while it is drawn: the picture waits for that.
    tab.picture();
    scene.tracker.set_nonblocking(true).expect("a listener can be asked");
    assert!(scene.tracker.accept().is_err(), "the mail's picture was loaded from where its sender sees it");
    assert!(!tab.text_of("document.title").contains("taken"));
}
