//! Mail to the report address: reports, broken ones, people's.

use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::{
    authres::{Aligned, DmarcResult, DmarcWord},
    clock::Clock,
    config::{Config, Domain, InForce},
    dmarc::{
        keep::tests::{NOW, simple},
        record::{Mode, Policy},
        row::KeptReport,
    },
    smtp::address::Mailbox,
    store::{MemoKind, Memos, StoreError},
    tls_report::{fake::RamMemos, gzip},
};

/// Where people's mail goes.
#[derive(Default)]
struct Noting(Mutex<Vec<String>>);

impl Sink for Noting {
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        let to: Vec<String> = mail.to.iter().map(|(address, inlet)| format!("{}:{address}", inlet.word())).collect();
        self.0.lock().expect("no panic").push(to.join(" "));
        Box::pin(std::future::ready(Ok(())))
    }
}

fn results(aligned: bool, result: DmarcWord, policy: Policy) -> Results {
    let from = "reporter.example".to_owned();
    let one = Aligned { by: "dkim", domain: from.clone(), mode: Mode::Relaxed };
    Results {
        dmarc: DmarcResult {
            result,
            organizational_domain: from.clone(),
            policy_domain: from.clone(),
            policy,
            aligned: if aligned { vec![one] } else { Vec::new() },
            from,
            why: String::new(),
        },
        ..Results::default()
    }
}

struct House {
    sink: ReportSink<RamMemos>,
    people: Arc<Noting>,
    memory: RamMemos,
}

fn house(postmaster: &str) -> House {
    let mut config = Config::default();
    config.server.postmaster = postmaster.into();
    config.domains.push(Domain { name: "example.jp".into(), ..Domain::default() });
    let (memory, people) = (RamMemos::default(), Arc::new(Noting::default()));
    let take_tls = Arc::new(|json: Vec<u8>, _: &Origin| match json.starts_with(b"{") {
        true => Ok(Taken { became: Became::New, ..Taken::nothing() }),
        false => Err(StoreError::Closed),
    });
    let keeper = Keeper::new(memory.clone(), Clock::manual(NOW), InForce::new(config), Arc::default(), take_tls);
    House { sink: ReportSink::new(keeper, people.clone()), people, memory }
}

fn take(house: &House, body: &str, results: Option<&Results>) -> Result<(), Refusal> {
    let to = [(Mailbox::parse("dmarc@relay.example.jp").expect("an address"), Inlet::DmarcReport)];
    let (facts, body) = (Default::default(), Bytes::copy_from_slice(body.as_bytes()));
    smol::block_on(Sink::take(&house.sink, InboundMail { results, ..InboundMail::of(&body, &facts, &to) }))
}

fn mail(report: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let packed = STANDARD.encode(gzip(report.as_bytes()));
    let lines: Vec<&str> = packed.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).expect("ASCII")).collect();
    format!(
        "From: dmarc@reporter.example\r\nSubject: Report Domain: example.jp\r\nMIME-Version: 1.0\r\n\
         Content-Type: application/gzip; name=\"r.xml.gz\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        lines.join("\r\n")
    )
}

fn refusal(taken: Result<(), Refusal>) -> (u16, String) {
    match taken {
        Ok(()) => (250, String::new()),
        Err(Refusal::Refused(reply)) => (reply.code, reply.text.into_owned()),
        Err(Refusal::NotTaken(why)) => (550, why),
        Err(Refusal::Later(why)) => (451, why),
    }
}

#[test]
fn a_report_is_kept_with_what_its_mail_is_worth() {
    for (id, results, mark) in [
        ("r-1", Some(results(true, DmarcWord::Pass, Policy::Reject)), Mark::Verified),
        ("r-2", Some(results(false, DmarcWord::Fail, Policy::Reject)), Mark::Forged),
        ("r-3", Some(results(false, DmarcWord::TempError, Policy::None)), Mark::Unknown),
        ("r-4", None, Mark::Unknown),
    ] {
        let house = house("");
        for _ in 0..2 {
            assert_eq!(refusal(take(&house, &mail(&simple(id)), results.as_ref())), (250, String::new()), "{id}");
        }
        let kept = house.memory.memos(MemoKind::DmarcReports, "", None, 9).expect("the store works");
        let report: KeptReport = serde_json::from_slice(&kept[0].1).expect("JSON");
        assert_eq!((kept.len(), report.mark, report.report_id.as_str(), report.by), (1, mark, id, By::Mail));
        assert_eq!((report.tally.messages, report.rows, report.policy.p.as_str()), (3, 2, "quarantine"));
    }
}

#[test]
fn what_is_no_report_is_refused_with_a_sentence_and_people_reach_postmaster() {
    let proven = results(true, DmarcWord::Pass, Policy::Reject);
    let hello = "From: a@b.example\r\nSubject: your report address\r\n\r\nHello, who reads this?\r\n";
    let house = self::house("");
    let (code, why) = refusal(take(&house, hello, Some(&proven)));
    assert!(code == 554 && why.contains("takes DMARC and TLS reports: nothing in it looks like one"), "{code} {why}");
    let (code, why) = refusal(take(&house, &mail("<feedback><report_metadata></feedback>"), Some(&proven)));
    assert!(code == 554 && why.contains("reports: "), "{code} {why}");
    let (code, why) =
        refusal(take(&house, &mail(&simple("r").replace(">example.jp<", ">other.example<")), Some(&proven)));
    assert!(code == 554 && why.contains("other.example is no domain of this server's"), "{code} {why}");
    let house = self::house("admin@office.example");
    assert_eq!(refusal(take(&house, hello, Some(&proven))).0, 250);
    assert_eq!(*house.people.0.lock().expect("no panic"), ["postmaster:dmarc@relay.example.jp"]);
    assert_eq!(refusal(take(&house, &mail("<feedback><x>"), Some(&proven))).0, 554, "a broken report is nobody's mail");
    assert_eq!(house.people.0.lock().expect("no panic").len(), 1);
}

#[test]
fn tls_reports_go_to_their_room() {
    let house = house("");
    let report = "From: t@x.example\r\nSubject: Report Domain: example.jp\r\nContent-Type: application/tlsrpt+json\r\n\r\n\
         {\"organization-name\":\"X\",\"report-id\":\"r\",\"date-range\":{\"start-datetime\":\"2026-11-23T00:00:00Z\",\
         \"end-datetime\":\"2026-11-23T23:59:59Z\"},\"policies\":[]}\r\n";
    assert_eq!(refusal(take(&house, report, None)), (250, String::new()));
    assert!(house.memory.keys(MemoKind::DmarcReports).is_empty());
}
