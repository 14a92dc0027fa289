//! Our DKIM signatures before judges that know nothing of us: dkimpy and OpenDKIM, over a thousand odd mails, as they are made
//! and after our relay signed them and a real Postfix passed them on; and dkimpy's signatures before our verifier.
//!
//! The keys' records are in a zone of Knot that Unbound resolves, for OpenDKIM asks /etc/resolv.conf alone; dkimpy is handed
//! the records. Each mail bears a signature of RSA-2048 and one of Ed25519, and each is judged by itself.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hikyaku::{
    clock::Timestamp,
    dkim::{
        key::{Algorithm, SigningKey},
        record,
        sign::{BodyHasher, Identity, NotSigned, fields as dkim_fields},
        verify::{DkimResult, verify},
    },
    lookup::{Answer, Asking, DnsError, Lookup, MxRecord, Tlsa},
    mail::header::{Fields, find_end},
};
use serde_json::Value;

use crate::{
    api::python_with,
    dkim_mails::{Mail, generate},
    postfix::Postfix,
    program::{find, is_root, missing},
    signed_dns::{SignedDns, Trust, Zone},
    support::{Client, Config, Place, Relay, Rng, Sink, cli::run_command, until},
};

/// Mails of a run: so many that each judge has [`JUDGED_MIN`] to judge.
const MAILS: usize = 1300;
/// Mails that each judge judges at least.
const JUDGED_MIN: usize = 1000;
/// Each so many-th mail is judged once more with a changed body: a judge who passes everything is none.
const CHANGED_EACH: usize = 50;
/// Mails that dkimpy signs, eight times each.
const SIGNED_BY_DKIMPY: usize = 100;
/// How long a judge may take for all mails of a folder.
const LIMIT: Duration = Duration::from_secs(300);
/// OpenDKIM is started for each mail: so many mails a command.
const OPENDKIM_BATCH: usize = 400;

const DOMAIN: &str = "dkim.test";

/// Keys, and mails with the fields that they made.
struct Batch {
    identities: Vec<Identity>,
    /// The Ed25519 key's seed and the RSA key's PEM, for a signer that is not us; and the former's PEM.
    seed: String,
    pem: String,
    ed25519_pem: String,
    mails: Vec<Signed>,
    /// Those that nobody signs.
    unsigned: Vec<(usize, Mail)>,
    now: Timestamp,
}

/// A signed mail.
struct Signed {
    n: usize,
    mail: Mail,
    /// The fields, one for each identity.
    fields: Vec<u8>,
}

impl Signed {
    fn outgoing(&self) -> Vec<u8> {
        self.mail.outgoing(&self.fields)
    }
}

impl Batch {
    /// Signs the mails of this run's seed.
    fn make(test: &str) -> Self {
        let mut rng = Rng::of_this_run(test);
        let (rsa, rsa_pkcs8) = SigningKey::generate(Algorithm::RsaSha256, 2048).expect("a key");
        let (ed25519, ed25519_pkcs8) = SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key");
        let identity = |selector: &str, key| Identity {
            domain: DOMAIN.to_owned(),
            selector: selector.to_owned(),
            key: Arc::new(key),
        };
        let identities = vec![identity("r1", rsa), identity("e1", ed25519)];
        let now = hikyaku::clock::Clock::system().now();
        let (mut mails, mut unsigned) = (Vec::new(), Vec::new());
        for n in 0..MAILS {
            let mail = generate(&mut rng, n);
            let mut hasher = BodyHasher::new();
            // In pieces, as a stored body is read.
            mail.body.chunks(1 + rng.below(4000)).for_each(|piece| hasher.update(piece));
            let hash = hasher.finish();
            let made = dkim_fields(&mail.head, &hash, &identities, now);
            if let Some(why) = &mail.unsigned {
                assert_eq!(made.as_ref(), Err(why), "mail {n}");
                unsigned.push((n, mail));
                continue;
            }
            let fields = made.expect("a signature");
            assert_eq!(
                dkim_fields(&mail.head, &hash, &identities, now).as_ref(),
                Ok(&fields),
                "mail {n}: the same again"
            );
            let text = String::from_utf8_lossy(&fields);
            assert!(text.lines().all(|line| line.len() <= 78), "mail {n}: {text}");
            mails.push(Signed { n, mail, fields });
        }
        for why in [NotSigned::SeveralFrom, NotSigned::NoFrom] {
            let found = unsigned.iter().filter(|(_, mail)| mail.unsigned.as_ref() == Some(&why)).count();
            assert!(found >= MAILS / 40, "{found} mails: {why}");
        }
        let seed = STANDARD.encode(&ed25519_pkcs8.reveal()[16..]);
        let pem = SigningKey::pem_of(rsa_pkcs8.reveal()).reveal().clone();
        let ed25519_pem = SigningKey::pem_of(ed25519_pkcs8.reveal()).reveal().clone();
        Batch { identities, seed, pem, ed25519_pem, mails, unsigned, now }
    }

    fn records(&self) -> BTreeMap<String, String> {
        let record = |i: &Identity| (record::name(&i.selector, &i.domain), i.key.record());
        self.identities.iter().map(record).collect()
    }
}

/// dkimpy's judgement of all mails of a folder: file name and what each signature is worth.
fn dkimpy(python: &Path, batch: &Batch, action: &str, folder: &Path) -> BTreeMap<String, Vec<Value>> {
    let records = serde_json::to_vec(&batch.records()).expect("JSON");
    std::fs::write(folder.join("records.json"), records).expect("the folder can be written");
    std::fs::write(folder.join("key.rsa"), &batch.pem).expect("the folder can be written");
    std::fs::write(folder.join("key.ed25519"), &batch.seed).expect("the folder can be written");
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/dkim_verify.py")).args([action]).arg(folder);
    let ran = run_command(command, b"", LIMIT).expect_done();
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.all()))
}

/// OpenDKIM, with a DNS of its own.
struct OpenDkim {
    program: PathBuf,
    dns: SignedDns,
}

impl OpenDkim {
    /// Starts it; `None`: something is missing, which was said.
    fn start(batch: &Batch) -> Option<Self> {
        let program = find("opendkim-testmsg")?;
        let records = batch.records().iter().map(|(name, text)| record::zone_line(name, text) + "\n").collect();
        let dns = SignedDns::start(&[Zone { name: DOMAIN, trust: Trust::Signed, records }])?;
        let can_mount = dns.run(Path::new("/bin/true"), &[], &[]);
        if can_mount.code != 0 {
            missing(&format!("a mount namespace cannot be made: {}", can_mount.stderr.trim()));
            return None;
        }
        Some(OpenDkim { program, dns })
    }

    /// Judges all mails of a folder: the files that it does not pass, and why.
    fn refused(&self, folder: &Path) -> BTreeMap<String, String> {
        let files = mails_of(folder);
        for batch in files.chunks(OPENDKIM_BATCH) {
            let list = folder.join("list");
            let lines: String = batch.iter().map(|name| format!("{name}\n")).collect();
            std::fs::write(&list, lines).expect("the folder can be written");
            let script = "cd \"$1\" && xargs -P 2 -I MAIL sh -c \
                          '\"$0\" -t . < MAIL > MAIL.said 2>&1; echo $? > MAIL.code' \"$2\" < list";
            let words = ["-c", script, "sh", text(folder), text(&self.program)];
            self.dns.run(Path::new("/bin/sh"), &words, &[]).expect_done();
        }
        let read = |name: &str, end: &str| {
            std::fs::read_to_string(folder.join(format!("{name}.{end}")))
                .expect("every mail was judged")
                .trim()
                .to_owned()
        };
        let refused = files.into_iter().filter(|name| read(name, "code") != "0");
        refused.map(|name| (name.clone(), read(&name, "said"))).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the place's path is text")
}

fn mails_of(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut mails: Vec<String> = names.filter(|name| name.ends_with(".eml")).collect();
    mails.sort();
    mails
}

/// Puts mails before both judges, those that are there. `mails` is a mail's number and its octets, signatures included.
fn judge(batch: &Batch, mails: &[(&Signed, Vec<u8>)], python: Option<&Path>, opendkim: Option<&OpenDkim>) {
    let place = Place::new();
    if let Some(python) = python {
        let folder = place.path("dkimpy");
        for (signed, mail) in mails {
            place.write(&format!("dkimpy/{:04}.eml", signed.n), mail);
            if signed.n % CHANGED_EACH == 0 {
                place.write(&format!("dkimpy/{:04}.changed.eml", signed.n), changed(signed, mail));
            }
        }
        assert!(mails.len() >= JUDGED_MIN, "{} mails", mails.len());
        let found = dkimpy(python, batch, "verify", &folder);
        assert_eq!(found.len(), mails_of(&folder).len());
        let fits = |name: &String, results: &Vec<Value>| {
            let passed = results.iter().filter(|result| **result == Value::Bool(true)).count();
            results.len() == 2 && passed == if name.contains("changed") { 0 } else { 2 }
        };
        let wrong: Vec<_> = found.iter().filter(|(name, results)| !fits(name, results)).collect();
        assert!(wrong.is_empty(), "dkimpy, in {}, {} mails: {wrong:#?}", folder.display(), wrong.len());
    }
    if let Some(opendkim) = opendkim {
        let folder = place.path("opendkim");
        let regular: Vec<_> = mails.iter().filter(|(signed, _)| signed.mail.regular).collect();
        assert!(regular.len() >= JUDGED_MIN, "{} mails", regular.len());
        for (signed, mail) in regular {
            for (algorithm, other) in [("rsa", "a=ed25519-sha256"), ("ed25519", "a=rsa-sha256")] {
                // One signature alone, or the other could pass for it.
                let one = without(mail, other);
                place.write(&format!("opendkim/{:04}.{algorithm}.eml", signed.n), &one);
                if signed.n % CHANGED_EACH == 0 {
                    place.write(&format!("opendkim/{:04}.{algorithm}.changed.eml", signed.n), changed(signed, &one));
                }
            }
        }
        let mut refused = opendkim.refused(&folder);
        let changed: Vec<String> = mails_of(&folder).into_iter().filter(|name| name.contains("changed")).collect();
        let passed: Vec<&String> = changed.iter().filter(|name| refused.remove(*name).is_none()).collect();
        assert!(passed.is_empty(), "OpenDKIM passes what was changed: {passed:?}");
        assert!(refused.is_empty(), "OpenDKIM, in {}, {} mails: {refused:#?}", folder.display(), refused.len());
    }
}

/// The mail with a word in front of its body.
fn changed(signed: &Signed, mail: &[u8]) -> Vec<u8> {
    let end = find_end(mail, 0).unwrap_or_else(|| panic!("mail {} has a header", signed.n));
    [&mail[..end], b"changed ", &mail[end..]].concat()
}

/// The signatures of a mail: where they are.
fn signatures(mail: &[u8]) -> Vec<std::ops::Range<usize>> {
    let fields = Fields::new(mail).filter(|field| &mail[field.name.clone()] == b"DKIM-Signature");
    fields.map(|field| field.whole).collect()
}

/// The mail without its one signature that has this in it.
fn without(mail: &[u8], tag: &str) -> Vec<u8> {
    let has = |at: &std::ops::Range<usize>| String::from_utf8_lossy(&mail[at.clone()]).contains(tag);
    let found: Vec<_> = signatures(mail).into_iter().filter(has).collect();
    let [at] = &found[..] else { panic!("{} signatures with {tag}", found.len()) };
    [&mail[..at.start], &mail[at.end..]].concat()
}

#[test]
fn signatures_on_odd_mails_hold_before_dkimpy_and_opendkim() {
    let batch = Batch::make("dkim");
    let python = python_with("dkim, nacl");
    let opendkim = OpenDkim::start(&batch);
    let mails: Vec<_> = batch.mails.iter().map(|signed| (signed, signed.outgoing())).collect();
    judge(&batch, &mails, python.as_deref(), opendkim.as_ref());
}

/// Our relay signs, and Postfix is somebody's relay between us and the mailbox. Nothing is left out: what Postfix changes in
/// a mail (lines over 998 octets, headers over 100 KiB, lone CRs and LFs, addresses without a domain from its own clients)
/// are mails that break the standard, and the generator makes none of them; Postfix is told that we are no client of its own,
/// as it is for every stranger.
#[test]
fn what_our_relay_signs_holds_behind_a_real_postfix() {
    let Some(program) = find("postfix") else { return };
    if !is_root() {
        return;
    }
    let batch = Batch::make("dkim behind postfix");
    let python = python_with("dkim, nacl");
    let opendkim = OpenDkim::start(&batch);
    if python.is_none() && opendkim.is_none() {
        return;
    }
    let sink = Sink::willing();
    let at = sink.address();
    let more = format!(
        "relay_domains = dst.test\n\
         transport_maps = inline:{{ {{ dst.test = relay:[{}]:{} }} }}\n\
         local_header_rewrite_clients =\n\
         smtpd_client_connection_count_limit = 0\n",
        at.ip(),
        at.port()
    );
    let postfix = Postfix::start_with(program, &more);
    let keys = Place::new();
    let mut text = format!("[[domain]]\nname = \"{DOMAIN}\"\n");
    for (selector, pem) in [("r1", &batch.pem), ("e1", &batch.ed25519_pem)] {
        let path = keys.write(selector, pem);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its owner's alone");
        text += &format!("[[domain.dkim]]\nselector = \"{selector}\"\nprivate_key = \"{}\"\n", path.display());
    }
    let relay =
        Relay::start(Config::smarthost(postfix.address).set("delivery.smarthost_tls", "\"opportunistic\"").text(&text));
    let mut client = Client::hello(relay.smtp());
    let signed = batch.mails.iter().map(|signed| (signed.n, &signed.mail));
    let all: Vec<_> = signed.chain(batch.unsigned.iter().map(|(n, mail)| (*n, mail))).collect();
    for (n, mail) in &all {
        let to = format!("n{n}@dst.test");
        client.envelope("sender@dkim.test", &[&to]);
        // A body without its last line's end comes by BDAT alone.
        client.bdat(&[&mail.head[..], &mail.body].concat(), true).expect("250");
    }
    // In steps: each has a limit of its own.
    for step in (0..all.len()).step_by(25).chain([all.len()]) {
        until(&format!("{step} mails behind Postfix"), || (sink.taken() >= step).then_some(()));
    }
    let received: BTreeMap<String, Vec<u8>> =
        sink.received().into_iter().map(|mail| (mail.recipients[0].clone(), mail.content)).collect();
    let arrived = |n: usize| received.get(&format!("n{n}@dst.test")).expect("the mail came").clone();
    let mut mails = Vec::new();
    for signed in &batch.mails {
        let mail = arrived(signed.n);
        assert!(mail.starts_with(b"Received: from relay.test"), "mail {}: Postfix had it from us", signed.n);
        if signed.mail.from_has_domain {
            mails.push((signed, mail));
        } else {
            assert!(signatures(&mail).is_empty(), "mail {}: nobody's domain, and signed", signed.n);
        }
    }
    for (n, _) in &batch.unsigned {
        assert!(signatures(&arrived(*n)).is_empty(), "mail {n} is signed");
    }
    judge(&batch, &mails, python.as_deref(), opendkim.as_ref());
}

/// TXT records from a table.
struct Table(BTreeMap<String, String>);

fn none<T: Send + 'static>() -> Asking<'static, T> {
    let answer = Answer { records: Err(DnsError::NoData), secure: false, ttl: Duration::ZERO };
    Box::pin(std::future::ready(answer))
}

impl Lookup for Table {
    fn txt<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        let records = self.0.get(name).map(|text| vec![text.clone()]).ok_or(DnsError::NxDomain);
        Box::pin(std::future::ready(Answer { records, secure: false, ttl: Duration::ZERO }))
    }
    fn mx<'a>(&'a self, _: &'a str) -> Asking<'a, MxRecord> {
        none()
    }
    fn a<'a>(&'a self, _: &'a str) -> Asking<'a, std::net::Ipv4Addr> {
        none()
    }
    fn aaaa<'a>(&'a self, _: &'a str) -> Asking<'a, std::net::Ipv6Addr> {
        none()
    }
    fn ptr(&self, _: std::net::IpAddr) -> Asking<'_, String> {
        none()
    }
    fn ns<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        none()
    }
    fn tlsa<'a>(&'a self, _: &'a str) -> Asking<'a, Tlsa> {
        none()
    }
}

#[test]
fn dkimpys_signatures_of_every_canonicalization_hold_before_us() {
    let Some(python) = python_with("dkim, nacl") else { return };
    let batch = Batch::make("dkimpy signs");
    let place = Place::new();
    for signed in batch.mails.iter().take(SIGNED_BY_DKIMPY) {
        place.write(&format!("mails/{:04}.eml", signed.n), signed.mail.outgoing(b""));
    }
    let folder = place.path("mails");
    dkimpy(&python, &batch, "sign", &folder);
    let table = Table(batch.records());
    for name in mails_of(&folder) {
        let mail = std::fs::read(folder.join(format!("{name}.signed"))).expect("dkimpy signed it");
        let end = find_end(&mail, 0).expect("a header");
        // Five are looked at: the fields of each algorithm by themselves.
        let (four, rest) = fields_of(&mail[..end]);
        for fields in four {
            let head = [&fields, &rest[..]].concat();
            let found = smol::block_on(verify(&head, &mail[end..], &table, batch.now));
            assert_eq!(found.len(), 4, "{name}");
            assert!(found.iter().all(|v| v.result == DkimResult::Pass), "{name} in {}: {found:#?}", folder.display());
            let changed = smol::block_on(verify(&head, b"changed\r\n", &table, batch.now));
            assert!(changed.iter().all(|v| v.result == DkimResult::Fail), "{name}: {changed:#?}");
        }
    }
}

/// The eight signatures on top of a header, four and four, and what follows them.
fn fields_of(head: &[u8]) -> ([Vec<u8>; 2], Vec<u8>) {
    let fields: Vec<_> = Fields::new(head).take(8).collect();
    let part = |from: usize, to: usize| head[fields[from].whole.start..fields[to - 1].whole.end].to_vec();
    ([part(0, 4), part(4, 8)], head[fields[7].whole.end..].to_vec())
}
