//! What a conversation's events come to: prompts, the queue, the turn, open requests, the cost. Pure.
//!
//! After a restart the same events give the same state; nothing else has to be written down for it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::agent::chat::{Answer, AttachmentSummary, Event, EventKind, OpenRequest, QueuedPrompt};

/// How many characters of a prompt the queue shows.
const SHOWN: usize = 200;
/// The longest title that is made of a prompt, in characters.
const TITLE: usize = 80;

/// The state after some events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fold {
    /// The title that the first prompt gives.
    pub(super) title: Option<String>,
    /// When the newest event happened.
    pub(super) updated_at: Option<String>,
    /// Prompts by their ids.
    pub(super) prompts: BTreeMap<String, Prompt>,
    /// Prompts that have not started, in their order.
    pub(super) queue: Vec<QueuedPrompt>,
    /// The running turn's prompts.
    pub(super) turn: Option<Vec<String>>,
    /// When the running turn began.
    pub(super) turn_at: Option<String>,
    /// Requests that wait, oldest first.
    pub(super) requests: Vec<OpenRequest>,
    /// Requests that are closed; `None` for a withdrawn one.
    pub(super) closed: BTreeMap<String, Option<Answer>>,
    /// What all turns have cost.
    pub(super) cost_usd: f64,
}

/// An accepted prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    /// The number of its event.
    pub(super) seq: u64,
    /// What tells its content from another's.
    pub(super) digest: [u8; 32],
    /// Where it is.
    pub(super) stage: Stage,
}

/// Where a prompt is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits.
    Queued,
    /// Its turn began, and may have ended.
    Started,
    /// It was taken back.
    Cancelled,
}

/// Tells the content of prompts apart.
pub(super) fn digest(text: &str, attachments: &[AttachmentSummary]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(text);
    for attachment in attachments {
        add(&attachment.name);
        add(&attachment.media_type);
        add(&attachment.sha256);
    }
    hash.finalize().into()
}

impl Fold {
    /// Takes the next event.
    pub(super) fn step(&mut self, event: &Event) {
        self.updated_at = Some(event.at.clone());
        match &event.kind {
            EventKind::Prompt { prompt_id, text, actor, attachments, .. } => {
                self.title = self.title.take().or_else(|| title(text));
                let stage = Stage::Queued;
                let prompt = Prompt { seq: event.seq, digest: digest(text, attachments), stage };
                self.prompts.insert(prompt_id.clone(), prompt);
                self.queue.push(QueuedPrompt {
                    prompt_id: prompt_id.clone(),
                    text: text.chars().take(SHOWN).collect(),
                    actor: actor.clone(),
                    seq: event.seq,
                    at: event.at.clone(),
                });
            }
            EventKind::PromptCancelled { prompt_id, .. } => self.leave_queue(prompt_id, Stage::Cancelled),
            EventKind::TurnStarted { prompt_ids, .. } => {
                prompt_ids.iter().for_each(|id| self.leave_queue(id, Stage::Started));
                self.turn = Some(prompt_ids.clone());
                self.turn_at = Some(event.at.clone());
            }
            EventKind::TurnEnded { cost_usd, .. } => {
                self.turn = None;
                self.turn_at = None;
                self.cost_usd += cost_usd;
            }
            EventKind::Request { request_id, request_kind, tool, .. } => self.requests.push(OpenRequest {
                request_id: request_id.clone(),
                request_kind: *request_kind,
                tool: tool.clone(),
                seq: event.seq,
                at: event.at.clone(),
            }),
            EventKind::RequestAnswered { request_id, answer, .. } => self.close(request_id, Some(*answer)),
            EventKind::RequestWithdrawn { request_id, .. } => self.close(request_id, None),
            EventKind::Text { .. }
            | EventKind::Thinking { .. }
            | EventKind::ToolUse { .. }
            | EventKind::ToolResult { .. }
            | EventKind::Notice { .. }
            | EventKind::Unknown(_) => {}
        }
    }

    fn leave_queue(&mut self, id: &str, stage: Stage) {
        self.queue.retain(|waiting| waiting.prompt_id != id);
        if let Some(prompt) = self.prompts.get_mut(id) {
            prompt.stage = stage;
        }
    }

    fn close(&mut self, id: &str, answer: Option<Answer>) {
        self.requests.retain(|open| open.request_id != id);
        self.closed.insert(id.to_owned(), answer);
    }
}

/// The first line that says something.
fn title(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let line: String = line.chars().filter(|c| !c.is_control()).take(TITLE).collect();
    Some(line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fold(events: &[serde_json::Value]) -> Fold {
        let mut fold = Fold::default();
        for (index, event) in events.iter().enumerate() {
            let mut event = event.clone();
            event["seq"] = json!(index + 1);
            event["at"] = json!(format!("t{}", index + 1));
            let event: Event = serde_json::from_value(event).unwrap();
            assert!(!matches!(&event.kind, EventKind::Unknown(f) if f["kind"] != "new"), "{event:?}");
            fold.step(&event);
        }
        fold
    }

    fn prompt(id: &str, text: &str) -> serde_json::Value {
        json!({"kind": "prompt", "promptId": id, "text": text, "source": "ui", "actor": "a"})
    }

    #[test]
    fn prompts_wait_start_and_are_taken_back() {
        let fold = fold(&[
            prompt("1", "\n  Fix the build\nplease"),
            prompt("2", "b"),
            prompt("3", "c"),
            json!({"kind": "turnStarted", "promptIds": ["1"], "origin": "prompt"}),
            json!({"kind": "promptCancelled", "promptId": "2", "actor": "a"}),
            json!({"kind": "new", "x": 1}),
        ]);
        assert_eq!(fold.title.as_deref(), Some("Fix the build"));
        assert_eq!(fold.queue.iter().map(|waiting| waiting.prompt_id.as_str()).collect::<Vec<_>>(), ["3"]);
        assert_eq!(fold.turn, Some(vec!["1".to_owned()]));
        let stages: Vec<Stage> = fold.prompts.values().map(|prompt| prompt.stage).collect();
        assert_eq!(stages, [Stage::Started, Stage::Cancelled, Stage::Queued]);
        assert_eq!(fold.updated_at.as_deref(), Some("t6"));
    }

    #[test]
    fn requests_close_and_costs_add_up() {
        let request = |id| {
            json!({"kind": "request", "requestId": id, "requestKind": "permission", "tool": "Bash",
            "input": {}, "choices": []})
        };
        let end = |cost| json!({"kind": "turnEnded", "outcome": "done", "promptIds": [], "costUsd": cost});
        let fold = fold(&[
            json!({"kind": "turnStarted", "promptIds": [], "origin": "background"}),
            request("a"),
            request("b"),
            request("c"),
            json!({"kind": "requestAnswered", "requestId": "a", "answer": "deny", "actor": "x"}),
            json!({"kind": "requestWithdrawn", "requestId": "b", "reason": "cancelled"}),
            end(0.25),
            end(0.5),
        ]);
        assert_eq!(fold.requests.iter().map(|open| open.request_id.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(fold.closed, BTreeMap::from([("a".to_owned(), Some(Answer::Deny)), ("b".to_owned(), None)]));
        assert_eq!((fold.cost_usd, fold.turn), (0.75, None));
    }

    #[test]
    fn another_content_has_another_digest() {
        let file = |name: &str| AttachmentSummary {
            name: name.to_owned(),
            media_type: "image/png".to_owned(),
            size: 1,
            sha256: "0".to_owned(),
        };
        let all = [digest("a", &[]), digest("b", &[]), digest("a", &[file("x")]), digest("a", &[file("y")])];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{index}");
        }
    }
}
