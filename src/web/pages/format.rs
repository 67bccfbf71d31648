//! How a phase, a moment and a commit look.

use maud::{Markup, html};

use crate::project::{Phase, Revision};

/// A phase: a sign and its word, coloured; either would do without the colour.
pub(super) fn badge(phase: Phase) -> Markup {
    let (sign, class) = match phase {
        Phase::Pending => ("○", "wait"),
        Phase::Starting => ("◐", "wait"),
        Phase::Running => ("●", "good"),
        Phase::Stopping => ("◑", "wait"),
        Phase::Stopped => ("■", "calm"),
        Phase::Failed => ("▲", "bad"),
        Phase::Suspended => ("‖", "calm"),
        Phase::Deleting => ("✕", "wait"),
    };
    html! {
        span.badge.(class) { span aria-hidden="true" { (sign) } " " (phase.as_str()) }
    }
}

/// A moment, given in RFC 3339; to the minute, which is enough to read.
pub(super) fn moment(text: Option<&str>) -> Markup {
    let shown = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    html! {
        @match (shown, text) {
            (Some(time), Some(text)) => time datetime=(text) { (time.strftime("%Y-%m-%d %H:%M UTC")) },
            _ => span.small { "unknown" },
        }
    }
}

/// A commit, short; whole for whoever points at it.
pub(super) fn commit(revision: &Revision) -> Markup {
    html! { code title=(revision) { (revision.short()) } }
}
