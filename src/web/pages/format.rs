//! How a phase, a moment, a span and a commit look, and a message as a sentence.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::icon::{Glyph, Icon, glyph, icon};
use crate::project::{Phase, ProjectName, Revision};
use crate::web::now;

/// A state: a shape and its word, coloured; either would do without the colour.
pub(super) fn state(shape: Glyph, word: &str, class: &str) -> Markup {
    html! { span.badge.(class) { (glyph(shape)) (word) } }
}

/// A phase.
pub(super) fn badge(phase: Phase) -> Markup {
    let (shape, class) = shape(phase);
    state(shape, phase.as_str(), class)
}

/// The shape of a phase, and the class of its colour.
pub(super) const fn shape(phase: Phase) -> (Glyph, &'static str) {
    match phase {
        Phase::Pending => (Glyph::Pending, "wait"),
        Phase::Starting | Phase::Stopping => (Glyph::Changing, "wait"),
        Phase::Running => (Glyph::Running, "good"),
        Phase::Stopped => (Glyph::Stopped, "calm"),
        Phase::Failed => (Glyph::Failed, "bad"),
        Phase::Suspended => (Glyph::Suspended, "calm"),
        Phase::Deleting => (Glyph::Cancelled, "bad"),
    }
}

/// A moment, given in RFC 3339: how long ago it was, and the time itself for a reader who points at it.
pub(super) fn moment(text: Option<&str>) -> Markup {
    let shown = text.and_then(|text| text.parse::<Timestamp>().ok());
    html! {
        @match (shown, text) {
            (Some(time), Some(text)) => {
                time datetime=(text) title=(time.strftime("%Y-%m-%d %H:%M:%S UTC")) { (relative(time, now())) }
            }
            _ => span.mute { "unknown" },
        }
    }
}

/// How long ago a moment was, or how soon it will be; after a month its date.
fn relative(time: Timestamp, now: Timestamp) -> String {
    let distance = now.duration_since(time);
    let (seconds, is_past) = (distance.as_secs().unsigned_abs(), distance.as_secs() >= 0);
    let told = |amount: u64, unit: &str| match is_past {
        true => format!("{amount} {unit} ago"),
        false => format!("in {amount} {unit}"),
    };
    match seconds {
        0..60 => if is_past { "just now" } else { "in a moment" }.to_owned(),
        60..3600 => told(seconds / 60, "min"),
        3600..86_400 => told(seconds / 3600, "h"),
        86_400..2_592_000 => told(seconds / 86_400, "d"),
        _ => time.strftime("%-d %b %Y").to_string(),
    }
}

/// A span in milliseconds.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = SignedDuration::from_millis(milliseconds.max(0)).as_secs_f64();
    match seconds {
        ..1.0 => format!("{} ms", milliseconds.max(0)),
        1.0..60.0 => format!("{seconds:.1} s"),
        60.0..3600.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// A commit, short; whole for a reader who points at it. It leads to what it changes in the cluster.
pub(super) fn commit(base: &str, revision: &Revision) -> Markup {
    sha(revision, &format!("{base}/plan?revision={revision}"))
}

/// A commit of a project. It leads to what it changes in the project's overlay.
pub(super) fn commit_of(base: &str, project: &ProjectName, revision: &Revision) -> Markup {
    sha(revision, &format!("{base}/projects/{project}/commits/{revision}"))
}

fn sha(revision: &Revision, address: &str) -> Markup {
    html! { a.chip.sha href=(address) title=(revision) { (icon(Icon::Commit)) (revision.short()) } }
}

/// A long text as far as a page shows it, with a note where it goes on.
pub(super) fn bounded(text: &str) -> Markup {
    const MOST: usize = 32 * 1024;
    let end = text.floor_char_boundary(MOST);
    html! {
        pre tabindex="0" { (text[..end]) }
        @if end < text.len() { p.small { "The text goes on: " (text.len()) " bytes in all. The API and the command line have all of it." } }
    }
}

/// Words that messages begin with. A word that is none of them may be an id or a file's name, which stays as it is.
const OPENERS: &[&str] = &[
    "a",
    "all",
    "an",
    "another",
    "can",
    "cannot",
    "choose",
    "does",
    "each",
    "every",
    "give",
    "has",
    "have",
    "is",
    "it",
    "its",
    "look",
    "may",
    "must",
    "namespaces",
    "no",
    "none",
    "not",
    "nothing",
    "objects",
    "only",
    "send",
    "set",
    "sign",
    "something",
    "such",
    "that",
    "the",
    "there",
    "these",
    "they",
    "this",
    "too",
    "try",
    "type",
    "use",
    "volumes",
    "wait",
    "was",
    "what",
    "when",
    "where",
    "with",
    "without",
];

/// A message as a sentence of its own. Ids at its beginning keep their case.
pub(super) fn sentence(text: &str) -> String {
    let first = text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_' && c != '.' && c != '/').next();
    let is_opener = first.is_some_and(|word| OPENERS.contains(&word));
    let mut sentence = String::with_capacity(text.len() + 1);
    let mut characters = text.chars();
    if is_opener {
        sentence.extend(characters.next().into_iter().flat_map(char::to_uppercase));
    }
    sentence.push_str(characters.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_by_their_distance() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-11-30T11:59:30Z", "just now"),
            ("2026-11-30T11:56:00Z", "4 min ago"),
            ("2026-11-30T09:00:00Z", "3 h ago"),
            ("2026-11-28T09:00:00Z", "2 d ago"),
            ("2026-08-04T09:00:00Z", "4 Aug 2026"),
            ("2026-11-30T12:00:30Z", "in a moment"),
            ("2026-11-30T14:30:00Z", "in 2 h"),
        ] {
            assert_eq!(relative(time.parse().unwrap(), now), expected, "{time}");
        }
    }

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        let told = [-4, 12, 1500, 90_000, 7_200_000].map(span);
        assert_eq!(told, ["0 ms", "12 ms", "1.5 s", "2 min", "2.0 h"]);
    }

    #[test]
    fn sentences_begin_with_a_capital_unless_an_id_stands_there() {
        for (text, expected) in [
            ("there is no project", "There is no project."),
            ("beta is stopped", "beta is stopped."),
            ("the-shop is stopped", "the-shop is stopped."),
            ("spec.ports: required", "spec.ports: required."),
            ("Done!", "Done!"),
            ("", "."),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }
}
