//! Tokens with a role: made by `claude-manager token create`, and known by their signature alone.
//!
//! A token is a JWT (RFC 7519) signed with HMAC-SHA256. It names its key (`kid`), so a manager with another key says so
//! without a guess; issuer and audience keep tokens for environments apart from those for the API. Nothing is stored: a
//! token ends at its time, and all of them end when the key is replaced.
//!
//! **Architecture invariant:** one algorithm. The `alg` of a token's header is compared with it and never followed.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Refusal;
use crate::jwt_crypto;
use crate::project::{Principal, Role};

/// Who issues tokens.
const ISSUER: &str = "claude-manager";
/// What tokens are for. Those for environments have a project's short name here.
const AUDIENCE: &str = "claude-manager-api";
/// The longest life of a token.
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// A token of ours has some 500 bytes.
const MAX_LENGTH: usize = 4096;
/// The longest name and address.
const MAX_TEXT: usize = 100;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: u64,
    pub(super) exp: u64,
    role: Role,
    name: String,
    email: String,
}

impl Claims {
    pub(super) fn principal(&self) -> Principal {
        Principal { id: self.sub.clone(), name: self.name.clone(), email: self.email.clone(), role: self.role }
    }
}

/// What a new token is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The role.
    pub role: Role,
    /// How long it is good for.
    pub ttl: Duration,
    /// The name that commits carry; one made of the role when absent.
    pub name: Option<String>,
    /// The address that commits carry.
    pub email: Option<String>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum NewTokenError {
    /// It would live too short or too long.
    #[error("a token must live between a second and 366 days; give --ttl as in 30m, 12h or 90d")]
    Ttl,
    /// The name or address cannot stand in a commit.
    #[error("the {0} must be 1 to {MAX_TEXT} characters without control characters, '<' and '>': it stands in commits")]
    Text(&'static str),
    /// The key cannot sign, a defect.
    #[error("the token cannot be signed: {0}")]
    Sign(String),
}

/// The key that signs and verifies tokens.
#[derive(Clone)]
pub struct TokenKey {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.kid)
    }
}

impl TokenKey {
    /// The key of a secret of at least 32 characters.
    pub(super) fn new(secret: &str) -> Self {
        jwt_crypto::install();
        // A digest for this purpose alone, so that the id is of no help in guessing the key.
        let digest = Sha256::digest(format!("claude-manager token key id\0{secret}"));
        Self {
            kid: digest[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
        }
    }

    /// The id of the key, as tokens name it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Makes a token. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`NewTokenError`] when its life, name or address is not acceptable.
    pub fn create(&self, new: &NewToken, now: u64) -> Result<String, NewTokenError> {
        if new.ttl.as_secs() == 0 || new.ttl > MAX_TTL {
            return Err(NewTokenError::Ttl);
        }
        let jti = format!("{:032x}", rand::random::<u128>());
        let role = new.role;
        let name = checked("name", new.name.clone().unwrap_or_else(|| format!("Token {} ({role})", &jti[..8])))?;
        let email =
            checked("email", new.email.clone().unwrap_or_else(|| format!("token-{}@claude-manager.local", &jti[..8])))?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: format!("token:{jti}"),
            jti,
            iat: now,
            exp: now + new.ttl.as_secs(),
            role,
            name,
            email,
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(|error| NewTokenError::Sign(error.to_string()))
    }

    /// Returns the claims of a token that is good now.
    ///
    /// # Errors
    /// [`Refusal::Expired`] for one that was good, else [`Refusal::Unknown`].
    pub(super) fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        if token.len() > MAX_LENGTH {
            return Err(Refusal::Unknown);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Unknown)?;
        if header.alg != Algorithm::HS256 || header.kid.as_deref() != Some(&self.kid) {
            return Err(Refusal::Unknown);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation);
        decoded.map(|token| token.claims).map_err(|error| match error.kind() {
            // The signature is checked before the time.
            ErrorKind::ExpiredSignature => Refusal::Expired,
            _ => Refusal::Unknown,
        })
    }
}

/// Returns a text that can stand in a commit's author.
fn checked(what: &'static str, text: String) -> Result<String, NewTokenError> {
    let text = text.trim();
    let fine = (1..=MAX_TEXT).contains(&text.chars().count())
        && !text.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
    if fine { Ok(text.to_owned()) } else { Err(NewTokenError::Text(what)) }
}

/// Reads how long a token is to live: `30m`, `12h`, `90d`, or a number of seconds with `s`.
///
/// # Errors
/// What is allowed.
pub fn parse_ttl(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number with s, m, h or d, as in 30m, 12h or 90d, at most 366d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let ttl = Duration::from_secs(number.checked_mul(factor).ok_or_else(wrong)?);
    if ttl.is_zero() || ttl > MAX_TTL { Err(wrong()) } else { Ok(ttl) }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a-secret-of-at-least-32-characters";

    fn now() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    fn new(role: Role) -> NewToken {
        NewToken { role, ttl: Duration::from_secs(60), name: None, email: None }
    }

    /// A token with these claims and this header over the good ones.
    fn altered(key: &TokenKey, header: &Value, claims: &Value) -> String {
        let good = key.create(&new(Role::Viewer), now()).unwrap();
        let parts: Vec<&str> = good.split('.').collect();
        let part = |part: &str, change: &Value| {
            let mut value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
            for (name, new) in change.as_object().unwrap() {
                value[name] = new.clone();
            }
            URL_SAFE_NO_PAD.encode(value.to_string())
        };
        let message = format!("{}.{}", part(parts[0], header), part(parts[1], claims));
        let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key.encoding, Algorithm::HS256).unwrap();
        format!("{message}.{mac}")
    }

    #[test]
    fn a_token_gives_back_its_role_and_author_until_its_time() {
        let key = TokenKey::new(SECRET);
        let ana =
            NewToken { name: Some("Ana Lopes".into()), email: Some("ana@example.org".into()), ..new(Role::Operator) };
        let claims = key.verify(&key.create(&ana, now()).unwrap()).unwrap();
        let principal = claims.principal();
        assert_eq!((principal.name.as_str(), principal.email.as_str()), ("Ana Lopes", "ana@example.org"));
        assert_eq!((principal.role, claims.exp - claims.iat), (Role::Operator, 60));
        assert!(principal.id.starts_with("token:") && principal.id.ends_with(&claims.jti));
        let old = key.create(&ana, now() - 61).unwrap();
        assert_eq!(key.verify(&old), Err(Refusal::Expired));
        let two = [0, 1].map(|_| key.verify(&key.create(&ana, now()).unwrap()).unwrap().jti);
        assert_ne!(two[0], two[1]);
    }

    #[test]
    fn a_token_of_another_key_algorithm_issuer_or_audience_is_unknown() {
        let key = TokenKey::new(SECRET);
        assert!(key.verify(&altered(&key, &json!({}), &json!({}))).is_ok(), "the test signs well");
        let other = TokenKey::new("another-secret-of-at-least-32-characters");
        assert_eq!(key.verify(&other.create(&new(Role::Viewer), now()).unwrap()), Err(Refusal::Unknown));
        for (header, claims) in [
            (json!({"kid": other.kid()}), json!({})),
            (json!({"kid": null}), json!({})),
            (json!({"alg": "none"}), json!({})),
            (json!({"alg": "HS384"}), json!({})),
            (json!({"alg": "EdDSA"}), json!({})),
            (json!({}), json!({"iss": "somebody"})),
            (json!({}), json!({"aud": "checkout"})),
            (json!({}), json!({"role": "owner"})),
            (json!({}), json!({"exp": null})),
        ] {
            assert_eq!(key.verify(&altered(&key, &header, &claims)), Err(Refusal::Unknown), "{header} {claims}");
        }
        let good = key.create(&new(Role::Viewer), now()).unwrap();
        let forged = altered(&other, &json!({"kid": key.kid()}), &json!({"role": "administrator"}));
        for token in ["", "a.b.c", &good[..good.len() - 1], &"x".repeat(10_000), &forged] {
            assert_eq!(key.verify(token), Err(Refusal::Unknown), "{token}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_when_it_is_made() {
        let key = TokenKey::new(SECRET);
        for ttl in [Duration::ZERO, MAX_TTL + Duration::from_secs(1)] {
            assert!(matches!(key.create(&NewToken { ttl, ..new(Role::Viewer) }, 0), Err(NewTokenError::Ttl)));
        }
        for name in ["", "a\nb", "a <b>", &"x".repeat(101)] {
            let named = NewToken { name: Some(name.to_owned()), ..new(Role::Viewer) };
            assert!(matches!(key.create(&named, 0), Err(NewTokenError::Text("name"))), "{name:?}");
        }
    }

    #[test]
    fn a_life_is_a_number_with_its_unit() {
        for (text, seconds) in [("1s", 1), ("30m", 1800), ("12h", 43_200), ("366d", 31_622_400)] {
            assert_eq!(parse_ttl(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "12", "h", "-1h", "0s", "367d", "1w", "1é", "99999999999999999999d", "9999999999999999999m"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }
}
