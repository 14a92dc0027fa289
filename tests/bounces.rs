//! The corpus of returned mail: how many recipients, kinds and status codes are read right.
//!
//! In: `../shared/corpora/bounces` (or the folder that `HIKYAKU_BOUNCES` names): 282 mails and `expected.tsv`.  Out: every miss
//! and the figures, printed; skipped with a printed reason where the folder is absent.
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]
#![allow(clippy::print_stdout, reason = "the figures are the point")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use hikyaku::bounce::read::{Action, Kind, Reading, Row, read};

/// One row of `expected.tsv`.
struct Expected {
    file: String,
    recipient: String,
    action: String,
    status: String,
    exact: String,
    code: String,
    reason: String,
    kind: String,
    note: String,
}

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("HIKYAKU_BOUNCES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora/bounces");
    named.into_iter().chain([beside]).find(|folder| folder.join("expected.tsv").is_file())
}

fn expected(folder: &Path) -> Vec<Expected> {
    let table = fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |n: usize| cells.get(n).copied().unwrap_or_default().to_owned();
        Expected {
            file: cell(0),
            recipient: cell(2),
            action: cell(3),
            status: cell(4),
            exact: cell(5),
            code: cell(6),
            reason: cell(7),
            kind: cell(9),
            note: cell(10),
        }
    };
    table.lines().skip(1).map(row).collect()
}

/// Right and asked.
#[derive(Default)]
struct Count(usize, usize);

impl Count {
    fn add(&mut self, right: bool) -> bool {
        self.0 += usize::from(right);
        self.1 += 1;
        right
    }

    fn percent(&self) -> f64 {
        if self.1 == 0 { 100.0 } else { self.0 as f64 * 100.0 / self.1 as f64 }
    }
}

/// The row about a recipient: of that address, else the next one that nobody took.
fn row_for<'r>(reading: &'r Reading, expected: &Expected, taken: &mut Vec<usize>) -> Option<&'r Row> {
    let same = |row: &Row| {
        row.recipient.eq_ignore_ascii_case(&expected.recipient)
            || row.failed_at.eq_ignore_ascii_case(&expected.recipient)
    };
    let of_it = reading.rows.iter().position(|row| !expected.recipient.is_empty() && same(row));
    let at = of_it.or_else(|| (0..reading.rows.len()).find(|at| !taken.contains(at)))?;
    taken.push(at);
    Some(&reading.rows[at])
}

/// `hard`, `soft`, `feedback`, `none`: as the command line words it.
fn kind_of(row: &Row) -> &'static str {
    match (row.action, row.judged) {
        (Action::Feedback, _) => "feedback",
        (Action::Failed | Action::Delayed, Some(judged)) if judged.hard => "hard",
        (Action::Failed | Action::Delayed, _) => "soft",
        _ => "none",
    }
}

#[test]
fn the_corpus_is_read_right() {
    let Some(folder) = folder() else {
        println!("skipped: ../shared/corpora/bounces is absent");
        return;
    };
    let (mut recipients, mut hardness, mut class, mut exact, mut codes, mut innocent) =
        (Count::default(), Count::default(), Count::default(), Count::default(), Count::default(), Count::default());
    let mut classes_known = Count::default();
    let mut readings: BTreeMap<String, (Reading, Vec<usize>)> = BTreeMap::new();
    for wanted in expected(&folder) {
        let (reading, taken) = readings.entry(wanted.file.clone()).or_insert_with(|| {
            let mail = fs::read(folder.join(&wanted.file)).unwrap();
            (read(&mail), Vec::new())
        });
        let miss = |what: &str, got: &str| {
            println!(
                "miss: {what}: {} expected {} {} {} {} {} [{}], got {got}",
                wanted.file, wanted.recipient, wanted.action, wanted.exact, wanted.kind, wanted.reason, wanted.note
            );
        };
        if matches!(wanted.kind.as_str(), "none" | "vacation") {
            let failed = matches!(reading.kind, Kind::Bounce | Kind::Delay | Kind::Complaint);
            if !innocent.add(!failed) {
                miss("counted as a failure", &format!("{reading:?}"));
            }
            continue;
        }
        let Some(row) = row_for(reading, &wanted, taken) else {
            // The second answer of such a row is that there is none.
            if !wanted.note.contains("p5=[]") {
                recipients.add(false);
                hardness.add(false);
                class.add(false);
                miss("no row", &format!("{reading:?}"));
            }
            continue;
        };
        let got = format!("{row:?} of {:?}", reading.kind);
        if !wanted.recipient.is_empty() {
            let found = row.recipient.eq_ignore_ascii_case(&wanted.recipient);
            let by_alias =
                !found && row.failed_at.eq_ignore_ascii_case(&wanted.recipient) && wanted.note.contains(&row.recipient);
            if by_alias {
                println!("note: {} was written to as {}", wanted.recipient, row.recipient);
            }
            if !recipients.add(found || by_alias) {
                miss("recipient", &got);
            }
        }
        if wanted.kind == "feedback" {
            if !hardness.add(kind_of(row) == "feedback") {
                miss("kind", &got);
            }
            continue;
        }
        let either = wanted.note.contains("suites disagree");
        let also_hard = either && wanted.note.contains("True");
        let also =
            |kind: &str| (kind == "hard" && also_hard) || (kind == "soft" && either && wanted.note.contains("False"));
        let kind = kind_of(row);
        if !hardness.add(kind == wanted.kind || also(kind)) {
            miss("kind", &got);
        }
        let first = |text: &str| text.chars().next();
        let also_class = either && row.status.chars().next().is_some_and(|c| wanted.note.contains(&format!("('{c}.")));
        if !class.add(first(&row.status) == first(&wanted.status) || also_class) {
            miss("class of status", &got);
        }
        if !wanted.status.contains('x') && !exact.add(row.status == wanted.exact) {
            miss("exact status", &got);
        }
        if !wanted.code.is_empty() && !codes.add(row.reply_code.is_some_and(|c| c.to_string() == wanted.code)) {
            miss("reply code", &got);
        }
        classes_known.add(row.judged.is_some_and(|j| j.known));
    }
    for (what, count) in [
        ("recipient found", &recipients),
        ("hard or soft", &hardness),
        ("class of status", &class),
        ("exact status", &exact),
        ("reply code", &codes),
        ("judged by a rule", &classes_known),
        ("no failure where there is none", &innocent),
    ] {
        println!("figure: {what}: {}/{} = {:.1} %", count.0, count.1, count.percent());
    }
    assert!(recipients.percent() >= 97.0, "recipients");
    assert!(class.percent() >= 97.0, "class of status");
    assert!(innocent.0 == innocent.1, "a mail that is no bounce was counted as a failure");
    assert!(hardness.percent() >= 95.0, "hard or soft");
}
