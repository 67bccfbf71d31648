//! The conversations of a project: from its agent while it runs, else from the copy.

use serde_json::value::RawValue;

use super::error::ChatError;
use super::hub::put;
use super::{Chat, outbox};
use crate::agent::chat::{
    ClaudeProblem, Conversation, ConversationDetail, Id, MAX_PAGE, NewConversation, PERMISSION_MODES, State,
};
use crate::agent::{ClientError, EventLines};
use crate::operations::permit;
use crate::project::{Action, Actor, ProjectName};
use crate::store::ConversationCopy;

/// The longest title in characters.
const MAX_TITLE: usize = 200;

impl Chat {
    /// Lists the conversations of a project, the latest used first.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn list(&self, project: &ProjectName, actor: &Actor) -> Result<Vec<Conversation>, ChatError> {
        permit(actor, Action::Read)?;
        self.inner.operations.project(project)?;
        let copies = self.inner.store.conversations(project).await?;
        let waiting = self.inner.store.waiting(project).await?;
        let waits = |id: &str| waiting.iter().any(|one| one.conversation == id && !outbox::is_refused(one));
        let live = match self.environment(project).await {
            None => None,
            Some((agents, at)) => match agents.conversations(&at, &actor.principal.id).await {
                Ok(live) => Some(live),
                Err(ClientError::Unreachable { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let is_live = live.is_some();
        let mut list = live.unwrap_or_default();
        for conversation in &mut list {
            if conversation.state == State::Idle && waits(&conversation.id) {
                conversation.state = State::Starting;
            }
        }
        for copy in copies {
            if list.iter().any(|one| one.id == copy.conversation) || (is_live && copy.pending.is_empty()) {
                continue;
            }
            let state = if waits(&copy.conversation) { State::Starting } else { State::Offline };
            list.push(of_copy(&copy, state)?);
        }
        list.sort_by(|one, other| other.updated_at.cmp(&one.updated_at));
        Ok(list)
    }

    /// Makes a conversation. Of a stopped project it is kept, and made in the environment with its first prompt.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn create(
        &self,
        project: &ProjectName,
        new: NewConversation,
        actor: &Actor,
    ) -> Result<Conversation, ChatError> {
        permit(actor, Action::Chat)?;
        self.inner.operations.project(project)?;
        check(&new)?;
        let id = new.id.clone().unwrap_or_else(Id::random);
        let new = NewConversation { id: Some(id.clone()), ..new };
        if let Some((agents, at)) = self.environment(project).await {
            match agents.create_conversation(&at, &actor.principal.id, &new).await {
                Ok(made) => {
                    put(&self.inner, project, &made, false).await?;
                    return Ok(made);
                }
                Err(ClientError::Unreachable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(copy) = self.inner.store.conversation(project, id.as_str()).await? {
            return of_copy(&copy, State::Offline);
        }
        let now = jiff::Timestamp::now().to_string();
        let made = Conversation {
            id: id.to_string(),
            title: new.title.clone(),
            state: State::Offline,
            epoch: String::new(),
            last_seq: 0,
            cost_usd: 0.0,
            model: new.model.clone(),
            permission_mode: new.permission_mode.clone(),
            created_at: now.clone(),
            updated_at: now.clone(),
        };
        let copy = ConversationCopy {
            conversation: id.to_string(),
            summary: serde_json::to_string(&made)?,
            pending: serde_json::to_string(&new)?,
            updated_at: now,
            ..ConversationCopy::default()
        };
        self.inner.store.put_conversation(project, &copy).await?;
        Ok(made)
    }

    /// Reads a conversation with what is open in it.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn detail(
        &self,
        project: &ProjectName,
        conversation: &Id,
        actor: &Actor,
    ) -> Result<ConversationDetail, ChatError> {
        permit(actor, Action::Read)?;
        self.inner.operations.project(project)?;
        let waiting = self.inner.store.waiting(project).await?;
        let waiting: Vec<_> = waiting.iter().filter(|one| one.conversation == conversation.as_str()).collect();
        let waits = waiting.iter().any(|one| !outbox::is_refused(one));
        let waiting: Vec<_> = waiting.into_iter().map(outbox::queued).collect();
        if let Some((agents, at)) = self.environment(project).await {
            match agents.conversation(&at, &actor.principal.id, conversation).await {
                Ok(mut detail) => {
                    if detail.conversation.state == State::Idle && waits {
                        detail.conversation.state = State::Starting;
                    }
                    detail.queue.extend(waiting);
                    return Ok(detail);
                }
                Err(ClientError::Unreachable { .. }) => {}
                Err(ClientError::Problem(problem)) if problem.status == 404 => {}
                Err(error) => return Err(error.into()),
            }
        }
        let copy = self.copy_of(project, conversation).await?;
        let state = if waits { State::Starting } else { State::Offline };
        Ok(ConversationDetail {
            conversation: of_copy(&copy, state)?,
            open_requests: Vec::new(),
            queue: waiting,
            background_tasks: 0,
        })
    }

    /// Reads at most `limit` events after the number `after`: from the agent, or from the copy.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn events(
        &self,
        project: &ProjectName,
        conversation: &Id,
        after: u64,
        limit: u64,
        actor: &Actor,
    ) -> Result<EventLines, ChatError> {
        permit(actor, Action::Read)?;
        self.inner.operations.project(project)?;
        let limit = limit.clamp(1, MAX_PAGE);
        if let Some((agents, at)) = self.environment(project).await {
            match agents.events(&at, &actor.principal.id, conversation, after, limit).await {
                Ok(page) => return Ok(page),
                Err(ClientError::Unreachable { .. }) => {}
                Err(ClientError::Problem(problem)) if problem.status == 404 => {}
                Err(error) => return Err(error.into()),
            }
        }
        let copy = self.copy_of(project, conversation).await?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let store = &self.inner.store;
        let events = store.copied_events(project, conversation.as_str(), &copy.epoch, after, limit).await?;
        let items = events.into_iter().map(|event| RawValue::from_string(event.event)).collect::<Result<_, _>>()?;
        let waiting = store.waiting(project).await?;
        let waits = waiting.iter().any(|one| one.conversation == conversation.as_str() && !outbox::is_refused(one));
        let state = if waits { State::Starting } else { State::Offline };
        Ok(EventLines { epoch: copy.epoch, state, last_seq: copy.last_seq, items })
    }

    /// Returns why no turn can run in a project's environment, as its agent says; `None` while that is not known.
    pub async fn claude_problem(&self, project: &ProjectName) -> Option<ClaudeProblem> {
        let (agents, at) = self.environment(project).await?;
        let status = agents.status(&at.namespace, &at.pod, at.ip, project).await.ok()?;
        status.claude?.problem
    }

    /// The copy of a conversation that the environment may not have.
    pub(super) async fn copy_of(
        &self,
        project: &ProjectName,
        conversation: &Id,
    ) -> Result<ConversationCopy, ChatError> {
        let copy = self.inner.store.conversation(project, conversation.as_str()).await?;
        copy.ok_or(ChatError::NoConversation)
    }
}

fn of_copy(copy: &ConversationCopy, state: State) -> Result<Conversation, ChatError> {
    let said: Conversation = serde_json::from_str(&copy.summary)?;
    Ok(Conversation { state, epoch: copy.epoch.clone(), last_seq: copy.last_seq, ..said })
}

fn check(new: &NewConversation) -> Result<(), ChatError> {
    if new.title.as_ref().is_some_and(|title| title.chars().count() > MAX_TITLE) {
        return Err(ChatError::Invalid("title", format!("must have at most {MAX_TITLE} characters")));
    }
    if new.permission_mode.as_ref().is_some_and(|mode| !PERMISSION_MODES.contains(&mode.as_str())) {
        return Err(ChatError::Invalid("permissionMode", format!("must be one of {}", PERMISSION_MODES.join(", "))));
    }
    Ok(())
}
