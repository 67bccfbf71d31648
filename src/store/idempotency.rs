//! Answers to requests that carry an Idempotency-Key, so that a repeated request is answered and not executed again.
//!
//! Key and body are stored as hashes only: the body may carry secrets, and whoever reads the database should not be able
//! to guess a short one. The body's hash therefore has the client's key in it, which is not stored.

use sha2::{Digest, Sha256};

use super::{Store, StoreError, in_transaction, on_pool};

/// How long an answer is kept, in seconds.
const KEPT: i64 = 24 * 60 * 60;
/// After so many seconds an execution that gave no answer is taken for dead: its process ended in the middle. Longer
/// than any request may take.
const ABANDONED: i64 = 120;

/// An answer to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Whatever the caller needs to give the same answer again.
    pub content: String,
}

/// A request's key and content, hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    key: String,
    body: String,
}

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Execute it, then [`Store::finish`] or [`Store::abandon`].
    Execute,
    /// It was executed: give this answer.
    Answered(StoredAnswer),
    /// Somebody is executing it.
    Running,
    /// The key was used for another request.
    OtherRequest,
}

impl Fingerprint {
    /// Of the request `parts` (method, path, body) of `principal` with `key`.
    #[must_use]
    pub fn new(principal: &str, key: &str, parts: &[&[u8]]) -> Self {
        let hash = |parts: &[&[u8]]| {
            let mut hasher = Sha256::new();
            for part in parts {
                // The length keeps "a" + "bc" apart from "ab" + "c".
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
            hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let mut body = vec![key.as_bytes()];
        body.extend_from_slice(parts);
        Self { key: hash(&[principal.as_bytes(), key.as_bytes()]), body: hash(&body) }
    }
}

impl Store {
    /// Claims a request for execution, or says what became of it. Of several calls at once, one gets
    /// [`Begun::Execute`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&self, request: &Fingerprint, now: i64) -> Result<Begun, StoreError> {
        let (key, body) = (request.key.as_str(), request.body.as_str());
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM idempotency WHERE created_at <= $1 OR (status IS NULL AND created_at <= $2)")
                .bind(now - KEPT)
                .bind(now - ABANDONED)
                .execute(&mut *transaction)
                .await?;
            let claim = sqlx::query(
                "INSERT INTO idempotency (key_hash, body_hash, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            );
            let claimed = claim.bind(key).bind(body).bind(now).execute(&mut *transaction).await?.rows_affected();
            if claimed == 1 {
                // No early return: the claim has to be committed.
                Ok(Begun::Execute)
            } else {
                let row: Option<(String, Option<i64>, Option<String>)> =
                    sqlx::query_as("SELECT body_hash, status, answer FROM idempotency WHERE key_hash = $1")
                        .bind(key)
                        .fetch_optional(&mut *transaction)
                        .await?;
                Ok(match row {
                    Some((found, _, _)) if found != body => Begun::OtherRequest,
                    Some((_, Some(status), Some(content))) => {
                        let status = u16::try_from(status)
                            .map_err(|_| StoreError::Content(format!("the status {status}")))?;
                        Begun::Answered(StoredAnswer { status, content })
                    }
                    // Claimed and not answered, or given up between the two statements: the client asks again.
                    Some(_) | None => Begun::Running,
                })
            }
        })
    }

    /// Keeps the answer of a request that was claimed.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the request may be executed again later then.
    pub async fn finish(&self, request: &Fingerprint, answer: &StoredAnswer) -> Result<(), StoreError> {
        let statement = "UPDATE idempotency SET status = $2, answer = $3 WHERE key_hash = $1";
        let (key, status, content) = (request.key.as_str(), i64::from(answer.status), answer.content.as_str());
        on_pool!(self, pool => {
            sqlx::query(statement).bind(key).bind(status).bind(content).execute(pool).await?;
        });
        Ok(())
    }

    /// Gives a claimed request up: nothing was done, and it may be sent again.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the claim ends by itself later then.
    pub async fn abandon(&self, request: &Fingerprint) -> Result<(), StoreError> {
        let key = request.key.as_str();
        on_pool!(self, pool => {
            sqlx::query("DELETE FROM idempotency WHERE key_hash = $1 AND status IS NULL").bind(key).execute(pool).await?;
        });
        Ok(())
    }
}
