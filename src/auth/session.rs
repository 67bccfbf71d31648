//! Browsers sign in once with a token and are known by a cookie from then on.
//!
//! The cookie is a random value of its own: the token stays out of every later request, and signing out ends this one
//! browser's session. A session also ends with the credential that opened it: whoever replaces the administrator's token
//! signs out everybody who knew the old one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{Auth, Refusal};
use crate::project::Principal;
use crate::store::{Session, Store, StoreError};

/// How long a session lasts.
pub const SESSION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The token is nobody's.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The session could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Auth {
    /// Opens a session for whoever knows `token`; gives the value of its cookie. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`SignInError::Refused`], which takes a moment (see [`Auth::slowly`]), and [`SignInError::Store`].
    pub async fn sign_in(&self, store: &Store, token: &str, now: i64) -> Result<String, SignInError> {
        let Some(entry) = self.find(token.trim()) else { return Err(self.slowly(Refusal::Unknown).await.into()) };
        let cookie = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let session = Session {
            principal: entry.principal.id.clone(),
            credential: credential(&entry.digest),
            expires_at: now.saturating_add(i64::try_from(SESSION.as_secs()).unwrap_or(i64::MAX)),
        };
        store.add_session(&cookie_digest(&cookie), &session, now).await?;
        Ok(cookie)
    }

    /// Whose session the cookie is; `None` when it is nobody's, or has ended.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn session(&self, store: &Store, cookie: &str, now: i64) -> Result<Option<Principal>, StoreError> {
        let Some(session) = store.session(&cookie_digest(cookie), now).await? else { return Ok(None) };
        let opened = self
            .entries
            .iter()
            .find(|entry| entry.principal.id == session.principal && credential(&entry.digest) == session.credential);
        Ok(opened.map(|entry| entry.principal.clone()))
    }

    /// Ends the session of a cookie.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer; the session goes on then.
    pub async fn sign_out(&self, store: &Store, cookie: &str) -> Result<(), StoreError> {
        store.end_session(&cookie_digest(cookie)).await
    }
}

/// The database knows no cookie, only this of it: whoever reads the database can use none.
fn cookie_digest(cookie: &str) -> String {
    hex(&Sha256::digest(cookie.as_bytes()))
}

/// Tells one token's sessions from another's; a digest of the digest, so that neither opens anything.
fn credential(token_digest: &[u8; 32]) -> String {
    hex(&Sha256::digest(token_digest))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::principal;
    use crate::project::Role;

    async fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(directory.path()).await.unwrap();
        (directory, store)
    }

    fn auth(token: &str) -> Auth {
        Auth::with_tokens([(token, principal("ana", Role::Administrator))])
    }

    #[tokio::test]
    async fn a_cookie_is_good_until_its_time_its_sign_out_or_another_token() {
        let (_directory, store) = store().await;
        let known = auth("first");
        let cookie = known.sign_in(&store, " first\n", 0).await.unwrap();
        let other = known.sign_in(&store, "first", 0).await.unwrap();
        let end = i64::try_from(SESSION.as_secs()).unwrap();
        assert_eq!(known.session(&store, &cookie, end - 1).await.unwrap().unwrap().id, "ana");
        assert_eq!(known.session(&store, &cookie, end).await.unwrap(), None);
        assert_eq!(known.session(&store, "", 0).await.unwrap(), None);
        assert_eq!(auth("second").session(&store, &cookie, 0).await.unwrap(), None, "the token was replaced");

        known.sign_out(&store, &cookie).await.unwrap();
        assert_eq!(known.session(&store, &cookie, 0).await.unwrap(), None);
        assert!(known.session(&store, &other, 0).await.unwrap().is_some(), "the other browser stays signed in");
    }

    #[tokio::test]
    async fn neither_token_nor_cookie_can_be_read_from_the_database() {
        let (directory, store) = store().await;
        let cookie = auth("a-token-that-is-long").sign_in(&store, "a-token-that-is-long", 0).await.unwrap();
        store.close().await;
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("a-token-that-is-long") && !text.contains(&cookie));
        }
    }

    #[tokio::test]
    async fn a_wrong_token_takes_a_while_and_a_good_one_does_not() {
        let (_directory, store) = store().await;
        let slow = auth("first").slowing(Duration::from_millis(1500));
        let started = std::time::Instant::now();
        slow.sign_in(&store, "first", 0).await.unwrap();
        // Far from the delay, as this machine may be busy.
        assert!(started.elapsed() < Duration::from_millis(1000));
        assert!(matches!(slow.sign_in(&store, "second", 0).await, Err(SignInError::Refused(Refusal::Unknown))));
        assert!(started.elapsed() >= Duration::from_millis(1500));
    }

    #[tokio::test]
    async fn many_wrong_tokens_at_once_are_sent_away_and_keep_nobody_out() {
        let (_directory, store) = store().await;
        let slow = auth("first").slowing(Duration::from_secs(600));
        let guesses: Vec<_> = (0..40)
            .map(|_| {
                let (slow, store) = (slow.clone(), store.clone());
                tokio::spawn(async move { slow.sign_in(&store, "second", 0).await.map(drop) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let sent_away = guesses.iter().filter(|guess| guess.is_finished()).count();
        assert_eq!(sent_away, 40 - super::super::WRONG_AT_ONCE);
        assert!(matches!(slow.sign_in(&store, "third", 0).await, Err(SignInError::Refused(Refusal::TooMany))));
        slow.sign_in(&store, "first", 0).await.unwrap();
        guesses.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
