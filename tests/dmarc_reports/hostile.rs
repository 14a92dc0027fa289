//! Files of attackers: bombs, entities, endless tags, lies. Each is refused, or read within its bounds, in bounded time and
//! memory: the growth of the process's peak resident set is measured around each.

use std::{
    cell::RefCell,
    fs,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use flate2::{Compress, Compression, Crc, FlushCompress};
use hikyaku::{
    clock::Clock,
    dmarc::{
        read::{
            ENTRIES_MAX, INNER_ARCHIVE_OCTETS_MAX, MAIL_DEPTH_MAX, PARTS_MAX, RAW_OCTETS_MAX, RECORDS_MAX,
            XML_OCTETS_MAX, read,
        },
        report::{Found, PIECE_OCTETS_MAX, PIECE_ROWS_MAX},
    },
};

/// How long any of these files may take, in seconds of a processor, in a build without optimisation.
const SECONDS_MAX: f64 = 30.0;
/// When a child is killed that does not come to its end, on a machine that does other work.
const WAIT_SECONDS_MAX: f64 = 300.0;
/// How much more memory the process may take meanwhile than it had, the file itself included already: a piece of rows (twice,
/// while it is handed over), a part of a mail, a window of inflation.
const GROWTH_OCTETS_MAX: u64 = 64 << 20;
const MIB: usize = 1 << 20;
/// Names the file that a child reads.
const FILE: &str = "HIKYAKU_HOSTILE_FILE";

/// `VmRSS` or `VmHWM`, in octets.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// How long this process has computed. The kernel counts in hundredths (proc_pid_stat(5): utime and stime).
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// What reading brings, in a process of its own, whose memory nothing else has used: `rows N` or the refusal.
fn outcome(name: &str, file: Vec<u8>, wrong: &RefCell<Vec<String>>) -> String {
    let path = std::env::temp_dir().join(format!("hikyaku-hostile-{}", std::process::id()));
    fs::write(&path, &file).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::child", "--nocapture", "--test-threads=1"])
        .env(FILE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let clock = Clock::system();
    let start = clock.instant();
    while child.try_wait().unwrap().is_none() {
        if (clock.instant() - start).as_secs_f64() > WAIT_SECONDS_MAX {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let out = child.wait_with_output().unwrap();
    fs::remove_file(&path).unwrap();
    let out = String::from_utf8_lossy(&out.stdout).into_owned();
    let told = out.lines().find_map(|line| line.split_once("child: ")).map_or("", |(_, told)| told);
    let mut told = told.splitn(4, ' ');
    let mut number = || told.next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
    let (seconds, growth, largest) = (number(), number(), number());
    let said = told.next().unwrap_or("the process died").to_owned();
    println!(
        "figure: {name}: file {:.1} MiB, {seconds:.2} s, memory +{:.1} MiB: {said}",
        file.len() as f64 / MIB as f64,
        growth / MIB as f64
    );
    if seconds > SECONDS_MAX || growth > GROWTH_OCTETS_MAX as f64 || largest > PIECE_ROWS_MAX as f64 {
        wrong.borrow_mut().push(format!("{name}: {seconds} s, {growth} octets of memory, {largest} rows in a piece"));
    }
    said
}

/// Reads the file that the parent names: seconds, growth of memory, rows of the largest piece, and what came of it.
#[test]
fn child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let file = fs::read(path).unwrap();
    // Writing 5 sets the peak to what is there now: see proc(5).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let (before, start) = (memory("VmRSS"), processor_seconds());
    let (mut rows, mut largest) = (0, 0);
    let read = read(&file, &mut |found| {
        if let Found::Aggregate(piece) = found {
            rows += piece.rows.len();
            largest = largest.max(piece.rows.len());
        }
    });
    let (seconds, growth) = (processor_seconds() - start, memory("VmHWM").saturating_sub(before));
    let said = match read {
        Ok(count) => {
            let refused = count.refused.as_ref().map(|no| no.to_string());
            format!("rows {rows} of {} reports, refused: {refused:?}", count.reports())
        }
        Err(no) => no.to_string(),
    };
    println!("child: {seconds} {growth} {largest} {}", said.escape_debug());
}

/// A raw deflate stream of `head`, `times` times `block`, and `tail`, and its length and checksum. The block is compressed
/// once: behind a full flush its octets mean the same wherever they stand.
fn deflated(head: &[u8], block: &[u8], times: usize, tail: &[u8]) -> (Vec<u8>, u32, u64) {
    let mut compress = Compress::new(Compression::new(6), false);
    let mut piece = |octets: &[u8], flush: FlushCompress| {
        let mut out = Vec::with_capacity(octets.len() + 1024);
        compress.compress_vec(octets, &mut out, flush).unwrap();
        out
    };
    let mut out = piece(head, FlushCompress::Full);
    let middle = piece(block, FlushCompress::Full);
    for _ in 0..times {
        out.extend_from_slice(&middle);
    }
    out.extend(piece(tail, FlushCompress::Finish));
    let mut crc = Crc::new();
    crc.update(head);
    // The checksum of a gigabyte takes longer than refusing it; no case gets so far that it counts.
    if block.len() * times <= 16 * MIB {
        (0..times).for_each(|_| crc.update(block));
    }
    crc.update(tail);
    (out, crc.sum(), (head.len() + block.len() * times + tail.len()) as u64)
}

fn gzip_of((deflated, crc, octets): (Vec<u8>, u32, u64)) -> Vec<u8> {
    let header: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    [header, &deflated, &crc.to_le_bytes(), &(octets as u32).to_le_bytes()].concat()
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    gzip_of(deflated(octets, b"", 0, b""))
}

/// An entry of a ZIP file as its directory tells it: name, method, octets, checksum, length.
type ZipEntry = (String, u16, Vec<u8>, u32, u32);

fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, method, data, crc, octets) in entries {
        let at = out.len() as u32;
        let common = |out: &mut Vec<u8>| {
            out.extend_from_slice(&[20, 0, 0, 0]);
            out.extend_from_slice(&method.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            for n in [*crc, data.len() as u32, *octets] {
                out.extend_from_slice(&n.to_le_bytes());
            }
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(&[0; 2]);
        };
        out.extend_from_slice(b"PK\x03\x04");
        common(&mut out);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(data);
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        common(&mut directory);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&at.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let (at, count) = (out.len() as u32, (entries.len() as u16).to_le_bytes());
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

fn entry(name: &str, (deflated, crc, octets): (Vec<u8>, u32, u64)) -> ZipEntry {
    (name.to_owned(), 8, deflated, crc, octets as u32)
}

fn stored(name: &str, octets: Vec<u8>) -> ZipEntry {
    let mut crc = Crc::new();
    crc.update(&octets);
    let len = octets.len() as u32;
    (name.to_owned(), 0, octets, crc.sum(), len)
}

const HEAD: &str = "<?xml version=\"1.0\"?><feedback><version>1.0</version><report_metadata><org_name>o.example</org_name>\
    <email>a@o.example</email><report_id>1</report_id><date_range><begin>1700000000</begin><end>1700086399</end></date_range>\
    </report_metadata><policy_published><domain>example.com</domain><p>none</p></policy_published>";
const RECORD: &str = "<record><row><source_ip>192.0.2.1</source_ip><count>1</count><policy_evaluated>\
    <disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers>\
    <header_from>example.com</header_from></identifiers><auth_results><dkim><domain>example.com</domain>\
    <selector>s</selector><result>pass</result></dkim><spf><domain>example.com</domain><result>fail</result></spf>\
    </auth_results></record>\n";
const TAIL: &str = "</feedback>";

fn report(records: &str) -> Vec<u8> {
    [HEAD, records, TAIL].concat().into_bytes()
}

fn attached(name: &str, kind: &str, octets: &[u8]) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mut mail = format!(
        "From: a@o.example\r\nContent-Type: {kind}; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    .into_bytes();
    mail.write_all(BASE64_STANDARD.encode(octets).as_bytes()).unwrap();
    mail
}

#[test]
fn hostile_files_are_refused_in_bounded_time_and_memory() {
    let wrong = RefCell::new(Vec::new());
    let check = |name: &str, file: Vec<u8>, expected: &str| {
        let said = outcome(name, file, &wrong);
        if !said.contains(expected) {
            wrong.borrow_mut().push(format!("{name}: expected {expected:?}, read {said:?}"));
        }
    };
    // This is read, so that the refusals below mean something.
    check("a report", report(RECORD), "rows 1 of 1 reports, refused: None");
    check("a report in gzip", gzip(&report(RECORD)), "rows 1 of 1");
    check("a report in ZIP", zip(&[stored("r.xml", report(RECORD))]), "rows 1 of 1");
    bombs(&check);
    entities(&check);
    endless(&check);
    archives(&check);
    charsets(&check);
    mails(&check);
    let wrong = wrong.take();
    assert!(wrong.is_empty(), "{} of the files:\n{}", wrong.len(), wrong.join("\n"));
}

type Check<'c> = &'c dyn Fn(&str, Vec<u8>, &str);

fn bombs(check: Check<'_>) {
    let blanks = vec![b' '; MIB];
    let gib = |head: &str| deflated(head.as_bytes(), &blanks, 1024, TAIL.as_bytes());
    check("gzip bomb of 1 GiB in a report", gzip_of(gib(HEAD)), "too long (the limit is 65536)");
    check("gzip bomb of 1 GiB of nothing", gzip_of(gib("")), "nothing in it looks like");
    check("ZIP bomb of 1 GiB in a report", zip(&[entry("r.xml", gib(HEAD))]), "too long (the limit is 65536)");
    let behind = deflated(&report(RECORD), &blanks, 1024, b"");
    check("gzip bomb of 1 GiB behind a report", gzip_of(behind), "too much follows the end of the report");
    // Comments and records, which may go on for long.
    let comments = format!("<!--{}-->", " ".repeat(60_000)).repeat(17).into_bytes();
    let bomb = deflated(HEAD.as_bytes(), &comments, 1024, TAIL.as_bytes());
    check("gzip bomb of 1 GiB in comments", gzip_of(bomb), &format!("holds too much (the limit is {XML_OCTETS_MAX})"));
    let records = RECORD.repeat(2000).into_bytes();
    let bomb = deflated(HEAD.as_bytes(), &records, 1024, TAIL.as_bytes());
    check("ZIP bomb of 1 GiB of records", zip(&[entry("r.xml", bomb)]), "the limit is");
    // The same data a hundred times over: entries that overlap would be read as often.
    let bomb = deflated(HEAD.as_bytes(), &mixed(MIB), 30, b"");
    let many: Vec<ZipEntry> = (0..60).map(|n| entry(&format!("{n}.xml"), bomb.clone())).collect();
    check("ZIP of 60 times 30 MiB", zip(&many), "the limit is");
    check("100 MB of XML", report(&RECORD.repeat(250_000)), "the mail or file is too long");
    let million = deflated(HEAD.as_bytes(), &mixed(MIB), 100, TAIL.as_bytes());
    check("100 MB of XML in gzip", gzip_of(million), &format!("(the limit is {XML_OCTETS_MAX})"));
}

/// Records that compress as those of real reports do.
fn mixed(octets: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets + 1024);
    let mut n = 1u32;
    while out.len() < octets {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let ip = std::net::Ipv4Addr::from(n);
        out.extend(RECORD.replace("192.0.2.1", &ip.to_string()).replace(">s<", &format!(">{n:x}<")).into_bytes());
    }
    out
}

fn entities(check: Check<'_>) {
    let with = |dtd: &str, name: &str| {
        let text = report(RECORD);
        let text = String::from_utf8(text).unwrap().replace("?><feedback>", &format!("?>{dtd}<feedback>"));
        text.replace("<org_name>o.example", &format!("<org_name>{name}")).into_bytes()
    };
    let refused = "it has a document type declaration (DTD)";
    check("XXE of a file", with("<!DOCTYPE f [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>", "&x;"), refused);
    check("XXE by an address", with("<!DOCTYPE f SYSTEM \"http://192.0.2.1/x.dtd\">", "o.example"), refused);
    check("XXE by a parameter", with("<!DOCTYPE f [<!ENTITY % x SYSTEM \"http://192.0.2.1/\"> %x;]>", "x"), refused);
    let laughs: String =
        (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    check("billion laughs", with(&format!("<!DOCTYPE f [<!ENTITY l0 \"lol\">{laughs}]>"), "&l9;"), refused);
    let quadratic = format!("<!DOCTYPE f [<!ENTITY a \"{}\">]>", "a".repeat(50_000));
    check("quadratic blow-up", with(&quadratic, &"&a;".repeat(50_000)), refused);
    check("a DTD of 50 MB", with(&format!("<!DOCTYPE f [<!ENTITY a \"{}\">]>", "a".repeat(50 * MIB)), "x"), "too long");
    check("entities without a DTD", with("", &"&a;".repeat(1_000_000)), "rows 1 of 1");
    check("letters by number", with("", &"&#65;".repeat(1_000_000)), "rows 1 of 1");
}

fn endless(check: Check<'_>) {
    let too_long = "a tag or a text of the report is too long (the limit is 65536)";
    let long = |open: &str, close: &str| report(&format!("{open}{}{close}", "a".repeat(50 * MIB)));
    check("endless text", long("<record>", "</record>"), too_long);
    check("endless attribute", long("<record x=\"", "\"/>"), too_long);
    check("endless name", long("<", "/>"), too_long);
    check("endless comment", long("<!--", "-->"), too_long);
    check("endless instruction", long("<?a ", "?>"), too_long);
    check("endless CDATA", long("<record><![CDATA[", "]]></record>"), too_long);
    check("endless end tag", long("<record></", ">"), too_long);
    let attributes: String = (0..3_000_000).map(|n| format!("a{n}='' ")).collect();
    check("three million attributes", report(&format!("<record {attributes}/>")), too_long);
    let attributes: String = (0..4_000).map(|n| format!("a{n}='' ")).collect();
    check("4,000 attributes", report(&format!("<record {attributes}/>")), "too many attributes (the limit is 32)");
    check("depth of a million", report(&"<a>".repeat(1_000_000)), "too deep in one another (the limit is 32)");
    check("a million empty elements", report(&format!("{}{RECORD}", "<a/>".repeat(1_000_000))), "rows 1 of 1");
    let small = "<record><row><source_ip>::</source_ip><count>1</count></row></record>";
    let fits = report(&small.repeat(300_000));
    check("300,000 small records", fits, "rows 300000 of 1 reports, refused: None");
    let empty = "<record></record>".repeat(RECORDS_MAX as usize + 1);
    check("too many records", report(&empty), "too many records (the limit is 1000000)");
    let results =
        format!("<auth_results>{}</auth_results></record>", "<dkim><domain>a</domain></dkim>".repeat(1_000_000));
    check("a million results in a record", report(&RECORD.replace("</record>", &results)), "rows 1 of 1");
    // Every text as long as may be: a piece is cut by octets, not by rows.
    let text = "x".repeat(255);
    let dkim =
        format!("<dkim><domain>{text}</domain><selector>{text}</selector><human_result>{text}</human_result></dkim>");
    let fat = RECORD.replace("<auth_results>", &format!("<auth_results>{}", dkim.repeat(49)));
    assert!(fat.len() * 1_400 > 5 * PIECE_OCTETS_MAX, "several pieces");
    check("1,400 fat records", report(&fat.repeat(1_400)), "rows 1400 of 1");
    check("a tail cut off", HEAD.as_bytes().to_vec(), "the report ends too early, in <feedback>");
    let cut = report(RECORD);
    check("a record cut off", cut[..cut.len() - 40].to_vec(), "in <feedback/record/auth_results/spf>");
}

fn archives(check: Check<'_>) {
    let mut nested = report(RECORD);
    for n in 0..20 {
        nested = zip(&[stored(&format!("{n}.zip"), nested)]);
    }
    check("ZIP in ZIP, twenty deep", nested, "it is an archive in an archive");
    let mut nested = report(RECORD);
    for _ in 0..10 {
        nested = gzip(&nested);
    }
    check("gzip in gzip, ten deep", nested, "it is an archive in an archive");
    check("gzip in ZIP", zip(&[stored("r.xml.gz", gzip(&report(RECORD)))]), "rows 1 of 1");
    let inner = gzip_of(deflated(b"\x1f\x8b", &vec![b'x'; MIB], 64, b""));
    check("a large archive in gzip", inner, &format!("(the limit is {INNER_ARCHIVE_OCTETS_MAX})"));
    let noise: Vec<u8> = mixed(MIB).iter().enumerate().map(|(n, b)| b.wrapping_mul(n as u8)).collect();
    let inner = gzip_of(deflated(b"\x1f\x8b", &noise, 20, b""));
    check("a larger archive in gzip", inner, &format!("(the limit is {INNER_ARCHIVE_OCTETS_MAX})"));
    let many: Vec<ZipEntry> = (0..60_000).map(|n| stored(&format!("{n}.txt"), b"x".to_vec())).collect();
    check("ZIP of 60,000 entries", zip(&many), &format!("too many entries (the limit is {ENTRIES_MAX})"));
    check("members without end", gzip(b"").repeat(100_000), "the gzip file has too many members");
    // Lies of the directory.
    let whole = deflated(&report(RECORD), b"", 0, b"");
    let lie = |crc: u32, octets: u32| zip(&[("r.xml".to_owned(), 8, whole.0.clone(), crc, octets)]);
    check("ZIP with its true length", lie(whole.1, whole.2 as u32), "rows 1 of 1");
    check("ZIP that says 4 GiB", lie(whole.1, u32::MAX - 1), "does not match its checksum");
    check("ZIP that says nothing", lie(whole.1, 0), "does not match its checksum");
    check("ZIP of another checksum", lie(whole.1 ^ 1, whole.2 as u32), "does not match its checksum");
    let mut long = zip(&[stored("r.xml", report(RECORD))]);
    let size_at = long.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap() + 20;
    long[size_at..size_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    check("ZIP whose entry ends behind the file", long, "the ZIP file is broken");
    let mut crypt = zip(&[stored("r.xml", report(RECORD))]);
    let flags_at = crypt.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap() + 8;
    crypt[flags_at] |= 1;
    check("ZIP that is encrypted", crypt, "encrypted");
}

fn charsets(check: Check<'_>) {
    let text = String::from_utf8(report(RECORD)).unwrap();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    check("UTF-16 without a mark", utf16.clone(), "rows 1 of 1");
    check("UTF-16 and half a letter", [utf16, vec![b'\n']].concat(), "rows 1 of 1");
    let declared = |charset: &str| text.replace("\"1.0\"?>", &format!("\"1.0\" encoding=\"{charset}\"?>")).into_bytes();
    for charset in ["UTF-16", "UTF-32", "EBCDIC-CP-US", "utf-7", "iso-2022-jp", "nonsense", "ISO-8859-1"] {
        check(&format!("ASCII that says {charset}"), declared(charset), "rows 1 of 1");
    }
    let utf32: Vec<u8> = text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    check("UTF-32", utf32, "the XML is no DMARC report: its first element is <???");
    let ebcdic: Vec<u8> = text.bytes().map(|b| b ^ 0x80).collect();
    check("octets of no charset", ebcdic, "nothing in it looks like");
    let invalid = [HEAD.as_bytes(), &vec![0xff; 20 * MIB], TAIL.as_bytes()].concat();
    check("20 MiB of no text", invalid, "too long (the limit is 65536)");
}

fn mails(check: Check<'_>) {
    let mut nested = attached("r.xml", "text/xml", &report(RECORD));
    for _ in 0..MAIL_DEPTH_MAX - 1 {
        nested = attached("m.eml", "message/rfc822", &nested);
    }
    check("a mail five deep", nested.clone(), "rows 1 of 1");
    for _ in 0..30 {
        nested = [b"Content-Type: message/rfc822\r\n\r\n", &nested[..]].concat();
    }
    check("a mail 35 deep", nested, "mails stand too deep in one another (the limit is 5)");
    let mut large = attached("r.bin", "application/octet-stream", &vec![b'x'; 8 * MIB]);
    for _ in 0..MAIL_DEPTH_MAX {
        large = attached("m.eml", "message/rfc822", &large);
    }
    check("a large mail five deep", large, "an encoded mail in a mail is too long");
    let part = "--b\r\nContent-Type: application/xml\r\n\r\n<feedback>\r\n";
    let many = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", part.repeat(100_000));
    check("a mail of 100,000 parts", many.into_bytes(), "the report ends too early");
    let bomb = gzip_of(deflated(HEAD.as_bytes(), &mixed(MIB), 12, TAIL.as_bytes()));
    let part = String::from_utf8(attached("r.gz", "application/gzip", &bomb)).unwrap();
    let part = format!("--b\r\n{part}\r\n");
    let many = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", part.repeat(8));
    check("a mail of 8 large reports", many.into_bytes(), "refused: Some(\\\"the compressed file holds too much");
    let few = PARTS_MAX + 100;
    let many = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(few));
    check("a mail of 600 texts", many.into_bytes(), "too many parts (the limit is 500)");
    let json = [b"{\"policies\":[".to_vec(), vec![b' '; 40 * MIB]].concat();
    check("endless JSON", json, "the report is too long (the limit is 16777216)");
    let json = gzip_of(deflated(b"{\"policies\":[", &mixed(MIB), 40, b""));
    check("endless JSON in gzip", json, "holds too much (the limit is 16777216)");
    check("100 MiB of nothing", vec![0; 100 * MIB], &format!("(the limit is {RAW_OCTETS_MAX})"));
    check("60 MiB of one line", vec![b'x'; 60 * MIB], "the header of the mail is too long");
    check(
        "60 MiB of a header",
        [b"Subject: ".to_vec(), vec![b'x'; 60 * MIB]].concat(),
        "the header of the mail is too long",
    );
}
