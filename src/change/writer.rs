//! One intent onto the tip of a batch.

use std::sync::Arc;

use super::queue::{CommitAnswer, Work};
use super::secrets::Keys;
use super::{ChangeError, Committed, cleartext, message};
use crate::desired::{Reader, Root, RootError, Verdicts, judge_change};
use crate::edit::{self, EditError};
use crate::git::{Batch, Tree};
use crate::plan::Policy;
use crate::project::layout::overlay_path;
use crate::project::{ChangeSet, ErrorKind, Files, Intent, Overlaid, ProjectName, ProjectSpec, Revision, Unit};
use crate::sops::{self, Identity};
use kustomize::Memo;

/// What writing needs beside the batch.
pub(super) struct Writer {
    keys: Keys,
    reader: Reader,
    namespace: String,
    identities: Arc<Vec<Identity>>,
}

impl Writer {
    pub(super) fn new(namespace: String, identities: Arc<Vec<Identity>>, memo: Arc<Memo>) -> Self {
        Self { keys: Keys::new(Arc::clone(&identities)), reader: Reader::new(memo), namespace, identities }
    }

    /// Makes the edit, judges what it gives, and commits it in the batch.
    pub(super) fn write(&self, batch: &mut Batch, work: &Work, policy: &Policy) -> CommitAnswer {
        let before = batch.tree()?;
        let name = work.intent.project();
        if let (Some(expected), Some(name)) = (&work.if_match, name) {
            must_match(&before, name, expected)?;
        }
        let secrets = self.keys.updated(&before, &work.intent)?;
        let changes = edit::apply(&before, &work.intent, secrets, self.reader.memo())?;
        hold_no_secret(&before, &changes)?;
        let project = self.judge(&before, &changes, &work.intent, policy)?;

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

    /// Returns the project as it will read, if everything that the change alters may be applied.
    fn judge(
        &self,
        before: &Tree,
        changes: &ChangeSet,
        intent: &Intent,
        policy: &Policy,
    ) -> Result<Option<ProjectSpec>, ChangeError> {
        let after = Overlaid { base: before, changes };
        let root = self.root(&after)?;
        let unit = match intent.project() {
            // What is left has to be readable; nothing of the project is.
            Some(_) if matches!(intent, Intent::Delete(..)) => return Ok(None),
            Some(name) => Unit::Project(name.clone()),
            None => Unit::Base,
        };
        let read = sops::reader(Arc::clone(&self.identities));
        let verdicts = Verdicts::new(&self.reader, &after, &root, policy, &read);
        if let Unit::Project(name) = &unit
            && !root.projects().contains(name)
        {
            // A directory that the root does not list is not applied, but it is edited and read all the same.
            return edit::read_unlisted(&after, name, self.reader.memo()).map(Some).map_err(Into::into);
        }
        let units = [(unit.clone(), true)].into();
        // A project that comes has no before. What it does to others is held against them as they were only where it has to
        // be: another root is not read for nothing.
        let is_new = matches!(intent, Intent::Create(_));
        let refused = if is_new { judge_change(None, &verdicts, &units) } else { Vec::new() };
        let refused = if is_new && refused.is_empty() {
            refused
        } else {
            let root = self.reader.root(before).ok();
            let before = root.as_ref().map(|root| Verdicts::new(&self.reader, before, root, policy, &read));
            judge_change(before.as_ref(), &verdicts, &units)
        };
        if !refused.is_empty() {
            let reason =
                |(of, error): (Unit, _)| if of == unit { format!("{error}") } else { format!("{of}: {error}") };
            return Err(conflict(refused.into_iter().map(reason).collect::<Vec<_>>().join("; ")));
        }
        let accepted = verdicts.of(&unit).map_err(|error| conflict(error.to_string()))?;
        Ok(accepted.spec)
    }

    fn root(&self, files: &dyn Files) -> Result<Arc<Root>, ChangeError> {
        let root = self.reader.root(files).map_err(root_error)?;
        root.keeps_namespace(Some(&self.namespace)).map_err(root_error)?;
        Ok(root)
    }
}

/// Refuses values that would put a secret into a file in clear, where it was not before.
fn hold_no_secret(before: &Tree, changes: &ChangeSet) -> Result<(), ChangeError> {
    for (path, content) in &changes.0 {
        let Some(problem) = content.as_ref().and_then(|content| cleartext::find(path.file_name(), content)) else {
            continue;
        };
        let was = before.read(path).ok().and_then(|content| cleartext::find(path.file_name(), &content));
        if was.is_none() {
            return Err(ChangeError::new(ErrorKind::Invalid, format!("{path}: {problem}")));
        }
    }
    Ok(())
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
    files.content_id(&overlay_path(name)).map(|id| Revision::from_bytes(id).to_string())
}

fn root_error(error: RootError) -> ChangeError {
    conflict(error.to_string())
}

fn conflict(message: String) -> ChangeError {
    ChangeError::new(ErrorKind::Conflict, message)
}

impl From<EditError> for ChangeError {
    fn from(error: EditError) -> Self {
        Self { kind: error.kind(), message: error.to_string(), fields: error.fields() }
    }
}
