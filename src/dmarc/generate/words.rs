//! What tags mean, and what was changed in a record, in words for people: English and Japanese.

use super::{Change, Changed, Language};
use crate::dmarc::record::{Mode, Policy, Psd, Record, ReportUri};

/// A tag, and what it means here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// The tag.
    pub tag: &'static str,
    /// Its value, as written or by default.
    pub value: String,
    /// It is not in the record: this is its default.
    pub is_default: bool,
    /// What it means.
    pub text: String,
}

/// Says what each tag of a record means, in the order of the record, and what holds where it says nothing.
pub fn explain(record: &Record, language: Language) -> Vec<Explained> {
    let pick = |english: &str, japanese: &str| match language {
        Language::English => english.to_owned(),
        Language::Japanese => japanese.to_owned(),
    };
    let mut all = vec![Explained {
        tag: "v",
        value: "DMARC1".to_owned(),
        is_default: false,
        text: pick("This is a DMARC record.", "DMARC レコードであることを示します。"),
    }];
    let p = record.p.unwrap_or_default();
    let sp = record.sp.unwrap_or(p);
    let np = record.np.unwrap_or(sp);
    let policies = [("p", p, record.p), ("sp", sp, record.sp), ("np", np, record.np)];
    for (tag, policy, written) in policies {
        let text = policy_words(tag, policy, language);
        all.push(Explained { tag, value: policy.word().to_owned(), is_default: written.is_none(), text });
    }
    for (tag, mode) in [("adkim", record.adkim), ("aspf", record.aspf)] {
        all.push(Explained {
            tag,
            value: mode.letter().to_owned(),
            is_default: mode == Mode::Relaxed,
            text: mode_words(tag, mode, language),
        });
    }
    all.push(Explained {
        tag: "t",
        value: if record.testing { "y" } else { "n" }.to_owned(),
        is_default: !record.testing,
        text: if record.testing {
            pick(
                "The policies are being tested: receivers are asked to act one level below (reject as quarantine, quarantine as none).",
                "ポリシーを試験中です。受信側は一段階弱い扱い（reject は quarantine、quarantine は none）をするよう求められます。",
            )
        } else {
            pick("The policies are applied as written.", "ポリシーを書かれたとおりに適用します。")
        },
    });
    all.push(Explained {
        tag: "psd",
        value: record.psd.letter().to_owned(),
        is_default: record.psd == Psd::Unknown,
        text: match record.psd {
            Psd::Yes => pick(
                "Others register their domains below this one (a public suffix).",
                "このドメインの下には他の組織がドメインを登録します（パブリックサフィックス）。",
            ),
            Psd::No => pick(
                "The organization ends here: records above this domain do not count for it.",
                "組織ドメインはここです。これより上のドメインのレコードは対象になりません。",
            ),
            Psd::Unknown => pick(
                "Where the organization ends is found by looking upwards through the DNS.",
                "組織ドメインは DNS を上へたどって決まります。",
            ),
        },
    });
    all.push(reports("rua", &record.rua, language));
    all.push(reports("ruf", &record.ruf, language));
    if !record.ruf.is_empty() {
        let fo = record.fo;
        let mut english =
            vec![if fo.any { "SPF or DKIM does not pass aligned" } else { "neither SPF nor DKIM passes aligned" }];
        let mut japanese = vec![if fo.any {
            "SPF か DKIM のどちらかがアラインして合格しない"
        } else {
            "SPF も DKIM もアラインして合格しない"
        }];
        if fo.dkim {
            english.push("a DKIM signature does not verify");
            japanese.push("DKIM 署名が検証できない");
        }
        if fo.spf {
            english.push("SPF does not pass");
            japanese.push("SPF が合格しない");
        }
        all.push(Explained {
            tag: "fo",
            value: fo.to_string(),
            is_default: fo == crate::dmarc::record::FailureOptions::default(),
            text: pick(
                &format!("A failure report is wanted when {}.", english.join(", or ")),
                &format!("{}ときに失敗レポートを求めます。", japanese.join("、または")),
            ),
        });
    }
    all
}

fn policy_words(tag: &str, policy: Policy, language: Language) -> String {
    let (english, japanese) = match tag {
        "p" => ("mail in the name of this domain", "このドメインを名乗り"),
        "sp" => ("mail in the name of a subdomain that exists", "存在するサブドメインを名乗り"),
        _ => ("mail in the name of a subdomain that does not exist", "存在しないサブドメインを名乗り"),
    };
    match (language, policy) {
        (Language::English, Policy::None) => {
            format!("Receivers are asked to do nothing special with {english} that fails DMARC.")
        }
        (Language::English, Policy::Quarantine) => {
            format!("Receivers are asked to treat {english} that fails DMARC as suspicious (spam folder).")
        }
        (Language::English, Policy::Reject) => format!("Receivers are asked to refuse {english} that fails DMARC."),
        (Language::Japanese, Policy::None) => {
            format!("{japanese}、DMARC に不合格のメールについて、特別な扱いを求めません。")
        }
        (Language::Japanese, Policy::Quarantine) => {
            format!("{japanese}、DMARC に不合格のメールを、疑わしいもの（迷惑メール）として扱うよう求めます。")
        }
        (Language::Japanese, Policy::Reject) => {
            format!("{japanese}、DMARC に不合格のメールを、受信拒否するよう求めます。")
        }
    }
}

fn mode_words(tag: &str, mode: Mode, language: Language) -> String {
    let (english, japanese) = match tag {
        "adkim" => ("The domain of a DKIM signature (d=)", "DKIM 署名のドメイン（d=）"),
        _ => ("The domain of the envelope sender", "エンベロープ送信者のドメイン"),
    };
    match (language, mode) {
        (Language::English, Mode::Relaxed) => format!("{english} may be any of the same organization as that of From."),
        (Language::English, Mode::Strict) => format!("{english} must be the same as that of From."),
        (Language::Japanese, Mode::Relaxed) => format!("{japanese}は、From のドメインと同じ組織であれば合格です。"),
        (Language::Japanese, Mode::Strict) => {
            format!("{japanese}は、From のドメインと完全に同じでなければなりません。")
        }
    }
}

fn reports(tag: &'static str, uris: &[ReportUri], language: Language) -> Explained {
    let value = uris.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let text = match (tag, uris.is_empty(), language) {
        ("rua", false, Language::English) => "Receivers send daily reports (aggregate reports) there.",
        ("rua", false, Language::Japanese) => "受信側は日ごとの集計レポートをここへ送ります。",
        ("rua", true, Language::English) => {
            "No daily reports are asked for: nothing will be known about who sends in this domain's name."
        }
        ("rua", true, Language::Japanese) => {
            "集計レポートを求めていません。このドメインを名乗る送信の様子は分かりません。"
        }
        (_, false, Language::English) => {
            "Receivers may send reports about single mails there (failure reports); few do, for the sake of privacy."
        }
        (_, false, Language::Japanese) => {
            "受信側は個々のメールの失敗レポートをここへ送ることがあります（プライバシーのため、送る受信側は少数です）。"
        }
        (_, true, Language::English) => "No reports about single mails are asked for.",
        (_, true, Language::Japanese) => "個々のメールの失敗レポートは求めていません。",
    };
    Explained { tag, value, is_default: uris.is_empty(), text: text.to_owned() }
}

impl Changed {
    /// What became of it, in a sentence.
    pub fn text(&self, language: Language) -> String {
        let Changed { tag, value, .. } = self;
        let (english, japanese) = match self.what {
            Change::PercentToTest => (
                format!(
                    "pct={value} became t=y: RFC 9989 has no percentages any more; t=y asks receivers to act one level below the policy, \
                     which is what pct=0 was used for. Remove it when the reports show no mail of yours that fails."
                ),
                format!(
                    "pct={value} を t=y に変えました。RFC 9989 で割合の指定は廃止されました。t=y は、pct=0 と同じく、ポリシーより一段階弱い\
                     扱いを求めます。レポートで自分のメールの不合格がなくなったら外してください。"
                ),
            ),
            Change::PercentDropped => (
                format!("pct={value} was removed: RFC 9989 has no such tag, and it changed nothing here."),
                format!("pct={value} を外しました。RFC 9989 で廃止されたタグで、ここでは効果がありません。"),
            ),
            Change::HistoricDropped => (
                format!("{tag}={value} was removed: RFC 9989 has no such tag, and receivers do not act on it."),
                format!("{tag}={value} を外しました。RFC 9989 で廃止されたタグで、受信側は無視します。"),
            ),
            Change::UnknownDropped => (
                format!("{tag}={value} was removed: no standard knows this tag, and receivers pass it over."),
                format!("{tag}={value} を外しました。どの規格にもないタグで、受信側は無視します。"),
            ),
            Change::BrokenDropped if tag.is_empty() => (
                format!("\"{value}\" was removed: it is no tag=value."),
                format!("「{value}」を外しました。タグ=値の形ではありません。"),
            ),
            Change::BrokenDropped => (
                format!("\"{value}\" of {tag} was removed: it is no value that the tag can have."),
                format!("{tag} の「{value}」を外しました。このタグの値として正しくありません。"),
            ),
            Change::SecondDropped => (
                format!("The second {tag} ({value}) was removed: a tag may stand once, and the first counted."),
                format!("二つ目の {tag}（{value}）を外しました。同じタグは一つだけで、最初のものが有効でした。"),
            ),
            Change::SizeDropped => (
                format!("The size behind {value} in {tag} was removed: receivers do not act on it any more."),
                format!("{tag} の {value} の後ろのサイズ指定を外しました。受信側はもう使いません。"),
            ),
            Change::SmallLetters => (
                format!("{tag} is written in small letters now: some receivers pass capitals over."),
                format!("{tag} を小文字にしました。大文字のタグを無視する受信側があります。"),
            ),
            Change::PolicyAdded => (
                "p=none was written: the policies could not be read, and receivers acted as if it stood there, or not at all.".to_owned(),
                "p=none を書きました。ポリシーを読み取れないため、受信側は p=none とみなすか、DMARC を適用していませんでした。".to_owned(),
            ),
            Change::FoDropped => (
                "fo was removed: without ruf it says nothing.".to_owned(),
                "fo を外しました。ruf がなければ意味がありません。".to_owned(),
            ),
            Change::OursAdded => (
                format!("{value} was added to rua, so that the reports reach this relay; the other addresses stay."),
                format!("rua に {value} を加えました。これでレポートがこのリレーに届きます。ほかの宛先はそのままです。"),
            ),
        };
        match language {
            Language::English => english,
            Language::Japanese => japanese,
        }
    }
}
