//! The lists that people bring along: which service a file is of, and which column says what.
//!
//! In: the first line of a file.  Out: its [`Dialect`] and its [`Columns`].
//! Always: a column is known by its name, whatever its case, blanks, hyphens and underscores; a file without a head line is known
//! by its first line; what is not known is refused, and nothing of it is guessed.
//! Sources: the export and suppression pages of SES, SendGrid, Mailgun and Postmark; cmc.md §6.1 and §8.1.

/// Columns that are looked at; further ones are nothing we know.
const COLUMNS_MAX: usize = 64;

/// Where a list comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Our own `suppress export`.
    Hikyaku,
    /// CMC's list of blocked addresses.
    CmcBlocks,
    /// CMC's list of unsubscribed addresses.
    CmcUnsubscribes,
    /// SES: the account's suppression list, BOUNCE and COMPLAINT.
    Ses,
    /// SendGrid: bounces and blocks, which have the same columns.
    SendGridBounces,
    /// SendGrid: invalid addresses.
    SendGridInvalid,
    /// SendGrid: spam reports.
    SendGridSpamReports,
    /// SendGrid: global unsubscribes.
    SendGridUnsubscribes,
    /// Mailgun: bounces.
    MailgunBounces,
    /// Mailgun: complaints.
    MailgunComplaints,
    /// Mailgun: unsubscribes, by tag.
    MailgunUnsubscribes,
    /// Postmark: a message stream's suppressions.
    PostmarkSuppressions,
    /// Postmark: bounces by type.
    PostmarkBounces,
    /// A column of addresses, perhaps with reasons and times.
    Addresses,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 14] = [
        Dialect::Hikyaku,
        Dialect::CmcBlocks,
        Dialect::CmcUnsubscribes,
        Dialect::Ses,
        Dialect::SendGridBounces,
        Dialect::SendGridInvalid,
        Dialect::SendGridSpamReports,
        Dialect::SendGridUnsubscribes,
        Dialect::MailgunBounces,
        Dialect::MailgunComplaints,
        Dialect::MailgunUnsubscribes,
        Dialect::PostmarkSuppressions,
        Dialect::PostmarkBounces,
        Dialect::Addresses,
    ];

    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Dialect::Hikyaku => "hikyaku",
            Dialect::CmcBlocks => "cmc-blocks",
            Dialect::CmcUnsubscribes => "cmc-unsubscribes",
            Dialect::Ses => "ses",
            Dialect::SendGridBounces => "sendgrid-bounces",
            Dialect::SendGridInvalid => "sendgrid-invalid",
            Dialect::SendGridSpamReports => "sendgrid-spam-reports",
            Dialect::SendGridUnsubscribes => "sendgrid-unsubscribes",
            Dialect::MailgunBounces => "mailgun-bounces",
            Dialect::MailgunComplaints => "mailgun-complaints",
            Dialect::MailgunUnsubscribes => "mailgun-unsubscribes",
            Dialect::PostmarkSuppressions => "postmark-suppressions",
            Dialect::PostmarkBounces => "postmark-bounces",
            Dialect::Addresses => "addresses",
        }
    }

    /// The dialect of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.word() == word)
    }
}

/// What a column says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// The address.
    Email,
    /// Since when.
    Since,
    /// Until when (ours).
    Until,
    /// Why, in words or in a service's own word.
    Reason,
    /// A class, an enhanced code or a reply code.
    Status,
    /// The kind of a bounce (Postmark).
    Type,
    /// How often.
    Occurred,
    /// The list that was left.
    List,
    /// Whose mail it is about (ours: the API user).
    User,
    /// Why, in our own word.
    Cause,
    /// `suppressed` or `exempt` (ours).
    State,
    /// Known, and nothing we keep.
    Other(Known),
}

/// Columns that only tell one dialect from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// The address of a complaining reader.
    Ip,
    /// Who suppressed it (Postmark).
    Origin,
    /// A number or token.
    Id,
    /// Anything else.
    Any,
}

/// Names of columns, in small letters without blanks, hyphens and underscores.
const NAMES: &[(&str, Column)] = &[
    ("email", Column::Email),
    ("emailaddress", Column::Email),
    ("address", Column::Email),
    ("recipient", Column::Email),
    ("mail", Column::Email),
    ("mailaddress", Column::Email),
    ("メールアドレス", Column::Email),
    ("宛先", Column::Email),
    ("created", Column::Since),
    ("createdat", Column::Since),
    ("since", Column::Since),
    ("added", Column::Since),
    ("dateadded", Column::Since),
    ("lastupdatetime", Column::Since),
    ("bouncedat", Column::Since),
    ("date", Column::Since),
    ("timestamp", Column::Since),
    ("登録日時", Column::Since),
    ("登録日", Column::Since),
    ("日時", Column::Since),
    ("until", Column::Until),
    ("reason", Column::Reason),
    ("suppressionreason", Column::Reason),
    ("error", Column::Reason),
    ("description", Column::Reason),
    ("details", Column::Reason),
    ("理由", Column::Reason),
    ("status", Column::Status),
    ("class", Column::Status),
    ("code", Column::Status),
    ("ステータス", Column::Status),
    ("type", Column::Type),
    ("typecode", Column::Type),
    ("bouncetype", Column::Type),
    ("occurred", Column::Occurred),
    ("count", Column::Occurred),
    ("回数", Column::Occurred),
    ("filtername", Column::List),
    ("list", Column::List),
    ("tag", Column::List),
    ("tags", Column::List),
    ("フィルタ名", Column::List),
    ("フィルター名", Column::List),
    ("user", Column::User),
    ("cause", Column::Cause),
    ("state", Column::State),
    ("ip", Column::Other(Known::Ip)),
    ("origin", Column::Other(Known::Origin)),
    ("id", Column::Other(Known::Id)),
];

/// Which column says what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// The columns of a head line.
    fn of(head: &[String]) -> Self {
        Columns(head.iter().take(COLUMNS_MAX).map(|name| column(name)).collect())
    }

    /// The place of a column; the first, where several say the same.
    pub fn place(&self, wanted: Column) -> Option<usize> {
        self.0.iter().position(|column| *column == wanted)
    }

    fn has(&self, wanted: Column) -> bool {
        self.place(wanted).is_some()
    }
}

/// Names that SES gives its columns.
const SES_NAMES: [&str; 2] = ["emailaddress", "suppressionreason"];

/// A name in small letters, without blanks, hyphens and underscores.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn column(name: &str) -> Column {
    let plain = plain(name);
    NAMES.iter().find(|(known, _)| *known == plain).map_or(Column::Other(Known::Any), |(_, column)| *column)
}

/// What the first line of a file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Where the list comes from.
    pub dialect: Dialect,
    /// Which column says what.
    pub columns: Columns,
    /// The line is a row, for there is no head.
    pub is_row: bool,
}

/// Reads the first line; `asked`: what the operator says the file is. `None`: nothing that we know.
pub fn head_of(fields: &[String], asked: Option<Dialect>) -> Option<Head> {
    let columns = Columns::of(fields);
    if columns.has(Column::Email) {
        // SendGrid's global unsubscribes are nothing but these two, by these names.
        let bare = fields.iter().map(String::as_str).eq(["email", "created"]);
        let found = match by_columns(&columns) {
            _ if bare => Dialect::SendGridUnsubscribes,
            // Addresses and reasons have many lists: SES calls them by these names.
            Dialect::Ses if !fields.iter().any(|name| SES_NAMES.contains(&plain(name).as_str())) => Dialect::Addresses,
            found => found,
        };
        return Some(Head { dialect: asked.unwrap_or(found), columns, is_row: false });
    }
    // An address in the first line: there is no head. SES takes and gives lists of address and reason.
    if !fields.first()?.contains('@') {
        return None;
    }
    let says_reason = |text: &str| ["BOUNCE", "COMPLAINT"].iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    let is_ses = fields.get(1).is_some_and(|second| says_reason(second));
    let dialect = asked.unwrap_or(if is_ses { Dialect::Ses } else { Dialect::Addresses });
    Some(Head { dialect, columns: Columns(vec![Column::Email, Column::Reason, Column::Since]), is_row: true })
}

fn by_columns(columns: &Columns) -> Dialect {
    let has = |wanted: Column| columns.has(wanted);
    let named = |wanted: &[Column]| wanted.iter().all(|column| columns.has(*column));
    let (id, ip, origin) = (Column::Other(Known::Id), Column::Other(Known::Ip), Column::Other(Known::Origin));
    if named(&[Column::Cause, Column::Since]) {
        Dialect::Hikyaku
    } else if named(&[Column::Occurred, Column::Status, Column::Since, id]) {
        Dialect::CmcBlocks
    } else if has(Column::Type) {
        Dialect::PostmarkBounces
    } else if named(&[Column::Reason, origin]) {
        Dialect::PostmarkSuppressions
    } else if has(Column::List) {
        // Both have an address, a list and a time; the names tell them apart, and mean the same.
        if columns.place(Column::Since) == Some(0) { Dialect::CmcUnsubscribes } else { Dialect::MailgunUnsubscribes }
    } else if named(&[Column::Status, Column::Reason]) {
        // SendGrid begins with the status, Mailgun with the address.
        if columns.place(Column::Email) == Some(0) { Dialect::MailgunBounces } else { Dialect::SendGridBounces }
    } else if has(ip) {
        Dialect::SendGridSpamReports
    } else if named(&[Column::Reason, Column::Since]) && columns.place(Column::Reason) == Some(0) {
        Dialect::SendGridInvalid
    } else if has(Column::Reason) {
        Dialect::Ses
    } else if has(Column::Occurred) {
        Dialect::MailgunComplaints
    } else {
        Dialect::Addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_known_by_its_head_line() {
        for (line, dialect) in [
            ("created,email,id,occurred,status", Some(Dialect::CmcBlocks)),
            ("created,email,filtername", Some(Dialect::CmcUnsubscribes)),
            ("Email address,Suppression reason,Last update time", Some(Dialect::Ses)),
            ("EmailAddress,Reason", Some(Dialect::Ses)),
            ("a@example.jp,BOUNCE", Some(Dialect::Ses)),
            ("status,reason,email,created", Some(Dialect::SendGridBounces)),
            ("reason,email,created", Some(Dialect::SendGridInvalid)),
            ("ip,email,created", Some(Dialect::SendGridSpamReports)),
            ("address,code,error,created_at", Some(Dialect::MailgunBounces)),
            ("address,count,created_at", Some(Dialect::MailgunComplaints)),
            ("address,tags,created_at", Some(Dialect::MailgunUnsubscribes)),
            ("EmailAddress,SuppressionReason,Origin,CreatedAt", Some(Dialect::PostmarkSuppressions)),
            ("ID,Type,TypeCode,Email,BouncedAt,Description", Some(Dialect::PostmarkBounces)),
            ("email,user,state,cause,class,occurred,since,until,reason", Some(Dialect::Hikyaku)),
            ("email,created", Some(Dialect::SendGridUnsubscribes)),
            ("email,name", Some(Dialect::Addresses)),
            ("email,reason", Some(Dialect::Addresses)),
            ("メールアドレス,登録日時", Some(Dialect::Addresses)),
            ("hanako@example.jp", Some(Dialect::Addresses)),
            ("name,city", None),
            ("", None),
        ] {
            let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
            assert_eq!(head_of(&fields, None).map(|head| head.dialect), dialect, "{line}");
        }
        let fields = ["email".to_owned(), "created".to_owned()];
        let head = head_of(&fields, Some(Dialect::Addresses)).expect("known");
        assert_eq!((head.dialect, head.is_row), (Dialect::Addresses, false), "the operator knows better");
    }

    #[test]
    fn every_dialect_has_a_word() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_word(dialect.word()), Some(dialect));
        }
    }
}
