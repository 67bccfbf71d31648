//! The frames of `/agent/v1/ws`.
//!
//! The manager subscribes; the agent sends what is new. Commands go by HTTP, where each carries the token of the person
//! behind it.
//!
//! *Guarantees.* After `subscribe` come: `ack`; `reset`, when the client's epoch is another; then, interleaved, every event
//! after `after` exactly once and in order, deltas of blocks that are open, and the state whenever it changes (at least
//! once, after the events that are there already). A slow reader gets fewer and longer deltas and fewer states, never fewer
//! events; the agent holds nothing back for it in memory. After a `reset` events start at 1.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::RequestKind;
use super::{Event, State};

/// What a manager sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClientFrame {
    /// Sends me what happens in a conversation. A second one for the same conversation replaces the first.
    Subscribe {
        /// Comes back in the `ack` or `error`.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "ref")]
        reference: Option<String>,
        /// The conversation's id.
        conversation: String,
        /// The epoch that the client has events of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<String>,
        /// The newest event that the client has; all events when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Comes back in the `ack`.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "ref")]
        reference: Option<String>,
        /// The conversation's id.
        conversation: String,
    },
    /// Sends me the state of every conversation, now and whenever one changes or is made.
    Watch {
        /// Comes back in the `ack`.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "ref")]
        reference: Option<String>,
    },
    /// A frame of a newer manager; answered by an error.
    #[serde(untagged)]
    Unknown(Value),
}

/// What an agent sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ServerFrame {
    /// The frame with this `ref` was carried out.
    Ack {
        /// The client's `ref`.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "ref")]
        reference: Option<String>,
    },
    /// The frame with this `ref` was not.
    Error {
        /// The client's `ref`.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "ref")]
        reference: Option<String>,
        /// Why.
        problem: Problem,
    },
    /// An event of a conversation's log.
    Event {
        /// The conversation's id.
        conversation: String,
        /// The name of the log.
        epoch: String,
        /// The event.
        event: Event,
    },
    /// More of a block that is not finished. The event that finishes it carries the same `block`.
    Delta {
        /// The conversation's id.
        conversation: String,
        /// The name of the log.
        epoch: String,
        /// The block's id.
        block: String,
        /// What the block is.
        kind: BlockKind,
        /// Where in the block the text belongs, counted in Unicode characters (code points); the first of a
        /// subscription is at 0.
        offset: u64,
        /// The text.
        text: String,
    },
    /// What a conversation is doing.
    State {
        /// The conversation's id.
        conversation: String,
        /// The name of the log.
        epoch: String,
        /// In one word.
        state: State,
        /// Requests that wait for an answer, oldest first.
        open_requests: Vec<OpenRequest>,
        /// Prompts that have not started, in their order.
        queue: Vec<QueuedPrompt>,
        /// The number of the newest event.
        last_seq: u64,
        /// Tasks of Claude Code that run in the background.
        #[serde(default)]
        background_tasks: u64,
    },
    /// The log is another one than the client's: what it has of the conversation is void, and events start at 1.
    Reset {
        /// The conversation's id.
        conversation: String,
        /// The name of the log.
        epoch: String,
    },
    /// A frame of a newer agent.
    #[serde(untagged)]
    Unknown(Value),
}

/// What an open block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockKind {
    /// Claude's answer.
    Text,
    /// Claude's thoughts.
    Thinking,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// A request that waits. All of it is in its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenRequest {
    /// Its id.
    pub request_id: String,
    /// What is asked for.
    pub request_kind: RequestKind,
    /// The tool that it is about.
    pub tool: String,
    /// The number of its event.
    pub seq: u64,
    /// Since when it waits, RFC 3339.
    pub at: String,
}

/// A prompt that waits. All of it is in its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedPrompt {
    /// Its id.
    pub prompt_id: String,
    /// The first 200 characters of its text.
    pub text: String,
    /// Who sent it.
    pub actor: String,
    /// The number of its event.
    pub seq: u64,
    /// Since when it waits, RFC 3339.
    pub at: String,
}

/// An error as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `tag:claude-manager.io,2026:problem/` and a word of [`super::word`].
    #[serde(rename = "type")]
    pub type_: String,
    /// The status in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and the way out.
    #[serde(default)]
    pub detail: String,
}

impl Problem {
    /// The word at the end of the type.
    #[must_use]
    pub fn word(&self) -> &str {
        self.type_.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_are_written_as_the_contract_names_them() {
        for value in [
            json!({"type": "ack", "ref": "1"}),
            json!({"type": "event", "conversation": "c", "epoch": "e",
                "event": {"seq": 1, "at": "t", "kind": "text", "block": "b", "text": "x"}}),
            json!({"type": "delta", "conversation": "c", "epoch": "e", "block": "b", "kind": "text", "offset": 0,
                "text": "x"}),
            json!({"type": "state", "conversation": "c", "epoch": "e", "state": "needsYou", "lastSeq": 7,
                "openRequests": [{"requestId": "r", "requestKind": "plan", "tool": "ExitPlanMode", "seq": 3, "at": "t"}],
                "queue": [{"promptId": "p", "text": "x", "actor": "a", "seq": 7, "at": "t"}], "backgroundTasks": 0}),
            json!({"type": "reset", "conversation": "c", "epoch": "e"}),
            json!({"type": "error", "problem": {"type": "x/not-found", "title": "t", "status": 404, "detail": "d"}}),
        ] {
            let frame: ServerFrame = serde_json::from_value(value.clone()).unwrap();
            assert!(!matches!(frame, ServerFrame::Unknown(_)), "{value}");
            assert_eq!(serde_json::to_value(&frame).unwrap(), value);
        }
        let subscribe = json!({"type": "subscribe", "ref": "1", "conversation": "c", "epoch": "e", "after": 4});
        let frame: ClientFrame = serde_json::from_value(subscribe.clone()).unwrap();
        assert!(matches!(&frame, ClientFrame::Subscribe { after: Some(4), .. }), "{frame:?}");
        assert_eq!(serde_json::to_value(&frame).unwrap(), subscribe);
    }

    #[test]
    fn unknown_frames_are_kept() {
        let frame = json!({"type": "hum", "tone": 440});
        assert_eq!(serde_json::from_value::<ClientFrame>(frame.clone()).unwrap(), ClientFrame::Unknown(frame));
    }
}
