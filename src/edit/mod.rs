//! Edits: the tree of the state repository and an [`Intent`] in, a [`ChangeSet`] out.
//!
//! One file for each intent. Pure: secrets come encrypted, times come with the intent, nothing is read but the given
//! tree.
//!
//! **Architecture invariant:** a file that a person may have written is never written anew. It is edited in place, and
//! the result is rendered and read back: either the project then is what was asked for and nothing else about it has
//! changed, or the edit is refused with the reason.

mod agent_keys;
mod change;
mod check;
mod create;
mod delete;
mod overlay;
mod patch;
mod read;
pub mod restore;
mod root;
mod scale;
pub mod seed;
pub mod upgrade;

pub use read::{ReadError, read_spec};

use crate::project::layout::{directory, overlay_path};
use crate::project::{
    ChangeSet, Entry, ErrorKind, FieldError, Files, FilesError, Intent, PathError, ProjectName, ProjectSpec, RepoPath,
};
use kustomize::yaml;
use kustomize::{self, BuildError, Memo};

/// Why an edit was not made. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The name is taken.
    #[error("the project {0} exists already; choose another shortName")]
    AlreadyExists(ProjectName),
    /// There is no such project.
    #[error("there is no project {0}")]
    NotFound(ProjectName),
    /// Values that cannot be.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// The files do not allow the edit as they are.
    #[error("{file}: {reason}")]
    Conflict {
        /// The file at fault.
        file: RepoPath,
        /// What is in the way, and what to do.
        reason: String,
    },
    /// The tree could not be read.
    #[error(transparent)]
    Files(#[from] FilesError),
}

impl EditError {
    /// What the error means to whoever asked.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::AlreadyExists(_) | Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Files(FilesError::Unreadable { .. }) => ErrorKind::Unavailable,
            // Other than regular files where the layout wants some.
            Self::Files(FilesError::Missing(_) | FilesError::NotAFile(_)) => ErrorKind::Conflict,
        }
    }

    /// The fields of the request at fault.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(fields) => fields.clone(),
            Self::AlreadyExists(_) => {
                vec![FieldError { field: "shortName".to_owned(), message: self.to_string() }]
            }
            Self::NotFound(_) | Self::Conflict { .. } | Self::Files(_) => Vec::new(),
        }
    }

    fn conflict(file: &RepoPath, reason: impl Into<String>) -> Self {
        Self::Conflict { file: file.clone(), reason: reason.into() }
    }
}

fn summary(fields: &[FieldError]) -> String {
    let parts: Vec<String> = fields.iter().map(|field| format!("{} {}", field.field, field.message)).collect();
    parts.join("; ")
}

/// The changes to `files` that make `intent` so; empty when it is so already. `secrets` is the new content of the
/// project's `secrets.sops.yaml`: `None` leaves the file as it is, and no bytes at all remove it. `memo` is what other
/// builds of these files remember.
///
/// # Errors
/// [`EditError`].
pub fn apply(
    files: &dyn Files,
    intent: &Intent,
    secrets: Option<Vec<u8>>,
    memo: &Memo,
) -> Result<ChangeSet, EditError> {
    match intent {
        Intent::Create(new) => create::create(files, new, secrets, memo),
        Intent::Change(name, change) => change::change(files, name, change, secrets, memo),
        Intent::Delete(name, volumes) => delete::delete(files, name, *volumes),
        Intent::Start(name) | Intent::Wake(name) => scale::start(files, name, memo),
        Intent::Stop(name) => scale::stop(files, name, memo),
        Intent::TrustAgentKey(key) => agent_keys::add(files, key),
    }
}

/// Reads the project of a directory that the root does not list.
///
/// # Errors
/// [`EditError::Conflict`] when it does not build, or is none.
pub fn read_unlisted(files: &dyn Files, name: &ProjectName, memo: &Memo) -> Result<ProjectSpec, EditError> {
    current(files, name, memo)
}

/// Paths made of fixed parts and project names are always paths.
fn fixed(path: Result<RepoPath, PathError>) -> RepoPath {
    path.unwrap_or_default()
}

fn exists(files: &dyn Files, path: &RepoPath) -> Result<bool, EditError> {
    Ok(files.entry(path)? == Entry::File)
}

fn must_exist(files: &dyn Files, name: &ProjectName) -> Result<(), EditError> {
    if exists(files, &overlay_path(name))? { Ok(()) } else { Err(EditError::NotFound(name.clone())) }
}

fn read_text(files: &dyn Files, path: &RepoPath) -> Result<String, EditError> {
    String::from_utf8(files.read(path)?.to_vec()).map_err(|_| EditError::conflict(path, "the file is not UTF-8 text"))
}

/// The project as its overlay renders.
fn current(files: &dyn Files, name: &ProjectName, memo: &Memo) -> Result<ProjectSpec, EditError> {
    let build = kustomize::build_with(files, &directory(name), &kustomize::Options::default(), Some(memo));
    let build = build.map_err(|error| unbuildable(&error))?;
    read_spec(name, &build.objects).map_err(|error| EditError::conflict(&overlay_path(name), error.to_string()))
}

fn unbuildable(error: &BuildError) -> EditError {
    let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    EditError::conflict(&error.file, format!("the project does not build: {error}{hint}"))
}

/// A refusal to edit a file's text, with the file's name.
fn unplaced(file: &RepoPath, error: &yaml::edit::EditError) -> EditError {
    EditError::conflict(file, format!("{error}; make the change in the file itself and push it"))
}

#[cfg(test)]
mod tests;
