//! The thread of a commit: when it was made, applied and ready, and what each step took.

use jiff::Timestamp;
use maud::{Markup, html};

use super::format::{moment, span};
use super::icon::{Glyph, glyph};
use crate::operations::CommitOutcome;
use crate::project::{Phase, Revision};

/// How a step stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    Now,
    Todo,
    Broke,
}

/// The thread of a project's commit, which was made at `committed`, as far as `outcome` tells. The newest commit of a
/// project that has the phase `phase` now may still be on its way.
pub(super) fn thread(committed: Option<&str>, outcome: Option<&CommitOutcome>, phase: Option<Phase>) -> Markup {
    let failed = outcome.is_some_and(|outcome| outcome.outcome == "failed") || phase == Some(Phase::Failed);
    let (applied, ready) = outcome.map_or((None, None), |outcome| (outcome.applied_ms, outcome.healthy_ms));
    let steps = match (applied, ready) {
        (_, Some(_)) => [Step::Done, Step::Done, Step::Done],
        (Some(_), None) if failed => [Step::Done, Step::Done, Step::Broke],
        (Some(_), None) => [Step::Done, Step::Done, Step::Now],
        (None, None) if failed => [Step::Done, Step::Broke, Step::Todo],
        (None, None) => [Step::Done, Step::Now, Step::Todo],
    };
    let ready_word = if phase == Some(Phase::Stopped) { "Stopped" } else { "Ready" };
    // An apply is counted from when the manager saw the commit.
    let seen = outcome.and_then(|outcome| Timestamp::from_millisecond(outcome.seen_at).ok());
    let took_ready = ready.zip(applied).map(|(ready, applied)| ready - applied);
    html! {
        ol.thread {
            (node(steps[0], "Commit", applied, &html! {
                (moment(committed))
                @if let Some(outcome) = outcome.filter(|outcome| !outcome.author.is_empty()) { " · " bdi { (outcome.author) } }
            }))
            (node(steps[1], "Applied", took_ready, &html! {
                @match outcome {
                    Some(outcome) if !outcome.message.is_empty() => (outcome.message),
                    Some(outcome) if applied.is_some() => { (outcome.summary) },
                    _ => @if steps[1] == Step::Now { "Waits to be applied" },
                }
            }))
            (node(steps[2], ready_word, None, &html! {
                @match (seen, ready) {
                    (Some(seen), Some(ready)) => (moment(Some(&after(seen, ready).to_string()))),
                    _ => {
                        @if steps[2] == Step::Now { "Not yet" }
                        @if steps[2] == Step::Broke { "Failed" }
                    }
                }
            }))
        }
    }
}

fn node(step: Step, word: &str, took: Option<i64>, text: &Markup) -> Markup {
    let (class, shape) = match step {
        Step::Done => ("done", Glyph::Done),
        Step::Now => ("now", Glyph::Changing),
        Step::Todo => ("todo", Glyph::Pending),
        Step::Broke => ("broke", Glyph::Failed),
    };
    html! {
        li.(class) {
            span.node { (glyph(shape)) }
            b { (word) }
            (text)
            @if let Some(took) = took { span.took { (span(took)) } }
        }
    }
}

fn after(seen: Timestamp, milliseconds: i64) -> Timestamp {
    seen.checked_add(jiff::SignedDuration::from_millis(milliseconds)).unwrap_or(seen)
}

/// What is known of how `revision` came into the cluster.
pub(super) fn outcome_of<'o>(outcomes: &'o [CommitOutcome], revision: &Revision) -> Option<&'o CommitOutcome> {
    let revision = revision.to_string();
    outcomes.iter().find(|outcome| outcome.revision == revision)
}
