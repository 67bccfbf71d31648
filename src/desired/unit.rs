//! What one unit should be: its part of the build, checked, with its Secret.

use std::collections::BTreeSet;

use super::secret::{ReadSecret, secret};
use super::{Root, UnitError};
use crate::edit;
use crate::plan::{self, Policy};
use crate::project::{Entry, Files, ProjectSpec, Reason, RepoPath, Unit, layout};
use kustomize::{BuildError, Inputs, Memo, Names, Object};

/// What all units of one tree are judged by.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) tree: &'a dyn Files,
    pub(super) root: &'a Root,
    pub(super) policy: &'a Policy,
    pub(super) read: ReadSecret<'a>,
    pub(super) memo: &'a Memo,
}

/// What is known of a unit that may be applied.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// A project as its overlay reads.
    pub spec: Option<ProjectSpec>,
    /// The claims that it makes.
    pub(super) claims: BTreeSet<String>,
}

/// What a unit's part of the build gave.
pub(super) struct Part {
    pub(super) built: Result<Vec<Object>, BuildError>,
    pub(super) inputs: Inputs,
    /// Why this is not its share of the whole.
    pub(super) together: Option<BuildError>,
    pub(super) names: Names,
}

impl Judge<'_> {
    /// Builds one unit for itself.
    pub(super) fn build(&self, unit: &Unit) -> Part {
        let members = self.root.members.get(unit);
        let keep = |path: &RepoPath| members.is_some_and(|members| members.contains(path));
        let part = kustomize::build_part(self.tree, &RepoPath::root(), &keep, *unit == Unit::Base, Some(self.memo));
        Part { built: part.result, inputs: part.inputs, together: part.together, names: part.names }
    }

    /// Judges what a unit's build gave. What is looked at beside the build is added to `inputs`.
    ///
    /// # Errors
    /// [`UnitError`] for the first kind of fault: the build, the environment, the policy, the encrypted file.
    pub(super) fn verdict(
        &self,
        unit: &Unit,
        built: Result<Vec<Object>, BuildError>,
        inputs: &mut Inputs,
    ) -> (Result<Vec<Object>, UnitError>, Option<ProjectSpec>) {
        let mut spec = None;
        let verdict = || {
            let mut objects = built.map_err(|error| UnitError::from(&error))?;
            if let Unit::Project(name) = unit {
                let read = edit::read_spec(name, &objects);
                spec =
                    Some(read.map_err(|error| UnitError { reason: Reason::RenderFailed, message: error.to_string() })?);
            }
            let namespace = self.root.namespace();
            let context = plan::Context {
                namespace: namespace.unwrap_or_default(),
                policy: self.policy,
                projects: self.root.projects(),
            };
            let violations = plan::check(unit, &objects, &context);
            if !violations.is_empty() {
                let messages: Vec<String> = violations.iter().map(ToString::to_string).collect();
                return Err(UnitError::policy(messages.join("; ")));
            }
            let file = layout::secrets_path(unit);
            inputs.look(self.tree, &file);
            match self.tree.entry(&file) {
                Ok(Entry::File) => objects.push(secret(self.tree, &file, unit, namespace, self.read)?),
                Ok(Entry::Missing) => {}
                Ok(Entry::Directory | Entry::Other) | Err(_) => {
                    let message = format!("{file} is no regular file; replace it by an encrypted file, or remove it");
                    return Err(UnitError { reason: Reason::SecretsUnreadable, message });
                }
            }
            match twice(&objects) {
                Some(object) => Err(UnitError::policy(format!(
                    "{} stands in {file} and in the overlay's resources; remove one of them",
                    object.key
                ))),
                None => Ok(objects),
            }
        };
        let objects = verdict();
        (objects, spec)
    }
}

/// The last of the objects, if another one is the same: a build gives none twice.
fn twice(objects: &[Object]) -> Option<&Object> {
    let (last, others) = objects.split_last()?;
    others.iter().any(|object| object.key == last.key).then_some(last)
}
