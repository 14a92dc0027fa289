//! How the large mailbox providers take our mail now: the last hour of each, in words and shares.

use maud::{Markup, html};

use crate::{
    deliver::lately::Lately,
    http::{
        console::{
            Visit,
            parts::{foreign, number, pill},
        },
        words::Lang,
    },
};

/// Tries below which nothing can be said.
const TRIES_MIN: u64 = 10;

/// How a provider takes mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// Too little was tried.
    Quiet,
    /// As it should be.
    Fine,
    /// One try in ten or more was put off.
    Slow,
    /// Most tries were put off.
    Stuck,
    /// One recipient in twenty or more was refused.
    Refusing,
}

impl Health {
    /// How it looks from the last hour's tries.
    pub fn of(lately: &Lately) -> Self {
        let tries = lately.tries();
        match () {
            () if tries < TRIES_MIN => Health::Quiet,
            () if lately.deferred * 2 >= tries => Health::Stuck,
            () if lately.failed * 20 >= lately.delivered + lately.failed => Health::Refusing,
            () if lately.deferred * 10 >= tries => Health::Slow,
            () => Health::Fine,
        }
    }

    /// For people.
    pub fn words(self, lang: Lang) -> &'static str {
        match self {
            Health::Quiet => lang.say("little mail", "通数わずか"),
            Health::Fine => lang.say("normal", "正常"),
            Health::Slow => lang.say("slow", "遅延あり"),
            Health::Stuck => lang.say("puts most off", "大半を一時拒否"),
            Health::Refusing => lang.say("refuses some", "一部拒否"),
        }
    }

    /// Its colour.
    pub fn class(self) -> &'static str {
        match self {
            Health::Quiet => "",
            Health::Fine => "succeeded",
            Health::Slow => "deferred",
            Health::Stuck | Health::Refusing => "failed",
        }
    }
}

/// A share in whole hundredths, `98 %`; `–` of nothing.
pub fn share(part: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    match part * 100 / of {
        0 if part > 0 => "< 1 %".to_owned(),
        n => format!("{n} %"),
    }
}

/// A provider's name; those in no row of the table are all the others together.
pub fn name(lang: Lang, lately: &Lately) -> &'static str {
    match lately.provider {
        crate::deliver::provider::Provider::Other => lang.say("all others", "その他"),
        known => known.name(),
    }
}

/// The section; nothing where nothing was tried.
pub fn section(visit: &Visit<'_>) -> Markup {
    let rows = visit.daemon.lately();
    let lang = visit.lang;
    html! {
        @if !rows.is_empty() {
            section id="providers" {
                h2 {
                    (lang.say("Mailbox providers", "主要プロバイダー"))
                    small { (lang.say("tries of the last hour", "直近1時間の配信試行")) }
                }
                table class="stack" {
                    thead {
                        tr {
                            th { (lang.say("Provider", "プロバイダー")) }
                            th { (lang.say("State", "状態")) }
                            th class="number" { (lang.say("Delivered", "配信済み")) }
                            th class="number" { (lang.say("Deferred", "再送待ち")) }
                            th class="number" { (lang.say("Failed", "失敗")) }
                        }
                    }
                    tbody {
                        @for row in &rows {
                            @let health = Health::of(row);
                            tr {
                                td class="strong" { (foreign(name(lang, row), 60)) }
                                td { (pill(health.class(), health.words(lang))) }
                                td class="number left" data-label=(lang.say("Delivered", "配信済み")) { (number(row.delivered)) }
                                td class="number left" data-label=(lang.say("Deferred", "再送待ち")) { (number(row.deferred)) }
                                td class="number left" data-label=(lang.say("Failed", "失敗")) { (number(row.failed)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::provider::Provider;

    #[test]
    fn a_providers_health_is_read_from_its_tries() {
        for (delivered, deferred, failed, health) in [
            (9, 0, 0, Health::Quiet),
            (100, 3, 1, Health::Fine),
            (100, 15, 0, Health::Slow),
            (100, 100, 0, Health::Stuck),
            (0, 10, 0, Health::Stuck),
            (95, 0, 5, Health::Refusing),
            (0, 0, 10, Health::Refusing),
        ] {
            let lately = Lately { provider: Provider::Gmail, delivered, deferred, failed };
            assert_eq!(Health::of(&lately), health, "{lately:?}");
        }
        assert_eq!([share(0, 0), share(1, 1_000), share(98, 100), share(3, 3)], ["–", "< 1 %", "98 %", "100 %"]);
    }
}
