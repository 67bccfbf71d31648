//! The events of a conversation's log.
//!
//! They are the agent's own words, not the lines of Claude Code: a new release of it changes the translation, and no log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Answer;

/// One entry of the log: `{seq, at, kind, …}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, from 1 without gaps.
    pub seq: u64,
    /// When it happened, RFC 3339.
    pub at: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EventKind {
    /// A prompt was accepted; it is durable, and waits.
    Prompt {
        /// The client's id.
        prompt_id: String,
        /// Its text.
        text: String,
        /// Where it comes from.
        source: String,
        /// Who sent it: the id of a principal.
        actor: String,
        /// Files that go with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<AttachmentSummary>,
    },
    /// A prompt was taken back before it started.
    PromptCancelled {
        /// The prompt.
        prompt_id: String,
        /// Who took it back.
        actor: String,
    },
    /// A turn began. From here on its prompts are never run again by themselves.
    TurnStarted {
        /// The prompts that it answers; none for a turn that Claude Code began itself.
        prompt_ids: Vec<String>,
        /// Why it began.
        origin: Origin,
    },
    /// A finished text of Claude's.
    Text {
        /// The id under which its deltas came.
        block: String,
        /// The text, at most 256 KiB of it.
        text: String,
        /// The subagent's tool use, for what a subagent says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// Whether it was cut off: by an interrupt, a crash, or the bound.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    /// A finished thought of Claude's.
    Thinking {
        /// The id under which its deltas came.
        block: String,
        /// The text, at most 256 KiB of it.
        text: String,
        /// The subagent's tool use, for what a subagent thinks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// Whether it was cut off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    /// Claude uses a tool.
    ToolUse {
        /// Links it to its result and to its request.
        tool_use_id: String,
        /// The tool's name.
        name: String,
        /// What it is used with. Long texts in it are cut, and `truncated` says so.
        input: Value,
        /// The subagent's tool use, for what a subagent does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// Whether the input was cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// What a tool answered.
    ToolResult {
        /// The use that it answers.
        tool_use_id: String,
        /// Its text, at most 64 KiB of it.
        text: String,
        /// Whether it failed or was refused.
        is_error: bool,
        /// Its structured form as Claude Code gives it (patches of an edit, a task list), when it is short enough.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<Value>,
        /// The subagent's tool use, for what a subagent does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// Whether the text was cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// Claude Code waits for a person's answer.
    Request {
        /// The request's id.
        request_id: String,
        /// What is asked for.
        request_kind: RequestKind,
        /// The tool that it is about.
        tool: String,
        /// The tool use, once Claude Code names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_use_id: Option<String>,
        /// What the tool would do, in a sentence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// What the tool would get. For a question `questions`, for a plan `plan`, in Claude Code's words.
        input: Value,
        /// The answers that can be given.
        choices: Vec<Answer>,
        /// The rules that `allowSession` and `allowAlways` add, such as `Bash(npm test *)`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rules: Vec<String>,
        /// Whether the input was cut. The tool still gets all of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// A person answered.
    RequestAnswered {
        /// The request.
        request_id: String,
        /// The decision.
        answer: Answer,
        /// Who decided.
        actor: String,
        /// The reason of a denial.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The answers to questions, by the question's text.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        answers: BTreeMap<String, String>,
    },
    /// The request is void; nobody needs to answer it.
    RequestWithdrawn {
        /// The request.
        request_id: String,
        /// Why.
        reason: WithdrawReason,
    },
    /// A turn ended.
    TurnEnded {
        /// How.
        outcome: Outcome,
        /// The prompts that it answered.
        prompt_ids: Vec<String>,
        /// The tokens of this turn, all models together.
        #[serde(default)]
        usage: Usage,
        /// What this turn cost in US dollars, as Claude Code says.
        #[serde(default)]
        cost_usd: f64,
        /// How long it took.
        #[serde(default)]
        duration_ms: u64,
        /// For people: why it failed or was cut off, or when a limit ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The model that answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// Something that a person should know, and that is no part of Claude's answer.
    Notice {
        /// How bad it is.
        level: NoticeLevel,
        /// A stable word.
        code: String,
        /// A sentence for people.
        text: String,
    },
    /// Something of a newer agent, with all its fields.
    #[serde(untagged)]
    Unknown(Map<String, Value>),
}

/// A file that went with a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentSummary {
    /// The file's name.
    pub name: String,
    /// Its type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content, in hex.
    #[serde(default)]
    pub sha256: String,
}

/// Why a turn began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// A prompt.
    Prompt,
    /// A background task of Claude Code's ended.
    Background,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// What is asked of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKind {
    /// Whether a tool may be used.
    Permission,
    /// Questions of Claude's.
    Question,
    /// Whether a plan may be carried out.
    Plan,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// Why a request is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WithdrawReason {
    /// Claude Code took it back: the turn was interrupted, or it needs no answer any more.
    Cancelled,
    /// The program or the agent ended.
    Restarted,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Claude has answered.
    Done,
    /// It failed; the message says why.
    Failed,
    /// It was cut off: by a person, or by the end of Claude Code or of the agent. Nothing of it runs again by itself.
    Interrupted,
    /// A limit was reached: of turns, of money, or of the account's plan.
    Limit,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// How bad a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Needs a look.
    Warning,
    /// Something does not work.
    Error,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Read at the full price.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_tokens: u64,
    /// Written to the cache.
    pub cache_write_tokens: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Event {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn the_words_on_the_wire_are_these() {
        for value in [
            json!({"seq": 1, "at": "t", "kind": "prompt", "promptId": "p", "text": "x", "source": "ui", "actor": "a"}),
            json!({"seq": 2, "at": "t", "kind": "turnStarted", "promptIds": ["p"], "origin": "prompt"}),
            json!({"seq": 3, "at": "t", "kind": "text", "block": "b", "text": "hi"}),
            json!({"seq": 4, "at": "t", "kind": "thinking", "block": "b", "text": "hm", "partial": true}),
            json!({"seq": 5, "at": "t", "kind": "toolUse", "toolUseId": "u", "name": "Bash", "input": {"command": "ls"}}),
            json!({"seq": 6, "at": "t", "kind": "toolResult", "toolUseId": "u", "text": "a", "isError": false}),
            json!({"seq": 7, "at": "t", "kind": "request", "requestId": "r", "requestKind": "permission",
                "tool": "Bash", "input": {}, "choices": ["allow", "allowSession", "allowAlways", "deny"]}),
            json!({"seq": 8, "at": "t", "kind": "requestAnswered", "requestId": "r", "answer": "deny", "actor": "a"}),
            json!({"seq": 9, "at": "t", "kind": "requestWithdrawn", "requestId": "r", "reason": "restarted"}),
            json!({"seq": 10, "at": "t", "kind": "turnEnded", "outcome": "limit", "promptIds": [], "costUsd": 0.5,
                "usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadTokens": 3, "cacheWriteTokens": 4},
                "durationMs": 7}),
            json!({"seq": 11, "at": "t", "kind": "notice", "level": "warning", "code": "c", "text": "x"}),
            json!({"seq": 12, "at": "t", "kind": "promptCancelled", "promptId": "p", "actor": "a"}),
        ] {
            let event = read(&value);
            assert!(!matches!(event.kind, EventKind::Unknown(_)), "{value}");
            assert_eq!(serde_json::to_value(&event).unwrap(), value);
        }
    }

    #[test]
    fn an_event_of_a_newer_agent_keeps_all_that_it_has() {
        let value = json!({"seq": 3, "at": "t", "kind": "hologram", "depth": {"m": [1, 2.5, null]}});
        let event = read(&value);
        assert!(matches!(&event.kind, EventKind::Unknown(fields) if fields["kind"] == "hologram"), "{event:?}");
        assert_eq!(serde_json::to_value(&event).unwrap(), value);
        // A known kind in a shape that this program does not know is passed on, too.
        let value = json!({"seq": 4, "at": "t", "kind": "text", "block": 7});
        assert_eq!(serde_json::to_value(read(&value)).unwrap(), value);
    }

    #[test]
    fn newer_words_and_fields_are_passed_over() {
        let event =
            read(&json!({"seq": 1, "at": "t", "kind": "turnEnded", "outcome": "paused", "promptIds": [], "x": 1}));
        let EventKind::TurnEnded { outcome, usage, .. } = event.kind else { panic!("{event:?}") };
        assert_eq!((outcome, usage), (Outcome::Unknown, Usage::default()));
    }
}
