//! The Atlassian Document Format, which version 3 of the REST API takes.

use serde_json::{Value, json};

use super::document::{Block, Document, Span};

impl Document {
    /// Returns the document in the Atlassian Document Format.
    #[must_use]
    pub fn to_adf(&self) -> Value {
        let mut content: Vec<Value> = Vec::new();
        for block in &self.blocks {
            match block {
                Block::Paragraph(text) => content.push(json!({"type": "paragraph", "content": spans(text)})),
                Block::Heading(level, text) => {
                    let level = (*level).clamp(1, 6);
                    content.push(json!({"type": "heading", "attrs": {"level": level}, "content": spans(text)}));
                }
                // A text node may not be empty.
                Block::Code(text) if text.is_empty() => {}
                Block::Code(text) => {
                    content.push(json!({"type": "codeBlock", "content": [{"type": "text", "text": text}]}));
                }
                Block::Item { ordered, text } => {
                    let kind = if *ordered { "orderedList" } else { "bulletList" };
                    let paragraph = json!({"type": "paragraph", "content": spans(text)});
                    let item = json!({"type": "listItem", "content": [paragraph]});
                    let list = content.last_mut().filter(|list| list["type"] == kind);
                    match list.and_then(|list| list["content"].as_array_mut()) {
                        Some(items) => items.push(item),
                        None => content.push(json!({"type": kind, "content": [item]})),
                    }
                }
                Block::Rule => content.push(json!({"type": "rule"})),
            }
        }
        json!({"type": "doc", "version": 1, "content": content})
    }
}

fn spans(spans: &[Span]) -> Vec<Value> {
    let mut nodes = Vec::new();
    for span in spans {
        for (index, line) in span.text.split('\n').enumerate() {
            if index > 0 {
                nodes.push(json!({"type": "hardBreak"}));
            }
            if !line.is_empty() {
                let marks = marks(span);
                let mut node = json!({"type": "text", "text": line});
                if !marks.is_empty() {
                    node["marks"] = Value::Array(marks);
                }
                nodes.push(node);
            }
        }
    }
    nodes
}

/// The schema lets code go with a link only.
fn marks(span: &Span) -> Vec<Value> {
    let mut marks = Vec::new();
    if span.code {
        marks.push(json!({"type": "code"}));
    }
    if span.strong && !span.code {
        marks.push(json!({"type": "strong"}));
    }
    if span.emphasis && !span.code {
        marks.push(json!({"type": "em"}));
    }
    if let Some(href) = &span.link {
        marks.push(json!({"type": "link", "attrs": {"href": href}}));
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_as_the_schema_wants_it() {
        let mut document = Document::default();
        document.markdown("**A** `b`\n\n- one\n- two\n\n```\nx\n```\n\n```\n```\n");
        assert_eq!(
            document.to_adf(),
            json!({"type": "doc", "version": 1, "content": [
                {"type": "paragraph", "content": [
                    {"type": "text", "text": "A", "marks": [{"type": "strong"}]},
                    {"type": "text", "text": " "},
                    {"type": "text", "text": "b", "marks": [{"type": "code"}]},
                ]},
                {"type": "bulletList", "content": [
                    {"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "one"}]}]},
                    {"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "two"}]}]},
                ]},
                {"type": "codeBlock", "content": [{"type": "text", "text": "x"}]},
            ]})
        );
    }
}
