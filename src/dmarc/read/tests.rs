//! Reports of all forms, and what is none.

use std::{io::Write, net::IpAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::dmarc::report::{
    Aggregate, Alignment, AuthResult, Discovery, Disposition, Failure, Oddity, PIECE_ROWS_MAX, ReasonKind, Scope,
};

const META: &str = "<report_metadata><org_name>Receiver.example</org_name><email>a@receiver.example</email>\
    <report_id>id@1</report_id><date_range><begin>1700000000</begin><end>1700086399</end></date_range></report_metadata>";
const POLICY: &str =
    "<policy_published><domain>Example.COM</domain><adkim>r</adkim><aspf>s</aspf><p>reject</p></policy_published>";
const RECORD: &str = "<record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>none</disposition>\
    <dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.com</header_from></identifiers>\
    <auth_results><spf><domain>mail.example.com</domain><result>pass</result></spf></auth_results></record>";

fn xml(inner: &[&str]) -> String {
    format!("<?xml version=\"1.0\"?>\n<feedback>{}</feedback>\n", inner.concat())
}

fn usual() -> String {
    xml(&["<version>1.0</version>", META, POLICY, RECORD])
}

fn found(raw: &[u8]) -> Result<(Vec<Found>, Count), NoReport> {
    let mut found = Vec::new();
    read(raw, &mut |f| found.push(f)).map(|count| (found, count))
}

/// The one report of it.
fn one(raw: impl AsRef<[u8]>) -> Aggregate {
    let raw = raw.as_ref();
    match found(raw) {
        Ok((mut all, count)) if all.len() == 1 && count.refused.is_none() => match all.remove(0) {
            Found::Aggregate(report) if report.is_last && report.first_row == 0 => report,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(raw)),
    }
}

fn refusal(raw: impl AsRef<[u8]>) -> String {
    let read = found(raw.as_ref());
    read.map(|found| panic!("{found:?}")).map_err(|no| no.to_string()).unwrap_or_else(|said| said)
}

fn failure(raw: &str) -> Failure {
    match found(raw.as_bytes()) {
        Ok((mut all, _)) if all.len() == 1 => match all.remove(0) {
            Found::Failure(failure) => *failure,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets).expect("memory");
    encoder.finish().expect("memory")
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
    for (name, octets) in entries {
        let (mut entry, config) = archive.new_file(name).start().expect("memory");
        let mut data = config.wrap(&mut entry);
        data.write_all(octets).expect("memory");
        let (_, descriptor) = data.finish().expect("memory");
        entry.finish(descriptor).expect("memory");
    }
    archive.finish().expect("memory");
    out
}

#[test]
fn a_report_of_rfc_7489_is_read_to_the_last_element() {
    let report = one(xml(&[
        "<version>1.0</version><report_metadata><org_name>R&amp;D <![CDATA[<x>]]></org_name><email>a@r.example</email>\
         <extra_contact_info>https://r.example/?a=1&amp;b=2</extra_contact_info><report_id> 1 </report_id><date_range><begin>1700000000</begin>\
         <end>1700086399</end></date_range><error>first</error><error/><error>second</error></report_metadata>",
        "<policy_published><domain>example.com</domain><adkim>r</adkim><aspf>s</aspf><p>quarantine</p><sp>none</sp><pct>50</pct>\
         <fo>1:d</fo></policy_published>",
        "<record><row><source_ip>2001:db8::1</source_ip><count>12</count><policy_evaluated><disposition>quarantine</disposition>\
         <dkim>fail</dkim><spf>fail</spf><reason><type>forwarded</type><comment>by a list</comment></reason><reason><type>sampled_out</type></reason>\
         </policy_evaluated></row><identifiers><envelope_to>To.example</envelope_to><envelope_from>from.example</envelope_from>\
         <header_from>News.Example.com.</header_from></identifiers><auth_results><dkim><domain>example.com</domain><selector>s1</selector>\
         <result>fail</result><human_result>body hash</human_result></dkim><dkim><domain>list.example</domain><result>pass</result></dkim>\
         <spf><domain>from.example</domain><scope>helo</scope><result>softfail</result></spf></auth_results></record>",
    ]));
    let head = &report.head;
    assert_eq!((head.organization.as_str(), head.contact.as_str()), ("R&D <x>", "https://r.example/?a=1&b=2"));
    assert_eq!((head.report_id.as_str(), head.schema.as_str(), head.is_rfc9990), ("1", "1.0", false));
    assert_eq!(head.errors, ["first", "second"]);
    let policy = &head.policy;
    assert_eq!((policy.adkim, policy.aspf, policy.p), (Alignment::Relaxed, Alignment::Strict, Disposition::Quarantine));
    assert_eq!((policy.for_subdomains(), policy.pct, policy.fo.as_str()), (Disposition::None, Some(50), "1:d"));
    assert!(head.oddities.is_empty(), "{:?}", head.oddities);
    let row = &report.rows[0];
    assert_eq!((row.source_ip, row.count), ("2001:db8::1".parse::<IpAddr>().expect("an address"), 12));
    assert_eq!((row.disposition, row.passed()), (Disposition::Quarantine, false));
    assert_eq!(row.reasons[0].kind, ReasonKind::Forwarded);
    assert_eq!(row.reasons[0].comment, "by a list");
    assert_eq!(row.reasons[1].kind, ReasonKind::SampledOut);
    assert_eq!(
        [&row.envelope_to, &row.envelope_from, &row.header_from],
        ["to.example", "from.example", "news.example.com"]
    );
    assert_eq!((row.dkim[0].selector.as_str(), row.dkim[0].human_result.as_str()), ("s1", "body hash"));
    assert_eq!((row.dkim[1].domain.as_str(), row.dkim[1].result), ("list.example", AuthResult::Pass));
    assert_eq!((row.spf[0].scope, row.spf[0].result), (Scope::Helo, AuthResult::SoftFail));
}

#[test]
fn a_report_of_rfc_9990_is_read_to_the_last_element() {
    let text = "<?xml version=\"1.0\"?><feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"><version>1.0</version><report_metadata>\
        <org_name>Sample</org_name><email>r@r.example</email><extra_contact_info lang=\"en\">...</extra_contact_info>\
        <generator>Milter 1.2</generator><report_id>3v98</report_id><date_range><begin>1732665600</begin><end>1732751999</end></date_range>\
        <error lang=\"de\">Fehler</error></report_metadata><policy_published><domain>example.com</domain><p>quarantine</p><sp>none</sp>\
        <np>reject</np><testing>y</testing><discovery_method>treewalk</discovery_method></policy_published>\
        <extension><x:arc xmlns:x=\"urn:x\"><record><row><source_ip>192.0.2.9</source_ip><count>1</count></row></record></x:arc></extension>\
        <record><row><source_ip>192.0.2.1</source_ip><count>123</count><policy_evaluated><disposition>pass</disposition><dkim>pass</dkim>\
        <spf>fail</spf><reason><type>policy_test_mode</type><comment lang=\"en\">t=y</comment></reason></policy_evaluated></row><identifiers>\
        <envelope_from>example.com</envelope_from><header_from>example.com</header_from></identifiers><auth_results><dkim><domain>example.com</domain>\
        <result>pass</result><selector>abc123</selector></dkim><spf><domain>example.com</domain><result>fail</result></spf></auth_results>\
        <x:more xmlns:x=\"urn:x\"><count>9</count></x:more></record></feedback>";
    let report = one(text);
    let head = &report.head;
    assert!(head.is_rfc9990 && head.oddities.is_empty(), "{head:?}");
    assert_eq!((head.generator.as_str(), head.contact.as_str(), &head.errors[0][..]), ("Milter 1.2", "...", "Fehler"));
    let policy = &head.policy;
    assert_eq!((policy.np, policy.testing), (Some(Disposition::Reject), Some(true)));
    assert_eq!(policy.discovery, Some(Discovery::TreeWalk));
    assert_eq!((head.totals.rows, head.totals.messages, head.totals.passed), (1, 123, 123));
    assert_eq!(report.rows[0].disposition, Disposition::Pass);
    assert_eq!(report.rows[0].reasons[0].kind, ReasonKind::PolicyTestMode);
    // Prefixed elements are the same elements.
    let prefixed = text.replace("<", "<d:").replace("<d:/", "</d:").replace("<d:?", "<?").replace("<d:x:", "<x:");
    let prefixed = prefixed.replace("</d:x:", "</x:").replace("xmlns=\"urn:ietf", "xmlns:d=\"urn:ietf");
    assert_eq!(one(prefixed), report);
}

#[test]
fn what_the_world_writes_is_forgiven_and_told() {
    let with = |from: &str, to: &str| {
        let text = usual();
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    };
    let row = |text: String| one(text).rows.remove(0);
    let odd = |text: String| one(text).head.oddities;
    assert_eq!(odd(usual()), []);
    assert_eq!(odd(with("<version>1.0</version>", "")), [Oddity::VersionMissing]);
    assert_eq!(one(with("<version>1.0</version>", "")).head.schema, "draft");
    let nameless = with("Receiver.example</org_name>", "</org_name>");
    assert_eq!(
        (odd(nameless.clone()), one(nameless).head.organization_key().as_str()),
        (vec![Oddity::OrganizationMissing], "receiver.example")
    );
    for (text, seconds) in
        [("1700000000123", 1_700_000_000), ("2023-11-14T22:13:20Z", 1_700_000_000), (" 1700000000.5 ", 1_700_000_000)]
    {
        let report = one(with("1700000000", text));
        assert_eq!((report.head.begin_seconds, report.head.oddities), (seconds, vec![Oddity::Time]), "{text}");
    }
    assert_eq!(odd(with("<end>1700086399", "<end>1600000000")), [Oddity::PeriodReversed]);
    assert_eq!(odd(with("<p>reject</p>", "<p/>")), [Oddity::PolicyMissing]);
    assert_eq!(one(with("<p>reject</p>", "<p> REJECT\n</p>")).head.policy.p, Disposition::Reject);
    // The elements in another order, several policies, the first counts.
    let other = POLICY.replace("Example.COM", "other.example");
    let shuffled = one(xml(&[RECORD, POLICY, &other, META, "<version>1.0</version>"]));
    assert_eq!(
        (shuffled.head.policy.domain.as_str(), shuffled.head.oddities),
        ("example.com", vec![Oddity::SeveralPolicies])
    );
    assert_eq!(shuffled.rows, one(usual()).rows);
    for (from, to) in
        [("192.0.2.1", "[192.0.2.1]"), ("192.0.2.1", " ::ffff:192.0.2.1\n"), (">3<", "> 3 <"), (">pass<", ">PASS<")]
    {
        assert_eq!(row(with(from, to)), row(usual()), "{to}");
    }
    assert_eq!(row(with("192.0.2.1", "fe80::1%eth0")).source_ip.to_string(), "fe80::1");
    assert!(!row(with("<dkim>pass</dkim>", "")).dkim_aligned);
    assert_eq!(
        row(with("<spf>fail</spf>", "<reason><type></type><comment/></reason>")).reasons[0].kind,
        ReasonKind::Unknown
    );
    assert_eq!(row(with("identifiers>", "identities>")).header_from, "example.com");
    assert_eq!(row(usual()).envelope_from, "mail.example.com", "SPF was asked for it");
    assert!(row(with("mail.example.com", "")).spf.is_empty(), "nothing is said of nothing");
    // A record that says nothing is none; the others count.
    for broken in [RECORD.replace("192.0.2.1", "unknown"), RECORD.replace(">3<", "><"), RECORD.replace(">3<", ">-3<")] {
        let report = one(xml(&["<version>1.0</version>", META, POLICY, &broken, RECORD]));
        assert_eq!((report.rows.len(), report.head.totals.unusable), (1, 1), "{broken}");
        assert_eq!(report.head.oddities, [Oddity::UnusableRecords]);
    }
    // Around the XML, and at its end.
    assert_eq!(odd(format!("HTTP/1.1 200 OK\r\n\r\n{}", usual())), [Oddity::Garbage]);
    assert_eq!(odd(format!(" \r\n\u{feff}{}", usual())), [Oddity::Garbage]);
    assert_eq!(odd(format!("\u{feff}{}\r\n-- \r\nsent by", usual())), []);
    assert_eq!(odd(with("</feedback>", "")), [Oddity::EndMissing]);
    assert_eq!(odd(with("</org_name>", "</orgname>")), [Oddity::EndTag]);
    let mut octets = with("Receiver", "R\u{e9}ceiver").into_bytes();
    let at = octets.windows(2).position(|w| w == "\u{e9}".as_bytes()).expect("two octets");
    octets.remove(at);
    assert_eq!(one(&octets).head.organization, "R\u{fffd}ceiver.example");
    assert_eq!(one(&octets).head.oddities, [Oddity::Charset]);
    let long = one(with("Receiver.example", &"x".repeat(300)));
    assert_eq!((long.head.organization.len(), long.head.oddities), (255, vec![Oddity::Cut]));
}

#[test]
fn what_is_no_whole_report_is_refused_with_its_place() {
    let with = |from: &str, to: &str| usual().replace(from, to);
    for (text, expected) in [
        (with(META, ""), "the report has no usable org_name"),
        (with("<report_id>id@1</report_id>", ""), "the report has no usable report_id"),
        (with("<begin>1700000000</begin>", ""), "the report has no usable date_range"),
        (with("1700086399", "tomorrow"), "the report has no usable date_range"),
        (with(POLICY, ""), "the report has no usable domain in its policy_published"),
        (with(RECORD, ""), "the report has no usable record"),
        (
            with("</auth_results></record></feedback>", ""),
            "the report ends too early, in <feedback/record/auth_results>",
        ),
        (
            with("<count>3</count>", "<count>3</row>"),
            "it is no XML: </row> ends another element, in <feedback/record/row/count>",
        ),
        (usual() + &usual(), "records follow the end of the report, at octet"),
        (with("</record>", "</record></feedback><record/>"), "records follow the end of the report"),
        ("<rss><channel/></rss>".into(), "the XML is no DMARC report: its first element is <rss>, in <rss>"),
        ("<?xml version=\"1.0\"?>".into(), "it has no element"),
        ("hello".into(), "nothing in it looks like a DMARC or TLS report"),
        (String::new(), "nothing in it looks like a DMARC or TLS report"),
        ("Subject: hello\r\n\r\nhello\r\n".into(), "nothing in it looks like a DMARC or TLS report"),
        ("{\"json\":\"of something else\"}".into(), "nothing in it looks like a DMARC or TLS report"),
    ] {
        let said = refusal(&text);
        assert!(said.starts_with(expected), "{said} of {text}");
    }
    let packed = gzip(usual().as_bytes());
    assert!(refusal(&packed[..packed.len() / 2]).starts_with("the compressed file ends too early"));
    assert_eq!(one(&packed[..packed.len() - 3]).rows.len(), 1, "only the checksum is missing");
    let mut wrong = packed.clone();
    let crc = wrong.len() - 7;
    wrong[crc] ^= 1;
    assert!(refusal(&wrong).starts_with("the compressed file does not match its checksum"));
}

/// A mail with one part.
fn mail(kind: &str, encoding: &str, body: &str) -> String {
    format!(
        "From: a@r.example\r\nSubject: x\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
    )
}

fn base64(octets: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(octets);
    text.as_bytes().chunks(76).map(|l| String::from_utf8_lossy(l).into_owned() + "\r\n").collect()
}

fn multipart(parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--b\r\n{part}\r\n")).collect();
    format!("From: a@r.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n{parts}--b--\r\n")
}

#[test]
fn a_report_is_found_wherever_it_is_in_a_mail() {
    let expected = one(usual());
    let (text, packed) = (usual(), gzip(usual().as_bytes()));
    let zipped = zip(&[("__MACOSX/r", b"x"), ("dir/", b""), ("r.txt", text.as_bytes())]);
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let quoted = text.replace('=', "=3D").replace("<row>", "<r=\r\now>");
    let inline = mail("text/xml", "quoted-printable", &quoted);
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("plain", text.clone().into_bytes()),
        ("gzip", packed.clone()),
        ("ZIP", zipped.clone()),
        ("gzip in gzip", gzip(&packed)),
        ("gzip in ZIP", zip(&[("r.gz", &packed)])),
        ("UTF-16", utf16.clone()),
        (
            "mailbox line",
            format!("From a@b Thu Nov 26 10:00:00 2026\n{}", mail("text/xml", "7bit", &text)).into_bytes(),
        ),
        ("lines before the header", format!("garbage here\r\n{}", mail("text/xml", "7bit", &text)).into_bytes()),
        ("a mark first", format!("\u{feff}{}", mail("text/xml", "7bit", &text)).into_bytes()),
        ("empty lines first", format!("\r\n\r\n{}", mail("text/xml", "7bit", &text)).into_bytes()),
        ("text/xml inline", inline.clone().into_bytes()),
        ("text/plain", mail("text/plain", "8bit", &format!("see below\r\n{text}")).into_bytes()),
        ("wrong type", mail("application/octet-stream; name=report.pdf", "base64", &base64(&packed)).into_bytes()),
        ("lying name", mail("application/zip; name=a.zip", "base64", &base64(&packed)).into_bytes()),
        ("no type", mail("", "base64", &base64(&zipped)).into_bytes()),
        ("HTML", mail("text/html", "base64", &base64(&zipped)).into_bytes()),
        ("UTF-16 attached", mail("application/xml", "base64", &base64(&utf16)).into_bytes()),
        ("second part", multipart(&["\r\nhello", &inline]).into_bytes()),
        ("forwarded", multipart(&["\r\nfwd", &format!("Content-Type: message/rfc822\r\n\r\n{inline}")]).into_bytes()),
        (
            "forwarded in base64",
            multipart(&[&mail("message/rfc822", "base64", &base64(multipart(&["\r\nx", &inline]).as_bytes()))])
                .into_bytes(),
        ),
        (
            "as .eml",
            multipart(&[&mail("application/x; name=\"A.EML\"", "base64", &base64(inline.as_bytes()))]).into_bytes(),
        ),
    ];
    for (name, file) in files {
        let mut report = one(&file);
        report.head.oddities.retain(|o| *o != Oddity::Garbage);
        assert_eq!(report, expected, "{name}");
    }
}

#[test]
fn all_reports_of_a_mail_are_read_and_the_first_refusal_is_told() {
    let second = usual().replace("id@1", "id@2");
    let (first, second) = (usual(), gzip(second.as_bytes()));
    let json = b"{\"organization-name\":\"X\",\"report-id\":\"1\"}";
    let archive =
        zip(&[("a.xml", first.as_bytes()), ("b.xml", b"<feedback>"), ("c.xml.gz", &second), ("d.json", json)]);
    let (all, count) = found(&archive).expect("reports");
    assert_eq!((count.aggregates, count.rows, count.tls, count.reports()), (2, 2, 1, 3));
    assert_eq!(count.refused.map(|no| (no.file, no.fault.word())), Some(("b.xml".into(), "broken")));
    let ids: Vec<String> = all
        .iter()
        .map(|f| match f {
            Found::Aggregate(a) => a.head.report_id.clone(),
            Found::Failure(_) => "failure".into(),
            Found::Tls(octets) => String::from_utf8_lossy(octets).into_owned(),
        })
        .collect();
    assert_eq!(ids, ["id@1", "id@2", &String::from_utf8_lossy(json)]);
}

#[test]
fn long_reports_come_in_pieces_all_or_none() {
    let records = |n: usize| (0..n).map(|i| RECORD.replace(">3<", &format!(">{i}<"))).collect::<String>();
    let n = 2 * PIECE_ROWS_MAX + 1;
    let text = xml(&["<version>1.0</version>", META, &records(n), POLICY]);
    for raw in [text.clone().into_bytes(), gzip(text.as_bytes())] {
        let (all, count) = found(&raw).expect("a report");
        assert_eq!((count.aggregates, count.rows), (1, n as u64));
        let pieces: Vec<&Aggregate> = all
            .iter()
            .map(|f| match f {
                Found::Aggregate(piece) => piece,
                other => panic!("{other:?}"),
            })
            .collect();
        let shape: Vec<(u64, usize, bool)> = pieces.iter().map(|p| (p.first_row, p.rows.len(), p.is_last)).collect();
        let max = PIECE_ROWS_MAX;
        assert_eq!(shape, [(0, max, false), (max as u64, max, false), (2 * max as u64, 1, true)]);
        assert!(pieces.iter().all(|p| p.head == pieces[0].head && p.head.policy.domain == "example.com"));
        let counts: Vec<u64> = pieces.iter().flat_map(|p| &p.rows).map(|r| r.count).collect();
        assert_eq!(counts, (0..n as u64).collect::<Vec<_>>());
        assert_eq!(pieces[0].head.totals.messages, counts.iter().sum::<u64>());
    }
    let mut called = false;
    let broken = text.replace("</policy_published>", "</policy_published><record>");
    assert!(read(broken.as_bytes(), &mut |_| called = true).is_err() && !called, "nothing of a broken one");
    let whole = xml(&["<version>1.0</version>", META, POLICY, &records(PIECE_ROWS_MAX)]);
    assert_eq!(one(whole).rows.len(), PIECE_ROWS_MAX);
}

#[test]
fn failure_reports_are_read() {
    let report = "Feedback-Type: auth-failure\r\nUser-Agent: X/1\r\nVersion: 1\r\nAuth-Failure: DKIM, spf\r\nIdentity-Alignment: none\r\n\
        Source-IP: 192.0.2.7 (mail.example)\r\nReported-Domain: Example.com\r\nOriginal-Mail-From: <b@example.com>\r\n\
        Original-Rcpt-To: <c@d.example>\r\nOriginal-Rcpt-To: e@d.example\r\nArrival-Date: Mon, 01 Oct 2018 11:20:27 +0200\r\nIncidents: 4\r\n\
        Delivery-Result: smg-policy-action\r\nDKIM-Domain: Example.com\r\nDKIM-Selector: s1\r\nDKIM-Identity: @example.com\r\n\
        Authentication-Results: mx.example; dkim=fail\r\n header.d=example.com\r\nOriginal-Envelope-Id: e1\r\n";
    let returned = "From: \"A\" <a@news.example.com>\r\nTo: c@d.example\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nMessage-ID: <1@example.com>\r\n\
        Date: Mon, 1 Oct 2018 11:20:00 +0200\r\n\r\nsecret body\r\n";
    let parts = |report: &str, kind: &str, returned: &str| {
        let text = "Content-Type: text/plain\r\n\r\nThis is a report.";
        multipart(&[
            text,
            &format!("Content-Type: message/feedback-report\r\n\r\n{report}"),
            &format!("Content-Type: {kind}\r\n\r\n{returned}"),
        ])
    };
    for kind in ["message/rfc822", "text/rfc822-headers", "message/rfc822-headers"] {
        let said = failure(&parts(report, kind, returned));
        assert_eq!((said.feedback_type.as_str(), said.auth_failure.join(",")), ("auth-failure", "dkim,spf".into()));
        assert_eq!((said.source_ip, said.identity_alignment.len()), (Some(IpAddr::from([192, 0, 2, 7])), 0));
        assert_eq!((said.reported_domain.as_str(), said.incidents), ("example.com", 4));
        assert_eq!(
            (said.mail_from.as_str(), said.rcpt_to.join(",")),
            ("b@example.com", "c@d.example,e@d.example".into())
        );
        assert_eq!((said.arrived_seconds, said.delivery_result.as_str()), (Some(1_538_385_627), "policy"));
        assert_eq!((said.dkim_selector.as_str(), said.dkim_identity.as_str()), ("s1", "@example.com"));
        assert_eq!(said.authentication_results, "mx.example; dkim=fail header.d=example.com");
        assert_eq!((said.message_subject.as_str(), said.message_id.as_str()), ("café", "<1@example.com>"));
        assert_eq!((said.reporter.as_str(), said.is_text_only), ("r.example", false));
        assert!(!format!("{said:?}").contains("secret"));
    }
    // What is left out comes from elsewhere; the encoding of the part may be anything.
    let less = report.replace("Reported-Domain: Example.com\r\n", "").replace("Feedback-Type: auth-failure\r\n", "");
    assert_eq!(failure(&parts(&less, "message/rfc822", returned)).reported_domain, "news.example.com");
    let encoded = multipart(&[&mail("message/feedback-report", "base64", &base64(report.as_bytes()))]);
    assert_eq!(failure(&encoded).reported_domain, "example.com");
    let complaint = parts(
        &report.replace("auth-failure", "abuse").replace("Auth-Failure: DKIM, spf\r\n", ""),
        "message/rfc822",
        returned,
    );
    assert!(refusal(&complaint).contains("it is a report about \"abuse\""), "{}", refusal(&complaint));
    // The mail that is returned may hold anything; it is not searched.
    let trap = parts("Feedback-Type: abuse\r\n", "message/rfc822", &mail("text/xml", "7bit", &usual()));
    assert!(found(trap.as_bytes()).is_err());
}

#[test]
fn limits_of_lists_and_pieces_hold() {
    let results =
        "<dkim><domain>d.example</domain></dkim>".repeat(200) + &"<spf><domain>s.example</domain></spf>".repeat(200);
    let reasons = "<reason><type>other</type></reason>".repeat(50);
    let record =
        RECORD.replace("<auth_results>", &format!("<auth_results>{results}")).replace("<spf>fail</spf>", &reasons);
    let errors = META.replace("</report_metadata>", &format!("{}</report_metadata>", "<error>x</error>".repeat(100)));
    let report = one(xml(&["<version>1.0</version>", &errors, POLICY, &record]));
    let row = &report.rows[0];
    assert_eq!((row.dkim.len(), row.spf.len(), row.reasons.len(), report.head.errors.len()), (50, 10, 10, 20));
    assert_eq!(report.head.oddities, [Oddity::Cut]);
    assert!(row.spf.iter().all(|r| r.domain == "s.example"), "what is over the bound overwrites nothing");
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = found(&octets);
        let _ = found(&[b"PK\x03\x04", &octets[..]].concat());
        let _ = found(&[b"\x1f\x8b\x08\0\0\0\0\0\0\0", &octets[..]].concat());
        let _ = found(&[b"<feedback>", &octets[..]].concat());
        let _ = found(&gzip(&octets));
        let _ = found(&zip(&[("x", &octets)]));
    }

    /// Reports with a hole, a doubled piece, or other octets somewhere: read or refused, and what is read is within its bounds.
    #[test]
    fn damaged_reports_are_survived(from in 0usize..1_000, len in 0usize..60, with in prop::collection::vec(any::<u8>(), 0..8), packed: bool) {
        let text = usual().into_bytes();
        let mut octets = if packed { zip(&[("r.xml", &text)]) } else { text };
        let from = from.min(octets.len());
        let to = (from + len).min(octets.len());
        octets.splice(from..to, with);
        if let Ok((all, count)) = found(&octets) {
            prop_assert_eq!(all.len() as u64, count.reports());
            for report in all {
                let Found::Aggregate(report) = report else { continue };
                prop_assert_eq!(report.rows.len() as u64, report.head.totals.rows);
                prop_assert!(!report.head.report_id.is_empty() && !report.head.organization.is_empty());
            }
        }
    }
}
