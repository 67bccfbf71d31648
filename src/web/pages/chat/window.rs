//! The part of a long conversation that one page shows: bounded in events and in bytes.

use maud::Markup;

use super::event::markup;
use crate::chat::Event;

/// How many events a page shows.
pub(super) const EVENTS: u64 = 200;
/// How many bytes of them, so that the whole page stays below 100 kB; one event may be more.
const BYTES: usize = 64 * 1024;

/// Which end of a window is kept when it holds too much.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The oldest events.
    First,
    /// The newest.
    Last,
}

/// Events with their markup.
pub(super) struct Window {
    /// The number of the event before the first one shown.
    pub(super) after: u64,
    /// The number of the last one shown.
    pub(super) last: u64,
    /// The events.
    pub(super) shown: Vec<Markup>,
    /// Whether events at the far end were left out.
    pub(super) is_cut: bool,
}

impl Window {
    /// As many of `events`, which follow the number `after`, as fit on a page.
    pub(super) fn of(events: &[Event], after: u64, keep: Keep) -> Self {
        let mut left = BYTES;
        let mut take = |(_, markup): &(u64, Markup)| {
            let fits = markup.0.len() <= left || left == BYTES;
            left = left.saturating_sub(markup.0.len());
            fits
        };
        let rendered = events.iter().map(|event| (event.seq, markup(event)));
        let mut kept: Vec<(u64, Markup)> = match keep {
            Keep::First => rendered.take_while(&mut take).collect(),
            Keep::Last => rendered.rev().take_while(&mut take).collect(),
        };
        if keep == Keep::Last {
            kept.reverse();
        }
        let (first, last) = (kept.first().map(|one| one.0), kept.last().map(|one| one.0));
        Self {
            after: first.map_or(after, |first| first.saturating_sub(1)),
            last: last.unwrap_or(after),
            is_cut: kept.len() < events.len(),
            shown: kept.into_iter().map(|(_, markup)| markup).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_keeps_what_fits_at_its_end() {
        let event = |seq: u64| {
            let text = "x".repeat(20_000);
            serde_json::from_value(json!({"seq": seq, "at": "t", "kind": "text", "block": "b", "text": text})).unwrap()
        };
        let events: Vec<Event> = (5..15).map(event).collect();
        let seqs = |keep| {
            let window = Window::of(&events, 4, keep);
            (window.after, window.last, window.shown.len(), window.is_cut)
        };
        assert_eq!(seqs(Keep::First), (4, 7, 3, true));
        assert_eq!(seqs(Keep::Last), (11, 14, 3, true));
        let none = Window::of(&[], 4, Keep::Last);
        assert_eq!((none.after, none.last, none.is_cut), (4, 4, false));
    }
}
