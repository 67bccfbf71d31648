//! Writes the comment of each issue where it differs from what JIRA has, one after the other: JIRA limits writes.
//!
//! *Guarantee.* There is one comment in an issue. Before the first is written, it is noted that JIRA may have it; where its id
//! is not known after that, JIRA is asked for the comment with the issue's mark.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::comment::{self, Place};
use super::kept::Write;
use super::ticket::Ticket;
use super::{Inner, names, now};
use crate::jira::{Client, Document, JiraError};
use crate::store::StoreError;

/// The time between two edits of one comment, in milliseconds.
const PACE: i64 = 1500;
/// The first and the longest time before a further try, in milliseconds.
const DELAYS: (i64, i64) = (2_000, 15 * 60 * 1000);
/// The most tries that fail one after the other; the next event of the issue begins anew.
const TRIES: u32 = 200;
/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until the process ends.
pub(super) async fn run(inner: Arc<Inner>) {
    let Some(jira) = inner.options.jira.clone() else { return };
    loop {
        let wait = match round(&inner, &jira).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(%error, "comments of tickets could not be looked at");
                sleep(Duration::from_secs(5)).await;
                continue;
            }
        };
        let _ = timeout(wait, inner.comments.notified()).await;
    }
}

/// Writes what is due, and returns how long there is nothing more to write.
async fn round(inner: &Inner, jira: &Client) -> Result<Duration, StoreError> {
    let (due, next) = inner.store.due_comments(now()).await?;
    let is_full = !due.is_empty();
    for issue in due {
        if let Some(pause) = write(inner, jira, &issue).await? {
            // The limit is the account's, so that the others wait, too.
            sleep(pause).await;
            break;
        }
    }
    if is_full {
        return Ok(Duration::ZERO);
    }
    let wait = next.map_or(LOOK, |next| Duration::from_millis((next - now()).max(1).unsigned_abs()));
    Ok(wait.min(LOOK))
}

/// Writes the comment of one issue; returns how long JIRA wants to be left alone.
async fn write(inner: &Inner, jira: &Client, issue: &str) -> Result<Option<Duration>, StoreError> {
    let Some(ticket) = inner.ticket(issue).await? else { return Ok(None) };
    let mark = names::mark(inner.site(), issue);
    let text = match text(inner, issue, &ticket, &mark) {
        Some(text) if ticket.closed.is_none() && comment::hash_of(&text) != ticket.comment.hash => text,
        _ => {
            inner.settle_comment(issue, &ticket).await?;
            return Ok(None);
        }
    };
    let result = inner.heard(put(inner, jira, issue, &ticket, &mark, &text).await?);
    let hash = comment::hash_of(&text);
    match result {
        Ok(id) => {
            // What changed while it was written is written at the next look; without a change that look ends it.
            inner
                .change_ticket(issue, Write::At(now() + PACE), |ticket| {
                    ticket.comment.id = Some(id.clone());
                    ticket.comment.is_uncertain = false;
                    ticket.comment.hash.clone_from(&hash);
                    ticket.comment.attempts = 0;
                    ticket.comment.problem = None;
                })
                .await?;
            Ok(None)
        }
        Err(error) => {
            let attempts = ticket.comment.attempts + 1;
            tracing::warn!(issue = ticket.key, attempts, %error, "the comment of a ticket could not be written");
            // The comment, or the whole issue, is gone: with the first, another one is written.
            let had_one = ticket.comment.id.is_some();
            let is_over = attempts >= TRIES || (error == JiraError::NotFound && !had_one);
            let backoff = (DELAYS.0 << attempts.min(12)).min(DELAYS.1);
            let delay = error.retry_after().map_or(backoff, |wait| i64::try_from(wait.as_millis()).unwrap_or(backoff));
            let at = if is_over { Write::At(0) } else { Write::At(now() + delay) };
            let why = error.to_string();
            inner
                .change_ticket(issue, at, |ticket| {
                    ticket.comment.attempts = attempts;
                    ticket.comment.problem = Some(why.clone());
                    if error == JiraError::NotFound {
                        ticket.comment.id = None;
                        ticket.comment.is_uncertain = false;
                    }
                })
                .await?;
            Ok(error.retry_after())
        }
    }
}

fn text(inner: &Inner, issue: &str, ticket: &Ticket, mark: &str) -> Option<Document> {
    let conversation = names::conversation(inner.site(), issue);
    let page = |url: &String| Some(format!("{url}/projects/{}/chat/{conversation}", ticket.project.as_ref()?));
    comment::of(ticket, &Place { link: inner.options.public_url.as_ref().and_then(page), mark })
}

/// Edits the comment, or adds it where there is none; returns its id.
async fn put(
    inner: &Inner,
    jira: &Client,
    issue: &str,
    ticket: &Ticket,
    mark: &str,
    text: &Document,
) -> Result<Result<String, JiraError>, StoreError> {
    let mut id = ticket.comment.id.clone();
    if id.is_none() && ticket.comment.is_uncertain {
        match jira.find_comment(issue, mark).await {
            Ok(found) => id = found,
            Err(error) => return Ok(Err(error)),
        }
    }
    if let Some(id) = id {
        return Ok(jira.edit_comment(issue, &id, text).await.map(|()| id));
    }
    inner.change_ticket(issue, Write::Leave, |ticket| ticket.comment.is_uncertain = true).await?;
    Ok(jira.add_comment(issue, text).await)
}
