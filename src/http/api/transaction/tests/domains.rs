//! What callers hear of the checks of sending domains.

use super::*;

#[test]
fn findings_are_told_in_the_callers_language_and_only_of_our_domains() {
    let fake = fake();
    let of = |domain: &str| json!({ "domain": domain });
    let rows = rows_of(ask(&fake, "reader", "domains/check.json", of("SHOP.example")), "findings");
    let fails = rows.iter().find(|row| row["check"] == "spf.address").expect("our address does not pass");
    assert_eq!((&fails["level"], &fails["domain"]), (&json!("error"), &json!("shop.example")));
    assert!(fails["seen"].as_str().unwrap().contains("192.0.2.11"), "{fails}");
    assert!(fails["fix"].as_str().unwrap().contains("ip4:192.0.2.11"), "{fails}");
    assert_eq!(
        fails["records"], "shop.example. 3600 IN TXT \"v=spf1 ip4:192.0.2.0/29 ip4:192.0.2.11 -all\"",
        "as a zone file has it"
    );
    let japanese = rows_of(ask_in(&fake, "ja", "reader", "domains/check.json", of("shop.example")), "findings");
    assert!(
        japanese[0]["why"].as_str().unwrap().contains("ドメイン")
            || japanese[0]["why"].as_str().unwrap().contains("メール")
    );
    // A check that is as good as new is not made again; one that was never made is.
    for (domain, refresh) in [("shop.example", true), ("new.example", false)] {
        let asked = json!({ "domain": domain, "refresh": refresh });
        let (status, body) = ask(&fake, "reader", "domains/check.json", asked);
        assert!(matches!(status, 200 | 204), "{body}");
    }
    for domain in ["stranger.example", "", "no name"] {
        let (got, body) = ask(&fake, "reader", "domains/check.json", of(domain));
        assert!((400..500).contains(&got), "{domain}: {got}: {body}");
        assert!(body.contains("\"field\":\"domain\""), "{body}");
    }
}

#[test]
fn who_may_read_own_data_only_does_not_see_what_others_mail_amounts_to() {
    let fake = fake();
    let checks = |user: &str| -> Vec<String> {
        let rows = rows_of(ask(&fake, user, "domains/check.json", json!({ "domain": "shop.example" })), "findings");
        rows.iter().map(|row| row["check"].as_str().unwrap().to_owned()).collect()
    };
    assert!(checks("reader").contains(&"bulk.figures".to_owned()));
    let own = checks("shop-app");
    assert!(!own.is_empty() && own.iter().all(|check| !check.starts_with("bulk.")), "{own:?}");
}
