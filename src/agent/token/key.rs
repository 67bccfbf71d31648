//! Keys on disk: the manager's private key (PKCS#8 PEM), and public keys (SPKI PEM) with their ids.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::{Digest, Sha256};

use crate::private_file::{self, PrivateFileError};

/// What stands before the 32 bytes of a key in its SubjectPublicKeyInfo (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, made or protected.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The text is no Ed25519 key.
    #[error(
        "{0} is no Ed25519 private key in PKCS#8 PEM; `openssl genpkey -algorithm ed25519` makes one, and without any \
         the manager makes its own"
    )]
    Content(String),
    /// The system gave no random numbers.
    #[error("a key cannot be made: the system gives no random numbers")]
    Random,
    /// A token could not be signed.
    #[error("a token cannot be signed: {0}")]
    Sign(String),
}

/// A public key of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads SPKI PEM; `None` when the text is something else.
    #[must_use]
    pub fn from_pem(pem: &str) -> Option<Self> {
        let der = decode(pem, "PUBLIC KEY")?;
        der.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(Self)
    }

    /// The key as SPKI PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        encode(&[&SPKI_PREFIX[..], &self.0].concat(), "PUBLIC KEY")
    }

    /// Its id: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
    #[must_use]
    pub fn kid(&self) -> String {
        Sha256::digest(self.0).iter().take(8).fold(String::new(), |mut id, byte| {
            // Writing into a string cannot fail.
            let _ = write!(id, "{byte:02x}");
            id
        })
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The DER of a private key in PEM.
pub(super) fn private_der(pem: &str) -> Option<Vec<u8>> {
    decode(pem, "PRIVATE KEY")
}

/// The public half of a private key in DER.
pub(super) fn public_of(der: &[u8]) -> Option<PublicKey> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    pair.public_key().as_ref().try_into().ok().map(PublicKey)
}

/// The DER of the key in `data_dir`, which is made when there is none.
pub(super) fn read_or_create(data_dir: &Path) -> Result<Vec<u8>, KeyError> {
    const NAME: &str = "agent-signing-key.pem";
    let make = || -> Result<String, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        Ok(encode(document.as_ref(), "PRIVATE KEY"))
    };
    let text = private_file::read_or_create(data_dir, NAME, "the key of the agents' tokens", make)?;
    let der = private_der(&text).filter(|der| public_of(der).is_some());
    der.ok_or_else(|| KeyError::Content(data_dir.join(NAME).display().to_string()))
}

/// A text with its armour (RFC 7468).
fn encode(der: &[u8], label: &str) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// What is inside an armour. Text around it and white space in it are passed over, as every reader of PEM does.
fn decode(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The example keys of RFC 8410, 10.3 and 10.1, which is how `openssl` writes them too.
    const EXAMPLE: [&str; 2] = [
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    ];

    #[test]
    fn a_key_of_openssl_is_read_and_its_public_half_written_as_openssl_does() {
        let der = private_der(EXAMPLE[0]).unwrap();
        let public = public_of(&der).unwrap();
        assert_eq!(public.to_pem(), EXAMPLE[1]);
        assert_eq!(PublicKey::from_pem(EXAMPLE[1]), Some(public.clone()));
        assert_eq!(public.kid(), "e744c0791320c328");
    }

    #[test]
    fn the_first_start_makes_a_key_and_later_ones_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let key = read_or_create(directory.path()).unwrap();
        assert_eq!(read_or_create(directory.path()).unwrap(), key);
    }

    #[test]
    fn other_texts_are_no_keys_and_the_error_says_how_to_make_one() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["", "no key", EXAMPLE[1], "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            fs::write(directory.path().join("agent-signing-key.pem"), text).unwrap();
            let error = read_or_create(directory.path()).unwrap_err().to_string();
            assert!(
                error.contains("agent-signing-key.pem is no Ed25519") && error.contains("openssl genpkey"),
                "{error}"
            );
        }
        assert_eq!(PublicKey::from_pem(EXAMPLE[0]), None);
    }
}
