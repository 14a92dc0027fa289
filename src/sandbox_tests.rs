//! What the sandbox keeps and shows.

use std::os::unix::fs::PermissionsExt;

use super::*;

const AT: Timestamp = Timestamp::from_millis(1_795_527_310_000);
const BODY: &[u8] = b"Subject: =?utf-8?b?5pel?=\r\n\r\n\xff\x00.\r\nno end";

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hikyaku-kept-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn open(&self) -> Arc<Sandbox> {
        Arc::new(Sandbox::open(&self.0).expect("opens"))
    }

    fn files(&self) -> usize {
        fs::read_dir(self.0.join("sandbox")).expect("there").count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mail(n: u64, to: &str) -> SandboxMail {
    SandboxMail {
        message: MessageId::from_u64(n),
        at: AT,
        user: "staging".into(),
        sender: "a@example.jp".into(),
        recipients: vec![to.into()],
        subject: "日".into(),
        len: 0,
    }
}

/// Gives some octets, and then fails.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.min(buf.len());
        self.0 -= n;
        buf[..n].fill(b'x');
        if n == 0 { Err(io::Error::other("the disk is gone")) } else { Ok(n) }
    }
}

#[test]
fn a_mail_is_kept_byte_for_byte_and_for_nobody_else_on_the_machine() {
    let folder = Folder::new("bytes");
    let sandbox = folder.open();
    sandbox.keep(mail(7, "a@example.org"), &mut &BODY[..]).expect("kept");
    sandbox.keep(mail(7, "b@example.org"), &mut &b"never read"[..]).expect("kept");
    assert!(sandbox.has(MessageId::from_u64(7)) && !sandbox.has(MessageId::from_u64(6)));
    let (kept, source) = sandbox.read(MessageId::from_u64(7)).expect("reads").expect("kept");
    assert_eq!(source, BODY);
    assert_eq!((kept.user.as_str(), kept.recipients.join(" ")), ("staging", "a@example.org b@example.org".into()));
    assert_eq!((kept.at, kept.len), (AT, BODY.len() as u64));
    for extension in ["eml", "json"] {
        let mode = fs::metadata(sandbox.path(kept.message, extension)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn the_last_five_hundred_are_kept_across_a_restart() {
    let folder = Folder::new("bound");
    {
        let sandbox = folder.open();
        for n in 1..=(MAILS_MAX as u64 + 20) {
            sandbox.keep(mail(n, "a@example.org"), &mut &BODY[..]).expect("kept");
        }
    }
    for name in ["eml", "new"].map(|end| format!("{}.{end}", MessageId::from_u64(9_999))) {
        fs::write(folder.0.join("sandbox").join(name), "half").expect("writes");
    }
    let list = folder.open().list(usize::MAX).expect("lists");
    assert_eq!(list.len(), MAILS_MAX);
    assert_eq!(list[0].message, MessageId::from_u64(MAILS_MAX as u64 + 20));
    assert_eq!(list[MAILS_MAX - 1].message, MessageId::from_u64(21));
    assert_eq!(folder.files(), 2 * MAILS_MAX);
}

#[test]
fn a_copy_is_seen_once_it_is_shown_and_gone_if_it_never_is() {
    let folder = Folder::new("copy");
    let sandbox = folder.open();
    let copied = sandbox.copy(MessageId::from_u64(3), &mut &BODY[..]).expect("copied");
    assert!(sandbox.list(9).expect("lists").is_empty(), "it may still be refused");
    copied.show(SandboxMail { len: 0, ..mail(3, "a@example.org") }).expect("shown");
    let list = sandbox.list(9).expect("lists");
    assert_eq!((list.len(), list[0].len), (1, BODY.len() as u64));
    drop(sandbox.copy(MessageId::from_u64(4), &mut &BODY[..]).expect("copied"));
    assert!(sandbox.copy(MessageId::from_u64(5), &mut Broken(100_000)).is_err());
    assert!(sandbox.keep(mail(6, "a@example.org"), &mut Broken(100_000)).is_err());
    assert_eq!(
        (sandbox.list(9).expect("lists").len(), folder.files()),
        (1, 2),
        "nothing is left of what was not shown"
    );
}

#[test]
fn mails_that_were_kept_before_users_were_noted_are_nobodys() {
    let folder = Folder::new("old");
    drop(folder.open());
    let name = |end: &str| folder.0.join("sandbox").join(format!("{}.{end}", MessageId::from_u64(1)));
    fs::write(name("eml"), BODY).expect("writes");
    let envelope = r#"{"at_millis":1,"sender":"a@example.jp","recipients":["b@example.org"],"subject":"s","len":9}"#;
    fs::write(name("json"), envelope).expect("writes");
    let list = folder.open().list(9).expect("lists");
    assert_eq!((list.len(), list[0].user.as_str(), list[0].subject.as_str()), (1, "", "s"));
}

#[test]
fn the_simulator_reads_local_parts_in_any_case_and_with_any_suffix() {
    for (local, wanted) in [
        ("hanako", Answer::Deliver),
        ("bouncer", Answer::Deliver),
        ("Bounce+1", Answer::Bounce),
        ("\"defer\"", Answer::Defer),
        ("SLOW", Answer::Slow),
        ("blocked+x", Answer::Blocked),
    ] {
        assert_eq!(answer(local), wanted, "{local}");
    }
}
