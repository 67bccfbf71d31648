//! What one unit should be: its part of the build, checked, with the decrypted secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{DesiredUnit, Root, UnitError, own_folder};
use crate::edit;
use crate::plan::{self, Packer};
use crate::project::{
    Entry, Files, ObjectKey, PROJECT_LABEL, Reason, RepoPath, Revision, SCOPE_LABEL, SUSPENDED_ANNOTATION, Unit,
};
use crate::reconcile::packed::Packed;
use crate::sops;
use kustomize::{self, BuildError, Inputs, Memo, Names, Object};

/// What all units of one tree have in common.
pub(super) struct Common<'a> {
    pub(super) tree: &'a dyn Files,
    pub(super) revision: Revision,
    pub(super) root: &'a Root,
    pub(super) context: plan::Context<'a>,
    pub(super) identities: &'a [sops::Identity],
    pub(super) memo: &'a Memo,
    pub(super) packer: &'a Packer,
}

/// A unit that was rendered for itself.
pub(super) struct Rendered {
    pub(super) desired: DesiredUnit,
    pub(super) inputs: Inputs,
    /// Why this is not its share of the whole.
    pub(super) together: Option<BuildError>,
    pub(super) names: Names,
}

impl Common<'_> {
    /// Renders one unit for itself. Never fails as a whole: what is wrong becomes the unit's own error.
    pub(super) fn render(&self, unit: &Unit, members: &BTreeSet<RepoPath>) -> Rendered {
        let keep = |path: &RepoPath| members.contains(path);
        let part = kustomize::build_part(self.tree, &RepoPath::root(), &keep, *unit == Unit::Base, Some(self.memo));
        let mut inputs = part.inputs;
        let desired = self.desired(unit, part.result, &mut inputs);
        Rendered { desired, inputs, together: part.together, names: part.names }
    }

    /// A unit of what its build gave.
    pub(super) fn desired(
        &self,
        unit: &Unit,
        built: Result<Vec<Object>, BuildError>,
        inputs: &mut Inputs,
    ) -> DesiredUnit {
        let mut spec = None;
        let objects = || -> Result<Vec<Object>, UnitError> {
            let mut objects = built.map_err(|error| render_failed(&error))?;
            if let Unit::Project(name) = unit {
                let read = edit::read_spec(name, &objects);
                spec =
                    Some(read.map_err(|error| UnitError { reason: Reason::RenderFailed, message: error.to_string() })?);
            }
            let violations = plan::check(unit, &objects, &self.context);
            if !violations.is_empty() {
                let messages: Vec<String> = violations.iter().map(ToString::to_string).collect();
                return Err(UnitError { reason: Reason::PolicyViolation, message: messages.join("; ") });
            }
            let secrets = secrets_file(unit);
            inputs.look(self.tree, &secrets);
            if matches!(self.tree.entry(&secrets), Ok(Entry::File)) {
                objects.push(secret(self.tree, &secrets, unit, self.root, self.identities)?);
            }
            Ok(objects)
        };
        let objects = objects();
        let suspended = objects.iter().flatten().find_map(suspension);
        let objects = objects.map(|objects| Arc::new(Packed::of(self.packer, objects)));
        let overlay_id = own_folder(unit)
            .and_then(|folder| folder.join("kustomization.yaml").ok())
            .and_then(|path| self.tree.content_id(&path))
            .map(|id| Revision::from_bytes(id).to_string());
        DesiredUnit { revision: self.revision, objects, spec, overlay_id, suspended }
    }
}

/// What the main object says about being left alone; `false` is as good as nothing.
fn suspension(object: &Object) -> Option<String> {
    if object.key.kind != "StatefulSet" {
        return None;
    }
    let why = object.value.get("metadata")?.get("annotations")?.get(SUSPENDED_ANNOTATION)?.as_str()?;
    match why {
        "" | "false" => None,
        "true" => Some(String::new()),
        why => Some(why.to_owned()),
    }
}

pub(in crate::reconcile) fn render_failed(error: &BuildError) -> UnitError {
    let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    UnitError { reason: Reason::RenderFailed, message: format!("{error}{hint}") }
}

fn secrets_file(unit: &Unit) -> RepoPath {
    own_folder(unit).unwrap_or_default().join("secrets.sops.yaml").unwrap_or_default()
}

/// The decrypted Secret of a unit, owned like its other objects.
fn secret(
    tree: &dyn Files,
    file: &RepoPath,
    unit: &Unit,
    root: &Root,
    identities: &[sops::Identity],
) -> Result<Object, UnitError> {
    let unreadable =
        |message: String| UnitError { reason: Reason::SecretsUnreadable, message: format!("{file}: {message}") };
    let bytes = tree.read(file).map_err(|error| unreadable(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable("is no UTF-8 text".to_owned()))?;
    let secret = sops::decrypt(text, identities).map_err(|error| unreadable(error.to_string()))?;
    let expected = match unit {
        Unit::Base => "claude-defaults".to_owned(),
        Unit::Project(name) => format!("{name}-secrets"),
    };
    if secret.name != expected {
        return Err(unreadable(format!("holds the Secret {:?}; it has to be {expected:?}", secret.name)));
    }
    let object = secret_object(&secret, unit, root.namespace.as_deref());
    if let Some(problem) = plan::secret_type_problem(&object.value) {
        let message = format!("{file}: {problem}; give it another type");
        return Err(UnitError { reason: Reason::PolicyViolation, message });
    }
    Ok(object)
}

/// The object that a decrypted file stands for: as the file has it, with the unit's label, so that it is owned, observed
/// and pruned like any other.
fn secret_object(secret: &sops::Secret, unit: &Unit, namespace: Option<&str>) -> Object {
    let (label, value) = match unit {
        Unit::Base => (SCOPE_LABEL, "base"),
        Unit::Project(name) => (PROJECT_LABEL, name.as_str()),
    };
    let mut labels = secret.labels.clone();
    labels.insert(label.to_owned(), value.to_owned());
    let mut metadata = json!({"name": secret.name, "labels": labels});
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
        key: ObjectKey::new("", "Secret", namespace, secret.name.clone()),
        api_version: "v1".to_owned(),
        value: json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret_type, "data": data}),
    }
}
