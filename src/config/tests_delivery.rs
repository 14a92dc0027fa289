//! The promises of `[delivery]` and its lists, by data: what is refused or doubted, where, why, and what helps.

use super::{tests::*, *};

const SOURCE: &str = "[[delivery.source]]\naddress = \"192.0.2.1\"\n";

#[test]
fn every_bad_rule_is_refused_with_line_key_reason_and_fix() {
    let cases: &[(&str, usize, &str, &str, &str)] = &[
        // Names.
        ("[[delivery.rule]]\nname = \"a#b\"\nmx_hosts = ['x']\n", 2, "delivery.rule.name", "has a #", "other sign"),
        ("[[delivery.rule]]\nname = \"a\\u0007\"\nmx_hosts = ['x']\n", 2, "delivery.rule.name", "control", "one line"),
        (
            "[[delivery.rule]]\nname = \" \"\nmx_hosts = ['x']\n",
            2,
            "delivery.rule.name",
            "a name has letters",
            "docomo",
        ),
        (
            "[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['x']\n[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['y']\n",
            5,
            "delivery.rule.name",
            "\"a\" is there twice",
            "its own name",
        ),
        (
            "[[delivery.response]]\nname = \"slow down\"\nreplies = ['x']\n[[delivery.response]]\nname = \"slow down\"\nreplies = ['y']\n",
            5,
            "delivery.response.name",
            "\"slow down\" is there twice",
            "its own name",
        ),
        // Patterns, with their positions.
        (
            "[[delivery.response]]\nname = \"a\"\nreplies = ['^4', '^421 [a-']\n",
            3,
            "delivery.response.replies",
            "at letter",
            "syntax",
        ),
        (
            "[[delivery.response]]\nname = \"a\"\nreplies = ['x']\ndestinations = ['*.example']\n",
            4,
            "delivery.response.destinations",
            "at letter 1",
            "syntax",
        ),
        (
            "[[delivery.priority.rule]]\nclass = \"low\"\nsenders = ['(']\n",
            3,
            "delivery.priority.rule.senders",
            "at letter 1: unclosed group",
            "syntax",
        ),
        // What would act on nothing, or on everything.
        ("[[delivery.response]]\nname = \"a\"\n", 2, "delivery.response.name", "matches no reply", "give it replies"),
        (
            "[[delivery.response]]\nname = \"a\"\nreplies = ['.*']\naction = \"fail\"\n",
            3,
            "delivery.response.replies",
            "matches every reply",
            "special",
        ),
        (
            "[[delivery.priority.rule]]\nclass = \"low\"\n",
            2,
            "delivery.priority.rule.class",
            "all mail",
            "senders, recipients or users",
        ),
        (
            "[[delivery.tls_policy]]\ndomains = []\npolicy = \"verify\"\n",
            2,
            "delivery.tls_policy.domains",
            "empty",
            "at least 1",
        ),
        (
            "[[delivery.tls_policy]]\npolicy = \"verify\"\n",
            1,
            "delivery.tls_policy.domains",
            "needs the key",
            "domains =",
        ),
        // Values.
        (
            "[[delivery.priority.rule]]\nclass = \"bulk\"\nusers = [\"a\"]\n",
            2,
            "delivery.priority.rule.class",
            "not a word",
            "\"high\", \"normal\", \"low\"",
        ),
        (
            "[[delivery.response]]\nname = \"a\"\nreplies = ['x']\naction = \"stop\"\n",
            4,
            "delivery.response.action",
            "not a word",
            "\"pause\", \"slow\", \"fail\"",
        ),
        (
            "[[delivery.tls_policy]]\ndomains = [\"*.example\"]\npolicy = \"verify\"\n",
            2,
            "delivery.tls_policy.domains",
            "not a domain",
            "\".example.jp\"",
        ),
        (
            "[[delivery.tls_policy]]\ndomains = [\"a@b.example\"]\npolicy = \"verify\"\n",
            2,
            "delivery.tls_policy.domains",
            "not a domain",
            "before the @",
        ),
        ("[[delivery.source]]\nweight = 5\n", 1, "delivery.source.address", "needs the key", "address ="),
        (
            "[[delivery.source]]\naddress = \"192.0.2.1\"\nweight = 0\n",
            3,
            "delivery.source.weight",
            "out of range",
            "1 to 1000",
        ),
        (
            "[[delivery.source]]\naddress = \"192.0.2.1\"\nwarm_up_from = \"24.11.2026\"\n",
            3,
            "delivery.source.warm_up_from",
            "not a day",
            "YYYY-MM-DD",
        ),
        (
            "[[delivery.source]]\naddress = \"192.0.2.1\"\nwarm_up_from = 2026-11-24\n",
            3,
            "delivery.source.warm_up_from",
            "a date",
            "in quotes",
        ),
        (
            "[[delivery.source]]\naddress = \"192.0.2.1\"\nwarm_up_from = \"2026-02-30\"\n",
            3,
            "delivery.source.warm_up_from",
            "not a day",
            "YYYY-MM-DD",
        ),
        ("[delivery.warm_up]\nschedule = []\n", 2, "delivery.warm_up.schedule", "empty", "at least 1"),
        ("[tls_report]\ncontact = \"Postmaster\"\n", 2, "tls_report.contact", "not a mail address", "one address"),
        ("[queue]\nfuture_release_max = \"400d\"\n", 2, "queue.future_release_max", "out of range", "365d"),
        ("[queue]\nlifetime_high = \"30s\"\n", 2, "queue.lifetime_high", "expire before", "longer"),
        ("[dns]\ntrusted = [\"127.0.0.1:53\"]\n", 2, "dns.trusted", "not an IP address", "without port"),
    ];
    for (text, line, key, reason, fix) in cases {
        check(text, *line, key, reason, fix);
    }
}

#[test]
fn settings_of_delivery_that_contradict_each_other_are_errors() {
    let users = "users = [\"shop\"]\n";
    let cases: &[(String, usize, &str, &str, &str)] = &[
        (
            format!("[delivery]\nsource_addresses = [\"192.0.2.2\"]\n{SOURCE}"),
            2,
            "delivery.source_addresses",
            "named twice",
            "keep one",
        ),
        (format!("{SOURCE}{SOURCE}"), 4, "delivery.source.address", "192.0.2.1 is there twice", "join"),
        (format!("{SOURCE}{users}"), 3, "delivery.source.users", "mail of all others", "leave users out"),
        (
            "[[delivery.source]]\naddress = \"0.0.0.0\"\n".into(),
            2,
            "delivery.source.address",
            "nothing can be sent from 0.0.0.0",
            "the system then chooses",
        ),
        (
            format!("{SOURCE}[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['x']\nsource_addresses = [\"192.0.2.9\"]\n"),
            6,
            "delivery.rule.source_addresses",
            "not among the addresses of [[delivery.source]]",
            "add a [[delivery.source]]",
        ),
        (
            "[delivery]\nmode = \"sandbox\"\n[[delivery.rule]]\nname = \"a\"\nrecipients = ['x']\nsmarthost = \"a.example:25\"\n".into(),
            6,
            "delivery.rule.smarthost",
            "in the sandbox nothing leaves",
            "another mode",
        ),
        (
            "[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['x']\nsmarthost = \"a.example:25\"\n".into(),
            4,
            "delivery.rule.smarthost",
            "before any MX host is known",
            "recipients",
        ),
        (
            "[[delivery.tls_policy]]\ndomains = [\".A.example\"]\npolicy = \"verify\"\n[[delivery.tls_policy]]\ndomains = [\"b.a.example\"]\npolicy = \"none\"\n".into(),
            5,
            "delivery.tls_policy.domains",
            "applies to b.a.example: this one never does",
            "move this table up",
        ),
        (
            "[bounce]\nreport_address = \"r@reports.example\"\n[tls_report]\naddress = \"R@reports.example\"\n[[listener]]\naddress = \"0.0.0.0:25\"\nrole = \"inbound\"\n".into(),
            4,
            "tls_report.address",
            "report_address of [bounce]",
            "its own address",
        ),
    ];
    for (text, line, key, reason, fix) in cases {
        check(text, *line, key, reason, fix);
    }
}

#[test]
fn what_only_looks_wrong_in_delivery_is_a_warning() {
    let warm = "warm_up_from = \"2026-11-24\"\n";
    check_warning(&format!("{SOURCE}{warm}"), 3, "delivery.source.warm_up_from", "no warm address beside it");
    let other = "[[delivery.source]]\naddress = \"2001:db8::1\"\n";
    check_warning(&format!("{SOURCE}{warm}{other}"), 3, "delivery.source.warm_up_from", "no warm address");
    for good in [
        format!("{SOURCE}{warm}[[delivery.source]]\naddress = \"192.0.2.2\"\n"),
        format!("{SOURCE}{warm}[delivery.warm_up]\nalone = true\n"),
    ] {
        assert_eq!(load(&good).expect("good").warnings, [], "{good}");
    }
    check_warning("[delivery.warm_up]\nalone = true\n", 2, "delivery.warm_up.alone", "no address is warming up");
    check_warning(
        "[delivery.warm_up]\nschedule = [50, 100, 90]\n",
        2,
        "delivery.warm_up.schedule",
        "day 3 would take less",
    );
    check_warning(
        "[delivery]\nipv6 = \"off\"\nsource_addresses = [\"2001:db8::1\"]\n",
        3,
        "delivery.source_addresses",
        "ipv6 is off",
    );
    let rule = |name: &str, more: &str| {
        format!("[[delivery.rule]]\nname = \"{name}\"\nmx_hosts = ['x']\ninterval = \"1s\"\n{more}")
    };
    check_warning(
        &(rule("a", "") + &rule("b", "")),
        6,
        "delivery.rule.name",
        "the rule \"a\" above has the same patterns",
    );
    check_warning(
        &format!("[delivery]\nconnections_total = 3\n{}", rule("a", "connections_max = 4\n")),
        7,
        "delivery.rule.connections_max",
        "allows 3 in all",
    );
    let idle = "[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['x']\n";
    check_warning(idle, 2, "delivery.rule.name", "it changes nothing");
    let smarthost = "[delivery]\nsmarthost = \"127.0.0.1:25\"\n";
    check_warning(&format!("{smarthost}{}", rule("a", "")), 5, "delivery.rule.mx_hosts", "never matches");
    check_warning(
        &format!("{smarthost}[[delivery.tls_policy]]\ndomains = [\"a.example\"]\npolicy = \"verify\"\n"),
        5,
        "delivery.tls_policy.policy",
        "the smarthost sees to it",
    );
    let response = |more: &str| format!("[[delivery.response]]\nname = \"a\"\nreplies = ['x']\n{more}");
    check_warning(&response("action = \"fail\"\nduration = \"1h\"\n"), 5, "delivery.response.duration", "no effect");
    check_warning(&response("within = \"1h\"\n"), 4, "delivery.response.within", "count = 1");
    check_warning("[tls_report]\norganization = \"A\"\n", 2, "tls_report.organization", "contact is empty");
    check_warning("[tls_report]\naddress = \"r@a.example\"\n", 2, "tls_report.address", "no listener takes");
    check_warning(
        "[delivery]\nmode = \"sandbox\"\n[tls_report]\ncontact = \"r@a.example\"\n",
        4,
        "tls_report.contact",
        "in this mode there is none",
    );
    check_warning("[dns]\nservers = [\"192.0.2.53\"]\ntrusted = [\"192.0.2.54\"]\n", 3, "dns.trusted", "never asked");
    check_warning("[delivery]\ndane = true\n[dns]\nservers = [\"192.0.2.53\"]\n", 2, "delivery.dane", "believed");
}

#[test]
fn an_address_that_is_not_here_is_a_warning_wherever_it_stands() {
    let around = Surroundings { is_local: &|address| address.is_loopback(), ..calm() };
    for (text, key) in [
        (SOURCE.to_owned(), "delivery.source.address"),
        ("[delivery]\nsource_addresses = [\"127.0.0.1\", \"192.0.2.1\"]\n".into(), "delivery.source_addresses"),
        (
            "[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['x']\nsource_addresses = [\"192.0.2.1\"]\n".into(),
            "delivery.rule.source_addresses",
        ),
    ] {
        let loaded = read_str(std::path::Path::new("/c.toml"), &text, &around).expect("usable");
        let [warning] = loaded.warnings.as_slice() else { panic!("{text}: {:?}", loaded.warnings) };
        assert!(warning.key == key && warning.reason.contains("not an address of this machine"), "{warning}");
    }
    let here = Surroundings::of_this_machine(Files::Needed).is_local;
    assert!(here([127, 0, 0, 1].into()) && !here([192, 0, 2, 1].into()));
}

#[test]
fn lists_are_read_as_they_are_written() {
    let text = "\
[queue]
lifetime_high = \"15m\"
future_release_max = \"0s\"
[delivery]
response_defaults = false
[[delivery.source]]
address = \"192.0.2.1\"
weight = 300
hostname = \"out1.example.jp\"
[[delivery.source]]
address = \"192.0.2.2\"
users = [\"shop\"]
warm_up_from = \"2026-11-24\"
[delivery.warm_up]
schedule = [10, 20]
[[delivery.tls_policy]]
domains = [\"Bank.example\", \".gov.example\"]
policy = \"require\"
[[delivery.priority.rule]]
class = \"high\"
users = [\"otp\"]
[[delivery.priority.rule]]
class = \"high\"
senders = ['^otp@']
[[delivery.response]]
name = \"full\"
replies = ['5\\.2\\.2']
action = \"fail\"
count = 3
within = \"1h\"
[tls_report]
contact = \"postmaster@example.jp\"
";
    let config = load(text).expect("good").config;
    let delivery = &config.delivery;
    assert_eq!((delivery.sources[0].weight, delivery.sources[0].hostname.as_str()), (300, "out1.example.jp"));
    assert_eq!((delivery.sources[1].warm_up_from, delivery.sources[1].users.len()), (Some(20_781), 1));
    assert_eq!(delivery.tls_policies[0].domains, ["bank.example", ".gov.example"]);
    assert_eq!((delivery.responses[0].action, delivery.responses[0].count), (ResponseAction::Fail, 3));
    assert!(!delivery.response_defaults && config.queue.future_release_max.is_zero());
    assert_eq!(config.queue.lifetime_of(crate::event::Class::High), std::time::Duration::from_secs(900));
    let again = load(&effective(&config)).unwrap_or_else(|e| panic!("{e}\n{}", effective(&config))).config;
    assert_eq!(difference(&config, &again), []);

    // Rows with the same first key are told apart, and a change of one is named.
    let changed = load(&text.replace("'^otp@'", "'^code@'")).expect("good").config;
    let diffs = difference(&config, &changed);
    assert_eq!((diffs.len(), diffs[0].key.as_str()), (1, "delivery.priority.rule[high #2].senders"), "{diffs:?}");
}

#[test]
fn the_shipped_rules_match_the_hosts_they_are_for() {
    let text = super::tests_example::uncommented(include_str!("../../config.example.toml"));
    let around = Surroundings { files: Files::Ignored, ..calm() };
    let config = read_str(std::path::Path::new("/c.toml"), &text, &around).unwrap_or_else(|e| panic!("{e}")).config;
    let rules = &config.delivery.rules;
    let by = |address: &str, host: &str| {
        let hit = |rule: &&Rule| {
            rule.recipients.iter().any(|p| p.is_match(address)) || rule.mx_hosts.iter().any(|p| p.is_match(host))
        };
        rules.iter().find(hit).map_or("", |rule| rule.name.as_str()).to_owned()
    };
    for (address, host, name) in [
        ("a@docomo.ne.jp", "mfsmax.docomo.ne.jp", "docomo"),
        ("a@docomo.ne.jp.example", "mx.example", ""),
        ("a@au.com", "lsean.au.com", "kddi"),
        ("a@t7.biz.ezweb.ne.jp", "lsean.ezweb.ne.jp", "kddi"),
        ("a@nau.com", "mx.example", ""),
        ("a@uqmobile.jp", "lsean.au.com", "kddi"),
        ("a@i.softbank.jp", "mx.example", "softbank"),
        ("a@softbank.ne.jp", "mx.example", "softbank"),
        ("a@t.vodafone.ne.jp", "mx.example", "softbank"),
        ("a@disney.ne.jp", "mx.example", "softbank"),
        ("a@ymobile.ne.jp", "mx.example", "ymobile"),
        ("a@y-mobile.ne.jp", "mx.example", "ymobile"),
        ("a@rakumail.jp", "mx.example", "rakuten"),
        ("a@gmail.com", "gmail-smtp-in.l.google.com", "google"),
        ("a@school.example", "ASPMX3.googlemail.com", "google"),
        ("a@school.example", "smtp.google.com", "google"),
        ("a@x.example", "notgoogle.com", ""),
        ("a@outlook.jp", "outlook-jp.olc.protection.outlook.com", "outlook.com"),
        ("a@firm.example", "firm-example.mail.protection.outlook.com", "microsoft365"),
        ("a@firm.example", "firm-example.a-v1.mx.microsoft", "microsoft365"),
        ("a@yahoo.com", "mta5.am0.yahoodns.net", "yahoo"),
        ("a@yahoo.co.jp", "mx1.mail.yahoo.co.jp", "yahoo-japan"),
    ] {
        assert_eq!(by(address, host), name, "{address} {host}");
    }
}
