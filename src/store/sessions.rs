//! Who is signed in by a cookie. Losing it signs everybody out, and nothing else.

use super::{Store, StoreError, in_transaction, on_pool};

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The id of the principal.
    pub principal: String,
    /// A digest of what the principal signed in with: when that is not good any more, neither is the session.
    pub credential: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: i64,
}

impl Store {
    /// Keeps a session under the digest of its cookie, and forgets those that have ended.
    ///
    /// # Errors
    /// [`StoreError::Database`]; there is no session then.
    pub async fn add_session(&self, digest: &str, session: &Session, now: i64) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(now).execute(&mut *transaction).await?;
            sqlx::query("INSERT INTO sessions (digest, principal, credential, expires_at) VALUES ($1, $2, $3, $4)")
                .bind(digest)
                .bind(&session.principal)
                .bind(&session.credential)
                .bind(session.expires_at)
                .execute(&mut *transaction)
                .await?;
        });
        Ok(())
    }

    /// The session under a digest, unless it has ended.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn session(&self, digest: &str, now: i64) -> Result<Option<Session>, StoreError> {
        let statement = "SELECT principal, credential, expires_at FROM sessions WHERE digest = $1 AND expires_at > $2";
        let row: Option<(String, String, i64)> = on_pool!(self, pool => {
            sqlx::query_as(statement).bind(digest).bind(now).fetch_optional(pool).await?
        });
        Ok(row.map(|(principal, credential, expires_at)| Session { principal, credential, expires_at }))
    }

    /// Ends a session; one that is not there has ended already.
    ///
    /// # Errors
    /// [`StoreError::Database`]; it goes on then.
    pub async fn end_session(&self, digest: &str) -> Result<(), StoreError> {
        on_pool!(self, pool => {
            sqlx::query("DELETE FROM sessions WHERE digest = $1").bind(digest).execute(pool).await?;
        });
        Ok(())
    }
}
