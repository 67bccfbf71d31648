//! One line of Claude Code's output. What is not known is [`Line::Other`]; what is missing is empty.

use serde_json::Value;

use super::Rule;
use crate::agent::chat::{Answer, BlockKind, RequestKind};

/// The content of one output line, as far as the agent uses it.
#[derive(Debug)]
pub(super) enum Line {
    /// A turn begins.
    Init { session: Option<String>, model: Option<String>, mode: Option<String>, prompts: Vec<String> },
    /// What the session is doing.
    State(SessionState),
    /// The permission mode changed.
    Mode(String),
    /// A prompt was taken into a turn.
    Replay(String),
    /// A message of Claude's begins.
    MessageStart { id: String },
    /// A text or a thought begins.
    BlockStart { index: u64, kind: BlockKind },
    /// More of it.
    Delta(String),
    /// Finished blocks of Claude's.
    Assistant { id: String, uuid: Option<String>, parent: Option<String>, content: Vec<Value>, is_error: bool },
    /// Results of tools.
    Results { uuid: Option<String>, parent: Option<String>, content: Vec<Value>, details: Value },
    /// A person has to answer.
    Ask(Ask),
    /// The answer is not needed any more.
    Withdrawn(String),
    /// The answer to a request of ours.
    Response { id: String, error: Option<String> },
    /// A request that nothing here can answer.
    Unanswerable { id: String, subtype: String },
    /// A task began; `None` where the program does not say whether in the background.
    TaskStarted { id: String, background: Option<bool> },
    /// A task ended.
    TaskEnded(String),
    /// All tasks in the background.
    Tasks(Vec<String>),
    /// A request to the model failed and is tried again.
    Retry { attempt: u64, of: u64, status: Option<u64>, error: String },
    /// What the account's plan allows.
    RateLimit { rejected: bool },
    /// The history was made shorter.
    Compacted,
    /// The session's file cannot be written.
    WritesLost,
    /// A turn ended.
    Result(Value),
    /// Anything else.
    Other,
}

/// What the session is doing, in the program's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent::program) enum SessionState {
    /// A turn runs.
    Running,
    /// A person has to answer.
    RequiresAction,
    /// No turn runs.
    Idle,
}

/// A request to a person, with all that an answer needs.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::agent::program) struct Ask {
    /// Its id.
    pub(in crate::agent::program) id: String,
    /// What is asked for.
    pub(in crate::agent::program) kind: RequestKind,
    /// The tool that it is about.
    pub(in crate::agent::program) tool: String,
    /// The tool use.
    pub(in crate::agent::program) tool_use: Option<String>,
    /// What the tool would do.
    pub(in crate::agent::program) description: Option<String>,
    /// What the tool would get.
    pub(in crate::agent::program) input: Value,
    /// The rules that allow this and what is like it.
    pub(in crate::agent::program) rules: Vec<Rule>,
    /// The directories that such rules need.
    pub(in crate::agent::program) directories: Vec<String>,
}

impl Ask {
    /// The answers that can be given.
    pub(in crate::agent::program) fn choices(&self) -> Vec<Answer> {
        match self.kind {
            RequestKind::Plan => vec![Answer::Allow, Answer::AllowSession, Answer::Deny],
            RequestKind::Permission if !self.rules.is_empty() => {
                vec![Answer::Allow, Answer::AllowSession, Answer::AllowAlways, Answer::Deny]
            }
            RequestKind::Permission | RequestKind::Question | RequestKind::Unknown => vec![Answer::Allow, Answer::Deny],
        }
    }
}

impl Line {
    /// Reads a line.
    pub(super) fn parse(text: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(text) else { return Self::Other };
        match word(&value["type"]) {
            "system" => system(&value),
            "stream_event" => stream_event(&value["event"]),
            "assistant" => Self::Assistant {
                id: word(&value["message"]["id"]).to_owned(),
                uuid: owned(&value["uuid"]),
                parent: owned(&value["parent_tool_use_id"]),
                is_error: value["is_api_error_message"] == true
                    || value["isApiErrorMessage"] == true
                    || value["error"].is_string(),
                content: list(&value["message"]["content"]),
            },
            "user" => user(&value),
            "control_request" => control_request(&value),
            "control_cancel_request" => Self::Withdrawn(word(&value["request_id"]).to_owned()),
            "control_response" => {
                let response = &value["response"];
                let failed = response["subtype"] == "error";
                let error = failed.then(|| word(&response["error"]).to_owned());
                Self::Response { id: word(&response["request_id"]).to_owned(), error }
            }
            "command_lifecycle" if value["state"] == "started" => Self::Replay(word(&value["command_uuid"]).to_owned()),
            "rate_limit_event" => Self::RateLimit { rejected: value["rate_limit_info"]["status"] == "rejected" },
            "result" => Self::Result(value),
            _ => Self::Other,
        }
    }
}

fn system(value: &Value) -> Line {
    match word(&value["subtype"]) {
        "init" => Line::Init {
            session: owned(&value["session_id"]),
            model: owned(&value["model"]),
            mode: owned(&value["permissionMode"]),
            prompts: texts(&value["user_message_uuids"]),
        },
        "session_state_changed" => match word(&value["state"]) {
            "running" => Line::State(SessionState::Running),
            "requires_action" => Line::State(SessionState::RequiresAction),
            "idle" => Line::State(SessionState::Idle),
            _ => Line::Other,
        },
        "status" => owned(&value["permissionMode"]).map_or(Line::Other, Line::Mode),
        "task_started" => {
            Line::TaskStarted { id: word(&value["task_id"]).to_owned(), background: value["is_backgrounded"].as_bool() }
        }
        "task_notification" => Line::TaskEnded(word(&value["task_id"]).to_owned()),
        "background_tasks_changed" => {
            let ids = list(&value["tasks"]).iter().filter_map(|task| owned(&task["task_id"])).collect();
            Line::Tasks(ids)
        }
        "api_retry" => Line::Retry {
            attempt: value["attempt"].as_u64().unwrap_or(0),
            of: value["max_retries"].as_u64().unwrap_or(0),
            status: value["error_status"].as_u64(),
            error: word(&value["error"]).to_owned(),
        },
        "compact_boundary" => Line::Compacted,
        "session_writes_lost" => Line::WritesLost,
        _ => Line::Other,
    }
}

fn stream_event(event: &Value) -> Line {
    match word(&event["type"]) {
        "message_start" => Line::MessageStart { id: word(&event["message"]["id"]).to_owned() },
        "content_block_start" => {
            let kind = match word(&event["content_block"]["type"]) {
                "text" => BlockKind::Text,
                "thinking" => BlockKind::Thinking,
                _ => return Line::Other,
            };
            Line::BlockStart { index: event["index"].as_u64().unwrap_or(0), kind }
        }
        "content_block_delta" => match word(&event["delta"]["type"]) {
            "text_delta" => Line::Delta(word(&event["delta"]["text"]).to_owned()),
            "thinking_delta" => Line::Delta(word(&event["delta"]["thinking"]).to_owned()),
            _ => Line::Other,
        },
        _ => Line::Other,
    }
}

fn user(value: &Value) -> Line {
    if value["isReplay"] == true {
        return Line::Replay(word(&value["uuid"]).to_owned());
    }
    let content = list(&value["message"]["content"]);
    if content.iter().any(|block| block["type"] == "tool_result") {
        return Line::Results {
            uuid: owned(&value["uuid"]),
            parent: owned(&value["parent_tool_use_id"]),
            content,
            details: value["tool_use_result"].clone(),
        };
    }
    Line::Other
}

fn control_request(value: &Value) -> Line {
    let (id, request) = (word(&value["request_id"]).to_owned(), &value["request"]);
    if request["subtype"] != "can_use_tool" {
        return Line::Unanswerable { id, subtype: word(&request["subtype"]).to_owned() };
    }
    let tool = word(&request["tool_name"]).to_owned();
    let kind = match tool.as_str() {
        "AskUserQuestion" => RequestKind::Question,
        "ExitPlanMode" => RequestKind::Plan,
        _ => RequestKind::Permission,
    };
    let suggestions = list(&request["permission_suggestions"]);
    let rules = if kind == RequestKind::Permission { Rule::suggested(&tool, &suggestions) } else { Vec::new() };
    let added = suggestions.iter().filter(|entry| entry["type"] == "addDirectories");
    Line::Ask(Ask {
        id,
        kind,
        tool,
        tool_use: owned(&request["tool_use_id"]),
        description: owned(&request["description"]),
        input: request["input"].clone(),
        directories: added.flat_map(|entry| texts(&entry["directories"])).collect(),
        rules,
    })
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn owned(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(owned).collect()
}
