//! The options of `sendmail`, as programs have passed them for forty years.
//!
//! In: arguments.  Out: [`Options`], or words and an exit code.
//! Always: what changes nothing for us is taken and ignored; what would do something else than expected is refused.
//! Sources: sendmail(8) as other systems document it; the Linux Standard Base's `sendmail`.

use std::ffi::OsString;

use super::Refusal;

/// What the caller wants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Options {
    /// `-t`: recipients come from the header, too.
    pub recipients_from_header: bool,
    /// `-i`: a line with a dot alone does not end the mail.
    pub dot_is_text: bool,
    /// `-f`: the envelope sender; empty: the null sender.
    pub sender: Option<String>,
    /// `-bp`: list the queue instead.
    pub list_queue: bool,
    /// Recipients on the command line.
    pub recipients: Vec<String>,
}

/// Flags without a value that change nothing here.
const IGNORED_FLAGS: &str = "vnmUGsx";
/// Flags with a value that change nothing here.
const IGNORED_VALUES: &str = "FNBChOpXRLAVD";

impl Options {
    /// Reads the arguments that follow the program's name.
    pub fn parse(args: &[OsString]) -> Result<Options, Refusal> {
        let mut options = Options::default();
        let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            match arg.strip_prefix('-') {
                Some("-") => {
                    options.recipients.extend(args.by_ref());
                }
                Some(flags) if !flags.is_empty() => options.flags(flags, &mut args)?,
                _ => options.recipients.push(arg),
            }
        }
        Ok(options)
    }

    /// One argument of flags: `-t`, `-ti`, `-fADDR`, `-f ADDR`.
    fn flags(&mut self, flags: &str, args: &mut impl Iterator<Item = String>) -> Result<(), Refusal> {
        for (at, flag) in flags.char_indices() {
            let rest = &flags[at + flag.len_utf8()..];
            let mut value = || -> Result<String, Refusal> {
                if !rest.is_empty() {
                    return Ok(rest.to_owned());
                }
                args.next().ok_or_else(|| Refusal::usage(format!("-{flag} needs a value")))
            };
            match flag {
                't' => self.recipients_from_header = true,
                'i' => self.dot_is_text = true,
                'f' | 'r' => {
                    self.sender = Some(value()?.trim().trim_start_matches('<').trim_end_matches('>').to_owned());
                    return Ok(());
                }
                // -oi is -i; every other -o, and -e (how errors are told), changes nothing.
                'o' | 'e' | 'd' => {
                    self.dot_is_text |= flag == 'o' && rest == "i";
                    return Ok(());
                }
                'b' => return self.mode(rest),
                'q' => {
                    return Err(Refusal::usage("the queue runs by itself; `hikyaku queue flush` tries it now".into()));
                }
                'I' => return Err(Refusal::usage("there are no aliases here".into())),
                flag if IGNORED_FLAGS.contains(flag) => {}
                flag if IGNORED_VALUES.contains(flag) => return value().map(drop),
                flag => return Err(Refusal::usage(format!("unknown option -{flag}"))),
            }
        }
        Ok(())
    }

    fn mode(&mut self, mode: &str) -> Result<(), Refusal> {
        match mode {
            "m" => Ok(()),
            "p" => {
                self.list_queue = true;
                Ok(())
            }
            "s" => Err(Refusal::usage("-bs is not spoken here; connect to the relay listener by SMTP instead".into())),
            "d" | "D" => Err(Refusal::usage("the daemon is `hikyaku serve`".into())),
            mode => Err(Refusal::usage(format!("-b{mode} is not known here; only -bm and -bp are"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Refusal> {
        Options::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_programs_pass_is_understood() {
        let options = |header: bool, dots: bool, sender: Option<&str>, to: &[&str]| Options {
            recipients_from_header: header,
            dot_is_text: dots,
            sender: sender.map(str::to_owned),
            list_queue: false,
            recipients: to.iter().map(|to| (*to).to_owned()).collect(),
        };
        let cases = [
            ("-t -i", options(true, true, None, &[])),
            ("-ti", options(true, true, None, &[])),
            ("-oi -f a@b.example -- -odd@b.example", options(false, true, Some("a@b.example"), &["-odd@b.example"])),
            ("-f<> -oem -odi x@y.example", options(false, false, Some(""), &["x@y.example"])),
            ("-FCronDaemon -i -odi -oem -oi -t -f root", options(true, true, Some("root"), &[])),
            (
                "-F Name -B 8BITMIME -N failure,delay -R hdrs -bm a@b.example",
                options(false, false, None, &["a@b.example"]),
            ),
            ("-r a@b.example -v -U -Am -L tag root", options(false, false, Some("a@b.example"), &["root"])),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line).unwrap(), expected, "{line}");
        }
        assert!(parse("-bp").unwrap().list_queue);
    }

    #[test]
    fn what_would_do_something_else_is_refused_with_words() {
        for (line, words) in [
            ("-bs", "SMTP"),
            ("-bd", "hikyaku serve"),
            ("-q30m", "queue flush"),
            ("-Z", "-Z"),
            ("-f", "value"),
            ("-bt", "-bt"),
        ] {
            let refusal = parse(line).expect_err(line);
            assert_eq!(refusal.code, 64);
            assert!(refusal.text.contains(words), "{line}: {}", refusal.text);
        }
    }
}
