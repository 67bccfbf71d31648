//! The conversations of all projects at a glance: those in which something runs or waits, and those that ended last.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::Chat;
use super::error::ChatError;
use crate::agent::chat::{Conversation, Event, Id, State};
use crate::operations::permit;
use crate::project::{Action, Actor, ProjectName};

/// How long one environment may take to say what is open in it.
const PATIENCE: Duration = Duration::from_secs(1);

/// One conversation of the overview.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The project.
    pub project: ProjectName,
    /// The conversation.
    pub conversation: Conversation,
    /// What waits for a person in it, oldest first.
    pub requests: Vec<Event>,
}

impl Glance {
    /// How many conversations are worth a look.
    pub const MOST: u32 = 60;

    /// Whether nothing runs or waits in it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.conversation.state, State::Idle | State::Offline)
    }
}

impl Chat {
    /// Returns at most `limit` conversations of projects that exist: first those in which something runs or waits, then
    /// those that were used last. What the copy says is busy is asked of its environment; one that does not answer in
    /// a second is shown as its copy is.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn overview(&self, limit: u32, actor: &Actor) -> Result<Vec<Glance>, ChatError> {
        permit(actor, Action::Read)?;
        let snapshot = self.inner.operations.snapshot();
        let copies = self.inner.store.newest_conversations(limit).await?;
        let of_copy = |(project, copy): (ProjectName, crate::store::ConversationCopy)| {
            let conversation: Conversation = serde_json::from_str(&copy.summary).ok()?;
            Some((Glance { project, conversation, requests: Vec::new() }, copy.busy))
        };
        let known = copies.into_iter().filter(|(project, _)| snapshot.projects.contains_key(project));
        let looks = known.filter_map(of_copy).map(|(glance, busy)| async move {
            match busy {
                true => timeout(PATIENCE, self.look(glance.clone(), actor)).await.unwrap_or(glance),
                false => Glance { conversation: idle(glance.conversation), ..glance },
            }
        });
        Ok(join_all(looks).await)
    }

    /// The same conversation as its environment has it now.
    async fn look(&self, glance: Glance, actor: &Actor) -> Glance {
        let Ok(id) = Id::parse(&glance.conversation.id) else { return glance };
        let Ok(detail) = self.detail(&glance.project, &id, actor).await else { return glance };
        let mut requests = Vec::new();
        for open in &detail.open_requests {
            let page = self.events(&glance.project, &id, open.seq.saturating_sub(1), 1, actor).await;
            let events = page.into_iter().flat_map(|page| page.items);
            requests.extend(events.filter_map(|event| serde_json::from_str::<Event>(event.get()).ok()));
        }
        Glance { conversation: detail.conversation, requests, ..glance }
    }
}

/// A conversation whose copy says that nothing runs in it. The copy's own word may be older than that.
fn idle(conversation: Conversation) -> Conversation {
    Conversation { state: State::Idle, ..conversation }
}
