//! Prompts, answers and interrupts: relayed to the agent, or for a prompt without one kept in the outbox.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::error::ChatError;
use super::{Chat, KeptActor, outbox};
use crate::agent::ClientError;
use crate::agent::chat::{
    AnswerAccepted, Event, EventKind, Id, Interrupted, MAX_PROMPT, NewAnswer, NewPrompt, PromptCancelled,
};
use crate::operations::permit;
use crate::project::{Action, Actor, ProjectName};
use crate::store::WaitingPrompt;

/// The most prompts of a project that wait for its environment.
const MAX_WAITING: usize = 50;

/// A prompt is durable. The same prompt again gives the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The conversation.
    pub conversation_id: Id,
    /// The prompt.
    pub prompt_id: Id,
}

/// Why a prompt waits in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What the last try to deliver it met; empty before there was one.
    pub problem: String,
    /// Whether the agent refused it, so that it is not tried again.
    pub is_refused: bool,
}

impl Chat {
    /// Returns why the prompts of a project wait for its environment, by their ids.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn waiting(&self, project: &ProjectName, actor: &Actor) -> Result<BTreeMap<String, Waiting>, ChatError> {
        permit(actor, Action::Read)?;
        let waiting = self.inner.store.waiting(project).await?;
        let of = |one: WaitingPrompt| {
            let is_refused = outbox::is_refused(&one);
            (one.prompt, Waiting { problem: one.problem, is_refused })
        };
        Ok(waiting.into_iter().map(of).collect())
    }

    /// Sends a prompt. It is durable when this returns. A stopped project is started by a commit, and the prompt waits in
    /// the manager's store until the agent has it.
    ///
    /// # Errors
    /// [`ChatError`]; a problem of the agent's (no `claude`, no credentials) passes through.
    pub async fn send(
        &self,
        project: &ProjectName,
        conversation: &Id,
        new: NewPrompt,
        actor: &Actor,
    ) -> Result<Accepted, ChatError> {
        permit(actor, Action::Chat)?;
        self.inner.operations.project(project)?;
        check(&new)?;
        let accepted = Accepted { conversation_id: conversation.clone(), prompt_id: new.id.clone() };
        let new = NewPrompt { source: Some(actor.source.as_str().to_owned()), ..new };
        let hub = self.hub(project);
        let waiting = self.inner.store.waiting(project).await?;
        if let Some(same) = waiting.iter().find(|one| one.is_of(conversation, &new.id)) {
            return same_text(&same.body, &new).then_some(accepted).ok_or(ChatError::PromptConflict);
        }
        let copied = self.inner.store.copied_prompt(project, conversation.as_str(), new.id.as_str()).await?;
        if let Some(EventKind::Prompt { text, .. }) =
            copied.and_then(|event| serde_json::from_str::<Event>(&event).ok()).map(|event| event.kind)
        {
            return (text == new.text).then_some(accepted).ok_or(ChatError::PromptConflict);
        }
        // What waits goes first.
        let precedes = |one: &WaitingPrompt| one.conversation == conversation.as_str() && !outbox::is_refused(one);
        let goes_first = !waiting.iter().any(precedes);
        if let Some((agents, at)) = self.environment(project).await.filter(|_| goes_first) {
            match agents.send_prompt(&at, &actor.principal.id, conversation, &new).await {
                Ok(taken) => {
                    let feed = hub.feed(&self.inner, conversation.as_str()).await?;
                    feed.expect(&taken.epoch, taken.seq);
                    hub.look();
                    self.inner.metrics.chat_message("prompt", actor.source.as_str());
                    return Ok(accepted);
                }
                // It may have arrived or not; the outbox asks again, and the agent knows it by its id.
                Err(ClientError::Unreachable { .. }) => {}
                Err(ClientError::Problem(problem)) if problem.word() == "not-found" => {
                    // One that was made while the environment was stopped is made with its first prompt.
                    if self.copy_of(project, conversation).await?.pending.is_empty() {
                        return Err(ChatError::Agent(problem));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.keep(project, conversation, &new, actor, waiting.len()).await?;
        self.inner.metrics.chat_message("prompt", actor.source.as_str());
        Ok(accepted)
    }

    /// Puts a prompt into the outbox, and has the project started.
    async fn keep(
        &self,
        project: &ProjectName,
        conversation: &Id,
        new: &NewPrompt,
        actor: &Actor,
        waiting: usize,
    ) -> Result<(), ChatError> {
        permit(actor, Action::Scale)?;
        self.copy_of(project, conversation).await?;
        if waiting >= MAX_WAITING {
            return Err(ChatError::TooMany(waiting));
        }
        let hub = self.hub(project);
        let one = WaitingPrompt {
            conversation: conversation.to_string(),
            prompt: new.id.to_string(),
            body: serde_json::to_string(new)?,
            actor: serde_json::to_string(&KeptActor::of(actor))?,
            accepted_at: Timestamp::now().as_millisecond(),
            woken: false,
            problem: String::new(),
        };
        let added = self.inner.store.add_waiting(project, &one).await?;
        // The outbox's own task is woken only afterwards, so that there is one commit.
        if let Err(error) = outbox::wake(&self.inner, &hub, &one).await {
            if added {
                self.inner.store.remove_waiting(project, &one.conversation, &one.prompt).await?;
            }
            return Err(error);
        }
        hub.feed(&self.inner, conversation.as_str()).await?;
        hub.tell_waiting(&self.inner, conversation.as_str()).await?;
        hub.deliver();
        Ok(())
    }

    /// Takes a prompt back that has not started.
    ///
    /// # Errors
    /// [`ChatError`]; the agent's conflict when it has started.
    pub async fn cancel(
        &self,
        project: &ProjectName,
        conversation: &Id,
        prompt: &Id,
        actor: &Actor,
    ) -> Result<PromptCancelled, ChatError> {
        permit(actor, Action::Chat)?;
        self.inner.operations.project(project)?;
        let hub = self.hub(project);
        let guard = hub.delivering.lock().await;
        let removed = self.inner.store.remove_waiting(project, conversation.as_str(), prompt.as_str()).await?;
        drop(guard);
        if removed {
            hub.tell_waiting(&self.inner, conversation.as_str()).await?;
            return Ok(PromptCancelled { prompt_id: prompt.to_string(), cancelled: true });
        }
        let Some((agents, at)) = self.environment(project).await else { return Err(ChatError::NoPrompt) };
        Ok(agents.cancel_prompt(&at, &actor.principal.id, conversation, prompt).await?)
    }

    /// Ends the running turn.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn interrupt(
        &self,
        project: &ProjectName,
        conversation: &Id,
        actor: &Actor,
    ) -> Result<Interrupted, ChatError> {
        permit(actor, Action::Chat)?;
        let (agents, at) = self.running(project).await?;
        Ok(agents.interrupt(&at, &actor.principal.id, conversation).await?)
    }

    /// Answers a permission request, a question or a plan.
    ///
    /// # Errors
    /// [`ChatError`]; the agent's conflict when it is closed.
    pub async fn answer(
        &self,
        project: &ProjectName,
        conversation: &Id,
        request: &str,
        new: &NewAnswer,
        actor: &Actor,
    ) -> Result<AnswerAccepted, ChatError> {
        permit(actor, Action::Chat)?;
        let (agents, at) = self.running(project).await?;
        let accepted = agents.answer(&at, &actor.principal.id, conversation, request, new).await?;
        self.inner.metrics.chat_message("answer", actor.source.as_str());
        Ok(accepted)
    }
}

impl WaitingPrompt {
    fn is_of(&self, conversation: &Id, prompt: &Id) -> bool {
        self.conversation == conversation.as_str() && self.prompt == prompt.as_str()
    }
}

fn check(new: &NewPrompt) -> Result<(), ChatError> {
    if new.text.trim().is_empty() && new.attachments.is_empty() {
        return Err(ChatError::Invalid("text", "must not be empty".to_owned()));
    }
    if new.text.len() > MAX_PROMPT {
        return Err(ChatError::Invalid("text", format!("must have at most {MAX_PROMPT} bytes")));
    }
    Ok(())
}

fn same_text(kept: &str, new: &NewPrompt) -> bool {
    let kept = serde_json::from_str::<NewPrompt>(kept);
    kept.is_ok_and(|kept| kept.text == new.text && kept.attachments == new.attachments)
}
