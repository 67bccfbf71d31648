//! A text for JIRA, before it is written in either of its formats.

use super::markdown;

/// A text of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The blocks, in order.
    pub blocks: Vec<Block>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Running text.
    Paragraph(Vec<Span>),
    /// A heading of the level 1 to 6.
    Heading(u8, Vec<Span>),
    /// Code, as it is.
    Code(String),
    /// An item of a list; items of one kind that follow one another are one list.
    Item {
        /// Whether the list has numbers.
        ordered: bool,
        /// The item's text.
        text: Vec<Span>,
    },
    /// A line between parts.
    Rule,
}

/// Text of one form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The text; may have line breaks.
    pub text: String,
    /// Bold.
    pub strong: bool,
    /// Italic.
    pub emphasis: bool,
    /// Code.
    pub code: bool,
    /// Where it leads: an http or https address.
    pub link: Option<String>,
}

impl Span {
    /// Plain text.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A link. An address that is neither http nor https stays text.
    #[must_use]
    pub fn link(text: impl Into<String>, address: &str) -> Self {
        Self { text: text.into(), link: web_address(address), ..Self::default() }
    }
}

/// The address, if a browser may be led there.
pub(super) fn web_address(address: &str) -> Option<String> {
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    let fits = !address.contains(|c: char| c.is_whitespace() || c.is_control() || "|[]{}<>\"".contains(c));
    (is_web && fits).then(|| address.to_owned())
}

impl Document {
    /// Adds a paragraph of plain text.
    pub fn paragraph(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Paragraph(vec![Span::plain(text)]));
    }

    /// Adds Markdown, as Claude writes it.
    pub fn markdown(&mut self, text: &str) {
        self.blocks.extend(markdown::blocks(text));
    }

    /// Keeps the first blocks that together have at most `most` characters, and says so where others are left out.
    pub fn shorten(&mut self, most: usize) {
        let mut used = 0;
        for index in 0..self.blocks.len() {
            used += self.blocks[index].length();
            if used > most {
                self.blocks.truncate(index);
                self.paragraph("(The rest is left out here, as a comment of JIRA holds no more.)");
                return;
            }
        }
    }
}

impl Block {
    /// Characters, and a few for the markup around them.
    fn length(&self) -> usize {
        let spans = |spans: &[Span]| -> usize {
            let length = |span: &Span| span.text.chars().count() + span.link.as_ref().map_or(0, String::len) + 8;
            spans.iter().map(length).sum()
        };
        match self {
            Self::Paragraph(text) | Self::Heading(_, text) | Self::Item { text, .. } => spans(text) + 8,
            Self::Code(text) => text.chars().count() + 24,
            Self::Rule => 8,
        }
    }
}
