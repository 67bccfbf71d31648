//! Claude's Markdown as blocks.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::document::{Block, Span, web_address};

/// Returns the blocks of a Markdown text. Nested lists are flattened, HTML is text.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut writer = Writer::default();
    for event in Parser::new(text) {
        writer.event(event);
    }
    writer.end_block();
    writer.blocks
}

#[derive(Default)]
struct Writer {
    blocks: Vec<Block>,
    spans: Vec<Span>,
    form: Span,
    heading: Option<u8>,
    /// The lists around, from the outside in, and whether they have numbers.
    lists: Vec<bool>,
    is_item: bool,
    code: Option<String>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text, false),
            Event::Code(text) => self.text(&text, true),
            Event::SoftBreak => self.text(" ", false),
            Event::HardBreak => self.text("\n", false),
            Event::Rule => {
                self.end_block();
                self.blocks.push(Block::Rule);
            }
            Event::TaskListMarker(is_done) => self.text(if is_done { "[x] " } else { "[ ] " }, false),
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.text(&text, false);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.end_block();
                self.heading = Some(level as u8);
            }
            Tag::CodeBlock(_) => {
                self.end_block();
                self.code = Some(String::new());
            }
            Tag::List(first) => {
                self.end_block();
                self.lists.push(first.is_some());
            }
            Tag::Item => {
                self.end_block();
                self.is_item = true;
            }
            Tag::Strong => self.form.strong = true,
            Tag::Emphasis => self.form.emphasis = true,
            Tag::Link { dest_url, .. } => self.form.link = web_address(&dest_url),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::HtmlBlock => self.end_block(),
            TagEnd::CodeBlock => {
                if let Some(code) = self.code.take() {
                    self.blocks.push(Block::Code(code.trim_end_matches('\n').to_owned()));
                }
            }
            TagEnd::List(_) => {
                self.end_block();
                self.lists.pop();
            }
            TagEnd::Strong => self.form.strong = false,
            TagEnd::Emphasis => self.form.emphasis = false,
            TagEnd::Link => self.form.link = None,
            _ => {}
        }
    }

    fn text(&mut self, text: &str, code: bool) {
        match &mut self.code {
            Some(block) => block.push_str(text),
            None => self.spans.push(Span { text: text.to_owned(), code, ..self.form.clone() }),
        }
    }

    fn end_block(&mut self) {
        let heading = self.heading.take();
        let is_item = std::mem::take(&mut self.is_item);
        if self.spans.iter().all(|span| span.text.trim().is_empty()) {
            self.spans.clear();
            // The item's paragraph is still to come.
            self.is_item = is_item;
            return;
        }
        let text = std::mem::take(&mut self.spans);
        self.blocks.push(match (heading, is_item) {
            (Some(level), _) => Block::Heading(level, text),
            (None, true) => Block::Item { ordered: self.lists.last().copied().unwrap_or(false), text },
            (None, false) => Block::Paragraph(text),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_blocks() {
        let text = "# Done\n\nAll **is** `well`, [see](https://h/x) [no](javascript:x).\n\n- one\n- two\n  1. three\n\n```rust\nlet a = \"<b>\";\n```\n---\n<script>";
        let found = blocks(text);
        let plain = |block: &Block| match block {
            Block::Paragraph(spans) | Block::Heading(_, spans) | Block::Item { text: spans, .. } => {
                spans.iter().map(|span| span.text.as_str()).collect::<String>()
            }
            Block::Code(text) => format!("code:{text}"),
            Block::Rule => "--".to_owned(),
        };
        let lines: Vec<String> = found.iter().map(plain).collect();
        assert_eq!(
            lines,
            ["Done", "All is well, see no.", "one", "two", "three", "code:let a = \"<b>\";", "--", "<script>"]
        );
        assert!(matches!(&found[0], Block::Heading(1, _)));
        assert!(matches!(&found[2], Block::Item { ordered: false, .. }));
        assert!(matches!(&found[4], Block::Item { ordered: true, .. }), "{found:#?}");
        let Block::Paragraph(spans) = &found[1] else { panic!("{found:#?}") };
        assert!(spans.iter().any(|span| span.strong && span.text == "is"));
        let links: Vec<_> = spans.iter().filter_map(|span| span.link.as_deref()).collect();
        assert_eq!(links, ["https://h/x"]);
    }
}
