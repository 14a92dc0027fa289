//! `hikyaku suppress show ADDRESS`: one address, its past, and what is known of it.
//!
//! Always: the words are in the language that is asked for; what an answer or a person said stays as it came.

use clap::ArgMatches;

use super::{
    super::{
        args::{language, text},
        client::{Client, DONE, NO, Query, Trouble},
        explain::print_facts,
        table::{Output, Table, clean, width},
    },
    in_words,
};
use crate::{
    http::{
        control::suppress::ShowOut,
        rows_lists::SuppressionOut,
        when::{Zone, of_rfc3339},
        words::number,
    },
    language::Language,
    suppress::row::{Cause, LiftedBy},
};

pub(super) fn run(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let asked = Query::default().with("address", text(args, "address")).with("user", text(args, "user"));
    let answer = client.get("suppress/show", &asked)?;
    let shown: ShowOut = answer.row()?;
    let code = if shown.row.is_some() { DONE } else { NO };
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(code);
    }
    let (zone, language_code) = (answer.zone(), language(args));
    let told = Told { zone: &zone, language: Language::of_code(language_code) };
    match &shown.row {
        None => {
            let address = clean(&shown.address);
            output.line(
                &told.say(format!("{address} is not suppressed."), format!("{address} は配信停止されていません。")),
            )?;
        }
        Some(row) => told.row(row, output)?,
    }
    if !shown.past.is_empty() {
        told.past(&shown.past, output)?;
    }
    output.line(told.say("\nWhat is known of it", "\n分かっていること"))?;
    print_facts(language_code, &shown.facts, "  ", output)?;
    Ok(code)
}

/// How it is told.
struct Told<'a> {
    zone: &'a Zone,
    language: Language,
}

impl Told<'_> {
    fn say<T>(&self, english: T, japanese: T) -> T {
        self.language.pick(english, japanese)
    }

    fn time(&self, text: Option<&str>) -> String {
        text.and_then(of_rfc3339).map_or_else(String::new, |at| self.zone.full(at))
    }

    fn cause(&self, row: &SuppressionOut) -> String {
        let known = Cause::ALL.into_iter().find(|cause| cause.word() == row.cause);
        known.map_or_else(|| row.cause.clone(), |cause| cause.said(self.language).to_owned())
    }

    fn row(&self, row: &SuppressionOut, output: &mut Output<'_>) -> Result<(), Trouble> {
        let who = match row.user.as_str() {
            "" => row.address.clone(),
            user => self.say(format!("{} (user {user})", row.address), format!("{}（{user} のメール）", row.address)),
        };
        let (english, japanese) = match row.state.as_str() {
            "suppressed" => ("is suppressed", "は配信停止中です。"),
            "lifted" => ("is lifted", "の配信停止は解除されています。"),
            "exempt" => ("is exempt", "は停止対象外です。"),
            other => (other, other),
        };
        output.line(&clean(&self.say(format!("{who} {english}"), format!("{who} {japanese}"))))?;
        let exempt = match self.time(row.exempt_since.as_deref()) {
            since if since.is_empty() => since,
            since => self.say(
                format!("since {since} by {}", row.exempt_by),
                format!("{since} から（実行者：{}）", row.exempt_by),
            ),
        };
        let errors = if row.occurred == 0 { String::new() } else { number(row.occurred.into()) };
        let facts = [
            (self.say("since", "停止日時"), self.time(row.since.as_deref())),
            (self.say("until", "期限"), self.time(row.until.as_deref())),
            (self.say("cause", "原因"), self.cause(row)),
            (self.say("class", "エラー分類"), in_words(row.class, self.language)),
            (self.say("errors", "エラー数"), errors),
            (self.say("reason", "理由"), row.reason.clone()),
            (self.say("by", "実行者"), row.operator.clone()),
            (self.say("provider", "プロバイダー"), row.provider.clone()),
            (self.say("incident", "インシデント"), row.incident.clone()),
            ("id", row.id.clone()),
            (self.say("exempt", "停止対象外"), exempt),
        ];
        let column = facts.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + 1;
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let pad = " ".repeat(column.saturating_sub(width(name)));
            output.line(&format!("  {name}{pad} {}", clean(value)))?;
        }
        Ok(())
    }

    fn past(&self, past: &[SuppressionOut], output: &mut Output<'_>) -> Result<(), Trouble> {
        output.line(self.say("\nEarlier", "\n過去の配信停止"))?;
        let heads =
            self.say(["SINCE", "LIFTED", "BY", "CAUSE", "WHY"], ["停止日時", "解除日時", "解除者", "原因", "理由"]);
        let mut table = Table::new(&heads);
        for row in past {
            let way = LiftedBy::from_word(&row.lifted_by)
                .map_or_else(|| row.lifted_by.clone(), |by| by.said(self.language).to_owned());
            let by = match row.lifted_operator.as_str() {
                "" => way,
                who => self.say(format!("{who} ({way})"), format!("{who}（{way}）")),
            };
            table.row([
                self.time(row.since.as_deref()),
                self.time(row.lifted_at.as_deref()),
                by,
                self.cause(row),
                self.why(row),
            ]);
        }
        table.print(output, "  ")
    }

    fn why(&self, row: &SuppressionOut) -> String {
        match (row.reason.as_str(), row.operator.as_str()) {
            (reason, "") => reason.to_owned(),
            ("", by) => self.say(format!("by {by}"), format!("実行者：{by}")),
            (reason, by) => self.say(format!("{reason} (by {by})"), format!("{reason}（実行者：{by}）")),
        }
    }
}
