//! Lists of each service are read, whatever is wrong with some of their lines.

use proptest::prelude::*;

use super::*;

fn zone() -> TimeZone {
    TimeZone::get("Asia/Tokyo").expect("a zone")
}

fn items(file: &[u8]) -> (Dialect, Vec<Item>) {
    let reader = Reader::new(file, zone(), None, false).expect("a list");
    (reader.dialect(), reader.map(|item| item.expect("no trouble in RAM")).collect())
}

/// A row in a few words: `line address cause class occurred since|- list`.
fn words(item: &Item) -> String {
    match item {
        Item::Row { line, row, note } => {
            let class = row.class.map_or_else(|| "-".to_owned(), |class| class.code().to_string());
            let since = row.since.map_or_else(|| "-".to_owned(), |at| at.rfc3339_seconds());
            let more = [(&row.list, "list"), (&row.user, "user"), (note, "note")];
            let more: String = more
                .iter()
                .filter(|(text, _)| !text.is_empty())
                .map(|(text, name)| format!(" {name}={text}"))
                .collect();
            let exempt = if row.exempt { " exempt" } else { "" };
            let occurred = row.occurred;
            format!("{line} {} {} {class} {occurred} {since}{more}{exempt}", row.address, row.cause.word())
        }
        Item::LeftOut { line, why } => format!("{line} left out: {why}"),
        Item::Bad { line, why } => format!("{line} bad: {why}"),
    }
}

#[track_caller]
fn check(file: &str, dialect: Dialect, expected: &[&str]) {
    let (found, items) = items(file.as_bytes());
    assert_eq!(found, dialect);
    assert_eq!(items.iter().map(words).collect::<Vec<_>>(), expected);
}

#[test]
fn each_services_export_is_read() {
    check(
        "created,email,id,occurred,status\n2026-11-24 22:35:10,Hanako@Example.JP,0123456789abc,2,2\n\
         \"2026-11-24 22:35:10\",\"taro@example.jp\",\"x\",\"1\",\"11\"\n",
        Dialect::CmcBlocks,
        &[
            "2 hanako@example.jp import 2 2 2026-11-24T13:35:10Z",
            "3 taro@example.jp unsubscribe 11 1 2026-11-24T13:35:10Z",
        ],
    );
    check(
        "\"created\",\"email\",\"filtername\"\r\n\"2026-06-01 08:46:00\",\"a@example.org\",\"newsletter A\"\r\n",
        Dialect::CmcUnsubscribes,
        &["2 a@example.org unsubscribe - 0 2026-05-31T23:46:00Z list=newsletter A"],
    );
    check(
        "Email address,Suppression reason,Last update time\na@example.org,BOUNCE,1795527310.5\nb@example.org,COMPLAINT,\n",
        Dialect::Ses,
        &["2 a@example.org import 2 0 2026-11-24T13:35:10Z", "3 b@example.org complaint - 0 -"],
    );
    check(
        "a@example.org,BOUNCE\nb@example.org,complaint\n",
        Dialect::Ses,
        &["1 a@example.org import 2 0 -", "2 b@example.org complaint - 0 -"],
    );
    check(
        "reason,email,created\nMail domain mentioned in email address is unknown,a@example.invalid,1795527310\n",
        Dialect::SendGridInvalid,
        &["2 a@example.invalid import 9 0 2026-11-24T13:35:10Z"],
    );
    check(
        "ip,email,created\n192.0.2.1,a@example.org,1795527310\n",
        Dialect::SendGridSpamReports,
        &["2 a@example.org complaint - 0 2026-11-24T13:35:10Z"],
    );
    check(
        "email,created\na@example.org,2026-11-24 13:35:10 +0000\n",
        Dialect::SendGridUnsubscribes,
        &["2 a@example.org unsubscribe - 0 2026-11-24T13:35:10Z"],
    );
    check(
        "address,tags,created_at\na@example.org,*,\"Tue, 24 Nov 2026 13:35:10 UTC\"\nb@example.org,news,\n",
        Dialect::MailgunUnsubscribes,
        &["2 a@example.org unsubscribe - 0 2026-11-24T13:35:10Z", "3 b@example.org unsubscribe - 0 - list=news"],
    );
    check(
        "address,count,created_at\na@example.org,3,\"Tue, 24 Nov 2026 13:35:10 UTC\"\n",
        Dialect::MailgunComplaints,
        &["2 a@example.org complaint - 3 2026-11-24T13:35:10Z"],
    );
    check(
        "EmailAddress,SuppressionReason,Origin,CreatedAt\na@example.org,HardBounce,Recipient,2026-11-24T08:35:10-05:00\n\
         b@example.org,SpamComplaint,Recipient,\nc@example.org,ManualSuppression,Customer,\n",
        Dialect::PostmarkSuppressions,
        &[
            "2 a@example.org import 2 0 2026-11-24T13:35:10Z",
            "3 b@example.org complaint - 0 -",
            "4 c@example.org import - 0 -",
        ],
    );
    check(
        "Type,Email,BouncedAt\nHardBounce,a@example.org,\nSoftBounce,b@example.org,\nSpamComplaint,c@example.org,\n",
        Dialect::PostmarkBounces,
        &[
            "2 a@example.org import 2 0 -",
            "3 left out: SoftBounce does not stop mail at Postmark either",
            "4 c@example.org complaint - 0 -",
        ],
    );
    check(
        "email,user,state,cause,class,occurred,since,until,reason,operator\n\
         a@example.org,shop,suppressed,errors,2,1,2026-11-24T22:35:10+09:00,,550 5.1.1 no,\n\
         b@example.org,,exempt,,,,2026-11-24T22:35:10+09:00,,,operator root\n\
         '-c@example.org,,suppressed,manual,,,,,'=1+1,\n\
         d@example.org,,suppressed,whim,,,,,,\n",
        Dialect::Hikyaku,
        &[
            "2 a@example.org errors 2 1 2026-11-24T13:35:10Z user=shop",
            "3 b@example.org import - 0 2026-11-24T13:35:10Z exempt",
            "4 -c@example.org manual - 0 -",
            "5 bad: \"whim\" is no cause",
        ],
    );
}

#[test]
fn bounces_are_taken_for_what_their_answers_say() {
    // What a rule of the answers knows is theirs; here only that codes and words get there, and what is unknown is kept.
    let file = "status,reason,email,created\n5.1.1,550 5.1.1 no such user,a@example.org,1795527310\n,unheard of words,b@example.org,\n";
    let (dialect, found) = items(file.as_bytes());
    assert_eq!(dialect, Dialect::SendGridBounces);
    assert!(found.iter().all(|item| matches!(item, Item::Row { row, .. } if row.cause == Cause::Import)), "{found:?}");
    let (dialect, found) = items(b"address,code,error,created_at\na@example.org,550,No such mailbox,\n");
    assert_eq!((dialect, found.len()), (Dialect::MailgunBounces, 1));
    assert_eq!(codes_of("5.1.1", ""), (None, Some(Enhanced(5, 1, 1))));
    assert_eq!(codes_of("", "550-5.1.1 no such user"), (Some(550), Some(Enhanced(5, 1, 1))));
    assert_eq!(codes_of("550", "no"), (Some(550), None));
    assert_eq!(codes_of("", "the 5.1.1 that was far too late"), (None, Some(Enhanced(5, 1, 1))));
}

#[test]
fn a_bad_line_costs_no_other() {
    check(
        "email,reason\n\
         a@example.org,fine\n\
         not an address,x\n\
         ,nothing\n\
         \n\
         b@example.org,\"never closed\n\
         c@example.org,\"two\nlines, one cell\"\n\
         \"d@example.org\"\n\
         Hanako <e@example.org>,\"say \"\"no\"\"\"\n\
         f@example.org,a \" in the middle\n",
        Dialect::Addresses,
        &[
            "2 a@example.org import - 0 -",
            "3 bad: \"not an address\" is not a mail address: an address is local-part@domain",
            "4 bad: it has no address",
            "6 bad: a quote is never closed",
            "7 c@example.org import - 0 -",
            "9 d@example.org import - 0 -",
            "10 e@example.org import - 0 -",
            "11 f@example.org import - 0 -",
        ],
    );
}

#[test]
fn a_quote_that_is_never_closed_ends_with_its_line() {
    let mut file = "email,reason\na@example.org,\"open\n".to_owned();
    for n in 0..200 {
        file.push_str(&format!("u{n}@example.org,x\n"));
    }
    let (_, found) = items(file.as_bytes());
    assert_eq!(words(&found[0]), "2 bad: a quote is never closed");
    assert_eq!(found.len(), 201, "and every other line is there");
    assert_eq!(words(&found[200]), "202 u199@example.org import - 0 -");
}

#[test]
fn japanese_files_are_read_in_either_encoding() {
    let row = "hanako@example.jp,2026/11/24 22:35,宛先不明\n";
    let text = format!("メールアドレス,登録日時,理由\n{row}");
    let expected = ["2 hanako@example.jp import - 0 2026-11-24T13:35:00Z"];
    let with_bom = [BOM, text.as_bytes()].concat();
    // 表 and ソ have a backslash as their second octet.
    let sjis: &[u8] = b"\x83\x81\x81[\x83\x8b\x83A\x83h\x83\x8c\x83X,\x93o\x98^\x93\xfa\x8e\x9e,\x97\x9d\x97R\r\nhanako@example.jp,2026/11/24 22:35,\x95\x5c\x83\x5c\x81\x41\"\x88\xb6\x90\xe6\r\n";
    for file in [text.as_bytes(), &with_bom, sjis] {
        let (_, found) = items(file);
        assert_eq!(found.iter().map(words).collect::<Vec<_>>(), expected);
    }
    let (_, found) = items(sjis);
    assert!(matches!(&found[0], Item::Row { row, .. } if row.reason == "表ソ、\"宛先"), "{found:?}");
    let (_, found) = items(b"email,reason\na@example.org,\xff\xff\nb@example.org,x\n");
    assert_eq!(words(&found[0]), "2 bad: it is neither UTF-8 nor Shift_JIS");
    assert_eq!(found.len(), 2);
    assert!(matches!(Reader::new(&b"\xff\xfee\0m\0"[..], zone(), None, false), Err(NotAList::Utf16)));
}

#[test]
fn what_is_no_list_is_refused_whole() {
    for (file, words) in [
        (&b""[..], "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"name,city\nHanako,Edo\n", "no column of the first line is an address: \"name,city\""),
    ] {
        let error = Reader::new(file, zone(), None, false).err().expect("refused").to_string();
        assert!(error.starts_with(words), "{error}");
    }
    let semicolons = Reader::new(&b"email;created\na@example.org;\n"[..], zone(), None, false).expect("a list");
    assert_eq!(semicolons.count(), 1);
}

#[test]
fn a_date_that_cannot_be_read_keeps_its_address() {
    check(
        "created,email,filtername\n24/11/26,a@example.org,x\n",
        Dialect::CmcUnsubscribes,
        &["2 a@example.org unsubscribe - 0 - list=x note=\"24/11/26\" is no time that is known: it counts from now"],
    );
}

#[test]
fn memory_is_bounded_whatever_a_line_holds() {
    let mut file = b"email,reason\n".to_vec();
    file.extend(std::iter::repeat_n(b'x', RECORD_MAX * 5));
    file.extend_from_slice(b"\nb@example.org,x\n");
    let (_, found) = items(&file);
    assert_eq!(words(&found[0]), format!("2 bad: it has more than {RECORD_MAX} octets"));
    assert_eq!(words(&found[1]), "3 b@example.org import - 0 -");
}

proptest! {
    #[test]
    fn no_file_makes_it_panic_or_lose_count(file in proptest::collection::vec(any::<u8>(), 0..400)) {
        let whole = [b"email,reason,since\n", file.as_slice()].concat();
        let lines = whole.iter().filter(|b| **b == b'\n').count() as u64 + 1;
        let reader = Reader::new(whole.as_slice(), zone(), None, false).expect("its head is good");
        let mut last = 1;
        for item in reader {
            let line = match item.expect("RAM") {
                Item::Row { line, .. } | Item::LeftOut { line, .. } | Item::Bad { line, .. } => line,
            };
            prop_assert!(line > last && line <= lines);
            last = line;
        }
    }

    #[test]
    fn what_a_spreadsheet_wrote_is_read(cells in proptest::collection::vec("[ -~飛脚\n]{0,12}", 1..5)) {
        let mut line = Vec::new();
        csv::WriterBuilder::new().from_writer(&mut line).write_record(&cells).expect("RAM");
        let line = line.strip_suffix(b"\n").expect("an end");
        let fields: Vec<String> = split(line, b',').expect("closed").0.iter().map(|f| decoded(f).expect("UTF-8")).collect();
        prop_assert_eq!(fields, cells);
    }
}
