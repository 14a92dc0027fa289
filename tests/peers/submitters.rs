//! Programs that submit mail: Postfix's load generator, swaks, curl, Python.

use crate::{
    program::{find, run},
    support::{Config, Place, Relay, Sink, place, tls::Authority, wait},
};

#[test]
fn smtp_source_is_served() {
    let Some(source) = find("smtp-source") else { return };
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let to = relay.smtp().to_string();
    // A connection a mail, connections kept, several recipients, and no pipelining at all (smtp-source waits for each reply).
    let runs: &[&[&str]] = &[
        &["-s", "10", "-m", "200", "-l", "10240"],
        &["-d", "-s", "5", "-m", "200", "-l", "1024"],
        &["-s", "2", "-m", "20", "-r", "5", "-l", "100000"],
    ];
    let mut expected = 0;
    for words in runs {
        let all: Vec<&str> = words.iter().copied().chain(["-f", "a@src.test", "-t", "b@dst.test", &to]).collect();
        run(&source, &all).expect_done();
        expected += words[words.iter().position(|w| *w == "-m").unwrap() + 1].parse::<usize>().unwrap();
        wait::within(wait::SOON * 2, "every mail at the sink", || (sink.taken() >= expected).then_some(()));
    }
    assert_eq!(sink.taken(), expected);
    assert_eq!(sink.received().iter().map(|m| m.recipients.len()).sum::<usize>(), 400 + 20 * 5);
}

#[test]
fn swaks_is_served() {
    let Some(swaks) = find("swaks") else { return };
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let words =
        ["--server", &relay.address.to_string(), "--port", "2525", "--from", "a@src.test", "--to", "b@dst.test"];
    run(&swaks, &[&words[..], &["--header", "Subject: by swaks", "--body", "Good morning."]].concat()).expect_done();
    let pipelined = [&words[..], &["--pipeline", "--header", "Subject: pipelined"]].concat();
    run(&swaks, &pipelined).expect_done();
    let texts: Vec<String> = sink.wait_for(2).iter().map(|m| m.text()).collect();
    assert!(texts.iter().any(|t| t.contains("Subject: by swaks") && t.contains("Good morning.")));
    assert!(texts.iter().any(|t| t.contains("Subject: pipelined")));
}

#[test]
fn curl_is_served() {
    let Some(curl) = find("curl") else { return };
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mail = relay.place.write("mail.txt", "Subject: by curl\n\n.leading dot\nlast line without an end");
    let url = format!("smtp://{}/client.test", relay.smtp());
    let words = ["-sS", &url, "--mail-from", "a@src.test", "--mail-rcpt", "b@dst.test", "--crlf", "--upload-file"];
    run(&curl, &[&words[..], &[mail.to_str().unwrap()]].concat()).expect_done();
    assert!(sink.wait_for(1)[0].text().ends_with("\r\n\r\n.leading dot\r\nlast line without an end\r\n"));
}

#[test]
fn python_is_served_with_login_and_tls() {
    let Some(python) = find("python3") else { return };
    let files = Place::new();
    let (chain, key) = Authority::new().certificate(&["relay.test"]).write(&files);
    let sink = Sink::willing();
    let second = place::address();
    let relay = Relay::start(
        Config::smarthost(sink.address())
            .set("tls.certificate", &format!("\"{}\"", chain.display()))
            .set("tls.private_key", &format!("\"{}\"", key.display()))
            .set("relay.policy", "\"auth\"")
            .listener(&format!("address = \"{second}:2587\"\ntls = \"starttls\"")),
    );
    let secret = relay.place.write("key", "a secret with spaces");
    relay.cli(&["user", "add", "app", "--api", "--key-file", secret.to_str().unwrap()]).expect_done();
    let script = format!(
        "
import smtplib, ssl
from email.message import EmailMessage
context = ssl._create_unverified_context()
s = smtplib.SMTP('{second}', 2587, timeout=20)
s.starttls(context=context)
s.login('app', 'a secret with spaces')
m = EmailMessage()
m['From'], m['To'], m['Subject'] = 'a@src.test', 'b@dst.test', '飛脚'
m.set_content('おはよう\\n.\\n')
print(s.send_message(m))
try:
    s.sendmail('a@src.test', ['no spaces allowed@dst.test'], 'x')
    raise SystemExit('a bad recipient was taken')
except smtplib.SMTPRecipientsRefused as e:
    print(e)
s.quit()
"
    );
    run(&python, &["-c", &script]).expect_done();
    let mail = &sink.wait_for(1)[0];
    assert!(mail.text().contains("=?utf-8?"), "{}", mail.text());
    assert_eq!(relay.wait_event("queued", "b@dst.test").text("user"), "app");
}
