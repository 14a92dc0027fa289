//! Whether our mail, as it would leave, passes DMARC.
//!
//! In: the header-From domain, the envelope's, the signatures', the record that applies, and whether SPF and DKIM pass.  Out: how
//! each aligns, and the verdict.
//! Sources: RFC 9989 §4.4 and §4.10; R3.

use super::{Case, Known, Outcome};
use crate::{
    dmarc::{record::Mode, tree_walk::aligned},
    doctor::finding::{Area, Dmarc, Finding, Level, Seen},
};

/// Answers with whether mail passes DMARC; `None`: nobody could tell.
pub(super) async fn check(case: &Case<'_>, known: &Known) -> (Outcome, Option<bool>) {
    let mut outcome = Outcome::default();
    let Some(found) = &known.dmarc else { return (outcome, None) };
    let Some(record) = &found.record else {
        // Without a record nothing passes; whether there is one is told already.
        let passes = if found.trouble.is_some() { None } else { Some(false) };
        return (outcome, passes);
    };
    let spf_aligned = aligned(case.dns, record.aspf, found, &case.envelope).await;
    let dkim_aligned = match &case.signing {
        Some(signing) => aligned(case.dns, record.adkim, found, signing).await,
        None => Ok(false),
    };
    let (spf_aligned, dkim_aligned) = match (spf_aligned, dkim_aligned) {
        (Ok(spf), Ok(dkim)) => (spf, dkim),
        (Err(why), _) | (_, Err(why)) => {
            outcome.trouble(Area::Dmarc, case.domain, "where the organization of our domains ends", &why);
            return (outcome, None);
        }
    };
    let counts = |is_aligned: bool, passes: Option<bool>| if is_aligned { passes } else { Some(false) };
    let (spf, dkim) = (counts(spf_aligned, known.spf), counts(dkim_aligned, known.dkim));
    let verdict = match (spf, dkim) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (None, _) | (_, None) => None,
        (Some(false), Some(false)) => Some(false),
    };
    let mut told = |level, seen| outcome.found(Finding::new(level, case.domain, Seen::Dmarc(seen)));
    // One of both is enough to pass: the other is then worth a warning at most.
    let level = |counts: Option<bool>| match (counts, verdict) {
        (Some(true), _) => Level::Ok,
        (None, _) => Level::Note,
        (Some(false), Some(true)) => Level::Warning,
        (Some(false), _) => Level::Error,
    };
    told(
        level(spf),
        Dmarc::SpfAlignment {
            envelope: case.envelope.clone(),
            strict: record.aspf == Mode::Strict,
            aligned: spf_aligned,
            passes: known.spf,
        },
    );
    told(
        level(dkim),
        Dmarc::DkimAlignment {
            signing: case.signing.clone().unwrap_or_default(),
            strict: record.adkim == Mode::Strict,
            aligned: dkim_aligned,
            verifies: known.dkim,
        },
    );
    match verdict {
        Some(true) => told(Level::Ok, Dmarc::Passes { spf: spf == Some(true), dkim: dkim == Some(true) }),
        Some(false) => told(Level::Error, Dmarc::Fails { policy: found.applied().word().into() }),
        None => {}
    }
    (outcome, verdict)
}
