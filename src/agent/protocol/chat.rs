//! Conversations between manager and agent: the types below `/agent/v1/conversations` and on `/agent/v1/ws`.
//!
//! | call | meaning |
//! |---|---|
//! | `GET /agent/v1/conversations` | [`ConversationList`] |
//! | `POST /agent/v1/conversations` [`NewConversation`] | 201 [`Conversation`]; the same `id` again answers the same one |
//! | `GET …/conversations/:cid` | [`ConversationDetail`] |
//! | `GET …/conversations/:cid/events?after=SEQ&limit=N` | [`EventPage`], at most [`MAX_PAGE`] events |
//! | `POST …/conversations/:cid/prompts` [`NewPrompt`] | 202 [`PromptAccepted`] once the prompt is durable |
//! | `DELETE …/conversations/:cid/prompts/:pid` | 200 [`PromptCancelled`]; 409 when it has started |
//! | `POST …/conversations/:cid/interrupt` | 202 [`Interrupted`] |
//! | `POST …/conversations/:cid/requests/:rid` [`NewAnswer`] | 200 [`AnswerAccepted`]; 409 when it is closed |
//! | `GET /agent/v1/ws` | one WebSocket of [`ClientFrame`]s and [`ServerFrame`]s, for any number of conversations |
//!
//! Every call carries a token; its subject is the `actor` of what the call causes. Errors are RFC 9457 problems, whose
//! type ends in one of the words of [`word`].

mod event;
mod frame;
mod id;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use event::{
    AttachmentSummary, Event, EventKind, NoticeLevel, Origin, Outcome, RequestKind, Usage, WithdrawReason,
};
pub use frame::{BlockKind, ClientFrame, OpenRequest, Problem, QueuedPrompt, ServerFrame};
pub use id::{Id, NotAnId};

/// The most events in one page.
pub const MAX_PAGE: u64 = 1000;
/// The longest text of a prompt in bytes.
pub const MAX_PROMPT: usize = 256 * 1024;
/// The largest attachment in bytes, decoded.
pub const MAX_ATTACHMENT: usize = 5 * 1024 * 1024;
/// The most attachments of a prompt.
pub const MAX_ATTACHMENTS: usize = 8;

/// The words at the end of a problem's type, which tell errors of this protocol apart.
pub mod word {
    /// 404: no such conversation, prompt or request.
    pub const NOT_FOUND: &str = "not-found";
    /// 422: a field is wrong.
    pub const INVALID: &str = "invalid";
    /// 409: the prompt's id was used with another text.
    pub const PROMPT_CONFLICT: &str = "prompt-conflict";
    /// 409: the prompt has started or ended, so it cannot be taken back.
    pub const PROMPT_STARTED: &str = "prompt-started";
    /// 409: the request was answered already, with another answer, or was withdrawn.
    pub const REQUEST_CLOSED: &str = "request-closed";
    /// 409: no rule can be made of this request; it can only be allowed once or denied.
    pub const NO_RULE: &str = "no-rule";
    /// 429: a bound is reached (conversations, queued prompts, the size of a log).
    pub const LIMIT: &str = "limit-reached";
    /// 503: there is no `claude` in the environment.
    pub const NOT_INSTALLED: &str = "claude-not-installed";
    /// 503: no credentials for Claude Code are mounted.
    pub const NO_CREDENTIALS: &str = "claude-credentials-missing";
    /// 503: the volume with the logs cannot be written.
    pub const NOT_WRITABLE: &str = "log-not-writable";
}

/// What a conversation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Nothing runs and nothing is queued.
    Idle,
    /// A turn runs.
    Working,
    /// A request is open: Claude Code waits for a person.
    NeedsYou,
    /// A prompt waits for another conversation's turn in the same working tree.
    Queued,
    /// A prompt waits for the environment or for Claude Code to start.
    Starting,
    /// The environment does not run. Said by the manager, never by an agent.
    Offline,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// Permission modes that a conversation may be started with, in Claude Code's words.
pub const PERMISSION_MODES: [&str; 5] = ["default", "acceptEdits", "plan", "auto", "dontAsk"];

/// One conversation in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// Its id, a UUID, which is that of Claude Code's session, too.
    pub id: String,
    /// Its title: the given one, or the first line of its first prompt.
    #[serde(default)]
    pub title: Option<String>,
    /// What it is doing.
    pub state: State,
    /// The name of its log. Another epoch means that the events are others, under the same numbers.
    pub epoch: String,
    /// The number of its newest event; 0 for none.
    pub last_seq: u64,
    /// What all its turns have cost in US dollars, as Claude Code says.
    #[serde(default)]
    pub cost_usd: f64,
    /// The model that was asked for; `None` for Claude Code's default.
    #[serde(default)]
    pub model: Option<String>,
    /// The permission mode that its next turn runs in.
    #[serde(default)]
    pub permission_mode: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When its newest event happened, RFC 3339.
    pub updated_at: String,
}

/// All conversations of the environment, the latest used first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationList {
    /// The conversations.
    pub items: Vec<Conversation>,
}

/// One conversation with what is open in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationDetail {
    /// The same as in the list.
    #[serde(flatten)]
    pub conversation: Conversation,
    /// Requests that wait for an answer, oldest first.
    #[serde(default)]
    pub open_requests: Vec<OpenRequest>,
    /// Prompts that have not started, in their order.
    #[serde(default)]
    pub queue: Vec<QueuedPrompt>,
    /// Tasks of Claude Code that run in the background.
    #[serde(default)]
    pub background_tasks: u64,
}

/// Makes a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewConversation {
    /// Its id, when the caller wants to repeat the call safely; else the agent makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The model; Claude Code's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// One of [`PERMISSION_MODES`]; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
}

/// A page of a conversation's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventPage {
    /// The name of the log.
    pub epoch: String,
    /// What the conversation is doing.
    pub state: State,
    /// The number of its newest event.
    pub last_seq: u64,
    /// Events by rising number, without gaps.
    pub items: Vec<Event>,
}

/// Sends a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPrompt {
    /// The client's own id. The same id with the same content again gives the same answer and runs nothing twice.
    pub id: Id,
    /// The text; may be empty only beside attachments.
    pub text: String,
    /// Files that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Where it comes from: `ui`, `api`, `webhook`, `ticket`, `schedule` …; `api` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A file that goes with a prompt: an image that Claude sees, or a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attachment {
    /// The file's name.
    pub name: String,
    /// `image/png`, `image/jpeg`, `image/gif`, `image/webp`, or a `text/` type.
    pub media_type: String,
    /// The content in base64 (RFC 4648, with padding).
    pub data: String,
}

/// The prompt is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptAccepted {
    /// The conversation.
    pub conversation_id: String,
    /// The prompt's id.
    pub prompt_id: String,
    /// The name of the log.
    pub epoch: String,
    /// The number of its event there.
    pub seq: u64,
}

/// The prompt was taken back before it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptCancelled {
    /// The prompt's id.
    pub prompt_id: String,
    /// Always true: other outcomes are problems.
    pub cancelled: bool,
}

/// What an interrupt found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupted {
    /// Whether a turn ran. Its end is an event.
    pub interrupted: bool,
}

/// Answers a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAnswer {
    /// The decision.
    pub answer: Answer,
    /// For a denial: the reason, which Claude reads. For a rejected plan: what to do otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For questions: from each question's text to a label, to several, or to a text of one's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, Choice>,
}

/// A decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// This once. For a plan: go on, and ask before each edit.
    Allow,
    /// And what is like it, in this conversation. For a plan: go on, and edit without asking.
    AllowSession,
    /// And what is like it, in every conversation of this project.
    AllowAlways,
    /// No.
    Deny,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Choice {
    /// One label, or a text of one's own.
    One(String),
    /// Several labels.
    Several(Vec<String>),
}

impl Choice {
    /// The answer as Claude Code takes it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Several(texts) => texts.join(", "),
        }
    }
}

/// The answer is durable, and given to Claude Code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerAccepted {
    /// The request's id.
    pub request_id: String,
    /// The decision that counts.
    pub answer: Answer,
}

/// Claude Code in this environment: part of an agent's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaudeStatus {
    /// Its version; `None` while unknown.
    #[serde(default)]
    pub version: Option<String>,
    /// Where its program is.
    #[serde(default)]
    pub path: Option<String>,
    /// Which credentials it would get now.
    #[serde(default)]
    pub credentials: Option<CredentialStatus>,
    /// Why no turn can run now, and what to do.
    #[serde(default)]
    pub problem: Option<ClaudeProblem>,
}

/// Which credentials Claude Code gets. Never the credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// The key in the Secret: `anthropic-api-key`, `anthropic-auth-token` or `claude-code-oauth-token`.
    pub key: String,
    /// Whether it is the default of all projects rather than the project's own.
    pub default: bool,
    /// Whether requests go to a gateway's address rather than Anthropic's.
    pub gateway: bool,
}

/// Why no turn can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaudeProblem {
    /// A word of [`word`].
    pub code: String,
    /// A sentence for people: what is missing and the ways to bring it.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_refuse_unknown_fields_and_answers_pass_over_them() {
        assert!(serde_json::from_value::<NewConversation>(json!({"titel": "x"})).is_err());
        assert!(serde_json::from_value::<NewPrompt>(json!({"id": "x", "text": ""})).is_err(), "the id is no UUID");
        let answered = json!({"promptId": "p", "cancelled": true, "mood": 1});
        assert!(serde_json::from_value::<PromptCancelled>(answered).unwrap().cancelled);
    }

    #[test]
    fn answers_to_questions_are_texts_or_lists() {
        let answer = json!({"answer": "allow", "answers": {"Which?": "Blue", "Also?": ["A", "B"]}});
        let read: NewAnswer = serde_json::from_value(answer).unwrap();
        let texts: Vec<String> = read.answers.values().map(Choice::text).collect();
        assert_eq!(texts, ["A, B", "Blue"]);
    }

    #[test]
    fn a_state_of_a_newer_agent_is_kept_apart() {
        for (word, state) in [("needsYou", State::NeedsYou), ("idle", State::Idle), ("dreaming", State::Unknown)] {
            assert_eq!(serde_json::from_value::<State>(json!(word)).unwrap(), state);
        }
    }
}
