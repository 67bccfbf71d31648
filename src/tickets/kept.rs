//! Reads and writes what is known of an issue. Deliveries, answers and comments change it side by side, so each change is made
//! again on the newest version where another one came between.

use super::ticket::Ticket;
use super::{Inner, now};
use crate::store::{StoreError, TicketRow};

/// How often a change is tried.
const TRIES: u32 = 20;

impl Inner {
    /// Reads a ticket; `None` where nothing is known of the issue.
    pub(super) async fn ticket(&self, issue: &str) -> Result<Option<Ticket>, StoreError> {
        let row = self.store.ticket(issue).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Changes a ticket, from nothing where there is none, and returns it. `write` says whether its comment is to be written.
    pub(super) async fn change_ticket(
        &self,
        issue: &str,
        write: Write,
        change: impl Fn(&mut Ticket),
    ) -> Result<Ticket, StoreError> {
        for _ in 0..TRIES {
            let row = self.store.ticket(issue).await?;
            let empty = TicketRow {
                issue: issue.to_owned(),
                version: 0,
                content: String::new(),
                watched: false,
                comment_at: 0,
            };
            let row = row.unwrap_or(empty);
            let mut ticket = if row.version == 0 { Ticket::default() } else { read(&row)? };
            change(&mut ticket);
            let comment_at = match write {
                _ if self.options.jira.is_none() => 0,
                Write::Leave => row.comment_at,
                Write::Now => now(),
                Write::At(time) => time,
            };
            let content = serde_json::to_string(&ticket)
                .map_err(|error| StoreError::Content(format!("a ticket that cannot be written ({error})")))?;
            let after = TicketRow { content, watched: ticket.waits(), comment_at, ..row };
            if self.store.put_ticket(&after).await? {
                if matches!(write, Write::Now | Write::At(_)) {
                    self.comments.notify_one();
                }
                return Ok(ticket);
            }
        }
        Err(StoreError::Content(format!("the ticket of issue {issue}, which changes all the time")))
    }

    /// Notes that the comment of a ticket is as it should be, unless the ticket is another one than `seen` by now.
    pub(super) async fn settle_comment(&self, issue: &str, seen: &Ticket) -> Result<(), StoreError> {
        let Some(row) = self.store.ticket(issue).await? else { return Ok(()) };
        if read(&row)? == *seen {
            // With another version it is looked at again.
            self.store.put_ticket(&TicketRow { comment_at: 0, ..row }).await?;
        }
        Ok(())
    }
}

/// Whether the comment of a changed ticket is to be written.
#[derive(Clone, Copy)]
pub(super) enum Write {
    /// As it was.
    Leave,
    /// Soon.
    Now,
    /// At this time; 0 is never.
    At(i64),
}

fn read(row: &TicketRow) -> Result<Ticket, StoreError> {
    let unreadable = |error| StoreError::Content(format!("the ticket of issue {} ({error})", row.issue));
    serde_json::from_str(&row.content).map_err(unreadable)
}
