//! Browsers sign in once with a token and are known by a cookie from then on.
//!
//! The cookie is a random value of its own: the token stays out of every later request, and signing out ends this one
//! browser's session. A session also ends with the credential that opened it: whoever replaces the administrator's token
//! signs out everybody who knew the old one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Auth, Caller, Grant, Refusal};
use crate::project::{Principal, Role};
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
        let token = token.trim();
        let longest = now.saturating_add(i64::try_from(SESSION.as_secs()).unwrap_or(i64::MAX));
        let session = match self.find(token) {
            Some(entry) => Session {
                principal: entry.principal.id.clone(),
                credential: credential(&entry.digest),
                expires_at: longest,
            },
            None => match self.claims(token) {
                Ok(claims) => Session {
                    principal: claims.principal().id,
                    credential: self.credential_of(&claims.principal()),
                    // A session never outlives its token.
                    expires_at: longest.min(i64::try_from(claims.exp).unwrap_or(i64::MAX)),
                },
                Err(refusal) => return Err(self.slowly(refusal).await.into()),
            },
        };
        let cookie = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        store.add_session(&cookie_digest(&cookie), &session, now).await?;
        Ok(cookie)
    }

    /// Whose session the cookie is; `None` when it is nobody's, or has ended.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn session(&self, store: &Store, cookie: &str, now: i64) -> Result<Option<Caller>, StoreError> {
        let digest = cookie_digest(cookie);
        let Some(session) = store.session(&digest, now).await? else { return Ok(None) };
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.principal.id == session.principal && credential(&entry.digest) == session.credential);
        let principal = match entry {
            Some(entry) => Some(entry.principal.clone()),
            None => self.principal_of(&session),
        };
        let grant = Grant { until: Some(session.expires_at), session: Some(digest) };
        Ok(principal.map(|principal| Caller { principal, grant }))
    }

    /// Ends the session of a cookie, and what goes on in it.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer; the session goes on then.
    pub async fn sign_out(&self, store: &Store, cookie: &str) -> Result<(), StoreError> {
        let digest = cookie_digest(cookie);
        store.end_session(&digest).await?;
        // Refused when nothing goes on.
        let _ = self.signed_out.send(digest);
        Ok(())
    }

    /// What the database keeps of a token with a role: whose it is, and the key that signed it. Not the signature, so that a
    /// reader of the database has no token.
    fn credential_of(&self, principal: &Principal) -> String {
        let kid = self.key.as_ref().map(|key| key.kid()).unwrap_or_default();
        let kept = TokenSession {
            kid: kid.to_owned(),
            role: principal.role,
            name: principal.name.clone(),
            email: principal.email.clone(),
        };
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// The principal of a session that a token with a role opened; `None` when its key is another by now.
    fn principal_of(&self, session: &Session) -> Option<Principal> {
        let kept: TokenSession = serde_json::from_str(&session.credential).ok()?;
        let known = self.key.as_ref().is_some_and(|key| key.kid() == kept.kid);
        known.then(|| Principal { id: session.principal.clone(), name: kept.name, email: kept.email, role: kept.role })
    }
}

/// The credential of a session that a token with a role opened.
#[derive(Serialize, Deserialize)]
struct TokenSession {
    kid: String,
    role: Role,
    name: String,
    email: String,
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
        assert_eq!(known.session(&store, &cookie, end - 1).await.unwrap().unwrap().principal.id, "ana");
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

    #[tokio::test]
    async fn a_session_of_a_token_ends_with_the_token_and_with_its_key() {
        use crate::auth::jwt::{NewToken, TokenKey};
        let (directory, store) = store().await;
        let key = TokenKey::new(&"x".repeat(32));
        let now = crate::auth::grant::now();
        let new =
            NewToken { role: Role::Operator, ttl: Duration::from_secs(60), name: Some("Ana".to_owned()), email: None };
        let token = key.create(&new, u64::try_from(now).unwrap()).unwrap();
        let known = auth("first").knowing(key);
        let cookie = known.sign_in(&store, &token, now).await.unwrap();
        let caller = known.session(&store, &cookie, now + 59).await.unwrap().unwrap();
        assert_eq!((caller.principal.name.as_str(), caller.principal.role), ("Ana", Role::Operator));
        assert_eq!(caller.grant.until, Some(now + 60));
        assert_eq!(known.session(&store, &cookie, now + 60).await.unwrap(), None);
        let rotated = auth("first").knowing(TokenKey::new(&"y".repeat(32)));
        assert_eq!(rotated.session(&store, &cookie, now).await.unwrap(), None, "the key was replaced");
        store.close().await;
        let signature = token.rsplit('.').next().unwrap();
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(signature));
        }
    }
}
