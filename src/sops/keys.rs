//! age keys: who can read, and who reads.

use std::fmt;
use std::str::FromStr as _;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::cipher::DataKey;
use super::{SopsError, stamp};

/// A public key (`age1…`): files can be encrypted for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(age::x25519::Recipient);

/// A private key. Its `Debug` shows the public one.
#[derive(Clone)]
pub struct Identity(age::x25519::Identity);

impl Recipient {
    /// Parses `age1…`.
    ///
    /// # Errors
    /// [`SopsError::Key`] for anything else, also for keys of plugins, SSH keys and post-quantum keys.
    pub fn parse(text: &str) -> Result<Self, SopsError> {
        let key = age::x25519::Recipient::from_str(text.trim());
        key.map(Self).map_err(|message| SopsError::Key(format!("{text:?} is no age recipient (age1…): {message}")))
    }

    /// The data key, for this recipient alone.
    pub(super) fn wrap(&self, key: &DataKey) -> Result<String, SopsError> {
        age::encrypt_and_armor(&self.0, key.bytes()).map_err(|_| SopsError::Encryption("the age recipient is unusable"))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Identity {
    /// The public key that belongs to this private one.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    /// The data key, when it was encrypted for this identity.
    pub(super) fn unwrap(&self, armored: &str) -> Option<DataKey> {
        let bytes = age::decrypt(&self.0, armored.as_bytes()).ok()?;
        DataKey::from_bytes(&bytes)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

/// Reads private keys as SOPS_AGE_KEY and SOPS_AGE_KEY_FILE have them: one `AGE-SECRET-KEY-1…` a line, comments between.
///
/// # Errors
/// [`SopsError::Key`] names the line, never its text.
pub fn parse_identities(text: &SecretString) -> Result<Vec<Identity>, SopsError> {
    let mut identities = Vec::new();
    for (number, line) in text.expose_secret().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let identity = age::x25519::Identity::from_str(line).map_err(|_| {
            let line = number + 1;
            SopsError::Key(format!(
                "line {line} is no age private key (AGE-SECRET-KEY-1…); other kinds are not supported"
            ))
        })?;
        identities.push(Identity(identity));
    }
    if identities.is_empty() {
        return Err(SopsError::Key("there is no age private key (AGE-SECRET-KEY-1…)".to_owned()));
    }
    Ok(identities)
}

/// A new key, and the text of a key file for it.
#[must_use]
pub fn generate(now: Timestamp) -> (Identity, SecretString) {
    let identity = Identity(age::x25519::Identity::generate());
    let text = format!(
        "# created: {}\n# public key: {}\n{}\n",
        stamp(now),
        identity.recipient(),
        identity.0.to_string().expose_secret()
    );
    (identity, SecretString::from(text))
}
