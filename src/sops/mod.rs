//! SOPS files (age): Secrets that live encrypted in the state repository.
//!
//! Takes and gives the text of one Kubernetes Secret as `sops` writes and reads it, so that people may use that program
//! on the same files: AES-256-GCM for each value with its path as additional data, a SHA-512 over all values in order,
//! the data key encrypted to age recipients (<https://github.com/getsops/sops>, `aes/cipher.go` and `sops.go`).
//!
//! A change of an existing file is made in its text, under its own data key: comments, other keys, other kinds of
//! recipients and the ciphertext of values that stay are kept, as `sops edit` keeps them.
//!
//! **Architecture invariant:** no secret is in any error, log or `Debug` output, and no value that is to be secret is
//! ever written in clear: where a file's own rules would leave it so, the change is refused.

mod cipher;
mod config;
mod keys;
mod merge;
mod rules;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

pub use cipher::is_sealed;
pub use config::recipients_for;
pub use keys::{Identity, Recipient, generate, parse_identities};
pub use merge::{Merged, merge};

use crate::desired::SecretFile;
use crate::project::ErrorKind;
use cipher::DataKey;
use kustomize::yaml::edit::scalar;
use tree::{Document, Leaf};

/// The longest file in bytes; Kubernetes takes no larger Secrets.
pub const MAX_LENGTH: usize = 1 << 20;
/// The keys of these fields are secret, and nothing else in the file.
const ENCRYPTED_REGEX: &str = "^(data|stringData)$";
/// The version of the format that is written, by its program's number.
const VERSION: &str = "3.9.0";

/// A Secret in clear, as a SOPS file has it.
#[derive(Clone, Debug, Default)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its namespace, where the file says one.
    pub namespace: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its type, where the file says one.
    pub secret_type: Option<String>,
    /// Its values: those of `stringData` and, decoded, of `data`.
    pub values: BTreeMap<String, SecretString>,
}

/// Why a file could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SopsError {
    /// The file is too large.
    #[error("the file has more than {MAX_LENGTH} bytes")]
    TooLarge,
    /// The file is no YAML document.
    #[error("line {0}: the file is no YAML document")]
    Yaml(usize),
    /// There is no `sops` section.
    #[error("the file is not encrypted: it has no sops section; encrypt it with `sops -e -i` before it is committed")]
    NotEncrypted,
    /// The `sops` section lacks something or has something that is not understood.
    #[error("the sops section {0}")]
    Metadata(String),
    /// The data key is encrypted for other services only.
    #[error(
        "the file's data key is encrypted for {0} and for no age recipient; add one with `sops rotate -i --add-age`"
    )]
    NoAge(String),
    /// None of the recipients is us.
    #[error("the file is encrypted for {0} and for none of the age keys here; add ours with `sops updatekeys`")]
    OtherRecipients(String),
    /// A value that has to be encrypted is not.
    #[error("{0} is in clear; encrypt the file with `sops -e -i`, and change the secret, as it may have been seen")]
    InClear(String),
    /// A value does not decrypt: it was changed, moved or cut.
    #[error("{0} does not decrypt; it was changed or moved by hand, restore it")]
    Damaged(String),
    /// The values do not add up.
    #[error("the file was changed without sops: its checksum (mac) does not fit its values; restore it or use sops")]
    Mac,
    /// It is no Secret.
    #[error("the file is no Secret: {0}")]
    NotASecret(String),
    /// The value is no text.
    #[error("{0} is no UTF-8 text")]
    NotText(String),
    /// The file's own rules leave secrets in clear.
    #[error("the rules of the file would leave {0} in clear; encrypt it with encrypted_regex {ENCRYPTED_REGEX}")]
    WouldBeClear(String),
    /// A text is no key.
    #[error("{0}")]
    Key(String),
    /// The file's layout does not allow the change.
    #[error("{0}; change the file with sops")]
    Layout(String),
    /// The encryption itself failed.
    #[error("the file could not be encrypted: {0}")]
    Encryption(&'static str),
}

impl SopsError {
    /// What the error means to whoever asked.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Key(_) => ErrorKind::Invalid,
            Self::Encryption(_) => ErrorKind::Internal,
            Self::TooLarge
            | Self::Yaml(_)
            | Self::NotEncrypted
            | Self::Metadata(_)
            | Self::NoAge(_)
            | Self::OtherRecipients(_)
            | Self::InClear(_)
            | Self::Damaged(_)
            | Self::Mac
            | Self::NotASecret(_)
            | Self::NotText(_)
            | Self::WouldBeClear(_)
            | Self::Layout(_) => ErrorKind::Conflict,
        }
    }
}

/// Whether `text` is a file that `sops` encrypted, as far as one can see without a key: every value that its rules want
/// secret is encrypted.
#[must_use]
pub fn looks_encrypted(text: &str) -> bool {
    Document::read(text).is_ok_and(|document| document.in_clear().is_none())
}

/// The text of a new file for `secret`, readable by `recipients`. `now` is its time of change.
///
/// # Errors
/// [`SopsError::Key`] without a recipient, [`SopsError::TooLarge`] for too many values, and failures of the encryption.
pub fn encrypt(secret: &Secret, recipients: &[Recipient], now: Timestamp) -> Result<String, SopsError> {
    if recipients.is_empty() {
        return Err(SopsError::Key("there is no age recipient to encrypt for".to_owned()));
    }
    let key = DataKey::random();
    let mut text = String::from("apiVersion: v1\nkind: Secret\nmetadata:\n");
    text.push_str(&format!("    name: {}\n", scalar(&secret.name)));
    if let Some(namespace) = &secret.namespace {
        text.push_str(&format!("    namespace: {}\n", scalar(namespace)));
    }
    for (field, entries) in [("labels", &secret.labels), ("annotations", &secret.annotations)] {
        if !entries.is_empty() {
            text.push_str(&format!("    {field}:\n"));
        }
        for (key, value) in entries {
            text.push_str(&format!("        {}: {}\n", scalar(key), scalar(value)));
        }
    }
    if let Some(secret_type) = &secret.secret_type {
        text.push_str(&format!("type: {}\n", scalar(secret_type)));
    }
    text.push_str(if secret.values.is_empty() { "stringData: {}\n" } else { "stringData:\n" });
    for (name, value) in &secret.values {
        let sealed = key.seal(value.expose_secret().as_bytes(), &aad(&["stringData".to_owned(), name.clone()]))?;
        let sealed = if sealed.is_empty() { "\"\"".to_owned() } else { sealed };
        text.push_str(&format!("    {}: {sealed}\n", scalar(name)));
    }
    text.push_str("sops:\n    age:\n");
    for recipient in recipients {
        text.push_str("        - enc: |\n");
        for line in recipient.wrap(&key)?.lines() {
            text.push_str(&format!("            {line}\n"));
        }
        text.push_str(&format!("          recipient: {recipient}\n"));
    }
    text.push_str(&format!("    encrypted_regex: {ENCRYPTED_REGEX}\n"));
    text.push_str(&format!("    lastmodified: \"{}\"\n", stamp(now)));
    text.push_str(&format!("    mac: unsigned\n    version: {VERSION}\n"));
    // The sum is made from the text as any reader sees it, not from what was meant.
    let text = merge::signed(&text, &key, now)?;
    if text.len() > MAX_LENGTH { Err(SopsError::TooLarge) } else { Ok(text) }
}

/// Reads a file, and proves that nothing in it was changed without its key.
///
/// # Errors
/// [`SopsError`]; never with a value in it.
pub fn decrypt(text: &str, identities: &[Identity]) -> Result<Secret, SopsError> {
    let document = Document::read(text)?;
    let key = document.data_key(identities)?;
    secret(&document.verify(&key)?)
}

/// Judges a file as far as one can see without a key: it is a Secret, every value of it is encrypted, and it names a
/// recipient and a sum. What stands in clear is given, no value.
///
/// # Errors
/// [`SopsError`]; never with a value in it.
pub fn inspect(text: &str) -> Result<SecretFile, SopsError> {
    let document = Document::read(text)?;
    document.is_complete()?;
    document.outline()
}

/// Makes the function by which the tree's encrypted files are read: decrypted with `identities`.
pub fn reader(identities: Arc<Vec<Identity>>) -> impl Fn(&str) -> Result<SecretFile, String> + Send + Sync {
    move |text| decrypt(text, &identities).map(SecretFile::from).map_err(|error| error.to_string())
}

/// Reads a file in the place of [`reader`] where no key is at hand, as [`inspect`] does.
///
/// # Errors
/// As a sentence.
pub fn read_without_key(text: &str) -> Result<SecretFile, String> {
    inspect(text).map_err(|error| error.to_string())
}

impl From<Secret> for SecretFile {
    fn from(secret: Secret) -> Self {
        Self {
            name: Some(secret.name),
            labels: secret.labels,
            annotations: secret.annotations,
            secret_type: secret.secret_type,
            values: secret.values,
        }
    }
}

/// The Secret that decrypted leaves describe.
fn secret(leaves: &[Leaf]) -> Result<Secret, SopsError> {
    let mut secret = Secret::default();
    let (mut kind, mut version) = (None, None);
    for leaf in leaves {
        let path: Vec<&str> = leaf.path.iter().map(String::as_str).collect();
        let text = || leaf.text().map(|text| text.expose_secret().to_owned());
        match path.as_slice() {
            ["apiVersion"] => version = Some(text()?),
            ["kind"] => kind = Some(text()?),
            ["type"] => secret.secret_type = Some(text()?),
            ["metadata", "name"] => secret.name = text()?,
            ["metadata", "namespace"] => secret.namespace = Some(text()?),
            ["metadata", "labels", key] => {
                secret.labels.insert((*key).to_owned(), text()?);
            }
            ["metadata", "annotations", key] => {
                secret.annotations.insert((*key).to_owned(), text()?);
            }
            ["stringData", key] => {
                secret.values.insert((*key).to_owned(), leaf.text()?);
            }
            // stringData wins, as in Kubernetes.
            ["data", key] if !leaves.iter().any(|other| other.path == ["stringData", *key]) => {
                secret.values.insert((*key).to_owned(), leaf.decoded()?);
            }
            _ => {}
        }
    }
    if kind.as_deref() != Some("Secret") || version.as_deref() != Some("v1") {
        return Err(SopsError::NotASecret("apiVersion has to be v1 and kind Secret".to_owned()));
    }
    if secret.name.is_empty() {
        return Err(SopsError::NotASecret("metadata.name is missing".to_owned()));
    }
    Ok(secret)
}

/// The additional data of a value: its path.
fn aad(path: &[String]) -> String {
    format!("{}:", path.join(":"))
}

/// A time as the file has it: to the second, as the sum is bound to this text.
fn stamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
