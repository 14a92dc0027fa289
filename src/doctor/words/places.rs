//! Words on addresses, names, what comes back, and blocklists.
//!
//! In: what was seen.  Out: sentences.
//! Always: as in [`super`].
//! Sources: RFC 5321 §2.3.5 and §4.1.1.1, RFC 7505, RFC 1912 §2.1, RFC 5782.

use super::{Language, both, list};
use crate::doctor::seen::{Address, Blocklist, Domain, Inlet, InletUse};

pub(super) fn address_seen(seen: &Address, subject: &str, language: Language) -> String {
    match seen {
        Address::Known { addresses, whence } => {
            let addresses = list(addresses, language);
            let whence = match whence.as_str() {
                "configured" => both!(language, "[domain_check] addresses", "[domain_check] の addresses"),
                "sources" => both!(language, "the source addresses of [delivery]", "[delivery] の送信元アドレス"),
                _ => both!(language, "what this machine's system chooses", "このマシンの経路による選択"),
            };
            both!(
                language,
                "Our mail comes from {addresses} (by {whence}).",
                "メールの送信元は {addresses} です（{whence}による）。"
            )
        }
        Address::Private { addresses } => {
            let addresses = list(addresses, language);
            both!(
                language,
                "This machine has the private addresses {addresses}: others see another one, which is not known here.",
                "このマシンのアドレス {addresses} はプライベートアドレスで、外部から見えるアドレスが分かりません。"
            )
        }
        Address::None => both!(
            language,
            "This machine has no way to the internet, so that the addresses of our mail are not known.",
            "このマシンからインターネットへの経路がなく、送信元アドレスが分かりません。"
        ),
        Address::NoName => both!(
            language,
            "{subject} has no name in the DNS (no PTR record).",
            "{subject} に逆引きの名前（PTR レコード）がありません。"
        ),
        Address::NotConfirmed { names } => {
            let names = list(names, language);
            both!(
                language,
                "{subject} is called {names}, which does not lead back to it.",
                "{subject} の逆引きは {names} ですが、正引きが一致しません。"
            )
        }
        Address::Confirmed { name } => both!(
            language,
            "{subject} is called {name}, which leads back to it.",
            "{subject} の逆引きは {name} で、正引きと一致しています。"
        ),
        Address::HelloLeadsHere { hello } => both!(
            language,
            "Mail from {subject} says hello as {hello}, which leads to it.",
            "{subject} の EHLO 名 {hello} はこのアドレスを指しています。"
        ),
        Address::HelloLeadsElsewhere { hello, addresses } if addresses.is_empty() => both!(
            language,
            "Mail from {subject} says hello as {hello}, which has no address.",
            "{subject} の EHLO 名 {hello} にアドレスがありません。"
        ),
        Address::HelloLeadsElsewhere { hello, addresses } => {
            let addresses = list(addresses, language);
            both!(
                language,
                "Mail from {subject} says hello as {hello}, which leads to {addresses}.",
                "{subject} の EHLO 名 {hello} は {addresses} を指しています。"
            )
        }
        Address::HelloIsNoName { hello } => both!(
            language,
            "Mail from {subject} says hello as {hello}, which is no full host name.",
            "{subject} の EHLO 名 {hello} は完全なホスト名ではありません。"
        ),
        Address::Smarthost { host } => both!(
            language,
            "Mail leaves by the smarthost {host}, whose addresses and names are its owner's.",
            "メールはスマートホスト {host} から出ます。アドレスと逆引きはその管理者の責任です。"
        ),
    }
}

pub(super) fn address_why(seen: &Address, language: Language) -> String {
    match seen {
        Address::Known { .. } | Address::Private { .. } | Address::None | Address::Smarthost { .. } => both!(
            language,
            "SPF, reverse names and blocklists are about the addresses that receivers see.",
            "SPF、逆引き、ブロックリストの確認には、受信側から見えるアドレスが必要です。"
        ),
        Address::NoName | Address::NotConfirmed { .. } | Address::Confirmed { .. } => both!(
            language,
            "Gmail, Yahoo and many others refuse or slow mail from addresses whose name does not lead back to them.",
            "Gmail、Yahoo をはじめ多くの受信側は、逆引きと正引きが一致しないアドレスからのメールを拒否または制限します。"
        ),
        Address::HelloLeadsHere { .. } | Address::HelloLeadsElsewhere { .. } | Address::HelloIsNoName { .. } => both!(
            language,
            "Some receivers refuse a greeting whose name does not lead to the address that speaks (RFC 5321 §4.1.1.1).",
            "EHLO の名前が接続元のアドレスを指さない場合、拒否する受信側があります（RFC 5321 §4.1.1.1）。"
        ),
    }
}

pub(super) fn address_fix(seen: &Address, subject: &str, language: Language) -> String {
    match seen {
        Address::Private { .. } | Address::None => both!(
            language,
            "Set addresses in [domain_check] to the addresses that others see (those of the NAT).",
            "[domain_check] の addresses に外部から見えるアドレス（NAT のアドレス）を設定してください。"
        ),
        Address::NoName | Address::NotConfirmed { .. } => both!(
            language,
            "Ask whoever gave you {subject} (the provider) to set its PTR record to the name that is said in EHLO, and let that name lead to it.",
            "{subject} の割り当て元（プロバイダー）に EHLO で名乗る名前への逆引き設定を依頼し、その名前がこのアドレスを指すようにしてください。"
        ),
        Address::HelloLeadsElsewhere { .. } => both!(
            language,
            "Publish the record below, or set the name that is right ([server] hostname, or hostname of the [[delivery.source]]).",
            "下記のレコードを公開するか、正しい名前（[server] の hostname または [[delivery.source]] の hostname）を設定してください。"
        ),
        Address::HelloIsNoName { .. } => both!(
            language,
            "Set hostname in [server] to the machine's full name.",
            "[server] の hostname に完全なホスト名を設定してください。"
        ),
        Address::Known { .. }
        | Address::Confirmed { .. }
        | Address::HelloLeadsHere { .. }
        | Address::Smarthost { .. } => String::new(),
    }
}

pub(super) fn domain_seen(seen: &Domain, subject: &str, language: Language) -> String {
    match seen {
        Domain::Unknown => both!(
            language,
            "The domain {subject} does not exist in the DNS.",
            "ドメイン {subject} は DNS に存在しません。"
        ),
        Domain::Mx { hosts } => {
            let hosts = list(hosts, language);
            both!(language, "Mail to {subject} goes to {hosts}.", "{subject} 宛てのメールは {hosts} に届きます。")
        }
        Domain::AddressOnly => both!(
            language,
            "{subject} has no MX record; mail goes to its address.",
            "{subject} に MX レコードはなく、メールは A/AAAA のアドレスに届きます。"
        ),
        Domain::NullMx => both!(
            language,
            "{subject} says that it takes no mail (null MX).",
            "{subject} はメールを受け取らないと宣言しています（null MX）。"
        ),
        Domain::Unreachable => both!(
            language,
            "{subject} has neither an MX record nor an address.",
            "{subject} に MX レコードもアドレスもありません。"
        ),
        Domain::DeadHost { host } => both!(
            language,
            "The MX host {host} of {subject} has no address.",
            "{subject} の MX ホスト {host} にアドレスがありません。"
        ),
    }
}

pub(super) fn domain_why(seen: &Domain, language: Language) -> String {
    match seen {
        Domain::DeadHost { .. } => both!(
            language,
            "Answers wait for a host that is not there.",
            "返信が、存在しないホストを待つことになります。"
        ),
        Domain::Unknown | Domain::Mx { .. } | Domain::AddressOnly | Domain::NullMx | Domain::Unreachable => both!(
            language,
            "Many receivers, Japanese carriers among them, refuse mail whose sender cannot be answered (RFC 7505 §4.2).",
            "国内の携帯電話事業者を含む多くの受信側は、返信できない送信者からのメールを拒否します（RFC 7505 §4.2）。"
        ),
    }
}

pub(super) fn domain_fix(seen: &Domain, language: Language) -> String {
    match seen {
        Domain::Unknown => both!(
            language,
            "Register the domain, or send with another one.",
            "ドメインを登録するか、別のドメインで送信してください。"
        ),
        Domain::NullMx | Domain::Unreachable => both!(
            language,
            "Publish an MX record of a host that takes the domain's mail, or send with another domain.",
            "このドメインのメールを受け取るホストの MX レコードを公開するか、別のドメインで送信してください。"
        ),
        Domain::DeadHost { .. } => both!(
            language,
            "Give the host an address, or take it out of the MX records.",
            "ホストにアドレスを設定するか、MX レコードから削除してください。"
        ),
        Domain::Mx { .. } | Domain::AddressOnly => String::new(),
    }
}

fn inlet_use(by: InletUse, language: Language) -> String {
    match by {
        InletUse::Bounces => both!(language, "bounces", "バウンスメール"),
        InletUse::DmarcReports => both!(language, "DMARC reports", "DMARC レポート"),
        InletUse::TlsReports => both!(language, "TLS reports", "TLS レポート"),
        InletUse::Complaints => both!(language, "complaints", "迷惑メール申告（FBL）"),
        InletUse::Unsubscribes => both!(language, "clicks on unsubscribe", "配信解除の要求"),
    }
}

pub(super) fn inlet_seen(seen: &Inlet, subject: &str, language: Language) -> String {
    match seen {
        Inlet::Here { by } => {
            let what = inlet_use(*by, language);
            both!(language, "{subject} ({what}) leads here.", "{subject}（{what}）はこのサーバーを指しています。")
        }
        Inlet::Elsewhere { by, hosts } => {
            let (what, hosts) = (inlet_use(*by, language), list(hosts, language));
            both!(
                language,
                "{subject} ({what}) leads to {hosts}, not here.",
                "{subject}（{what}）は {hosts} を指しており、このサーバーではありません。"
            )
        }
        Inlet::Nowhere { by } => {
            let what = inlet_use(*by, language);
            both!(language, "{subject} ({what}) leads nowhere.", "{subject}（{what}）の宛先がありません。")
        }
        Inlet::Somewhere { by, hosts } => {
            let (what, hosts) = (inlet_use(*by, language), list(hosts, language));
            both!(
                language,
                "{subject} ({what}) leads to {hosts}; whether that is here is not known.",
                "{subject}（{what}）は {hosts} を指していますが、このサーバーかどうか分かりません。"
            )
        }
        Inlet::NoListener => both!(
            language,
            "No listener of role inbound is configured: nothing that comes back is taken.",
            "role が inbound のリスナーがなく、戻ってくるメールを受け取れません。"
        ),
        Inlet::Listener => both!(
            language,
            "A listener of role inbound takes what comes back.",
            "role が inbound のリスナーが、戻ってくるメールを受け取ります。"
        ),
        Inlet::SendersOwn => both!(
            language,
            "Mail of {subject} leaves with its sender's own address, so that bounces go there, not here.",
            "{subject} のメールは送信者のアドレスのまま送られ、バウンスメールはその送信者に届きます。"
        ),
    }
}

pub(super) fn inlet_why(seen: &Inlet, language: Language) -> String {
    match seen {
        Inlet::Here { by: InletUse::Unsubscribes }
        | Inlet::Elsewhere { by: InletUse::Unsubscribes, .. }
        | Inlet::Nowhere { by: InletUse::Unsubscribes }
        | Inlet::Somewhere { by: InletUse::Unsubscribes, .. } => both!(
            language,
            "Large providers ask bulk senders for a working one-click unsubscribe; who cannot leave complains.",
            "大手プロバイダーは一括送信者に有効なワンクリック配信解除を求めます。解除できない受信者は迷惑メールとして申告します。"
        ),
        Inlet::Here { by: InletUse::Bounces }
        | Inlet::Elsewhere { by: InletUse::Bounces, .. }
        | Inlet::Nowhere { by: InletUse::Bounces }
        | Inlet::Somewhere { by: InletUse::Bounces, .. }
        | Inlet::SendersOwn => both!(
            language,
            "Bounces that do not come here are not counted: dead addresses are written to again and again. Many receivers refuse \
             senders whose domain takes no mail.",
            "ここに届かないバウンスは集計されず、無効なアドレスへ送り続けることになります。メールを受け取れない送信元は拒否されることもあります。"
        ),
        Inlet::Here { .. } | Inlet::Elsewhere { .. } | Inlet::Nowhere { .. } | Inlet::Somewhere { .. } => {
            both!(language, "What is sent to this address is lost.", "このアドレスに送られたものは失われます。")
        }
        Inlet::NoListener | Inlet::Listener => both!(
            language,
            "Bounces, complaints and reports come in by SMTP.",
            "バウンス、迷惑メール申告、レポートは SMTP で届きます。"
        ),
    }
}

pub(super) fn inlet_fix(seen: &Inlet, subject: &str, language: Language) -> String {
    match seen {
        Inlet::Elsewhere { by: InletUse::Unsubscribes, .. } | Inlet::Nowhere { by: InletUse::Unsubscribes } => both!(
            language,
            "Let {subject} lead here, or to the proxy before it; or correct public_url in [unsubscribe].",
            "{subject} がこのサーバー（またはその前のプロキシ）を指すようにするか、[unsubscribe] の public_url を修正してください。"
        ),
        Inlet::Elsewhere { .. } | Inlet::Nowhere { .. } => {
            both!(language, "Publish the record below.", "下記のレコードを公開してください。")
        }
        Inlet::Somewhere { .. } => both!(
            language,
            "Set addresses in [domain_check] to what others see.",
            "[domain_check] の addresses に外部から見えるアドレスを設定してください。"
        ),
        Inlet::NoListener => both!(
            language,
            "Add a [[listener]] with role = \"inbound\" on port 25.",
            "role = \"inbound\" の [[listener]] をポート 25 に追加してください。"
        ),
        Inlet::SendersOwn => both!(
            language,
            "Set envelope_from_rewrite of the [[domain]], to see bounces here.",
            "バウンスをここで受け取るには、[[domain]] の envelope_from_rewrite を有効にしてください。"
        ),
        Inlet::Here { .. } | Inlet::Listener => String::new(),
    }
}

pub(super) fn blocklist_seen(seen: &Blocklist, subject: &str, language: Language) -> String {
    match seen {
        Blocklist::Listed { list: name, codes, text } => {
            let codes = list(codes, language);
            let text = if text.is_empty() { String::new() } else { both!(language, ": {text}", "：「{text}」") };
            both!(
                language,
                "{subject} is on {name} ({codes}){text}",
                "{subject} は {name} に登録されています（{codes}）{text}"
            )
        }
        Blocklist::NotListed { list } => {
            both!(language, "{subject} is not on {list}.", "{subject} は {list} に登録されていません。")
        }
        Blocklist::Silent { list } => both!(
            language,
            "{list} does not answer for its test entry (127.0.0.2): it is dead, and what it says counts for nothing.",
            "{list} はテスト用の項目（127.0.0.2）に応答せず、機能していないため、判断に使えません。"
        ),
        Blocklist::Everything { list } => both!(
            language,
            "{list} lists everything, even 127.0.0.1, or answers as no list does: it is dead, and what it says counts for nothing.",
            "{list} はあらゆるアドレス（127.0.0.1 も）を登録ありと答えるなど、機能していないため、判断に使えません。"
        ),
        Blocklist::Refused { list, code } => both!(
            language,
            "{list} does not answer our resolver ({code}): whom it lists is not known.",
            "{list} はこのリゾルバーへの回答を拒否しており（{code}）、登録の有無は不明です。"
        ),
    }
}

pub(super) fn blocklist_why(seen: &Blocklist, language: Language) -> String {
    match seen {
        Blocklist::Listed { .. } | Blocklist::NotListed { .. } => both!(
            language,
            "Receivers that use the list refuse mail from the address.",
            "このリストを使う受信側は、そのアドレスからのメールを拒否します。"
        ),
        Blocklist::Silent { .. } | Blocklist::Everything { .. } | Blocklist::Refused { .. } => both!(
            language,
            "Lists end, and many refuse the resolvers of large providers (RFC 5782 §5).",
            "リストは廃止されることがあり、大手の公開リゾルバーを拒否するものも多くあります（RFC 5782 §5）。"
        ),
    }
}

pub(super) fn blocklist_fix(seen: &Blocklist, language: Language) -> String {
    match seen {
        Blocklist::Listed { .. } => both!(
            language,
            "See on the list's page why, end the cause, and ask to be taken off there.",
            "リストの案内で理由を確認し、原因を取り除いてから解除を申請してください。"
        ),
        Blocklist::Silent { .. } | Blocklist::Everything { .. } => both!(
            language,
            "Take the list out of [domain_check] blocklists.",
            "[domain_check] の blocklists から削除してください。"
        ),
        Blocklist::Refused { .. } => both!(
            language,
            "Ask through a resolver of your own ([dns] servers), or register with the list.",
            "自前のリゾルバー（[dns] の servers）を使うか、リストに利用登録してください。"
        ),
        Blocklist::NotListed { .. } => String::new(),
    }
}
