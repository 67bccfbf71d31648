//! JIRA's webhooks until they are worked off and for some time after, and what is known of each issue.
//!
//! A delivery is a truth of its own: JIRA was told that it is stored. Times here are in milliseconds since 1970.

use super::{Pool, Store, StoreError, in_transaction, on_pool};

/// A webhook to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id, the same for the same webhook.
    pub id: String,
    /// The issue's id; empty for none.
    pub issue: String,
    /// The issue's key; empty where it is not told.
    pub issue_key: String,
    /// JIRA's word for what happened.
    pub event: String,
    /// Who did it, for people.
    pub actor: String,
    /// When it happened.
    pub happened_at: i64,
    /// When it came.
    pub received_at: i64,
    /// The body.
    pub body: String,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is worked off soon, or again after a failure.
    Waiting,
    /// It came before what it builds on, and waits for that.
    Parked,
    /// It was worked off.
    Done,
    /// There was nothing to do.
    Ignored,
    /// It failed for good; it may be replayed.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Parked, Self::Done, Self::Ignored, Self::Dead];

    /// The word in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Dead => "dead",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A stored webhook, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// The issue's id; empty for none.
    pub issue: String,
    /// The issue's key; may be empty.
    pub issue_key: String,
    /// JIRA's word for what happened.
    pub event: String,
    /// Who did it, for people.
    pub actor: String,
    /// When it happened.
    pub happened_at: i64,
    /// When it came.
    pub received_at: i64,
    /// What became of it.
    pub state: DeliveryState,
    /// The same for people, or why the last try failed.
    pub outcome: String,
    /// How many tries failed.
    pub attempts: u32,
    /// When it is looked at next.
    pub next_at: i64,
    /// How long the last try took.
    pub took_ms: u64,
}

/// What is known of an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketRow {
    /// The issue's id.
    pub issue: String,
    /// Rises with every write; 0 for a row that is not there yet.
    pub version: i64,
    /// JSON.
    pub content: String,
    /// Whether an answer is awaited.
    pub watched: bool,
    /// When the comment is to be written next; 0 for not.
    pub comment_at: i64,
}

type DeliveryRow = (String, String, String, String, String, i64, i64, String, String, i64, i64, i64);
type Row = (String, i64, String, i64, i64);

macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "SELECT id, issue, issue_key, event, actor, happened_at, received_at, state, outcome, attempts, next_at, took_ms \
             FROM ticket_deliveries AS d ",
            $rest
        )
    };
}
macro_rules! tickets {
    ($rest:literal) => {
        concat!("SELECT issue, version, content, watched, comment_at FROM tickets ", $rest)
    };
}

/// Of each issue only the delivery that happened first, so that one that is retried holds up the later ones.
const DUE: &str = deliveries!(
    "WHERE d.state IN ('waiting', 'parked') AND d.next_at <= $1 AND (d.issue = '' OR NOT EXISTS (\
     SELECT 1 FROM ticket_deliveries AS e WHERE e.issue = d.issue AND e.state = 'waiting' AND (e.happened_at < d.happened_at \
     OR (e.happened_at = d.happened_at AND e.seq < d.seq)))) ORDER BY d.happened_at, d.seq LIMIT $2"
);

impl Store {
    /// Stores webhooks, all or none; those that are there already stay as they are.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing was stored then.
    pub async fn add_deliveries(&self, new: &[NewDelivery]) -> Result<(), StoreError> {
        let statement = "INSERT INTO ticket_deliveries (id, issue, issue_key, event, actor, happened_at, received_at, state, \
             outcome, attempts, next_at, owner, took_ms, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', '', 0, 0, '', 0, $8) ON CONFLICT DO NOTHING";
        in_transaction!(self, transaction => {
            for one in new {
                sqlx::query(statement)
                    .bind(&one.id)
                    .bind(&one.issue)
                    .bind(&one.issue_key)
                    .bind(&one.event)
                    .bind(&one.actor)
                    .bind(one.happened_at)
                    .bind(one.received_at)
                    .bind(&one.body)
                    .execute(&mut *transaction)
                    .await?;
            }
        });
        Ok(())
    }

    /// Returns at most `limit` deliveries that can be worked on at `now`, at most one of each issue.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due_deliveries(&self, now: i64, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let rows: Vec<DeliveryRow> = on_pool!(self, pool => {
            sqlx::query_as(DUE).bind(now).bind(i64::from(limit)).fetch_all(pool).await?
        });
        rows.into_iter().map(delivery).collect()
    }

    /// Returns when the next delivery is due; `None` when none waits.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn next_delivery(&self, now: i64) -> Result<Option<i64>, StoreError> {
        let statement =
            "SELECT MIN(next_at) FROM ticket_deliveries WHERE state IN ('waiting', 'parked') AND next_at > $1";
        Ok(on_pool!(self, pool => sqlx::query_scalar(statement).bind(now).fetch_one(pool).await?))
    }

    /// Takes a delivery for `owner` until the time `until`; false when another process was faster. Returns its body.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn claim_delivery(
        &self,
        id: &str,
        owner: &str,
        now: i64,
        until: i64,
    ) -> Result<Option<String>, StoreError> {
        let statement = "UPDATE ticket_deliveries SET owner = $2, next_at = $4 \
             WHERE id = $1 AND state IN ('waiting', 'parked') AND next_at <= $3 RETURNING body";
        Ok(on_pool!(self, pool => {
            sqlx::query_scalar(statement).bind(id).bind(owner).bind(now).bind(until).fetch_optional(pool).await?
        }))
    }

    /// Gives back what a process had taken that is gone. With SQLite that is every other one; with PostgreSQL the others may
    /// live, and what they had taken becomes free by itself.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn release_deliveries(&self) -> Result<(), StoreError> {
        if let Pool::Sqlite(pool) = &self.pool {
            let statement =
                "UPDATE ticket_deliveries SET owner = '', next_at = 0 WHERE owner <> '' AND state = 'waiting'";
            sqlx::query(statement).execute(pool).await?;
        }
        Ok(())
    }

    /// Writes what became of a delivery at this try; the owner gives it back.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_delivery(&self, after: &Delivery) -> Result<(), StoreError> {
        let statement = "UPDATE ticket_deliveries SET state = $2, outcome = $3, attempts = $4, next_at = $5, took_ms = $6, \
             owner = '' WHERE id = $1";
        on_pool!(self, pool => {
            sqlx::query(statement)
                .bind(&after.id)
                .bind(after.state.as_str())
                .bind(&after.outcome)
                .bind(i64::from(after.attempts))
                .bind(after.next_at)
                .bind(i64::try_from(after.took_ms).unwrap_or(i64::MAX))
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    /// Has the parked deliveries of an issue worked off now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unpark_deliveries(&self, issue: &str) -> Result<(), StoreError> {
        let statement =
            "UPDATE ticket_deliveries SET state = 'waiting', next_at = 0 WHERE issue = $1 AND state = 'parked'";
        on_pool!(self, pool => {
            sqlx::query(statement).bind(issue).execute(pool).await?;
        });
        Ok(())
    }

    /// Has a delivery worked off again, with all its tries; false when there is none of this id.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn replay_delivery(&self, id: &str) -> Result<bool, StoreError> {
        let statement = "UPDATE ticket_deliveries SET state = 'waiting', next_at = 0, attempts = 0 \
             WHERE id = $1 AND owner = ''";
        let known = "SELECT COUNT(*) FROM ticket_deliveries WHERE id = $1";
        let count: i64 = on_pool!(self, pool => {
            sqlx::query(statement).bind(id).execute(pool).await?;
            sqlx::query_scalar(known).bind(id).fetch_one(pool).await?
        });
        Ok(count > 0)
    }

    /// Returns one page of the deliveries, the newest first, and how many there are of the state, or of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn deliveries(
        &self,
        state: Option<DeliveryState>,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<Delivery>, u64), StoreError> {
        let page = deliveries!("WHERE $1 IN ('', d.state) ORDER BY d.seq DESC LIMIT $2 OFFSET $3");
        let count = "SELECT COUNT(*) FROM ticket_deliveries WHERE $1 IN ('', state)";
        let word = state.map_or("", DeliveryState::as_str);
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let (rows, total): (Vec<DeliveryRow>, i64) = on_pool!(self, pool => (
            sqlx::query_as(page).bind(word).bind(i64::from(limit)).bind(offset).fetch_all(pool).await?,
            sqlx::query_scalar(count).bind(word).fetch_one(pool).await?,
        ));
        let items = rows.into_iter().map(delivery).collect::<Result<_, _>>()?;
        Ok((items, u64::try_from(total).unwrap_or(0)))
    }

    /// Returns how many deliveries wait (parked ones included), and how many are dead.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn count_deliveries(&self) -> Result<(u64, u64), StoreError> {
        let waiting = "SELECT COUNT(*) FROM ticket_deliveries WHERE state IN ('waiting', 'parked')";
        let dead = "SELECT COUNT(*) FROM ticket_deliveries WHERE state = 'dead'";
        let (waiting, dead): (i64, i64) = on_pool!(self, pool => (
            sqlx::query_scalar(waiting).fetch_one(pool).await?,
            sqlx::query_scalar(dead).fetch_one(pool).await?,
        ));
        Ok((u64::try_from(waiting).unwrap_or(0), u64::try_from(dead).unwrap_or(0)))
    }

    /// Deletes deliveries that came before `before` and are done or ignored. Dead ones stay until they are replayed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_deliveries(&self, before: i64) -> Result<u64, StoreError> {
        let statement = "DELETE FROM ticket_deliveries WHERE state IN ('done', 'ignored') AND received_at < $1";
        Ok(on_pool!(self, pool => sqlx::query(statement).bind(before).execute(pool).await?.rows_affected()))
    }

    /// Returns what is known of an issue.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn ticket(&self, issue: &str) -> Result<Option<TicketRow>, StoreError> {
        let statement = tickets!("WHERE issue = $1");
        let row: Option<Row> = on_pool!(self, pool => {
            sqlx::query_as(statement).bind(issue).fetch_optional(pool).await?
        });
        Ok(row.map(ticket))
    }

    /// Writes what is known of an issue where the row still has the version that was read; false when it has not.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn put_ticket(&self, row: &TicketRow) -> Result<bool, StoreError> {
        let statement = match row.version {
            0 => "INSERT INTO tickets VALUES ($1, $2 + 1, $3, $4, $5) ON CONFLICT DO NOTHING",
            _ => {
                "UPDATE tickets SET version = version + 1, content = $3, watched = $4, comment_at = $5 \
                 WHERE issue = $1 AND version = $2"
            }
        };
        let written = on_pool!(self, pool => {
            sqlx::query(statement)
                .bind(&row.issue)
                .bind(row.version)
                .bind(&row.content)
                .bind(i64::from(row.watched))
                .bind(row.comment_at)
                .execute(pool)
                .await?
                .rows_affected()
        });
        Ok(written > 0)
    }

    /// Returns the ids of the issues of which an answer is awaited.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn watched_tickets(&self) -> Result<Vec<String>, StoreError> {
        let statement = "SELECT issue FROM tickets WHERE watched = 1";
        Ok(on_pool!(self, pool => sqlx::query_scalar(statement).fetch_all(pool).await?))
    }

    /// Returns the ids of the issues whose comment is to be written at `now`, and when the next one is.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn due_comments(&self, now: i64) -> Result<(Vec<String>, Option<i64>), StoreError> {
        let due = "SELECT issue FROM tickets WHERE comment_at > 0 AND comment_at <= $1 ORDER BY comment_at LIMIT 50";
        let next = "SELECT MIN(comment_at) FROM tickets WHERE comment_at > $1";
        Ok(on_pool!(self, pool => (
            sqlx::query_scalar(due).bind(now).fetch_all(pool).await?,
            sqlx::query_scalar(next).bind(now).fetch_one(pool).await?,
        )))
    }
}

fn delivery(row: DeliveryRow) -> Result<Delivery, StoreError> {
    let (id, issue, issue_key, event, actor, happened_at, received_at, state, outcome, attempts, next_at, took_ms) =
        row;
    let unknown = || StoreError::Content(format!("the delivery {id} in the state {state:?}"));
    let state = DeliveryState::parse(&state).ok_or_else(unknown)?;
    let (attempts, took_ms) = (u32::try_from(attempts).unwrap_or(0), u64::try_from(took_ms).unwrap_or(0));
    Ok(Delivery {
        id,
        issue,
        issue_key,
        event,
        actor,
        happened_at,
        received_at,
        state,
        outcome,
        attempts,
        next_at,
        took_ms,
    })
}

fn ticket((issue, version, content, watched, comment_at): Row) -> TicketRow {
    TicketRow { issue, version, content, watched: watched != 0, comment_at }
}
