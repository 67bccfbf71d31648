//! Who sends a request.
//!
//! Takes a request's headers, gives a [`Caller`] or a [`Refusal`]. The administrator knows the token of the settings or else
//! that in `DATA_DIR/admin-token`. Everybody else has a token with a role, signed with the key of the settings or that in
//! `DATA_DIR/jwt-secret` (`jwt`). Browsers show a token once and a cookie from then on (`session`); `grant` ends what outlives
//! the token or the session. No setting switches the sign-in off.
//!
//! A wrong token costs a second, and only so many are looked at in one: guessing gains nothing, and a right token never
//! waits, so that nobody can be kept out by somebody who guesses.
//!
//! **Architecture invariant:** no token is kept in memory, logged or compared as text: only digests are, in constant time.

mod grant;
mod jwt;
mod session;
mod token_file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::{Semaphore, broadcast};

use crate::project::{Principal, Role};

pub use grant::{Caller, Ended, Grant};
pub use jwt::{NewToken, NewTokenError, TokenKey, parse_ttl};
pub use session::{SESSION, SignInError};
pub use token_file::AuthError;
use token_file::{ADMIN_TOKEN, JWT_SECRET};

/// How long a wrong token waits for its answer.
const WRONG: Duration = Duration::from_secs(1);
/// How many wrong tokens wait at the same time; more are sent away at once.
const WRONG_AT_ONCE: usize = 32;

/// How many sign-outs a slow listener may be behind before it looks its session up instead.
const SIGN_OUTS: usize = 64;

/// Everybody who may send requests; cheap to clone.
#[derive(Clone)]
pub struct Auth {
    entries: Arc<[Entry]>,
    /// Signs and verifies tokens with a role.
    key: Option<Arc<TokenKey>>,
    /// The digests of cookies whose sessions are signed out.
    signed_out: broadcast::Sender<String>,
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
        "send a token, as in 'Authorization: Bearer <token>'; `claude-manager token create --role viewer` makes one, and \
         `claude-manager token show` prints the administrator's"
    )]
    Missing,
    /// The header is no bearer token.
    #[error("the Authorization header must be 'Bearer <token>'")]
    Malformed,
    /// The token is nobody's.
    #[error(
        "the token is not valid; `claude-manager token create --role viewer` makes one, and `claude-manager token show` \
         prints the administrator's"
    )]
    Unknown,
    /// The token was good, and its time is over.
    #[error("the token has expired; `claude-manager token create` makes a new one")]
    Expired,
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
            Self::Unknown | Self::Expired | Self::TooMany => "Bearer realm=\"claude-manager\", error=\"invalid_token\"",
        }
    }
}

/// The administrator's token: `given` by the settings, else that in `data_dir`, which the first start makes.
///
/// # Errors
/// [`AuthError`] when the given one is too short to be safe, or the file cannot be read, made or protected.
pub fn administrator_token(data_dir: &Path, given: Option<&SecretString>) -> Result<String, AuthError> {
    match given {
        Some(given) => ADMIN_TOKEN.check_given(given.expose_secret()),
        None => ADMIN_TOKEN.read_or_create(data_dir),
    }
}

/// As [`administrator_token`], but makes none.
///
/// # Errors
/// Those of [`administrator_token`], and [`AuthError::NoneYet`] before the first start.
pub fn existing_administrator_token(data_dir: &Path, given: Option<&SecretString>) -> Result<String, AuthError> {
    match given {
        Some(given) => ADMIN_TOKEN.check_given(given.expose_secret()),
        None => ADMIN_TOKEN.read(data_dir),
    }
}

/// The key of tokens with a role: of the secret `given` by the settings, else that in `data_dir`, which the first start makes.
///
/// # Errors
/// [`AuthError`] when the given one is too short to be safe, or the file cannot be read, made or protected.
pub fn token_key(data_dir: &Path, given: Option<&SecretString>) -> Result<TokenKey, AuthError> {
    let secret = match given {
        Some(given) => JWT_SECRET.check_given(given.expose_secret())?,
        None => JWT_SECRET.read_or_create(data_dir)?,
    };
    Ok(TokenKey::new(&secret))
}

/// As [`token_key`], but makes no secret.
///
/// # Errors
/// Those of [`token_key`], and [`AuthError::NoneYet`] before the first start.
pub fn existing_token_key(data_dir: &Path, given: Option<&SecretString>) -> Result<TokenKey, AuthError> {
    let secret = match given {
        Some(given) => JWT_SECRET.check_given(given.expose_secret())?,
        None => JWT_SECRET.read(data_dir)?,
    };
    Ok(TokenKey::new(&secret))
}

impl Auth {
    /// Knows the administrator by [`administrator_token`], and others by tokens of [`token_key`].
    ///
    /// # Errors
    /// Those of [`administrator_token`] and [`token_key`].
    pub fn open(
        data_dir: &Path,
        admin_token: Option<&SecretString>,
        jwt_secret: Option<&SecretString>,
    ) -> Result<Self, AuthError> {
        let token = administrator_token(data_dir, admin_token)?;
        let key = token_key(data_dir, jwt_secret)?;
        Ok(Self::with_tokens([(token.as_str(), administrator())]).knowing(key).slowing(WRONG))
    }

    /// Principals by their tokens.
    #[must_use]
    pub fn with_tokens<'a>(tokens: impl IntoIterator<Item = (&'a str, Principal)>) -> Self {
        let entries = tokens.into_iter().map(|(token, principal)| Entry { digest: digest(token), principal });
        let wrong = Arc::new(Semaphore::new(WRONG_AT_ONCE));
        let signed_out = broadcast::Sender::new(SIGN_OUTS);
        Self { entries: entries.collect(), key: None, signed_out, wrong, delay: Duration::ZERO }
    }

    /// The same, with tokens of this key as well.
    #[must_use]
    pub fn knowing(self, key: TokenKey) -> Self {
        Self { key: Some(Arc::new(key)), ..self }
    }

    /// The same, with this delay before the answer to a wrong token.
    #[must_use]
    pub fn slowing(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Whose request this is, by its bearer token.
    ///
    /// # Errors
    /// [`Refusal`] says what is missing or wrong.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let (scheme, token) = authorization(headers)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Malformed);
        }
        self.caller(token)
    }

    /// As [`Self::authenticate`], and also takes the token as the password of HTTP Basic, beside any user name: Git sends
    /// nothing else. Elsewhere Basic is refused, since a browser would repeat it for the pages of others.
    ///
    /// # Errors
    /// Those of [`Self::authenticate`].
    pub fn authenticate_git(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let (scheme, value) = authorization(headers)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return self.authenticate(headers);
        }
        let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or(Refusal::Malformed)?;
        let (_, token) = decoded.split_once(':').ok_or(Refusal::Malformed)?;
        self.caller(token)
    }

    /// Whose token this is.
    fn caller(&self, token: &str) -> Result<Caller, Refusal> {
        if let Some(entry) = self.find(token) {
            return Ok(Caller { principal: entry.principal.clone(), grant: Grant::default() });
        }
        let claims = self.claims(token)?;
        let until = i64::try_from(claims.exp).ok();
        Ok(Caller { principal: claims.principal(), grant: Grant { until, session: None } })
    }

    fn claims(&self, token: &str) -> Result<jwt::Claims, Refusal> {
        self.key.as_ref().ok_or(Refusal::Unknown)?.verify(token)
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

/// The scheme and the value of the one Authorization header.
fn authorization(headers: &HeaderMap) -> Result<(&str, &str), Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let header = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let (scheme, value) =
        header.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or(Refusal::Malformed)?;
    Ok((scheme, value.trim()))
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
        auth.authenticate(&map).map(|caller| caller.principal.id)
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

    #[test]
    fn git_may_send_the_token_as_a_password() {
        let auth = Auth::with_tokens([("first", principal("ana", Role::Viewer))]);
        for (user, password, expected) in [
            ("ana", "first", Ok("ana")),
            ("", "first", Ok("ana")),
            ("first", "", Err(Refusal::Unknown)),
            ("ana", "second", Err(Refusal::Unknown)),
        ] {
            let mut map = HeaderMap::new();
            map.insert(
                AUTHORIZATION,
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).parse().unwrap(),
            );
            let found = auth.authenticate_git(&map).map(|caller| caller.principal.id);
            assert_eq!(found, expected.map(str::to_owned), "{user}:{password}");
            assert_eq!(auth.authenticate(&map), Err(Refusal::Malformed), "elsewhere it is no token");
        }
        for value in ["Basic !", "Basic Zmlyc3Q=", "Digest first"] {
            let mut map = HeaderMap::new();
            map.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(auth.authenticate_git(&map), Err(Refusal::Malformed), "{value}");
        }
        let mut map = HeaderMap::new();
        map.insert(AUTHORIZATION, "Bearer first".parse().unwrap());
        assert!(auth.authenticate_git(&map).is_ok());
    }

    #[test]
    fn the_first_start_makes_a_key_and_a_given_one_counts_before_it() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(existing_token_key(directory.path(), None), Err(AuthError::NoneYet(..))));
        let auth = Auth::open(directory.path(), None, None).unwrap();
        let key = existing_token_key(directory.path(), None).unwrap();
        let new = NewToken { role: Role::Operator, ttl: Duration::from_secs(60), name: None, email: None };
        let token = key.create(&new, jsonwebtoken::get_current_timestamp()).unwrap();
        let caller = auth.caller(&token).unwrap();
        assert_eq!(caller.principal.role, Role::Operator);
        assert!(caller.grant.until.is_some());

        let given = SecretString::from("x".repeat(32));
        let other = Auth::open(directory.path(), None, Some(&given)).unwrap();
        assert_eq!(other.caller(&token), Err(Refusal::Unknown));
        let short = SecretString::from("short");
        assert!(matches!(Auth::open(directory.path(), None, Some(&short)), Err(AuthError::Given(..))));
    }
}
