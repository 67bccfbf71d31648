//! Copies of conversations, so that they can be read while their environment is stopped, and the outbox of prompts that wait
//! for it.
//!
//! The agents' logs are the truth: losing the copies loses nothing that is not read again. The outbox is a truth of its own:
//! its prompts were acknowledged, and no agent has them yet.

use super::{Store, StoreError, in_transaction, on_pool};
use crate::project::ProjectName;

/// The copy of a conversation, without its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationCopy {
    /// The conversation's id.
    pub conversation: String,
    /// The name of the log that the copied events are of; empty before there are any.
    pub epoch: String,
    /// The number of the newest copied event.
    pub last_seq: u64,
    /// The conversation in JSON, as its agent said it last.
    pub summary: String,
    /// The request for a conversation that its environment does not have yet, in JSON; empty once it has it.
    pub pending: String,
    /// Whether something ran or waited in it when it was last heard of.
    pub busy: bool,
    /// When it was last changed, RFC 3339; the order of lists.
    pub updated_at: String,
}

/// A copied event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCopy {
    /// Its number.
    pub seq: u64,
    /// The id of the prompt, where the event is one; else empty.
    pub prompt: String,
    /// The event in JSON.
    pub event: String,
}

/// A prompt that waits for its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingPrompt {
    /// The conversation.
    pub conversation: String,
    /// The prompt's id.
    pub prompt: String,
    /// The prompt in JSON.
    pub body: String,
    /// Who sent it, in JSON.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub accepted_at: i64,
    /// Whether the commit that starts the project was made, or none was needed.
    pub woken: bool,
    /// Why it was not delivered at the last try; empty before there was one.
    pub problem: String,
}

type CopyRow = (String, String, i64, String, String, i64, String);
type WaitingRow = (String, String, String, String, i64, i64, String);

const UPSERT: &str = "INSERT INTO conversations \
     (project, conversation, epoch, last_seq, summary, pending, busy, updated_at) VALUES ($1, $2, '', 0, $3, $4, $5, $6) \
     ON CONFLICT (project, conversation) DO UPDATE SET summary = excluded.summary, pending = excluded.pending, \
     busy = excluded.busy, updated_at = excluded.updated_at";
const COPIES: &str = "SELECT conversation, epoch, last_seq, summary, pending, busy, updated_at FROM conversations \
     WHERE project = $1 ORDER BY updated_at DESC, conversation LIMIT 1000";
const COPY: &str = "SELECT conversation, epoch, last_seq, summary, pending, busy, updated_at FROM conversations \
     WHERE project = $1 AND conversation = $2";
const WAITING: &str = "SELECT conversation, prompt, body, actor, accepted_at, woken, problem FROM prompt_outbox \
     WHERE project = $1 ORDER BY accepted_at, prompt";

impl Store {
    /// Writes what is known of a conversation beside its events. How far these are copied stays.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn put_conversation(&self, project: &ProjectName, copy: &ConversationCopy) -> Result<(), StoreError> {
        on_pool!(self, pool => {
            sqlx::query(UPSERT)
                .bind(project.as_str())
                .bind(&copy.conversation)
                .bind(&copy.summary)
                .bind(&copy.pending)
                .bind(i64::from(copy.busy))
                .bind(&copy.updated_at)
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    /// Returns the copies of a project's conversations, the latest used first, at most 1,000.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn conversations(&self, project: &ProjectName) -> Result<Vec<ConversationCopy>, StoreError> {
        let rows: Vec<CopyRow> = on_pool!(self, pool => {
            sqlx::query_as(COPIES).bind(project.as_str()).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(copy).collect())
    }

    /// Returns the copy of a conversation; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn conversation(
        &self,
        project: &ProjectName,
        conversation: &str,
    ) -> Result<Option<ConversationCopy>, StoreError> {
        let row: Option<CopyRow> = on_pool!(self, pool => {
            sqlx::query_as(COPY).bind(project.as_str()).bind(conversation).fetch_optional(pool).await?
        });
        Ok(row.map(copy))
    }

    /// Returns the copies of at most `limit` conversations of all projects: the busy ones, then the latest used.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn newest_conversations(&self, limit: u32) -> Result<Vec<(ProjectName, ConversationCopy)>, StoreError> {
        let statement = "SELECT project, conversation, epoch, last_seq, summary, pending, busy, updated_at \
             FROM conversations ORDER BY busy DESC, updated_at DESC, conversation LIMIT $1";
        type Row = (String, String, String, i64, String, String, i64, String);
        let rows: Vec<Row> =
            on_pool!(self, pool => sqlx::query_as(statement).bind(i64::from(limit)).fetch_all(pool).await?);
        let of = |(project, conversation, epoch, last_seq, summary, pending, busy, updated_at): Row| {
            let name = ProjectName::parse(&project).map_err(|_| StoreError::Content(format!("project {project:?}")))?;
            Ok((name, copy((conversation, epoch, last_seq, summary, pending, busy, updated_at))))
        };
        rows.into_iter().map(of).collect()
    }

    /// Appends events to the copy of a conversation's log, all or none. The first one's number follows the newest copied
    /// one's; with another epoch than before, the events of the old one are deleted.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing was written then.
    pub async fn add_events(
        &self,
        project: &ProjectName,
        conversation: &str,
        epoch: &str,
        events: &[EventCopy],
    ) -> Result<(), StoreError> {
        let last = events.last().map_or(0, |event| event.seq);
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM conversation_events WHERE project = $1 AND conversation = $2 AND epoch <> $3")
                .bind(project.as_str())
                .bind(conversation)
                .bind(epoch)
                .execute(&mut *transaction)
                .await?;
            for event in events {
                sqlx::query("INSERT INTO conversation_events VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING")
                    .bind(project.as_str())
                    .bind(conversation)
                    .bind(epoch)
                    .bind(number(event.seq))
                    .bind(&event.prompt)
                    .bind(&event.event)
                    .execute(&mut *transaction)
                    .await?;
            }
            let moved = "UPDATE conversations SET epoch = $3, last_seq = $4 WHERE project = $1 AND conversation = $2";
            sqlx::query(moved)
                .bind(project.as_str())
                .bind(conversation)
                .bind(epoch)
                .bind(number(last))
                .execute(&mut *transaction)
                .await?;
        });
        Ok(())
    }

    /// Returns at most `limit` copied events after the number `after`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn copied_events(
        &self,
        project: &ProjectName,
        conversation: &str,
        epoch: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventCopy>, StoreError> {
        let statement = "SELECT seq, prompt, event FROM conversation_events \
             WHERE project = $1 AND conversation = $2 AND epoch = $3 AND seq > $4 ORDER BY seq LIMIT $5";
        let rows: Vec<(i64, String, String)> = on_pool!(self, pool => {
            sqlx::query_as(statement)
                .bind(project.as_str())
                .bind(conversation)
                .bind(epoch)
                .bind(number(after))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        let event = |(seq, prompt, event)| EventCopy { seq: u64::try_from(seq).unwrap_or(0), prompt, event };
        Ok(rows.into_iter().map(event).collect())
    }

    /// Returns the copied event of a prompt.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn copied_prompt(
        &self,
        project: &ProjectName,
        conversation: &str,
        prompt: &str,
    ) -> Result<Option<String>, StoreError> {
        let statement = "SELECT event FROM conversation_events \
             WHERE project = $1 AND conversation = $2 AND prompt = $3 AND prompt <> ''";
        Ok(on_pool!(self, pool => {
            sqlx::query_scalar(statement)
                .bind(project.as_str())
                .bind(conversation)
                .bind(prompt)
                .fetch_optional(pool)
                .await?
        }))
    }

    /// Puts a prompt into the outbox; false when one with its id is there.
    ///
    /// # Errors
    /// [`StoreError::Database`]; it is not there then.
    pub async fn add_waiting(&self, project: &ProjectName, waiting: &WaitingPrompt) -> Result<bool, StoreError> {
        let statement = "INSERT INTO prompt_outbox VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let added = on_pool!(self, pool => {
            sqlx::query(statement)
                .bind(project.as_str())
                .bind(&waiting.conversation)
                .bind(&waiting.prompt)
                .bind(&waiting.body)
                .bind(&waiting.actor)
                .bind(waiting.accepted_at)
                .bind(i64::from(waiting.woken))
                .bind(&waiting.problem)
                .execute(pool)
                .await?
                .rows_affected()
        });
        Ok(added > 0)
    }

    /// Returns the prompts of a project that wait for its environment, in the order in which they came.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn waiting(&self, project: &ProjectName) -> Result<Vec<WaitingPrompt>, StoreError> {
        let rows: Vec<WaitingRow> = on_pool!(self, pool => {
            sqlx::query_as(WAITING).bind(project.as_str()).fetch_all(pool).await?
        });
        let waiting = |(conversation, prompt, body, actor, accepted_at, woken, problem): WaitingRow| WaitingPrompt {
            conversation,
            prompt,
            body,
            actor,
            accepted_at,
            woken: woken != 0,
            problem,
        };
        Ok(rows.into_iter().map(waiting).collect())
    }

    /// Notes that the project of a waiting prompt was started, or why the prompt could not be delivered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_waiting(
        &self,
        project: &ProjectName,
        conversation: &str,
        prompt: &str,
        woken: bool,
        problem: &str,
    ) -> Result<(), StoreError> {
        let statement = "UPDATE prompt_outbox SET woken = $4, problem = $5 \
             WHERE project = $1 AND conversation = $2 AND prompt = $3";
        on_pool!(self, pool => {
            sqlx::query(statement)
                .bind(project.as_str())
                .bind(conversation)
                .bind(prompt)
                .bind(i64::from(woken))
                .bind(problem)
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    /// Takes a prompt out of the outbox; false when it was not there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn remove_waiting(
        &self,
        project: &ProjectName,
        conversation: &str,
        prompt: &str,
    ) -> Result<bool, StoreError> {
        let statement = "DELETE FROM prompt_outbox WHERE project = $1 AND conversation = $2 AND prompt = $3";
        let removed = on_pool!(self, pool => {
            sqlx::query(statement)
                .bind(project.as_str())
                .bind(conversation)
                .bind(prompt)
                .execute(pool)
                .await?
                .rows_affected()
        });
        Ok(removed > 0)
    }

    /// Returns the projects that have waiting prompts or conversations in which something ran.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn projects_to_follow(&self) -> Result<Vec<ProjectName>, StoreError> {
        let statement = "SELECT project FROM prompt_outbox UNION SELECT project FROM conversations WHERE busy = 1";
        let names: Vec<String> = on_pool!(self, pool => sqlx::query_scalar(statement).fetch_all(pool).await?);
        let name =
            |text: String| ProjectName::parse(&text).map_err(|_| StoreError::Content(format!("project {text:?}")));
        names.into_iter().map(name).collect()
    }
}

fn copy((conversation, epoch, last_seq, summary, pending, busy, updated_at): CopyRow) -> ConversationCopy {
    let last_seq = u64::try_from(last_seq).unwrap_or(0);
    ConversationCopy { conversation, epoch, last_seq, summary, pending, busy: busy != 0, updated_at }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> EventCopy {
        EventCopy {
            seq,
            prompt: if seq == 1 { "p".into() } else { String::new() },
            event: format!("{{\"seq\":{seq}}}"),
        }
    }

    #[tokio::test]
    async fn events_are_copied_once_and_another_epoch_replaces_them() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(data.path()).await.unwrap();
        let shop = ProjectName::parse("shop").unwrap();
        let copy =
            ConversationCopy { conversation: "c".into(), summary: "{}".into(), busy: true, ..Default::default() };
        store.put_conversation(&shop, &copy).await.unwrap();
        store.add_events(&shop, "c", "e1", &[event(1), event(2)]).await.unwrap();
        store.add_events(&shop, "c", "e1", &[event(2), event(3)]).await.unwrap();
        let seqs = |events: Vec<EventCopy>| events.into_iter().map(|event| event.seq).collect::<Vec<_>>();
        assert_eq!(seqs(store.copied_events(&shop, "c", "e1", 1, 10).await.unwrap()), [2, 3]);
        assert!(store.copied_prompt(&shop, "c", "p").await.unwrap().is_some());
        store.put_conversation(&shop, &copy).await.unwrap();
        assert_eq!(store.conversation(&shop, "c").await.unwrap().unwrap().last_seq, 3, "the copy stays as it is");
        store.add_events(&shop, "c", "e2", &[event(1)]).await.unwrap();
        assert_eq!(seqs(store.copied_events(&shop, "c", "e1", 0, 10).await.unwrap()), [0_u64; 0]);
        let copy = store.conversation(&shop, "c").await.unwrap().unwrap();
        assert_eq!((copy.epoch.as_str(), copy.last_seq), ("e2", 1));
        assert_eq!(store.projects_to_follow().await.unwrap(), std::slice::from_ref(&shop));
        let idle = ConversationCopy { conversation: "d".into(), updated_at: "2".into(), busy: false, ..copy.clone() };
        store.put_conversation(&shop, &idle).await.unwrap();
        let newest = store.newest_conversations(1).await.unwrap();
        let found: Vec<_> = newest.iter().map(|(project, copy)| (project, copy.conversation.as_str())).collect();
        assert_eq!(found, [(&shop, "c")], "the busy one, though another was used later");
    }

    #[tokio::test]
    async fn a_prompt_waits_once_and_in_its_order() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(data.path()).await.unwrap();
        let shop = ProjectName::parse("shop").unwrap();
        let waiting = |prompt: &str, accepted_at| WaitingPrompt {
            conversation: "c".into(),
            prompt: prompt.into(),
            body: "{}".into(),
            actor: "{}".into(),
            accepted_at,
            woken: false,
            problem: String::new(),
        };
        assert!(store.add_waiting(&shop, &waiting("b", 1)).await.unwrap());
        assert!(store.add_waiting(&shop, &waiting("a", 2)).await.unwrap());
        assert!(!store.add_waiting(&shop, &waiting("b", 3)).await.unwrap());
        store.note_waiting(&shop, "c", "a", true, "why").await.unwrap();
        let found = store.waiting(&shop).await.unwrap();
        let said: Vec<_> = found.iter().map(|one| (one.prompt.as_str(), one.woken, one.problem.as_str())).collect();
        assert_eq!(said, [("b", false, ""), ("a", true, "why")]);
        assert!(store.remove_waiting(&shop, "c", "b").await.unwrap());
        assert!(!store.remove_waiting(&shop, "c", "b").await.unwrap());
    }
}
