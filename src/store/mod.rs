//! What the manager remembers beside Git: SQLite by default, PostgreSQL by address, one set of functions for both.
//!
//! Nothing here is desired state, and losing it loses no project. Both dialects take `$1` parameters, so that a
//! statement is written twice only where they differ. Times are given by the caller, in seconds since 1970 where nothing else is said.

mod chat;
mod history;
mod idempotency;
mod inventory;
mod last_changes;
mod migrate;
mod sessions;
mod tickets;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::project::ErrorKind;

pub use chat::{ConversationCopy, EventCopy, WaitingPrompt};
pub use history::{CommitOutcome, KEPT};
pub use idempotency::{Begun, Fingerprint, StoredAnswer};
pub use sessions::Session;
pub use tickets::{Delivery, DeliveryState, NewDelivery, TicketRow};

/// Runs one block with the pool of whichever dialect is in use. The block is compiled once for each.
macro_rules! on_pool {
    ($store:expr, $pool:ident => $block:expr) => {
        match &$store.pool {
            $crate::store::Pool::Sqlite($pool) => $block,
            $crate::store::Pool::Postgres($pool) => $block,
        }
    };
}
/// As `on_pool`, in a transaction that may write. SQLite takes its write lock at once: a transaction that reads first
/// and then waits for the lock would fail when somebody else wrote in between.
macro_rules! in_transaction {
    ($store:expr, $transaction:ident => $block:block) => {
        match &$store.pool {
            $crate::store::Pool::Sqlite(pool) => {
                let mut $transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                let outcome = $block;
                $transaction.commit().await?;
                outcome
            }
            $crate::store::Pool::Postgres(pool) => {
                let mut $transaction = pool.begin().await?;
                let outcome = $block;
                $transaction.commit().await?;
                outcome
            }
        }
    };
}
use {in_transaction, on_pool};

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder cannot be opened.
    #[error("the database {} cannot be opened: {message}; check DATA_DIR and its rights", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The server cannot be reached. The address is not shown: it has a password in it.
    #[error("the PostgreSQL server of DATABASE_URL does not answer: {0}")]
    Server(String),
    /// The address is no PostgreSQL address.
    #[error("DATABASE_URL is not an address such as postgres://user:password@host/database")]
    Address,
    /// The database was written by a newer program.
    #[error(
        "the database has schema {found}, this program knows {known}; run the newer program, or use another database"
    )]
    Newer {
        /// The schema found.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// A step of the schema failed; the ones before it stay.
    #[error("schema {version} could not be made: {source}")]
    Migration {
        /// The step.
        version: i64,
        /// What the database said.
        source: sqlx::Error,
    },
    /// What is stored cannot be understood.
    #[error("the database holds {0}, which no version of this program writes")]
    Content(String),
    /// Anything else that the database said.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// What the error means to a caller: trying again may help, or it is a defect.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Content(_) => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        }
    }
}

impl Store {
    /// Opens the file `manager.db` in `data_dir`, made where it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, was written by a newer program, or the schema cannot be made.
    pub async fn open_sqlite(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join("manager.db");
        let failed = |message: String| StoreError::File { path: path.clone(), message };
        make_private_directory(data_dir).map_err(|error| failed(error.to_string()))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An answer is remembered only once it survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(15))
            .connect_with(options)
            .await
            .map_err(|error| failed(error.to_string()))?;
        Self::ready(Pool::Sqlite(pool)).await
    }

    /// Connects to a PostgreSQL server and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] as for [`Store::open_sqlite`].
    pub async fn connect_postgres(url: &SecretString) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| StoreError::Address)?;
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options.clone())
            .await;
        let pool = match pool {
            Ok(pool) => pool,
            // The pool has tried for a while and says only that; one more try says what is wrong.
            Err(sqlx::Error::PoolTimedOut) => {
                let reason = options.connect().await.err().unwrap_or(sqlx::Error::PoolTimedOut);
                return Err(StoreError::Server(reason.to_string()));
            }
            Err(error) => return Err(StoreError::Server(error.to_string())),
        };
        Self::ready(Pool::Postgres(pool)).await
    }

    /// Asks a PostgreSQL server for its version; leaves the schema as it is.
    ///
    /// # Errors
    /// [`StoreError`] when the address is none, or the server does not answer.
    pub async fn look_at_postgres(url: &SecretString) -> Result<String, StoreError> {
        let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| StoreError::Address)?;
        let unreachable = |error: sqlx::Error| StoreError::Server(error.to_string());
        let connecting = tokio::time::timeout(Duration::from_secs(10), options.connect()).await;
        let mut connection =
            connecting.map_err(|_| StoreError::Server("no answer within 10 s".to_owned()))?.map_err(unreachable)?;
        let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        Ok(version)
    }

    async fn ready(pool: Pool) -> Result<Self, StoreError> {
        let store = Self { pool };
        store.migrate().await?;
        Ok(store)
    }

    /// Asks whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_pool!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(drop)?);
        Ok(())
    }

    /// `sqlite` or `postgresql`.
    #[must_use]
    pub const fn dialect(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => "sqlite",
            Pool::Postgres(_) => "postgresql",
        }
    }

    /// Finishes what is running and closes every connection.
    pub async fn close(&self) {
        on_pool!(self, pool => pool.close().await);
    }
}

/// The folder also holds the administrator's token and keys, so nobody else may look into it.
fn make_private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
