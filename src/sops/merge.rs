//! A change of some keys of a file, in its text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_yaml::Value;

use super::cipher::DataKey;
use super::tree::Document;
use super::{Identity, Recipient, Secret, SopsError, aad, encrypt, secret, stamp};
use crate::project::SecretChange;
use kustomize::yaml::edit::{self, EditError, path};

/// What a change makes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It stays as it is (or stays absent).
    Unchanged,
    /// It has this text now.
    Written(String),
    /// It has no value any more and goes.
    Removed,
}

/// Applies `change` to the file `existing`. Where there is none, a new one is made like `new` (its values are not
/// looked at), readable by `recipients`; an existing file keeps its own recipients, as with `sops edit`.
///
/// # Errors
/// [`SopsError`]: of reading the file, of encrypting, and [`SopsError::Layout`] where the text allows no clear edit.
pub fn merge(
    existing: Option<&str>,
    new: &Secret,
    change: &SecretChange,
    identities: &[Identity],
    recipients: &[Recipient],
    now: Timestamp,
) -> Result<Merged, SopsError> {
    let Some(old) = existing else {
        let values = change.iter().filter_map(|(key, value)| Some((key.as_str().to_owned(), value.clone()?)));
        let secret = Secret { values: values.collect(), ..new.clone() };
        if secret.values.is_empty() {
            return Ok(Merged::Unchanged);
        }
        return encrypt(&secret, recipients, now).map(Merged::Written);
    };
    let file = Document::read(old)?;
    let key = file.data_key(identities)?;
    let before = secret(&file.verify(&key)?)?;
    let same = |a: Option<&SecretString>, b: Option<&SecretString>| {
        a.map(ExposeSecret::expose_secret) == b.map(ExposeSecret::expose_secret)
    };
    let mut text = old.to_owned();
    let mut left = before.values.clone();
    for (name, value) in change {
        let name = name.as_str();
        if same(before.values.get(name), value.as_ref()) {
            continue;
        }
        match value {
            Some(value) => {
                // A value stays in the field that has it now.
                let document = edit::read(&text).map_err(|error| layout(&error))?;
                let has = |field: &str| document.get(field).and_then(|values| values.get(name)).is_some();
                let encoded = has("data") && !has("stringData");
                let at = [if encoded { "data" } else { "stringData" }.to_owned(), name.to_owned()];
                if !file.seals(&at) {
                    return Err(SopsError::WouldBeClear(at.join(".")));
                }
                let plain = match encoded {
                    true => SecretString::from(STANDARD.encode(value.expose_secret())),
                    false => value.clone(),
                };
                let sealed = Value::String(key.seal(plain.expose_secret().as_bytes(), &aad(&at))?);
                text = edit::set(&text, &path![at[0].as_str(), name], &sealed).map_err(|error| layout(&error))?;
                left.insert(name.to_owned(), value.clone());
            }
            None => {
                text = remove(&remove(&text, "data", name)?, "stringData", name)?;
                left.remove(name);
            }
        }
    }
    if left.is_empty() && !before.values.is_empty() {
        return Ok(Merged::Removed);
    }
    if text == old {
        return Ok(Merged::Unchanged);
    }
    signed(&text, &key, now).map(Merged::Written)
}

fn remove(text: &str, field: &str, name: &str) -> Result<String, SopsError> {
    let document = edit::read(text).map_err(|error| layout(&error))?;
    if document.get(field).and_then(|values| values.get(name)).is_none() {
        return Ok(text.to_owned());
    }
    edit::remove(text, &path![field, name]).map_err(|error| layout(&error))
}

/// The text with a new time and the sum that fits it, proven by reading it again.
pub(super) fn signed(text: &str, key: &DataKey, now: Timestamp) -> Result<String, SopsError> {
    let (_, sum) = Document::read(text)?.open(key)?;
    let now = stamp(now);
    let mac = key.seal(sum.as_bytes(), &now)?;
    let set = |text: &str, field: &str, value: String| {
        edit::set(text, &path!["sops", field], &Value::String(value)).map_err(|error| layout(&error))
    };
    let text = set(&set(text, "lastmodified", now)?, "mac", mac)?;
    Document::read(&text)?.verify(key)?;
    Ok(text)
}

/// Messages of a reader may quote what they read.
fn layout(error: &EditError) -> SopsError {
    match error {
        EditError::Syntax { line, .. } => SopsError::Yaml(*line),
        EditError::Place(reason) => SopsError::Layout(reason.clone()),
    }
}
