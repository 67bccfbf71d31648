//! The block that streams now. It is in memory alone: its finished text is the event.

use crate::agent::chat::{BlockKind, EventKind};

use super::bounds::MAX_TEXT;

/// A block that is not finished.
#[derive(Clone, Debug)]
pub(super) struct OpenBlock {
    /// Its id.
    pub(super) id: String,
    /// What it is.
    pub(super) kind: BlockKind,
    /// What there is of it.
    text: String,
    /// How many characters that are.
    characters: u64,
}

/// How much of an open block a reader has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::agent::program) struct Had {
    block: String,
    bytes: usize,
    characters: u64,
}

/// What a reader does not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agent::program) struct Delta {
    /// The block's id.
    pub(in crate::agent::program) block: String,
    /// What it is.
    pub(in crate::agent::program) kind: BlockKind,
    /// Where the text belongs, in characters.
    pub(in crate::agent::program) offset: u64,
    /// The text.
    pub(in crate::agent::program) text: String,
}

impl OpenBlock {
    pub(super) const fn new(id: String, kind: BlockKind) -> Self {
        Self { id, kind, text: String::new(), characters: 0 }
    }

    /// Adds text, up to what an event may hold.
    pub(super) fn push(&mut self, text: &str) {
        let room = MAX_TEXT - self.text.len().min(MAX_TEXT);
        let text = &text[..text.floor_char_boundary(room)];
        self.text.push_str(text);
        self.characters += text.chars().count() as u64;
    }

    /// The event for a block that was cut off; `None` where there is nothing of it.
    pub(super) fn cut_off(self) -> Option<EventKind> {
        if self.text.is_empty() {
            return None;
        }
        let (block, text, parent, partial) = (self.id, self.text, None, true);
        Some(match self.kind {
            BlockKind::Thinking => EventKind::Thinking { block, text, parent, partial },
            BlockKind::Text | BlockKind::Unknown => EventKind::Text { block, text, parent, partial },
        })
    }

    /// Returns what is new to a reader, and takes note that it has it.
    pub(super) fn since(&self, had: &mut Had) -> Option<Delta> {
        if had.block != self.id {
            *had = Had { block: self.id.clone(), ..Had::default() };
        }
        let new = self.text.get(had.bytes..).filter(|new| !new.is_empty())?;
        let delta = Delta { block: self.id.clone(), kind: self.kind, offset: had.characters, text: new.to_owned() };
        had.bytes = self.text.len();
        had.characters = self.characters;
        Some(delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_each_character_once_from_the_first_on() {
        let mut block = OpenBlock::new("b".to_owned(), BlockKind::Text);
        let (mut early, mut late) = (Had::default(), Had::default());
        let mut told = Vec::new();
        for part in ["é", "", "ab", "c"] {
            block.push(part);
            told.extend(block.since(&mut early).map(|delta| (delta.offset, delta.text)));
        }
        assert_eq!(told, [(0, "é".to_owned()), (1, "ab".to_owned()), (3, "c".to_owned())]);
        let all = block.since(&mut late).unwrap();
        assert_eq!((all.offset, all.text.as_str()), (0, "éabc"));
        let next = OpenBlock::new("c".to_owned(), BlockKind::Text);
        assert_eq!(next.since(&mut early), None);
    }

    #[test]
    fn a_block_stays_within_its_bound() {
        let mut block = OpenBlock::new("b".to_owned(), BlockKind::Text);
        for _ in 0..3 {
            block.push(&"é".repeat(MAX_TEXT / 4));
        }
        assert_eq!(block.text.len(), MAX_TEXT);
        block.push("é");
        assert_eq!(block.text.len(), MAX_TEXT);
        assert!(matches!(block.cut_off(), Some(EventKind::Text { partial: true, .. })));
    }
}
