//! How long a caller is let in, for answers that go on: sockets, followed logs, event streams.
//!
//! A request is judged when it comes. An answer without an end is also ended when the token expires or the session is signed
//! out; [`Auth::ended`] waits for that.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::Auth;
use crate::project::Principal;
use crate::store::Store;

/// How often a session is looked up again: another replica may have signed it out.
const CHECK: Duration = Duration::from_secs(20);
/// The longest sleep, so that a changed clock is noticed.
const LONGEST: Duration = Duration::from_secs(60);

/// Who sends a request, and how long an answer may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// How long.
    pub grant: Grant,
}

/// How long a caller is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The end of the token or session, in seconds since 1970.
    pub(super) until: Option<i64>,
    /// The digest of the session's cookie.
    pub(super) session: Option<String>,
}

/// Why a caller is let in no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The token or the session has expired.
    Expired,
    /// The session was signed out.
    SignedOut,
}

impl Auth {
    /// Waits until `grant` ends; for ever when it has no end. A database that does not answer ends nothing.
    pub fn ended(&self, store: &Store, grant: &Grant) -> impl Future<Output = Ended> + Send + use<> {
        let (store, grant) = (store.clone(), grant.clone());
        // Subscribed now: what is signed out before the first poll is not missed.
        let mut signed_out = self.signed_out.subscribe();
        async move {
            let Grant { until, session } = grant;
            loop {
                let left = until.map(|until| until.saturating_sub(now()));
                if left.is_some_and(|left| left <= 0) {
                    return Ended::Expired;
                }
                let left = Duration::from_secs(left.and_then(|left| u64::try_from(left).ok()).unwrap_or(u64::MAX));
                let Some(digest) = &session else {
                    if until.is_none() {
                        std::future::pending::<()>().await;
                    }
                    tokio::time::sleep(left.min(LONGEST)).await;
                    continue;
                };
                tokio::select! {
                    () = tokio::time::sleep(left.min(CHECK)) => {}
                    told = signed_out.recv() => match told {
                        Ok(other) if other == *digest => return Ended::SignedOut,
                        Ok(_) => continue,
                        Err(RecvError::Lagged(_)) => {}
                        // This manager is going.
                        Err(RecvError::Closed) => tokio::time::sleep(left.min(CHECK)).await,
                    },
                }
                if let Ok(None) = store.session(digest, now()).await {
                    let expired = until.is_some_and(|until| until <= now());
                    return if expired { Ended::Expired } else { Ended::SignedOut };
                }
            }
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::principal;
    use crate::project::Role;

    async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_secs(5), future).await.ok()
    }

    #[tokio::test]
    async fn a_grant_ends_with_its_token_or_its_sign_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(directory.path()).await.unwrap();
        let auth = Auth::with_tokens([("first", principal("ana", Role::Viewer))]);
        let short = Grant { until: Some(now() + 1), session: None };
        assert_eq!(soon(auth.ended(&store, &short)).await, Some(Ended::Expired));

        let mine = auth.sign_in(&store, "first", now()).await.unwrap();
        let other = auth.sign_in(&store, "first", now()).await.unwrap();
        let grant = auth.session(&store, &mine, now()).await.unwrap().unwrap().grant;
        let ended = tokio::spawn(auth.ended(&store, &grant));
        auth.sign_out(&store, &other).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!ended.is_finished(), "another session's end is none of this one");
        auth.sign_out(&store, &mine).await.unwrap();
        assert_eq!(soon(ended).await.unwrap().unwrap(), Ended::SignedOut);
    }

    #[tokio::test]
    async fn a_token_without_an_end_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(directory.path()).await.unwrap();
        let auth = Auth::with_tokens([]);
        let forever = auth.ended(&store, &Grant::default());
        assert!(tokio::time::timeout(Duration::from_millis(100), forever).await.is_err());
    }
}
