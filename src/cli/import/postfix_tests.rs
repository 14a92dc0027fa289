//! Texts of a Postfix, without files.

use std::{collections::HashMap, path::Path};

use proptest::prelude::*;

use super::*;
use crate::config::{self, Surroundings};

struct Texts(HashMap<&'static str, String>);

impl Files for Texts {
    fn read(&mut self, path: &str) -> Result<(String, String), String> {
        let text = self.0.get(path).ok_or("it is not there")?;
        Ok((text.clone(), path.to_owned()))
    }
}

fn written(main: &str, more: &[(&'static str, &str)]) -> String {
    let mut texts: HashMap<&'static str, String> = more.iter().map(|(n, t)| (*n, (*t).to_owned())).collect();
    texts.insert(MAIN_CF, main.to_owned());
    let imported = import(&mut Texts(texts)).expect("there is a main.cf");
    let around = Surroundings::of_this_machine(config::Files::Ignored);
    let (text, _) = imported.draft.finish("x", Path::new("/x.toml"), &around).unwrap_or_else(|e| panic!("{e}"));
    config::read_str(Path::new("/x.toml"), &text, &around).unwrap_or_else(|e| panic!("{e}\n{text}"));
    text
}

#[test]
fn settings_say_the_same_here() {
    let sasl = ("/p", "mx.example u:secret\n");
    for (main, line) in [
        ("relayhost = mx.example:587\n", "smarthost = \"mx.example:587\""),
        ("relayhost = mx.example:587\n", "# main.cf:1: relayhost = mx.example:587: without brackets"),
        ("relayhost =\n", "tls = \"opportunistic\"  # Postfix uses no TLS"),
        ("smtp_tls_security_level = none\n", "tls = \"none\""),
        ("smtp_enforce_tls = yes\n", "tls = \"require\""),
        ("smtp_tls_security_level = secure\nrelayhost = [a.example]\n", "smarthost_tls = \"verify\""),
        ("maximal_queue_lifetime = 5\n", "lifetime = \"5d\""),
        ("delay_warning_time = 0h\n", "delay_notice_after = \"0s\""),
        ("maximal_backoff_time = 600\n", "retry_schedule = [\"5m\", \"10m\"]"),
        ("minimal_backoff_time = 2h\n", "retry_schedule = [\"4000s\"]"),
        ("message_size_limit = 0\n", "message_size_max = \"1GiB\""),
        ("message_size_limit = 1\n", "#message_size_max = 1"),
        ("default_destination_concurrency_limit = 0\n", "connections_per_destination = 1000"),
        ("smtpd_relay_restrictions = permit_sasl_authenticated, reject\n", "policy = \"auth\""),
        (
            "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination\n",
            "policy = \"network-or-auth\"",
        ),
        ("smtpd_relay_restrictions = reject\n", "policy = \"auth\""),
        ("smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n", "policy = \"network\""),
        ("default_destination_rate_delay = 1s\n", "interval = \"1s\""),
        ("mynetworks = 0.0.0.0/0\n", "#networks = [\"0.0.0.0/0\"]"),
        (
            "relayhost = [mx.example]\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/p\n",
            "#smarthost_user = \"u\"",
        ),
        ("smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/p\n", "# main.cf:2: smtp_sasl_password_maps"),
        ("x = a\ny = $x\n", "# main.cf:1: x = a: it is used in other settings alone"),
    ] {
        let text = written(main, &[sasl]);
        assert!(text.lines().any(|l| l.starts_with(line)), "{main}: {line} is missing in:\n{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn services_become_listeners() {
    let main = "smtpd_tls_cert_file = /etc/hosts\nsmtpd_tls_key_file = /etc/hosts\nsmtpd_tls_security_level = may\ninet_interfaces = loopback-only\ninet_protocols = ipv4\n";
    let master = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\nsmtps inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n\
        [::1]:2525 inet n - y - - smtpd -o smtpd_tls_security_level=none\nbroken line\nlmtp unix - - y - - lmtp\n";
    let text = written(main, &[("master.cf", master)]);
    for (address, tls) in [("127.0.0.1:25", "starttls"), ("127.0.0.1:465", "implicit"), ("[::1]:2525", "none")] {
        let at = text.find(&format!("address = \"{address}\"")).unwrap_or_else(|| panic!("{address}: {text}"));
        assert!(text[at..].split("\n\n").next().is_some_and(|row| row.contains(&format!("tls = \"{tls}\""))), "{text}");
    }
    assert!(text.contains("# master.cf:1: ") && text.contains("postscreen's tests"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever stands in the files, what is written passes the reader, and holds no password.
    #[test]
    fn any_text_becomes_a_config_that_passes(
        settings in prop::collection::vec(
            ("(myhostname|mynetworks|relayhost|transport_maps|inet_interfaces|message_size_limit|smtp_bind_address|minimal_backoff_time|maximal_queue_lifetime|smtp_tls_security_level|smtp_tls_policy_maps|smtpd_tls_cert_file|smtp_sasl_auth_enable|smtp_sasl_password_maps|x_destination_rate_delay|[a-z_]{1,12})",
             "(yes|hash:/t|[ -~飛]{0,30}|[0-9]{1,12}[smhdw]?|\\[[a-z.]{1,12}\\](:[0-9]{1,6})?)"), 0..12),
        table in "([a-z.*@#]{1,12} (smtp|x|relay|verify|):?[\\[\\]a-z.:0-9]{0,12}\n){0,6}",
        services in "([a-z0-9:.\\[\\]]{1,12} (inet|unix) n - y - - (smtpd|smtp|pipe)( -o [a-z_]{1,9}=[a-z]{1,5})?\n){0,4}",
    ) {
        let main: String = settings.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        written(&main, &[("/t", table.as_str()), ("master.cf", services.as_str())]);
    }
}
