//! How the last commits of each unit came into the cluster. Bounded: a unit keeps its last [`KEPT`].

use std::collections::BTreeMap;

use super::inventory::{parse_unit, unit_name};
use super::{Store, StoreError, in_transaction, on_pool};
use crate::project::{ProjectName, Unit};

/// So many commits are remembered for each unit.
pub const KEPT: i64 = 20;

/// One commit's way into the cluster, for one unit. Its key is unit and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOutcome {
    /// The project, or the base-wide objects.
    pub unit: Unit,
    /// The commit.
    pub revision: String,
    /// The name of whoever made the commit; empty where an older program did not note it.
    pub author: String,
    /// When the manager saw it, in milliseconds since 1970: two commits of one second have an order.
    pub seen_at: i64,
    /// A short name of what it rendered to.
    pub digest: String,
    /// What was done, for people: `1 created, 2 changed`.
    pub summary: String,
    /// `applied` or `failed`.
    pub outcome: String,
    /// What the API server refused; empty when nothing.
    pub message: String,
    /// After how many milliseconds everything was applied.
    pub applied_ms: Option<i64>,
    /// After how many milliseconds it was healthy, or stopped as desired.
    pub healthy_ms: Option<i64>,
}

/// A row of the table, in the order of its columns.
type Row = (String, String, i64, String, String, String, String, Option<i64>, Option<i64>, String);

const UPSERT: &str = "INSERT INTO history VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT (project, revision) DO UPDATE SET seen_at = excluded.seen_at, digest = excluded.digest, \
     summary = excluded.summary, outcome = excluded.outcome, message = excluded.message, \
     applied_ms = excluded.applied_ms, healthy_ms = excluded.healthy_ms, author = excluded.author";
const FORGET: &str = "DELETE FROM history WHERE project = $1 AND revision NOT IN \
     (SELECT revision FROM history WHERE project = $1 ORDER BY seen_at DESC, revision LIMIT $2)";
const NEWEST: &str = "SELECT project, revision, seen_at, digest, summary, outcome, message, applied_ms, healthy_ms, author \
     FROM history WHERE project = $1 ORDER BY seen_at DESC, revision LIMIT $2";

const LAST: &str = "SELECT project, digest, applied_ms FROM history AS one WHERE seen_at = \
     (SELECT MAX(seen_at) FROM history AS other WHERE other.project = one.project)";

impl Store {
    /// Writes what is known of these passages by now.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing was written then.
    pub async fn record_passages(&self, passages: &[CommitOutcome]) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            for passage in passages {
                sqlx::query(UPSERT)
                    .bind(unit_name(&passage.unit))
                    .bind(&passage.revision)
                    .bind(passage.seen_at)
                    .bind(&passage.digest)
                    .bind(&passage.summary)
                    .bind(&passage.outcome)
                    .bind(&passage.message)
                    .bind(passage.applied_ms)
                    .bind(passage.healthy_ms)
                    .bind(&passage.author)
                    .execute(&mut *transaction)
                    .await?;
                let forget = sqlx::query(FORGET).bind(unit_name(&passage.unit)).bind(KEPT);
                forget.execute(&mut *transaction).await?;
            }
        });
        Ok(())
    }

    /// What each unit was last brought to without a failure, by its digest; of one whose last passage failed there
    /// is nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn applied_digests(&self) -> Result<BTreeMap<Unit, String>, StoreError> {
        let rows: Vec<(String, String, Option<i64>)> = on_pool!(self, pool => {
            sqlx::query_as(LAST).fetch_all(pool).await?
        });
        let whole = rows.into_iter().filter(|(.., applied)| applied.is_some());
        whole.map(|(unit, digest, _)| Ok((parse_unit(&unit)?, digest))).collect()
    }

    /// The last passages of a project, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn passages(&self, project: &ProjectName) -> Result<Vec<CommitOutcome>, StoreError> {
        let rows: Vec<Row> = on_pool!(self, pool => {
            sqlx::query_as(NEWEST).bind(project.as_str()).bind(KEPT).fetch_all(pool).await?
        });
        rows.into_iter().map(passage).collect()
    }
}

fn passage(row: Row) -> Result<CommitOutcome, StoreError> {
    let (unit, revision, seen_at, digest, summary, outcome, message, applied_ms, healthy_ms, author) = row;
    let unit = parse_unit(&unit)?;
    Ok(CommitOutcome { unit, revision, author, seen_at, digest, summary, outcome, message, applied_ms, healthy_ms })
}
