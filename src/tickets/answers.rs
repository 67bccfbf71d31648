//! Follows the conversations in which an answer to a ticket is awaited, and keeps the answers. A conversation is read from the
//! end of the last turn that was kept, so that a crash loses none.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::kept::Write;
use super::ticket::{Ticket, problem};
use super::{Inner, names};
use crate::chat::{ChatError, Event, EventKind, Message, RequestKind};
use crate::project::{Actor, Principal, ProjectName, Role, Source};
use crate::store::StoreError;

/// How long after a failure a conversation is read again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often a silent conversation is looked at: its project may be gone.
const LOOK: Duration = Duration::from_secs(60);

/// Follows the conversation of an issue, unless that is done already.
pub(super) fn follow(inner: &Arc<Inner>, issue: String) {
    let is_new = inner.followed.lock().unwrap_or_else(PoisonError::into_inner).insert(issue.clone());
    if is_new {
        tokio::spawn(run(Arc::clone(inner), issue));
    }
}

async fn run(inner: Arc<Inner>, issue: String) {
    loop {
        match until_answered(&inner, &issue).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(issue, %error, "the conversation of a ticket cannot be followed; trying again");
                sleep(AGAIN).await;
                continue;
            }
        }
        inner.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(&issue);
        // A prompt may have come between the last look and the removal.
        let waits = inner.ticket(&issue).await.is_ok_and(|ticket| ticket.is_some_and(|ticket| ticket.waits()));
        if !waits || !inner.followed.lock().unwrap_or_else(PoisonError::into_inner).insert(issue.clone()) {
            return;
        }
    }
}

/// The turn that is being read.
#[derive(Default)]
struct Turn {
    /// The last text that Claude said in it.
    text: String,
}

async fn until_answered(inner: &Inner, issue: &str) -> Result<(), ChatError> {
    let Some(ticket) = inner.ticket(issue).await?.filter(Ticket::waits) else { return Ok(()) };
    let Some(project) = ticket.project.clone() else { return Ok(()) };
    if inner.operations.loaded().is_ok() && inner.operations.project(&project).is_err() {
        return gone(inner, issue, &project).await;
    }
    let conversation = names::conversation(inner.site(), issue);
    let reader = Arc::new(Notify::new());
    let (epoch, after) = (ticket.epoch.clone(), ticket.after);
    let mut subscription =
        inner.chat.subscribe(&project, &conversation, epoch, after, Arc::clone(&reader), &reading()).await?;
    let mut turn = Turn::default();
    loop {
        let (messages, more) = subscription.take().await?;
        for message in messages {
            match message {
                Message::Reset { epoch } => {
                    turn = Turn::default();
                    inner
                        .change_ticket(issue, Write::Leave, |ticket| {
                            ticket.epoch = Some(epoch.clone());
                            ticket.after = 0;
                        })
                        .await?;
                }
                Message::Event { epoch, event } => {
                    let event: Event = serde_json::from_str(event.get())?;
                    if !take(inner, issue, &epoch, event, &mut turn).await? {
                        return Ok(());
                    }
                }
                Message::Delta { .. } | Message::State { .. } => {}
            }
        }
        if !more && timeout(LOOK, reader.notified()).await.is_err() {
            let is_there = inner.operations.project(&project).is_ok();
            let waits = inner.ticket(issue).await?.is_some_and(|ticket| ticket.waits());
            if !waits {
                return Ok(());
            }
            if !is_there && inner.operations.loaded().is_ok() {
                return gone(inner, issue, &project).await;
            }
        }
    }
}

/// Takes one event; false once no answer is awaited any more.
async fn take(inner: &Inner, issue: &str, epoch: &str, event: Event, turn: &mut Turn) -> Result<bool, StoreError> {
    match event.kind {
        EventKind::TurnStarted { .. } => turn.text.clear(),
        EventKind::Text { text, parent: None, .. } => turn.text = text,
        EventKind::Request { request_kind, tool, .. } => {
            let what = match request_kind {
                RequestKind::Question => "it has a question.".to_owned(),
                RequestKind::Plan => "it has made a plan.".to_owned(),
                RequestKind::Permission | RequestKind::Unknown => format!("it asks for permission to use {tool}."),
            };
            inner.change_ticket(issue, Write::Now, |ticket| ticket.needs = Some(what.clone())).await?;
        }
        EventKind::RequestAnswered { .. } | EventKind::RequestWithdrawn { .. } => {
            inner.change_ticket(issue, Write::Now, |ticket| ticket.needs = None).await?;
        }
        EventKind::PromptCancelled { prompt_id, .. } => {
            let ids = [prompt_id];
            let taken_back = || Some("The prompt was taken back in the conversation.".to_owned());
            let ticket = inner.change_ticket(issue, Write::Now, |ticket| ticket.answered(&ids, "", 0.0, taken_back()));
            return Ok(ticket.await?.waits());
        }
        EventKind::TurnEnded { outcome, prompt_ids, cost_usd, message, .. } => {
            let text = std::mem::take(&mut turn.text);
            let why = problem(outcome, message.as_deref());
            let ticket = inner.change_ticket(issue, Write::Now, |ticket| {
                ticket.answered(&prompt_ids, &text, cost_usd, why.clone());
                ticket.needs = None;
                ticket.epoch = Some(epoch.to_owned());
                ticket.after = event.seq;
            });
            return Ok(ticket.await?.waits());
        }
        _ => {}
    }
    Ok(true)
}

async fn gone(inner: &Inner, issue: &str, project: &ProjectName) -> Result<(), ChatError> {
    inner
        .change_ticket(issue, Write::Now, |ticket| {
            let ids: Vec<String> = ticket.prompts.iter().map(|prompt| prompt.id.clone()).collect();
            let why = format!("The project {project} was deleted before there was an answer.");
            ticket.answered(&ids, "", 0.0, Some(why));
            ticket.needs = None;
        })
        .await?;
    Ok(())
}

/// The manager itself, which only reads.
fn reading() -> Actor {
    let principal = Principal {
        id: "jira".to_owned(),
        name: "Claude Manager".to_owned(),
        email: "jira@claude-manager.local".to_owned(),
        role: Role::Viewer,
    };
    Actor { principal, source: Source::Jira, request_id: String::new() }
}
