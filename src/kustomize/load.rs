//! Reading files and directories of the tree: inside the rules of where a kustomization may look.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::project::{Entry, Files, FilesError, PathError, RepoPath};
use crate::yaml::{self, Kind, Node, ReadError};

use super::field::Place;
use super::kustomization::{FILE_NAMES, Kustomization};
use super::{BuildError, Restrictions};

/// How many kustomizations one build may enter; two entries that name one directory count twice, and double at each
/// level.
const MAX_DIRECTORIES: usize = 50_000;

/// What a build reads through: remembers each file once parsed, and every path that was looked at.
pub(super) struct Loader<'a> {
    files: &'a dyn Files,
    inputs: RefCell<BTreeSet<RepoPath>>,
    documents: RefCell<BTreeMap<RepoPath, Arc<Vec<Node>>>>,
    kustomizations: RefCell<BTreeMap<RepoPath, Arc<Kustomization>>>,
    entered: Cell<usize>,
    restrictions: Restrictions,
    warnings: RefCell<Vec<String>>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(files: &'a dyn Files, restrictions: Restrictions) -> Self {
        Self {
            files,
            inputs: RefCell::default(),
            documents: RefCell::default(),
            kustomizations: RefCell::default(),
            entered: Cell::new(0),
            restrictions,
            warnings: RefCell::default(),
        }
    }

    /// Where warnings go that come up while files are read.
    pub(super) fn warnings(&self) -> &RefCell<Vec<String>> {
        &self.warnings
    }

    pub(super) fn into_inputs(self) -> BTreeSet<RepoPath> {
        self.inputs.into_inner()
    }

    /// What stands at the path that `text` names from `directory`.
    pub(super) fn resolve(
        &self,
        directory: &RepoPath,
        text: &str,
        place: &Place,
    ) -> Result<(RepoPath, Entry), BuildError> {
        if is_remote(text) {
            let hint = "copy the files into the repository and name the directory";
            return Err(place.error_with_hint(format!("{text:?} is remote; nothing is fetched"), hint));
        }
        if text.is_empty() {
            return Err(place.error("is an empty path"));
        }
        if text.split('/').any(|part| part != ".." && part.contains("..")) {
            let hint = "two list entries have become one; indent them alike";
            return Err(place.error_with_hint(format!("{text:?} has `..` inside a name"), hint));
        }
        let path = directory.join(text).map_err(|error| match error {
            PathError::Absolute(_) | PathError::Escapes(_) => {
                place.error_with_hint(error.to_string(), "name a path inside the repository, relative to this file")
            }
            PathError::Character(_) => place.error(error.to_string()),
        })?;
        let entry = self.entry(&path).map_err(|error| place.error(error.to_string()))?;
        match entry {
            Entry::Other => Err(place.error_with_hint(
                format!("{path} is a symbolic link or submodule, which is never followed"),
                "put the files themselves there",
            )),
            Entry::Missing => Err(place.error(format!("{path} does not exist"))),
            Entry::File | Entry::Directory => Ok((path, entry)),
        }
    }

    /// A file in or below `directory`.
    pub(super) fn file(&self, directory: &RepoPath, text: &str, place: &Place) -> Result<RepoPath, BuildError> {
        match self.resolve(directory, text, place)? {
            (path, Entry::File) => {
                if self.restrictions == Restrictions::RootOnly {
                    inside(directory, &path, place)?;
                }
                Ok(path)
            }
            (path, _) => Err(place.error(format!("{path} is a directory; a file is expected"))),
        }
    }

    /// The bytes of a file that [`Loader::file`] has found.
    pub(super) fn bytes(&self, path: &RepoPath, place: &Place) -> Result<Arc<[u8]>, BuildError> {
        self.inputs.borrow_mut().insert(path.clone());
        self.files.read(path).map_err(|error| place.error(error.to_string()))
    }

    /// The documents of a file.
    pub(super) fn documents(&self, path: &RepoPath, place: &Place) -> Result<Arc<Vec<Node>>, BuildError> {
        if let Some(documents) = self.documents.borrow().get(path) {
            return Ok(Arc::clone(documents));
        }
        let bytes = self.bytes(path, place)?;
        let documents = Arc::new(yaml::read(&bytes).map_err(|error| malformed(path, error))?);
        self.documents.borrow_mut().insert(path.clone(), Arc::clone(&documents));
        Ok(documents)
    }

    /// The kustomization in `directory`; `place` says who asks, if anybody does.
    pub(super) fn kustomization(
        &self,
        directory: &RepoPath,
        place: Option<&Place>,
    ) -> Result<Arc<Kustomization>, BuildError> {
        self.entered.set(self.entered.get() + 1);
        let here = Place { file: directory.clone(), ..Place::default() };
        let asker = place.unwrap_or(&here);
        if self.entered.get() > MAX_DIRECTORIES {
            return Err(asker.error(format!("the build enters more than {MAX_DIRECTORIES} directories")));
        }
        if let Some(kustomization) = self.kustomizations.borrow().get(directory) {
            return Ok(Arc::clone(kustomization));
        }
        let mut found = Vec::new();
        for name in FILE_NAMES {
            let path = directory.join(name).map_err(|error| asker.error(error.to_string()))?;
            match self.entry(&path).map_err(|error| asker.error(error.to_string()))? {
                Entry::File => found.push(path),
                Entry::Directory | Entry::Other | Entry::Missing => {}
            }
        }
        let [file] = found.as_slice() else {
            return Err(match found.first() {
                None => asker.error_with_hint(
                    format!("the directory {directory} has no kustomization.yaml"),
                    "add one, or name a file",
                ),
                Some(_) => asker.error(format!("the directory {directory} has several kustomization files")),
            });
        };
        let bytes = self.bytes(file, asker)?;
        let whole = Place { file: file.clone(), ..Place::default() };
        let (document, notes) = yaml::read_first(&bytes).map_err(|error| malformed(file, error))?;
        self.warnings.borrow_mut().extend(notes.iter().map(|note| format!("{file}:{}: {}", note.line, note.message)));
        let Some(document) = document else {
            return Err(whole.error_with_hint("is empty", "list at least one resource"));
        };
        let kustomization = Arc::new(Kustomization::read(file, &document)?);
        self.kustomizations.borrow_mut().insert(directory.clone(), Arc::clone(&kustomization));
        Ok(kustomization)
    }

    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        self.inputs.borrow_mut().insert(path.clone());
        self.files.entry(path)
    }
}

/// The documents of a text that stands inside another file.
pub(super) fn inline(text: &str, place: &Place) -> Result<Vec<Node>, BuildError> {
    yaml::read(text.as_bytes())
        .map_err(|error| place.error(format!("is no YAML in its line {}: {}", error.line, error.message)))
}

/// The objects that an entry of a list holds itself; `None` for an entry that is a path.
pub(super) fn inline_objects(text: &str, place: &Place) -> Option<Vec<Node>> {
    let documents = inline(text, place).ok()?;
    let objects = !documents.is_empty() && documents.iter().all(|document| matches!(document.kind, Kind::Mapping(_)));
    objects.then_some(documents)
}

/// The first document of a text that a field holds; `None` when there is none.
///
/// # Errors
/// A sentence, when it is no YAML.
pub(super) fn inner(text: &str) -> Result<Option<Node>, String> {
    match yaml::read_first(text.as_bytes()) {
        Ok((document, _)) => Ok(document),
        Err(error) => Err(format!("the text on the way is no YAML in its line {}: {}", error.line, error.message)),
    }
}

fn malformed(file: &RepoPath, error: ReadError) -> BuildError {
    BuildError {
        file: file.clone(),
        line: Some(error.line),
        field: None,
        message: format!("is no YAML: {}", error.message),
        hint: None,
    }
}

fn inside(directory: &RepoPath, path: &RepoPath, place: &Place) -> Result<(), BuildError> {
    if path.is_within(directory) {
        return Ok(());
    }
    Err(place.error_with_hint(
        format!("{path} is not in or below {directory}, where this kustomization is"),
        "move the file, or make a kustomization beside it and name that directory",
    ))
}

/// Whether stock kustomize would fetch this.
fn is_remote(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/") || text.contains("?ref=")
}
