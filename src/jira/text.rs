//! Rich text of JIRA as plain text: wiki markup is a string and stays as it is, the Atlassian Document Format is a tree.

use serde_json::Value;

/// Returns the text of a description or comment, a string or an ADF document. Blocks are on lines of their own; what has no
/// text (images) is left out.
#[must_use]
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => {
            let mut text = String::new();
            node(value, &mut text);
            text.trim_matches('\n').to_owned()
        }
        _ => String::new(),
    }
}

fn node(value: &Value, text: &mut String) {
    let attribute = |name: &str| value["attrs"][name].as_str().unwrap_or_default();
    match value["type"].as_str().unwrap_or_default() {
        "text" => {
            let written = value["text"].as_str().unwrap_or_default();
            text.push_str(written);
            // An address that is only behind a word would be lost.
            let links = value["marks"].as_array().into_iter().flatten().filter(|mark| mark["type"] == "link");
            for href in links.filter_map(|mark| mark["attrs"]["href"].as_str()).filter(|href| *href != written) {
                text.push_str(&format!(" ({href})"));
            }
        }
        "hardBreak" => text.push('\n'),
        "mention" | "emoji" | "status" | "date" => {
            let shown = ["text", "shortName", "timestamp"].into_iter().map(attribute).find(|shown| !shown.is_empty());
            text.push_str(shown.unwrap_or_default());
        }
        "inlineCard" | "blockCard" | "embedCard" => text.push_str(attribute("url")),
        "codeBlock" => {
            text.push_str("```\n");
            children(value, text);
            text.push_str("\n```\n");
        }
        "listItem" | "taskItem" | "decisionItem" => {
            text.push_str("- ");
            children(value, text);
            line_end(text);
        }
        "tableCell" | "tableHeader" => {
            let mut cell = String::new();
            children(value, &mut cell);
            text.push_str(cell.trim());
            text.push_str(" | ");
        }
        "paragraph" | "heading" | "blockquote" | "panel" | "tableRow" => {
            children(value, text);
            line_end(text);
        }
        _ => children(value, text),
    }
}

fn children(value: &Value, text: &mut String) {
    for child in value["content"].as_array().into_iter().flatten() {
        node(child, text);
    }
}

fn line_end(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_become_lines_and_keep_their_addresses() {
        let document = json!({"type": "doc", "version": 1, "content": [
            {"type": "heading", "attrs": {"level": 2}, "content": [{"type": "text", "text": "What"}]},
            {"type": "paragraph", "content": [
                {"type": "text", "text": "see "},
                {"type": "text", "text": "the code", "marks": [{"type": "link", "attrs": {"href": "https://h/app.git"}}]},
                {"type": "hardBreak"},
                {"type": "mention", "attrs": {"id": "x", "text": "@Ana"}},
                {"type": "unknown", "content": [{"type": "text", "text": "!"}]},
            ]},
            {"type": "bulletList", "content": [
                {"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "one"}]}]},
            ]},
            {"type": "codeBlock", "content": [{"type": "text", "text": "ls"}]},
            {"type": "paragraph", "content": [{"type": "inlineCard", "attrs": {"url": "https://h/x"}}]},
        ]});
        assert_eq!(
            text_of(&document),
            "What\nsee the code (https://h/app.git)\n@Ana!\n- one\n```\nls\n```\nhttps://h/x"
        );
        assert_eq!(text_of(&json!("h2. Wiki\n[~ana]")), "h2. Wiki\n[~ana]");
        assert_eq!(text_of(&Value::Null), "");
    }
}
