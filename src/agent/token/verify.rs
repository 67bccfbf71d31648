//! The agent's side: is this token one of a manager, for this project, now?

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::{Claims, ISSUER, LEEWAY, MAX_LIFETIME, PublicKey};
use crate::jwt_crypto;
use crate::project::ProjectName;

/// An unknown key id makes the files be read again, but not more often than this.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// A key whose file is gone is trusted no longer than this.
const FORGET: Duration = Duration::from_secs(10);
/// A token of ours has some 300 bytes.
const MAX_LENGTH: usize = 4096;

/// Why a token is not taken. The texts go to whoever sent it: they say what is wrong and nothing that is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error("a token is needed, as in 'Authorization: Bearer <token>'")]
    Missing,
    /// It is no token.
    #[error("the Authorization header must be 'Bearer <token>' with one JWT")]
    Malformed,
    /// Another algorithm, `none` included.
    #[error("the token must be signed with EdDSA")]
    Algorithm,
    /// The key is not among those in the ConfigMap `claude-manager-agent-keys`.
    #[error("the token's key (kid) is not one of the managers' keys that this environment has")]
    UnknownKey,
    /// The signature is not that key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// For another project.
    #[error("the token is for another project (aud)")]
    Audience,
    /// From another issuer.
    #[error("the token's issuer (iss) is not claude-manager")]
    Issuer,
    /// Too late.
    #[error("the token has expired; compare the clocks if it was made just now")]
    Expired,
    /// Too early.
    #[error("the token does not count yet; compare the clocks")]
    Early,
    /// Longer than any token of a manager.
    #[error("the token lives longer than five minutes")]
    TooLong,
}

/// Verifies tokens for one project.
#[derive(Debug)]
pub struct Verifier {
    project: ProjectName,
    directory: PathBuf,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    by_id: BTreeMap<String, PublicKey>,
    read: Option<Instant>,
}

impl Verifier {
    /// For tokens of `project`, with the keys in the files `<kid>.pem` of `directory`, which may be absent.
    #[must_use]
    pub fn new(project: ProjectName, directory: PathBuf) -> Self {
        jwt_crypto::install();
        Self { project, directory, keys: Mutex::default() }
    }

    /// The claims of a token that counts.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        if token.len() > MAX_LENGTH {
            return Err(Refusal::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| refusal(error.kind()))?;
        if header.alg != Algorithm::EdDSA {
            return Err(Refusal::Algorithm);
        }
        let key = self.key(&header.kid.ok_or(Refusal::UnknownKey)?)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(key.bytes()), &self.validation())
            .map_err(|error| refusal(error.kind()))?
            .claims;
        if claims.exp.saturating_sub(claims.iat) > MAX_LIFETIME.as_secs() {
            return Err(Refusal::TooLong);
        }
        if claims.iat > jsonwebtoken::get_current_timestamp() + LEEWAY.as_secs() {
            return Err(Refusal::Early);
        }
        Ok(claims)
    }

    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_audience(&[&self.project]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation
    }

    fn key(&self, kid: &str) -> Result<PublicKey, Refusal> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let age = keys.read.map(|read| read.elapsed());
        let wanted = if keys.by_id.contains_key(kid) { FORGET } else { READ_AGAIN };
        if age.is_none_or(|age| age >= wanted) {
            *keys = Keys { by_id: self.read(), read: Some(Instant::now()) };
        }
        keys.by_id.get(kid).cloned().ok_or(Refusal::UnknownKey)
    }

    /// The keys on disk. A file under another name than its key's own id is passed over: nobody gets in by a name.
    fn read(&self) -> BTreeMap<String, PublicKey> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(directory = %self.directory.display(), %error, "the managers' keys cannot be read");
                }
                return BTreeMap::new();
            }
        };
        let mut keys = BTreeMap::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_none_or(|extension| extension != "pem") {
                continue;
            }
            let key = fs::read_to_string(&path).ok().and_then(|text| PublicKey::from_pem(&text));
            match key {
                Some(key) if path.file_stem().is_some_and(|stem| stem == key.kid().as_str()) => {
                    keys.insert(key.kid(), key);
                }
                _ => tracing::warn!(file = %path.display(), "this is no manager's key under its own id; passed over"),
            }
        }
        keys
    }
}

fn refusal(error: &ErrorKind) -> Refusal {
    match error {
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Refusal::Algorithm,
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::Early,
        _ => Refusal::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::Signer;
    use super::*;

    struct World {
        _directory: tempfile::TempDir,
        signer: Signer,
        verifier: Verifier,
    }

    fn project(name: &str) -> ProjectName {
        ProjectName::parse(name).unwrap()
    }

    fn world() -> World {
        let directory = tempfile::tempdir().unwrap();
        let signer = Signer::open(&directory.path().join("manager")).unwrap();
        let keys = directory.path().join("keys");
        fs::create_dir(&keys).unwrap();
        fs::write(keys.join(format!("{}.pem", signer.public_key().kid())), signer.public_key().to_pem()).unwrap();
        World { verifier: Verifier::new(project("checkout"), keys), signer, _directory: directory }
    }

    fn claims() -> Claims {
        let now = jsonwebtoken::get_current_timestamp();
        Claims {
            iss: "claude-manager".to_owned(),
            aud: "checkout".to_owned(),
            sub: "user:ana".to_owned(),
            iat: now,
            nbf: now,
            exp: now + 60,
        }
    }

    #[test]
    fn a_manager_gets_in_and_says_for_whom() {
        let world = world();
        let token = world.signer.token(&project("checkout"), "user:ana").unwrap();
        assert_eq!(world.verifier.verify(&token).unwrap().sub, "user:ana");
    }

    #[test]
    fn claims_are_judged_by_this_table() {
        let world = world();
        let now = jsonwebtoken::get_current_timestamp();
        for (claims, expected) in [
            (Claims { exp: now - 29, iat: now - 60, nbf: now - 60, ..claims() }, None),
            (Claims { exp: now - 31, iat: now - 60, nbf: now - 60, ..claims() }, Some(Refusal::Expired)),
            (Claims { nbf: now + 20, ..claims() }, None),
            (Claims { nbf: now + 40, ..claims() }, Some(Refusal::Early)),
            (Claims { iat: now + 40, exp: now + 60, ..claims() }, Some(Refusal::Early)),
            (Claims { exp: now + 300, ..claims() }, None),
            (Claims { exp: now + 301, ..claims() }, Some(Refusal::TooLong)),
            (Claims { exp: u64::MAX, ..claims() }, Some(Refusal::TooLong)),
            (Claims { aud: "search".to_owned(), ..claims() }, Some(Refusal::Audience)),
            (Claims { iss: "somebody".to_owned(), ..claims() }, Some(Refusal::Issuer)),
        ] {
            let token = world.signer.sign(&claims).unwrap();
            assert_eq!(world.verifier.verify(&token).err(), expected, "{claims:?}");
        }
    }

    #[test]
    fn other_algorithms_keys_and_texts_do_not_get_in() {
        let world = world();
        let token = world.signer.sign(&claims()).unwrap();
        let [_, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        let kid = world.signer.public_key().kid();
        let header = |text: String| URL_SAFE_NO_PAD.encode(text);
        let none = header(format!(r#"{{"alg":"none","kid":"{kid}"}}"#));
        let hmac = header(format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#));
        let no_kid = header(r#"{"alg":"EdDSA"}"#.to_owned());
        let path = header(r#"{"alg":"EdDSA","kid":"../keys/x"}"#.to_owned());
        let other = tempfile::tempdir().unwrap();
        let stranger = Signer::open(other.path()).unwrap().sign(&claims()).unwrap();
        let own = header(format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#));
        let stolen = stranger.split_once('.').unwrap().1;
        for (token, expected) in [
            (format!("{none}.{payload}."), Refusal::Malformed),
            (format!("{none}.{payload}.{signature}"), Refusal::Malformed),
            (format!("{hmac}.{payload}.{signature}"), Refusal::Algorithm),
            (format!("{no_kid}.{payload}.{signature}"), Refusal::UnknownKey),
            (format!("{path}.{payload}.{signature}"), Refusal::UnknownKey),
            (stranger.clone(), Refusal::UnknownKey),
            (format!("{own}.{stolen}"), Refusal::Signature),
            (format!("{own}.{payload}."), Refusal::Signature),
            (String::new(), Refusal::Malformed),
            ("a.b.c".to_owned(), Refusal::Malformed),
            ("x".repeat(MAX_LENGTH + 1), Refusal::Malformed),
        ] {
            assert_eq!(world.verifier.verify(&token).err(), Some(expected), "{token}");
        }
    }

    #[test]
    fn a_new_key_is_found_and_a_file_under_another_name_is_not() {
        let world = world();
        let other = tempfile::tempdir().unwrap();
        let second = Signer::open(other.path()).unwrap();
        let token = second.sign(&claims()).unwrap();
        let place = |name: &str| world.verifier.directory.join(format!("{name}.pem"));
        fs::write(place(&world.signer.public_key().kid()), second.public_key().to_pem()).unwrap();
        assert_eq!(world.verifier.verify(&token).err(), Some(Refusal::UnknownKey));

        fs::write(place(&second.public_key().kid()), second.public_key().to_pem()).unwrap();
        assert_eq!(world.verifier.verify(&token).err(), Some(Refusal::UnknownKey), "not read again at once");
        std::thread::sleep(READ_AGAIN);
        assert!(world.verifier.verify(&token).is_ok());
    }
}
