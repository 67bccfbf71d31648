//! Reading files and directories of the tree: inside the rules of where a kustomization may look.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::yaml::{self, Kind, Node, ReadError, Repeats};
use crate::{Entry, Files, FilesError, PathError, RepoPath};

use super::field::Place;
use super::inputs::Inputs;
use super::kustomization::{FILE_NAMES, Kustomization};
use super::memo::{FileId, Memo};
use super::prebuild::Apart;
use super::{BuildError, Restrictions};

/// How many kustomizations one build may enter; two entries that name one directory count twice, and double at each
/// level.
pub(super) const MAX_DIRECTORIES: usize = 50_000;

/// What all parts of one build read from.
pub(super) struct Source<'a> {
    files: &'a dyn Files,
    restrictions: Restrictions,
    /// What other builds remember, for files that have ids.
    memo: Option<&'a Memo>,
    /// What this build remembers of all others. Files do not change while it runs.
    own: Memo,
}

/// How much one build remembers: bases and components come again and again, overlays once.
const OWN_ROOM: usize = 8 << 20;

impl<'a> Source<'a> {
    pub(super) fn new(files: &'a dyn Files, restrictions: Restrictions, memo: Option<&'a Memo>) -> Self {
        Self { files, restrictions, memo, own: Memo::with_room(OWN_ROOM) }
    }

    /// Where to ask for a file and what it is known by there; `id` is that of its content.
    fn memo(&self, path: &RepoPath, id: Option<[u8; 20]>) -> (&Memo, FileId) {
        match (self.memo, id) {
            // What may be read depends on the rules, so only the usual ones are remembered.
            (Some(memo), Some(id)) if self.restrictions == Restrictions::RootOnly => (memo, FileId::Content(id)),
            (Some(_) | None, _) => (&self.own, FileId::Path(path.clone())),
        }
    }
}

/// A kustomization file, read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) kustomization: Kustomization,
    file: RepoPath,
    /// What is to be told of it, once in a build.
    notes: Vec<String>,
    id: Option<[u8; 20]>,
    paths: OnceLock<Vec<Option<RepoPath>>>,
}

impl Parsed {
    /// The paths of the resources, resolved by text; `None` for a text that is no path. A root with thousands of them is
    /// asked for a few at a time.
    pub(super) fn paths(&self, directory: &RepoPath) -> &[Option<RepoPath>] {
        self.paths
            .get_or_init(|| self.kustomization.resources.iter().map(|(text, _)| directory.join(text).ok()).collect())
    }
}

impl std::ops::Deref for Parsed {
    type Target = Kustomization;

    fn deref(&self) -> &Kustomization {
        &self.kustomization
    }
}

/// What a part of a build reads through: remembers every path that was looked at.
pub(super) struct Loader<'a> {
    source: &'a Source<'a>,
    inputs: RefCell<Inputs>,
    /// How many directories the build has entered, and how many when this began.
    entered: Cell<usize>,
    before: usize,
    notes: RefCell<BTreeMap<RepoPath, Vec<String>>>,
    warnings: RefCell<Vec<String>>,
}

/// What a [`Loader`] has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Traces {
    pub(super) inputs: Inputs,
    pub(super) entered: usize,
    notes: BTreeMap<RepoPath, Vec<String>>,
    warnings: Vec<String>,
}

impl Traces {
    /// All that is to be told.
    pub(super) fn warnings(self) -> impl Iterator<Item = String> {
        self.notes.into_values().flatten().chain(self.warnings)
    }
}

impl<'a> Loader<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Self {
        Self::after(source, 0)
    }

    /// For a part of a build that has entered so many directories before.
    pub(super) fn after(source: &'a Source<'a>, entered: usize) -> Self {
        Self {
            source,
            inputs: RefCell::default(),
            entered: Cell::new(entered),
            before: entered,
            notes: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    pub(super) fn source(&self) -> &'a Source<'a> {
        self.source
    }

    /// How many directories the build has entered.
    pub(super) fn entered(&self) -> usize {
        self.entered.get()
    }

    /// Where warnings go that come up while files are read.
    pub(super) fn warnings(&self) -> &RefCell<Vec<String>> {
        &self.warnings
    }

    pub(super) fn into_traces(self) -> Traces {
        Traces {
            inputs: self.inputs.into_inner(),
            entered: self.entered.get() - self.before,
            notes: self.notes.into_inner(),
            warnings: self.warnings.into_inner(),
        }
    }

    /// Takes what another loader has seen as if this one had; `false`, and nothing, when that is too much for one build.
    pub(super) fn take(&self, traces: &Traces) -> bool {
        if self.entered.get() + traces.entered > MAX_DIRECTORIES {
            return false;
        }
        self.entered.set(self.entered.get() + traces.entered);
        self.inputs.borrow_mut().add(&traces.inputs);
        for (file, notes) in &traces.notes {
            self.notes.borrow_mut().entry(file.clone()).or_insert_with(|| notes.clone());
        }
        self.warnings.borrow_mut().extend(traces.warnings.iter().cloned());
        true
    }

    /// Whether what was looked at once is still so.
    pub(super) fn hold(&self, inputs: &Inputs) -> bool {
        inputs.hold_in(self.source.files)
    }

    /// What is remembered of the directory of a kustomization, and whether that is of this very build, whose files do not
    /// change.
    pub(super) fn remembered(&self, directory: &RepoPath, parsed: &Parsed) -> Option<(Vec<Arc<Apart>>, bool)> {
        let (memo, id) = self.source.memo(directory, parsed.id);
        Some((memo.directory(directory, &id)?, matches!(id, FileId::Path(_))))
    }

    pub(super) fn remember(&self, directory: &RepoPath, parsed: &Parsed, built: Arc<Apart>) {
        let (memo, id) = self.source.memo(directory, parsed.id);
        if matches!(id, FileId::Path(_)) || built.traces.inputs.are_known() {
            memo.keep_directory(directory.clone(), id, built);
        }
    }

    /// The path that `text` names from `directory`.
    pub(super) fn path(directory: &RepoPath, text: &str, place: &Place) -> Result<RepoPath, BuildError> {
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
        directory.join(text).map_err(|error| match error {
            PathError::Absolute(_) | PathError::Escapes(_) => {
                place.error_with_hint(error, "name a path inside the repository, relative to this file")
            }
            PathError::Character(_) => place.error(error),
        })
    }

    /// What stands at the path that `text` names from `directory`.
    pub(super) fn resolve(
        &self,
        directory: &RepoPath,
        text: &str,
        place: &Place,
    ) -> Result<(RepoPath, Entry), BuildError> {
        let path = Self::path(directory, text, place)?;
        let entry = self.entry(&path).map_err(|error| place.error(error))?;
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
                if self.source.restrictions == Restrictions::RootOnly {
                    inside(directory, &path, place)?;
                }
                Ok(path)
            }
            (path, _) => Err(place.error(format!("{path} is a directory; a file is expected"))),
        }
    }

    /// The bytes of a file that [`Loader::file`] has found.
    pub(super) fn bytes(&self, path: &RepoPath, place: &Place) -> Result<Arc<[u8]>, BuildError> {
        self.source.files.read(path).map_err(|error| place.error(error))
    }

    /// The documents of a file.
    pub(super) fn documents(&self, path: &RepoPath, place: &Place) -> Result<Arc<Vec<Node>>, BuildError> {
        let (memo, id) = self.source.memo(path, self.inputs.borrow().id(path));
        if let Some(documents) = memo.documents(&id) {
            return Ok(documents);
        }
        let bytes = self.bytes(path, place)?;
        let mut documents = yaml::read(&bytes).map_err(|error| malformed(path, error))?;
        if documents.len() == 1 && is_divided(&bytes) {
            // What says nothing counts all the same: a list beside it is not alone in its file.
            documents.push(Node::plain(""));
        }
        let documents = Arc::new(documents);
        memo.keep_documents(id, &documents, bytes.len());
        Ok(documents)
    }

    /// The first document of a file; `None` when that is empty. What is passed over is told.
    pub(super) fn first_document(
        &self,
        path: &RepoPath,
        repeats: Repeats,
        place: &Place,
    ) -> Result<Option<Node>, BuildError> {
        let bytes = self.bytes(path, place)?;
        let (document, notes) = yaml::read_first(&bytes, repeats).map_err(|error| malformed(path, error))?;
        let told = notes.iter().map(|note| format!("{path}:{}: {}", note.line, note.message));
        self.warnings.borrow_mut().extend(told);
        Ok(document)
    }

    /// The kustomization in `directory`; `place` says who asks, if anybody does.
    pub(super) fn kustomization(&self, directory: &RepoPath, place: Option<&Place>) -> Result<Arc<Parsed>, BuildError> {
        self.entered.set(self.entered.get() + 1);
        let here = Place { file: directory.clone(), ..Place::default() };
        let asker = place.unwrap_or(&here);
        if self.entered.get() > MAX_DIRECTORIES {
            return Err(asker.error(format!("the build enters more than {MAX_DIRECTORIES} directories")));
        }
        let mut found = Vec::new();
        for name in FILE_NAMES {
            let path = directory.join(name).map_err(|error| asker.error(error))?;
            match self.entry(&path).map_err(|error| asker.error(error))? {
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
        let content = self.inputs.borrow().id(file);
        let (memo, id) = self.source.memo(file, content);
        if let Some(parsed) = memo.kustomization(file, &id) {
            self.tell(&parsed);
            return Ok(parsed);
        }
        let bytes = self.bytes(file, asker)?;
        let whole = Place { file: file.clone(), ..Place::default() };
        let (document, notes) =
            yaml::read_first(&bytes, Repeats::LastCounts).map_err(|error| malformed(file, error))?;
        let notes = notes.iter().map(|note| format!("{file}:{}: {}", note.line, note.message)).collect();
        let Some(document) = document else {
            return Err(whole.error_with_hint("is empty", "list at least one resource"));
        };
        let kustomization = Kustomization::read(file, &document)?;
        let parsed = Arc::new(Parsed { kustomization, file: file.clone(), notes, id: content, paths: OnceLock::new() });
        self.tell(&parsed);
        memo.keep_kustomization(file.clone(), id, &parsed, bytes.len());
        Ok(parsed)
    }

    fn tell(&self, parsed: &Parsed) {
        if !parsed.notes.is_empty() {
            self.notes.borrow_mut().entry(parsed.file.clone()).or_insert_with(|| parsed.notes.clone());
        }
    }

    pub(super) fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        self.inputs.borrow_mut().see(self.source.files, path)
    }
}

/// The documents of a text that stands inside another file.
pub(super) fn inline(text: &str, place: &Place) -> Result<Vec<Node>, BuildError> {
    yaml::read(text.as_bytes())
        .map_err(|error| place.error(format!("is no YAML in its line {}: {}", error.line, error.message)))
}

/// Whether a line divides a text into documents. One that begins the text does not.
fn is_divided(text: &[u8]) -> bool {
    text.split_inclusive(|byte| *byte == b'\n').skip(1).any(|line| line.starts_with(b"---") && line.ends_with(b"\n"))
}

/// The objects that an entry of a list holds itself; `None` for an entry that is a path.
///
/// # Errors
/// For a text that is neither.
pub(super) fn inline_objects(text: &str, place: &Place) -> Result<Option<Vec<Node>>, BuildError> {
    let is_object = |document: &Node| matches!(document.kind, Kind::Mapping(_));
    match inline(text, place) {
        Ok(documents) if !documents.is_empty() && documents.iter().all(is_object) => Ok(Some(documents)),
        Err(error) if text.trim().contains('\n') => Err(error),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// A text that a field holds is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the text on the way is no YAML in its line {}: {}", .0.line, .0.message)]
pub(super) struct InnerError(#[from] ReadError);

/// Reads the first document of a text that a field holds; `None` when there is none.
///
/// # Errors
/// [`InnerError`].
pub(super) fn inner(text: &str) -> Result<Option<Node>, InnerError> {
    Ok(yaml::read_first(text.as_bytes(), Repeats::LastCounts)?.0)
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
