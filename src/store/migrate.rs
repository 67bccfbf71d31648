//! The schema, step by step. All missing steps are one transaction under a lock, so that several processes may start at
//! once on one database: the first makes the schema, the others wait and find it made.

use super::{Pool, Store, StoreError, on_pool};

/// One step, in both dialects.
struct Step {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($version:literal, $file:literal) => {
        Step {
            version: $version,
            sqlite: include_str!(concat!("migrations/sqlite/", $file)),
            postgres: include_str!(concat!("migrations/postgres/", $file)),
        }
    };
}

/// All steps in order. A step that was released is never edited.
const STEPS: &[Step] = &[
    step!(1, "0001_idempotency_and_inventory.sql"),
    step!(2, "0002_sessions.sql"),
    step!(3, "0003_history.sql"),
    step!(4, "0004_history_author.sql"),
    step!(5, "0005_last_changes.sql"),
    step!(6, "0006_sent.sql"),
    step!(7, "0007_chat.sql"),
    step!(8, "0008_tickets.sql"),
];

/// Any number, as long as no other program uses the same one in the same database.
const LOCK: i64 = 0x0063_6c61_7564_6d67;

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_steps (version BIGINT NOT NULL PRIMARY KEY)";
const NEWEST: &str = "SELECT MAX(version) FROM schema_steps";

impl Store {
    /// Makes what is missing of the schema.
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                sqlx::query(CREATE_TABLE).execute(&mut *transaction).await?;
                let done: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(&mut *transaction).await?;
                for step in missing(done)? {
                    let failed = |source| StoreError::Migration { version: step.version, source };
                    sqlx::raw_sql(step.sqlite).execute(&mut *transaction).await.map_err(failed)?;
                    let record = sqlx::query("INSERT INTO schema_steps VALUES ($1)").bind(step.version);
                    record.execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
            }
            Pool::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                // CREATE TABLE IF NOT EXISTS is itself a race in PostgreSQL, hence the lock before it.
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
                sqlx::query(CREATE_TABLE).execute(&mut *transaction).await?;
                let done: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(&mut *transaction).await?;
                for step in missing(done)? {
                    let failed = |source| StoreError::Migration { version: step.version, source };
                    sqlx::raw_sql(step.postgres).execute(&mut *transaction).await.map_err(failed)?;
                    let record = sqlx::query("INSERT INTO schema_steps VALUES ($1)").bind(step.version);
                    record.execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// The newest step that the database has.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn schema(&self) -> Result<i64, StoreError> {
        let newest: Option<i64> = on_pool!(self, pool => sqlx::query_scalar(NEWEST).fetch_one(pool).await?);
        Ok(newest.unwrap_or(0))
    }
}

/// The steps after `done`.
fn missing(done: Option<i64>) -> Result<impl Iterator<Item = &'static Step>, StoreError> {
    let done = done.unwrap_or(0);
    let known = STEPS.last().map_or(0, |step| step.version);
    if done > known {
        return Err(StoreError::Newer { found: done, known });
    }
    Ok(STEPS.iter().filter(move |step| step.version > done))
}
