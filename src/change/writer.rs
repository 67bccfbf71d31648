//! One intent onto the tip of a batch.

use std::sync::Arc;

use super::judge::{Roots, sentence};
use super::queue::{CommitAnswer, Work};
use super::secrets::Keys;
use super::{ChangeError, Committed, message};
use crate::edit::{self, EditError};
use crate::git::{Batch, Tree};
use crate::plan::Policy;
use crate::project::{ErrorKind, Files, Intent, Overlaid, ProjectName, ProjectSpec, Revision, Unit};
use crate::sops::Identity;
use kustomize::{self, Memo};

/// What writing needs beside the batch.
pub(super) struct Writer {
    keys: Keys,
    roots: Roots,
}

impl Writer {
    pub(super) const fn new(identities: Arc<Vec<Identity>>, memo: Arc<Memo>) -> Self {
        Self { keys: Keys::new(identities), roots: Roots::new(memo) }
    }

    /// Makes the edit, judges what it gives, and commits it in the batch.
    pub(super) fn write(&self, batch: &mut Batch, work: &Work, policy: &Policy) -> CommitAnswer {
        let before = batch.tree()?;
        let name = work.intent.project();
        if let (Some(expected), Some(name)) = (&work.if_match, name) {
            must_match(&before, name, expected)?;
        }
        let secrets = self.keys.updated(&before, &work.intent)?;
        let changes = edit::apply(&before, &work.intent, secrets, self.roots.memo())?;

        let is_delete = matches!(work.intent, Intent::Delete(..));
        let after = Overlaid { base: &before, changes: &changes };
        let project = match name {
            Some(name) if !is_delete => Some(self.judge(&after, name, policy)?),
            // What is left has to be readable; nothing of the project is.
            Some(_) => {
                self.roots.of(&after).map_err(conflict)?;
                None
            }
            None => {
                let root = self.roots.of(&after).map_err(conflict)?;
                root.render(&after, &Unit::Base, policy).map_err(|messages| conflict(messages.join("; ")))?;
                None
            }
        };

        let tip = batch.tip();
        let revision = match tip {
            Some(tip) if changes.is_empty() => tip,
            _ => batch.commit(&changes, &message::meta(work))?,
        };
        let overlay_id = match name {
            Some(name) => overlay_id(&batch.tree()?, name),
            None => None,
        };
        Ok(Committed { revision, changed: tip != Some(revision), project, overlay_id })
    }

    /// The project as it will read, if everything that it builds is allowed.
    fn judge(&self, files: &dyn Files, name: &ProjectName, policy: &Policy) -> Result<ProjectSpec, ChangeError> {
        let root = self.roots.of(files).map_err(conflict)?;
        let unit = Unit::Project(name.clone());
        let mut objects = root.render(files, &unit, policy).map_err(|messages| conflict(messages.join("; ")))?;
        if !root.projects.contains(name) {
            // A folder that the root does not list is not applied, but it is edited and read all the same.
            let folder = edit::directory(name);
            let options = kustomize::Options::default();
            let build = kustomize::build_with(files, &folder, &options, Some(self.roots.memo()));
            let build = build.map_err(|error| conflict(sentence(&error)))?;
            objects = build.objects;
        }
        edit::read_spec(name, &objects).map_err(|error| conflict(error.to_string()))
    }
}

fn must_match(files: &Tree, name: &ProjectName, expected: &str) -> Result<(), ChangeError> {
    match overlay_id(files, name) {
        Some(id) if id == expected => Ok(()),
        Some(id) => Err(ChangeError::new(
            ErrorKind::PreconditionFailed,
            format!("the project {name} has changed since it was read (it is at {id} now); read it again"),
        )),
        None => Err(ChangeError::new(ErrorKind::NotFound, format!("there is no project {name}"))),
    }
}

/// The blob id of a project's overlay.
fn overlay_id(files: &dyn Files, name: &ProjectName) -> Option<String> {
    files.content_id(&edit::overlay_path(name)).map(|id| Revision::from_bytes(id).to_string())
}

fn conflict(message: String) -> ChangeError {
    ChangeError::new(ErrorKind::Conflict, message)
}

impl From<EditError> for ChangeError {
    fn from(error: EditError) -> Self {
        Self { kind: error.kind(), message: error.to_string(), fields: error.fields() }
    }
}
