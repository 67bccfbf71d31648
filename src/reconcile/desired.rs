//! What a revision wants, unit by unit, remembering what an earlier revision already rendered.
//!
//! Takes a tree and the paths that changed since the last one; gives each unit's objects or the reason why it has none.
//! A unit is rendered again only when something that its last build looked at has changed. Reads no cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::packed::Packed;
use crate::edit;
use crate::kustomize::{self, BuildError, Inputs, Object};
use crate::plan::{self, Policy};
use crate::project::{
    Entry, Files, ObjectKey, PROJECT_LABEL, ProjectName, ProjectSpec, Reason, RepoPath, Revision, SCOPE_LABEL,
    SUSPENDED_ANNOTATION, Unit,
};
use crate::sops;

/// Everything that one revision wants.
#[derive(Clone, Debug, Default)]
pub(super) struct DesiredTree {
    /// Every unit that the root lists.
    pub(super) units: BTreeMap<Unit, Arc<DesiredUnit>>,
    /// The units that were rendered for this revision; the others are as they were.
    pub(super) rendered: BTreeSet<Unit>,
    /// Projects whose tombstone gives their volumes up.
    pub(super) volumes_given_up: BTreeSet<ProjectName>,
    /// Folders that are not applied, and why.
    pub(super) warnings: Vec<String>,
    /// The policy in force.
    pub(super) policy: Arc<Policy>,
}

/// What one unit should be.
#[derive(Clone, Debug)]
pub(super) struct DesiredUnit {
    /// The revision that this was rendered from.
    pub(super) revision: Revision,
    /// The objects with the decrypted secrets, or why there are none.
    pub(super) objects: Result<Arc<Packed>, UnitError>,
    /// A project as its overlay reads.
    pub(super) spec: Option<ProjectSpec>,
    /// The blob id of a project's overlay.
    pub(super) overlay_id: Option<String>,
    /// Why the overlay wants nothing to be applied; `None` when it does not say so.
    pub(super) suspended: Option<String>,
}

/// Why a unit cannot be applied. Nothing of it is touched then: neither changed nor pruned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct UnitError {
    /// The stable word.
    pub(super) reason: Reason,
    /// What is wrong, where, and what to do.
    pub(super) message: String,
}

/// Renders revisions, and remembers what each unit's build looked at.
pub(super) struct Renderer {
    identities: Arc<Vec<sops::Identity>>,
    /// The root's kustomization without its resources: what it adds to every unit.
    skeleton: Option<[u8; 32]>,
    /// The last policy that could be read.
    policy: Option<Policy>,
    inputs: BTreeMap<Unit, Inputs>,
    last: DesiredTree,
}

impl Renderer {
    /// A renderer that decrypts with `identities` and remembers nothing yet.
    pub(super) fn new(identities: Arc<Vec<sops::Identity>>) -> Self {
        Self { identities, skeleton: None, policy: None, inputs: BTreeMap::new(), last: DesiredTree::default() }
    }

    /// Takes the policy that is in force while the tree's own does not read.
    pub(super) fn fall_back_on(&mut self, policy: Policy) {
        self.policy.get_or_insert(policy);
    }

    /// Renders `tree`, the files of `revision`. `changed` names every path that differs from the tree of the last
    /// call; `None` when that is not known.
    ///
    /// # Errors
    /// [`BuildError`] when the root itself does not build; the last answer stays what it was.
    pub(super) fn render(
        &mut self,
        tree: &dyn Files,
        revision: Revision,
        changed: Option<&BTreeSet<RepoPath>>,
    ) -> Result<DesiredTree, BuildError> {
        let root = read_root(tree)?;
        let changed = changed.filter(|_| self.skeleton == Some(root.skeleton));
        let (members, mut warnings) = members(tree)?;
        // What a broken file last said stays in force.
        let changed = match Policy::read(tree) {
            Ok(policy) if self.policy.as_ref() == Some(&policy) => changed,
            Ok(policy) => {
                self.policy = Some(policy);
                None
            }
            Err(error) => {
                warnings.push(format!("{error}; the last valid policy stays in force"));
                changed
            }
        };
        let policy = self.policy.clone().unwrap_or_default();
        let projects: BTreeSet<ProjectName> = members
            .keys()
            .filter_map(|unit| match unit {
                Unit::Project(name) => Some(name.clone()),
                Unit::Base => None,
            })
            .collect();
        let namespace = root.namespace.clone().unwrap_or_default();
        let context = plan::Context { namespace: &namespace, policy: &policy, projects: &projects };

        let stale: Vec<&Unit> = members.keys().filter(|unit| !self.is_current(unit, &members, changed)).collect();
        let fresh = in_parallel(&stale, |unit| {
            render_unit(tree, revision, unit, &members[*unit], &root, &context, &self.identities)
        });

        let mut next = DesiredTree {
            warnings,
            volumes_given_up: tombstones(tree),
            policy: Arc::new(policy),
            ..DesiredTree::default()
        };
        let mut inputs = BTreeMap::new();
        for (unit, (desired, read)) in stale.into_iter().zip(fresh) {
            next.rendered.insert(unit.clone());
            next.units.insert(unit.clone(), Arc::new(desired));
            inputs.insert(unit.clone(), read);
        }
        for unit in members.keys() {
            if let (Some(kept), Some(read)) = (self.last.units.get(unit), self.inputs.remove(unit)) {
                next.units.entry(unit.clone()).or_insert_with(|| Arc::clone(kept));
                inputs.entry(unit.clone()).or_insert(read);
            }
        }
        refuse_double_claims(&mut next);
        self.skeleton = Some(root.skeleton);
        self.inputs = inputs;
        self.last = next.clone();
        Ok(next)
    }

    /// Whether the last answer still holds for `unit`.
    fn is_current(&self, unit: &Unit, members: &Members, changed: Option<&BTreeSet<RepoPath>>) -> bool {
        let (Some(changed), Some(inputs), Some(last)) = (changed, self.inputs.get(unit), self.last.units.get(unit))
        else {
            return false;
        };
        // A failed build does not say all that it would have looked at; the base unit's own members may have changed.
        if last.objects.is_err() || (*unit == Unit::Base && members[unit].iter().any(|path| !inputs.contains(path))) {
            return false;
        }
        let root = root_file();
        !changed
            .iter()
            .filter(|path| **path != root)
            .any(|path| inputs.contains(path) || own_folder(unit).is_some_and(|folder| path.is_within(&folder)))
    }
}

/// The root's resources, by the unit that they belong to.
type Members = BTreeMap<Unit, BTreeSet<RepoPath>>;

/// What the root's own kustomization says.
struct Root {
    namespace: Option<String>,
    skeleton: [u8; 32],
}

fn root_file() -> RepoPath {
    RepoPath::root().join("kustomization.yaml").unwrap_or_default()
}

fn own_folder(unit: &Unit) -> Option<RepoPath> {
    match unit {
        Unit::Base => None,
        Unit::Project(name) => RepoPath::parse(&format!("projects/{name}")).ok(),
    }
}

fn read_root(tree: &dyn Files) -> Result<Root, BuildError> {
    let file = root_file();
    let fail = |message: String| BuildError {
        file: file.clone(),
        line: None,
        field: None,
        message,
        hint: Some("the root of the state repository needs a kustomization.yaml; `init` shows one".to_owned()),
    };
    let bytes = tree.read(&file).map_err(|error| fail(error.to_string()))?;
    let mut fields: serde_yaml::Mapping =
        serde_yaml::from_slice(&bytes).map_err(|error| fail(format!("is no YAML mapping: {error}")))?;
    fields.remove("resources");
    let namespace = fields.get("namespace").and_then(|value| value.as_str()).map(str::to_owned);
    let rest = serde_yaml::to_string(&fields).map_err(|error| fail(error.to_string()))?;
    Ok(Root { namespace, skeleton: Sha256::digest(rest.as_bytes()).into() })
}

/// The root's resources, by the unit that they belong to, and what is not applied.
fn members(tree: &dyn Files) -> Result<(Members, Vec<String>), BuildError> {
    let mut units: Members = BTreeMap::from([(Unit::Base, BTreeSet::new())]);
    for path in kustomize::resources(tree, &RepoPath::root(), None)? {
        let project = path.as_str().strip_prefix("projects/").and_then(|name| ProjectName::parse(name).ok());
        units.entry(project.map_or(Unit::Base, Unit::Project)).or_default().insert(path);
    }
    let mut warnings = Vec::new();
    let projects = RepoPath::parse("projects").unwrap_or_default();
    for name in tree.list(&projects).unwrap_or_default() {
        let listed = ProjectName::parse(&name).is_ok_and(|name| units.contains_key(&Unit::Project(name)));
        let is_overlay = projects
            .join(&format!("{name}/kustomization.yaml"))
            .is_ok_and(|path| matches!(tree.entry(&path), Ok(Entry::File)));
        if !listed && is_overlay {
            warnings.push(format!(
                "projects/{name} is not applied: add `- projects/{name}` to the resources of the root's kustomization.yaml"
            ));
        }
    }
    Ok((units, warnings))
}

fn tombstones(tree: &dyn Files) -> BTreeSet<ProjectName> {
    let folder = RepoPath::parse("tombstones").unwrap_or_default();
    let names = tree.list(&folder).unwrap_or_default();
    let given_up = |name: &ProjectName| {
        let path = folder.join(&format!("{name}.yaml")).ok()?;
        let fields: serde_yaml::Mapping = serde_yaml::from_slice(&tree.read(&path).ok()?).ok()?;
        (fields.get("volumes")?.as_str()? == "delete").then_some(())
    };
    names
        .iter()
        .filter_map(|name| ProjectName::parse(name.strip_suffix(".yaml")?).ok())
        .filter(|name| given_up(name).is_some())
        .collect()
}

/// Renders one unit. Never fails as a whole: what is wrong becomes the unit's own error.
fn render_unit(
    tree: &dyn Files,
    revision: Revision,
    unit: &Unit,
    members: &BTreeSet<RepoPath>,
    root: &Root,
    context: &plan::Context<'_>,
    identities: &[sops::Identity],
) -> (DesiredUnit, Inputs) {
    let mut inputs = Inputs::default();
    let mut spec = None;
    let mut objects = || -> Result<Vec<Object>, UnitError> {
        let is_base = *unit == Unit::Base;
        let build = kustomize::build_part(tree, &RepoPath::root(), &|path| members.contains(path), is_base, None)
            .map_err(|error| render_failed(&error))?;
        inputs = build.inputs;
        let mut objects = build.objects;
        if let Unit::Project(name) = unit {
            let read = edit::read_spec(name, &objects);
            spec = Some(read.map_err(|error| UnitError { reason: Reason::RenderFailed, message: error.to_string() })?);
        }
        let violations = plan::check(unit, &objects, context);
        if !violations.is_empty() {
            let messages: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return Err(UnitError { reason: Reason::PolicyViolation, message: messages.join("; ") });
        }
        let secrets = secrets_file(unit);
        inputs.look(tree, &secrets);
        if matches!(tree.entry(&secrets), Ok(Entry::File)) {
            objects.push(secret(tree, &secrets, unit, root, identities)?);
        }
        Ok(objects)
    };
    let objects = objects();
    let suspended = objects.iter().flatten().find_map(suspension);
    let objects = objects.map(|objects| Arc::new(Packed::of(objects)));
    let overlay_id = own_folder(unit)
        .and_then(|folder| folder.join("kustomization.yaml").ok())
        .and_then(|path| tree.content_id(&path))
        .map(|id| Revision::from_bytes(id).to_string());
    (DesiredUnit { revision, objects, spec, overlay_id, suspended }, inputs)
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

pub(super) fn render_failed(error: &BuildError) -> UnitError {
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
        key: ObjectKey {
            group: String::new(),
            kind: "Secret".to_owned(),
            namespace: namespace.map(str::to_owned),
            name: secret.name.clone(),
        },
        api_version: "v1".to_owned(),
        value: json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret_type, "data": data}),
    }
}

/// Two units that want one object would overwrite each other for ever: the one whose name the object carries has it,
/// else the first; the other is refused.
fn refuse_double_claims(tree: &mut DesiredTree) {
    let mut claims: BTreeMap<&ObjectKey, Vec<&Unit>> = BTreeMap::new();
    for (unit, desired) in &tree.units {
        for object in desired.objects.iter().flat_map(|objects| objects.iter()) {
            claims.entry(&object.key).or_default().push(unit);
        }
    }
    let mut refused = Vec::new();
    for (key, units) in claims.into_iter().filter(|(_, units)| units.len() > 1) {
        let named = |unit: &&&Unit| matches!(unit, Unit::Project(name) if key.name.starts_with(&format!("{name}-")));
        let owner = units.iter().filter(named).max_by_key(|unit| unit.to_string().len()).or(units.first());
        for unit in units.iter().filter(|unit| Some(unit) != owner.as_ref()) {
            let owner = owner.map(ToString::to_string).unwrap_or_default();
            refused.push(((*unit).clone(), format!("{key} also belongs to {owner}; rename one of them")));
        }
    }
    for (unit, message) in refused {
        if let Some(desired) = tree.units.get_mut(&unit) {
            let error = UnitError { reason: Reason::PolicyViolation, message };
            *desired = Arc::new(DesiredUnit { objects: Err(error), ..DesiredUnit::clone(desired) });
            tree.rendered.insert(unit);
        }
    }
}

/// Runs `work` for each item on all cores, in order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if items.len() < 4 || cores == 1 {
        return items.iter().map(work).collect();
    }
    let size = items.len().div_ceil(cores);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            items.chunks(size).map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<R>>())).collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;
