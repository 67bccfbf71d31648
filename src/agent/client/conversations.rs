//! The calls below `/agent/v1/conversations`: see [`crate::agent::chat`].
//!
//! Each is made in the name of a principal, whose id the agent writes into its log. Ids of conversations, prompts and
//! requests come from outside; what could change a path is refused here.

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::exchange::{Answer, Request};
use super::{Address, Client, ClientError};
use crate::agent::chat::{
    AnswerAccepted, Conversation, ConversationDetail, ConversationList, Id, Interrupted, NewAnswer, NewConversation,
    NewPrompt, Problem, PromptAccepted, PromptCancelled, State, word,
};

/// The longest list or detail in bytes.
const MAX_LIST: usize = 4 * 1024 * 1024;
/// The longest page of events in bytes.
const MAX_EVENTS: usize = 32 * 1024 * 1024;

/// A page of a log whose events are kept as they came.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLines {
    /// The name of the log.
    pub epoch: String,
    /// What the conversation is doing.
    pub state: State,
    /// The number of its newest event.
    pub last_seq: u64,
    /// Events by rising number, without gaps.
    pub items: Vec<Box<RawValue>>,
}

impl Client {
    /// Lists the conversations of the environment.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn conversations(&self, at: &Address, actor: &str) -> Result<Vec<Conversation>, ClientError> {
        let answer = self.call(at, actor, Request::get("/agent/v1/conversations").up_to(MAX_LIST)).await?;
        at.read::<ConversationList>(&answer).map(|list| list.items)
    }

    /// Makes a conversation; the same id again gives the same one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_conversation(
        &self,
        at: &Address,
        actor: &str,
        new: &NewConversation,
    ) -> Result<Conversation, ClientError> {
        let answer = self.call(at, actor, Request::post("/agent/v1/conversations", json(new)?)).await?;
        at.read(&answer)
    }

    /// Reads a conversation with what is open in it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn conversation(&self, at: &Address, actor: &str, id: &Id) -> Result<ConversationDetail, ClientError> {
        let answer = self.call(at, actor, Request::get(path(id, "")).up_to(MAX_LIST)).await?;
        at.read(&answer)
    }

    /// Reads at most `limit` events after the number `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(
        &self,
        at: &Address,
        actor: &str,
        id: &Id,
        after: u64,
        limit: u64,
    ) -> Result<EventLines, ClientError> {
        let path = path(id, &format!("/events?after={after}&limit={limit}"));
        let answer = self.call(at, actor, Request::get(path).up_to(MAX_EVENTS)).await?;
        at.read(&answer)
    }

    /// Sends a prompt. It is durable when this returns; its id makes a repeated call harmless.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send_prompt(
        &self,
        at: &Address,
        actor: &str,
        id: &Id,
        new: &NewPrompt,
    ) -> Result<PromptAccepted, ClientError> {
        let answer = self.call(at, actor, Request::post(path(id, "/prompts"), json(new)?)).await?;
        at.read(&answer)
    }

    /// Takes a queued prompt back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel_prompt(
        &self,
        at: &Address,
        actor: &str,
        id: &Id,
        prompt: &Id,
    ) -> Result<PromptCancelled, ClientError> {
        let request = Request { method: Method::DELETE, ..Request::get(path(id, &format!("/prompts/{prompt}"))) };
        let answer = self.call(at, actor, request).await?;
        at.read(&answer)
    }

    /// Ends the running turn.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn interrupt(&self, at: &Address, actor: &str, id: &Id) -> Result<Interrupted, ClientError> {
        let answer = self.call(at, actor, Request::post(path(id, "/interrupt"), "")).await?;
        at.read(&answer)
    }

    /// Answers a request of Claude's.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn answer(
        &self,
        at: &Address,
        actor: &str,
        id: &Id,
        request: &str,
        new: &NewAnswer,
    ) -> Result<AnswerAccepted, ClientError> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if request.is_empty() || request.len() > 128 || !request.chars().all(is_word) {
            return Err(not_found("there is no such request"));
        }
        let body = json(new)?;
        let answer: Answer =
            self.call(at, actor, Request::post(path(id, &format!("/requests/{request}")), body)).await?;
        at.read(&answer)
    }
}

fn path(id: &Id, rest: &str) -> String {
    format!("/agent/v1/conversations/{id}{rest}")
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(value).map_err(|error| ClientError::Token(format!("a request cannot be written: {error}")))
}

fn not_found(detail: &str) -> ClientError {
    ClientError::Problem(Box::new(Problem {
        type_: format!("tag:claude-manager.io,2026:problem/{}", word::NOT_FOUND),
        title: "Not Found".to_owned(),
        status: 404,
        detail: detail.to_owned(),
    }))
}
