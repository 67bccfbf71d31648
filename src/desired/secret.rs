//! A unit's encrypted file: what it has to hold, and the Secret that it stands for.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::UnitError;
use crate::plan;
use crate::project::{Files, ObjectKey, PROJECT_LABEL, Reason, RepoPath, SCOPE_LABEL, Unit, layout};
use kustomize::Object;

/// A Secret as an encrypted file holds it. Without a key only what stands in clear is known of it, and no values.
#[derive(Clone, Debug, Default)]
pub struct SecretFile {
    /// Its name; `None` when that is encrypted, and there is no key.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its type, where the file says one.
    pub secret_type: Option<String>,
    /// Its values.
    pub values: BTreeMap<String, SecretString>,
}

/// Reads the text of an encrypted file, or says why it cannot be read; never with a value in it. With a key it proves that
/// nothing was changed without that; without one it judges what can be seen.
pub type ReadSecret<'a> = &'a (dyn Fn(&str) -> Result<SecretFile, String> + Sync);

/// The same for one who keeps it.
pub(crate) type SharedReadSecret = Arc<dyn Fn(&str) -> Result<SecretFile, String> + Send + Sync>;

/// Returns the decrypted Secret of a unit, owned like its other objects.
pub(super) fn secret(
    tree: &dyn Files,
    file: &RepoPath,
    unit: &Unit,
    namespace: Option<&str>,
    read: ReadSecret<'_>,
) -> Result<Object, UnitError> {
    let unreadable =
        |message: String| UnitError { reason: Reason::SecretsUnreadable, message: format!("{file}: {message}") };
    let bytes = tree.read(file).map_err(|error| unreadable(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable("is no UTF-8 text".to_owned()))?;
    let secret = read(text).map_err(unreadable)?;
    let expected = layout::secret_name(unit);
    if let Some(found) = secret.name.as_ref().filter(|name| **name != expected) {
        return Err(unreadable(format!("holds the Secret {found:?}; it has to be {expected:?}")));
    }
    let object = object(&secret, &expected, unit, namespace);
    match plan::secret_type_problem(&object.value) {
        Some(problem) => Err(UnitError::policy(format!("{file}: {problem}; give it another type"))),
        None => Ok(object),
    }
}

/// The object that a decrypted file stands for: as the file has it, with the unit's label, so that it is owned, observed
/// and pruned like any other.
fn object(secret: &SecretFile, name: &str, unit: &Unit, namespace: Option<&str>) -> Object {
    let (label, value) = match unit {
        Unit::Base => (SCOPE_LABEL, "base"),
        Unit::Project(name) => (PROJECT_LABEL, name.as_str()),
    };
    let mut labels = secret.labels.clone();
    labels.insert(label.to_owned(), value.to_owned());
    let mut metadata = json!({"name": name, "labels": labels});
    if !secret.annotations.is_empty() {
        metadata["annotations"] = json!(secret.annotations);
    }
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let data: BTreeMap<&str, String> =
        secret.values.iter().map(|(key, value)| (key.as_str(), BASE64.encode(value.expose_secret()))).collect();
    let secret_type = secret.secret_type.as_deref().unwrap_or("Opaque");
    Object {
        key: ObjectKey::new("", "Secret", namespace, name),
        api_version: "v1".to_owned(),
        value: json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret_type, "data": data}),
    }
}
