//! Permission rules in Claude Code's words: `Bash(npm test *)`, `Edit`, `mcp__server__tool`.

use std::fmt;

use serde_json::{Value, json};

/// The longest rule in bytes. A longer one is a program, and not what a person means by "always".
const MAX_LENGTH: usize = 2048;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent::program) struct Rule {
    tool: String,
    content: Option<String>,
}

impl Rule {
    /// The rules that a request suggests to allow. None where Claude Code suggests none for a command: what it does not
    /// generalise is not generalised here.
    pub(super) fn suggested(tool: &str, suggestions: &[Value]) -> Vec<Self> {
        let mut rules: Vec<Self> = suggestions
            .iter()
            .filter(|entry| entry["type"] == "addRules" && entry["behavior"] == "allow")
            .flat_map(|entry| entry["rules"].as_array().into_iter().flatten())
            .filter_map(|rule| {
                let content = rule["ruleContent"].as_str().map(str::to_owned);
                Some(Self { tool: rule["toolName"].as_str()?.to_owned(), content })
            })
            .collect();
        // An edit and a tool of an MCP server are allowed by their names.
        let by_name = ["Edit", "Write", "NotebookEdit"].contains(&tool) || tool.starts_with("mcp__");
        if rules.is_empty() && by_name {
            rules.push(Self { tool: tool.to_owned(), content: None });
        }
        rules.retain(Self::is_sound);
        rules
    }

    fn is_sound(&self) -> bool {
        let name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let text = self.content.as_deref().unwrap_or_default();
        !self.tool.is_empty()
            && self.tool.chars().all(name)
            && self.tool.len() + text.len() <= MAX_LENGTH
            && !text.contains('\0')
    }

    /// The rule in an `updatedPermissions` entry.
    pub(super) fn entry(&self) -> Value {
        match &self.content {
            Some(content) => json!({"toolName": self.tool, "ruleContent": content}),
            None => json!({"toolName": self.tool}),
        }
    }
}

/// As settings files have it; brackets in the content are escaped there.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            None => f.write_str(&self.tool),
            Some(content) => {
                let escaped = content.replace('\\', r"\\").replace('(', r"\(").replace(')', r"\)");
                write!(f, "{}({escaped})", self.tool)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_become_rules() {
        let suggested = |tool: &str, suggestions: Value| -> Vec<String> {
            let rules = Rule::suggested(tool, suggestions.as_array().unwrap());
            rules.iter().map(Rule::to_string).collect()
        };
        let touch = json!([
            {"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "touch x *"}], "behavior": "allow",
                "destination": "localSettings"},
            {"type": "addDirectories", "directories": ["/workspace/repo"], "destination": "session"},
            {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
        ]);
        assert_eq!(suggested("Bash", touch), ["Bash(touch x *)"]);
        let mode = json!([{"type": "setMode", "mode": "acceptEdits", "destination": "session"}]);
        assert_eq!(suggested("Edit", mode.clone()), ["Edit"]);
        assert_eq!(suggested("Bash", mode), [""; 0]);
        assert_eq!(suggested("mcp__files__read", json!([])), ["mcp__files__read"]);
        let deny = json!([{"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "deny"}]);
        assert_eq!(suggested("Bash", deny), [""; 0]);
    }

    #[test]
    fn brackets_are_escaped_and_unsound_rules_are_dropped() {
        let of = |content: &str| {
            let suggestion = json!([{"type": "addRules", "behavior": "allow",
                "rules": [{"toolName": "Bash", "ruleContent": content}]}]);
            Rule::suggested("Bash", suggestion.as_array().unwrap())
        };
        assert_eq!(of(r"echo $(date) \n")[0].to_string(), r"Bash(echo $\(date\) \\n)");
        assert!(of(&"x".repeat(MAX_LENGTH)).is_empty());
        assert!(of("a\0b").is_empty());
    }
}
