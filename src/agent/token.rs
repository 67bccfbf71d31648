//! The tokens that let the manager into an environment, and nobody else.
//!
//! A token is a JWT (RFC 7519) signed with Ed25519 (RFC 8037). It is for one project, names who is behind the request,
//! and lives minutes: nothing has to be stored or taken back. Agents hold public keys only.
//!
//! **Architecture invariant:** one algorithm. What a token's header says about algorithms is compared with it and never
//! followed.

mod key;
mod verify;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use crate::jwt_crypto;
use crate::project::ProjectName;

pub use key::{KeyError, PublicKey};
pub use verify::{Refusal, Verifier};

/// Who issues tokens.
const ISSUER: &str = "claude-manager";
/// The longest life of a token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(300);
/// How far two clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(30);
/// How long our own tokens live: a request is sent at once.
const LIFETIME: Duration = Duration::from_secs(60);

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer: `claude-manager`.
    pub iss: String,
    /// The audience: a project's short name.
    pub aud: String,
    /// Whose request it is: the id of a principal.
    pub sub: String,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// From when it counts.
    pub nbf: u64,
    /// Until when it counts.
    pub exp: u64,
}

/// Makes tokens; cheap to clone.
#[derive(Clone)]
pub struct Signer {
    inner: Arc<Inner>,
}

struct Inner {
    key: EncodingKey,
    public: PublicKey,
    header: Header,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.inner.public.kid())
    }
}

impl Signer {
    /// The key of `data_dir/agent-signing-key.pem`, made at the first start.
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be read, made or protected, or holds no such key.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        Self::from_der(key::read_or_create(data_dir)?)
    }

    /// The key in a text: PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` makes it.
    ///
    /// # Errors
    /// [`KeyError::Content`] when it is another text.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Self::from_der(key::private_der(pem).ok_or_else(|| KeyError::Content("the given key".to_owned()))?)
    }

    fn from_der(der: Vec<u8>) -> Result<Self, KeyError> {
        let public = key::public_of(&der).ok_or_else(|| KeyError::Content("the given key".to_owned()))?;
        let header = Header { kid: Some(public.kid()), ..Header::new(Algorithm::EdDSA) };
        Ok(Self { inner: Arc::new(Inner { key: EncodingKey::from_ed_der(&der), public, header }) })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.inner.public
    }

    /// A token for `project` in the name of the principal with the id `principal`, good for a minute.
    ///
    /// # Errors
    /// When the key cannot sign, which would be a defect.
    pub fn token(&self, project: &ProjectName, principal: &str) -> Result<String, KeyError> {
        let now = jsonwebtoken::get_current_timestamp();
        self.sign(&Claims {
            iss: ISSUER.to_owned(),
            aud: project.to_string(),
            sub: principal.to_owned(),
            iat: now,
            nbf: now,
            exp: now + LIFETIME.as_secs(),
        })
    }

    /// Signs any claims, good or bad.
    ///
    /// # Errors
    /// When the key cannot sign, which would be a defect.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        jwt_crypto::install();
        jsonwebtoken::encode(&self.inner.header, claims, &self.inner.key)
            .map_err(|error| KeyError::Sign(error.to_string()))
    }
}
