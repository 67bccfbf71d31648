//! Who sends a request.
//!
//! Takes a request's headers, gives a [`Principal`] or a [`Refusal`]. Today everybody is the administrator, who knows
//! the token of the settings or else that in `DATA_DIR/admin-token`; further tokens and people are further entries of the
//! same table. Browsers show the token once and a cookie from then on (`session`). No setting switches the sign-in off.
//!
//! A wrong token costs a second, and only so many are looked at in one: guessing gains nothing, and a right token never
//! waits, so that nobody can be kept out by somebody who guesses.
//!
//! **Architecture invariant:** no token is kept in memory, logged or compared as text: only digests are, in constant time.

mod session;
mod token_file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::Semaphore;

use crate::project::{Principal, Role};

pub use session::{SESSION, SignInError};
pub use token_file::AuthError;

/// How long a wrong token waits for its answer.
const WRONG: Duration = Duration::from_secs(1);
/// How many wrong tokens wait at the same time; more are sent away at once.
const WRONG_AT_ONCE: usize = 32;

/// Everybody who may send requests; cheap to clone.
#[derive(Clone)]
pub struct Auth {
    entries: Arc<[Entry]>,
    wrong: Arc<Semaphore>,
    delay: Duration,
}

struct Entry {
    digest: [u8; 32],
    principal: Principal,
}

/// Why a request has no principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error(
        "send the administrator token, as in 'Authorization: Bearer <token>'; `claude-manager token show` prints it"
    )]
    Missing,
    /// The header is no bearer token.
    #[error("the Authorization header must be 'Bearer <token>'")]
    Malformed,
    /// The token is nobody's.
    #[error("the token is not valid; `claude-manager token show` prints the administrator's")]
    Unknown,
    /// Too many wrong tokens at the same time. Whether this one was good is not said: it was not.
    #[error("too many wrong tokens were sent at the same time; try again in a moment")]
    TooMany,
}

impl Refusal {
    /// The `WWW-Authenticate` header of the answer (RFC 6750, 3).
    #[must_use]
    pub const fn challenge(self) -> &'static str {
        match self {
            Self::Missing => "Bearer realm=\"claude-manager\"",
            Self::Malformed => "Bearer realm=\"claude-manager\", error=\"invalid_request\"",
            Self::Unknown | Self::TooMany => "Bearer realm=\"claude-manager\", error=\"invalid_token\"",
        }
    }
}

/// The administrator's token: `given` by the settings, else that in `data_dir`, which the first start makes.
///
/// # Errors
/// [`AuthError`] when the given one is too short to be safe, or the file cannot be read, made or protected.
pub fn administrator_token(data_dir: &Path, given: Option<&SecretString>) -> Result<String, AuthError> {
    match given {
        Some(given) => token_file::check_given(given.expose_secret()),
        None => token_file::read_or_create(data_dir),
    }
}

/// As [`administrator_token`], but makes none.
///
/// # Errors
/// Those of [`administrator_token`], and [`AuthError::NoneYet`] before the first start.
pub fn existing_administrator_token(data_dir: &Path, given: Option<&SecretString>) -> Result<String, AuthError> {
    match given {
        Some(given) => token_file::check_given(given.expose_secret()),
        None => token_file::read(data_dir),
    }
}

impl Auth {
    /// Knows the administrator by [`administrator_token`].
    ///
    /// # Errors
    /// Those of [`administrator_token`].
    pub fn open(data_dir: &Path, given: Option<&SecretString>) -> Result<Self, AuthError> {
        let token = administrator_token(data_dir, given)?;
        Ok(Self::with_tokens([(token.as_str(), administrator())]).slowing(WRONG))
    }

    /// Principals by their tokens.
    #[must_use]
    pub fn with_tokens<'a>(tokens: impl IntoIterator<Item = (&'a str, Principal)>) -> Self {
        let entries = tokens.into_iter().map(|(token, principal)| Entry { digest: digest(token), principal });
        let wrong = Arc::new(Semaphore::new(WRONG_AT_ONCE));
        Self { entries: entries.collect(), wrong, delay: Duration::ZERO }
    }

    /// The same, with this delay before the answer to a wrong token.
    #[must_use]
    pub fn slowing(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Whose request this is.
    ///
    /// # Errors
    /// [`Refusal`] says what is missing or wrong.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<&Principal, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let header = values.next().ok_or(Refusal::Missing)?;
        if values.next().is_some() {
            return Err(Refusal::Malformed);
        }
        let (scheme, token) =
            header.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or(Refusal::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Malformed);
        }
        self.find(token.trim()).map(|entry| &entry.principal).ok_or(Refusal::Unknown)
    }

    /// Lets a refusal of a token take its time; others say nothing of a token and pass at once. Gives the refusal to
    /// answer with.
    pub async fn slowly(&self, refusal: Refusal) -> Refusal {
        if refusal != Refusal::Unknown {
            return refusal;
        }
        let Ok(_waiting) = self.wrong.try_acquire() else { return Refusal::TooMany };
        tokio::time::sleep(self.delay).await;
        refusal
    }

    fn find(&self, token: &str) -> Option<&Entry> {
        let shown = digest(token);
        // Every entry is compared, whichever matches, so that the time taken says nothing.
        let mut found = u32::MAX;
        for (index, entry) in (0_u32..).zip(self.entries.iter()) {
            found.conditional_assign(&index, entry.digest.ct_eq(&shown));
        }
        self.entries.get(found as usize)
    }
}

/// Who holds the token file.
fn administrator() -> Principal {
    Principal {
        id: "admin-token".to_owned(),
        name: "Administrator".to_owned(),
        email: "administrator@claude-manager.local".to_owned(),
        role: Role::Administrator,
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn principal(id: &str, role: Role) -> Principal {
        Principal { id: id.to_owned(), role, ..administrator() }
    }

    fn authenticate(headers: &[&str]) -> Result<String, Refusal> {
        let auth = Auth::with_tokens([
            ("first", principal("ana", Role::Administrator)),
            ("second", principal("ben", Role::Viewer)),
        ]);
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(AUTHORIZATION, header.parse().unwrap());
        }
        auth.authenticate(&map).map(|principal| principal.id.clone())
    }

    #[test]
    fn a_token_names_its_principal() {
        assert_eq!(authenticate(&["Bearer first"]), Ok("ana".to_owned()));
        assert_eq!(authenticate(&["bearer second"]), Ok("ben".to_owned()));
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        for (headers, refusal) in [
            (vec![], Refusal::Missing),
            (vec!["first"], Refusal::Malformed),
            (vec!["Basic first"], Refusal::Malformed),
            (vec!["Bearer first", "Bearer second"], Refusal::Malformed),
            (vec!["Bearer "], Refusal::Malformed),
            (vec!["Bearer third"], Refusal::Unknown),
            (vec!["Bearer firs"], Refusal::Unknown),
            (vec!["Bearer FIRST"], Refusal::Unknown),
        ] {
            assert_eq!(authenticate(&headers), Err(refusal), "{headers:?}");
        }
        let nobody = Auth::with_tokens([]);
        let mut map = HeaderMap::new();
        map.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(nobody.authenticate(&map).unwrap_err(), Refusal::Unknown);
    }
}
