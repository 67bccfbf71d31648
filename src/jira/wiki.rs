//! Wiki markup, which version 2 of the REST API takes. What is text stays text: every sign with a meaning is escaped.

use super::document::{Block, Document, Span};

impl Document {
    /// Returns the document in wiki markup.
    #[must_use]
    pub fn to_wiki(&self) -> String {
        let mut text = String::new();
        let mut was_item = false;
        for block in &self.blocks {
            let is_item = matches!(block, Block::Item { .. });
            if !text.is_empty() {
                text.push_str(if is_item && was_item { "\n" } else { "\n\n" });
            }
            was_item = is_item;
            match block {
                Block::Paragraph(found) => text.push_str(&spans(found)),
                Block::Heading(level, found) => {
                    text.push_str(&format!("h{}. {}", (*level).clamp(1, 6), spans(found).replace('\n', " ")));
                }
                Block::Code(code) => {
                    // The one thing that would end it.
                    let code = code.replace("{noformat}", "{ noformat }");
                    text.push_str(&format!("{{noformat}}\n{code}\n{{noformat}}"));
                }
                Block::Item { ordered, text: found } => {
                    let sign = if *ordered { '#' } else { '*' };
                    text.push_str(&format!("{sign} {}", spans(found).replace('\n', " ")));
                }
                Block::Rule => text.push_str("----"),
            }
        }
        text
    }
}

fn spans(spans: &[Span]) -> String {
    spans.iter().map(span).collect()
}

fn span(span: &Span) -> String {
    let text = escaped(&span.text);
    if let Some(address) = &span.link {
        return format!("[{text}|{address}]");
    }
    // A sign beside a blank marks nothing.
    let fits = !span.text.is_empty() && span.text.trim() == span.text && !span.text.contains('\n');
    match (fits, span.code, span.strong, span.emphasis) {
        (true, true, ..) => format!("{{{{{text}}}}}"),
        (true, _, true, _) => format!("*{text}*"),
        (true, _, _, true) => format!("_{text}_"),
        _ => text,
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_line_start = true;
    for c in text.chars() {
        let marks = "{}[]|!*_^~+?\\".contains(c) || (is_line_start && "#-".contains(c));
        if marks {
            out.push('\\');
        }
        out.push(c);
        is_line_start = c == '\n';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut document = Document::default();
        document.paragraph("{code} [~admin] !x.png! a|b");
        document.markdown("**bold** and `x{y}`\n\n1. one\n2. two\n\n```\n{noformat} h1. no\n```");
        assert_eq!(
            document.to_wiki(),
            "\\{code\\} \\[\\~admin\\] \\!x.png\\! a\\|b\n\n*bold* and {{x\\{y\\}}}\n\n# one\n# two\n\n{noformat}\n{ noformat } h1. no\n{noformat}"
        );
    }
}
