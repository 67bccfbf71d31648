//! Kustomize: a directory of files in, Kubernetes objects out, as `kustomize build` gives them.
//!
//! Takes [`Files`] and a directory, gives [`Object`]s. Pure: reads nothing but the given files, follows no link, fetches
//! nothing, and names every path that it looked at, so that callers may remember a result by the Git ids of its inputs.
//!
//! # The way of a build
//! ```text
//! load        files of the tree, parsed once; where they may be
//! build       each directory, inner ones first: resources, generators, components, transformers, validators
//!   config      the fields that transformers change: the defaults, and what `configurations` and `crds` add
//!   generate    ConfigMaps and Secrets          plugin     documents of the built-in kinds
//!   transform   one file for each transformer   patch      strategic merges, by the types of schema; JSON patches
//! then once   hash (names of generated objects), references (who names whom), vars, order, origin (notes)
//! ```
//! A new transformer is a file in `transform/`, a variant of its enum, a folder in `tests/kustomize/` with what the real
//! kustomize makes of it, and a test. `cargo bench --bench differential` compares trees made by chance with the real one.
//!
//! # What is not done twice
//! Each build notes what it looked at and what stood there, absences included ([`Inputs`]); with the same answers it gives
//! the same again. A [`Memo`] keeps parsed files by their Git blob ids, and directories that are built on more than once by
//! what was looked at, in bounded room and for any number of threads. `prebuild` builds the entries of a root ahead, on several
//! threads, and drops what would not have come out the same in its turn. `parts` builds one entry for itself, and says when
//! it reaches over others (`vars`, replacements that read an object, references to names that others have changed); then the
//! whole is built, and each entry gets its share.
//!
//! # Figures
//! `cargo bench --bench kustomize -- --kustomize PATH`, one run on 27 November 2026 (2 cores of a virtual machine; release
//! build; real kustomize v5.8.2). Six objects for each overlay, text included; `~` is extrapolated by the square of the
//! overlays from 200, and was not measured:
//! ```text
//! overlays     one thread   two threads   kustomize   times (one thread)
//!        1        0.28 ms       0.25 ms       60 ms     219
//!       50           18 ms         13 ms      743 ms      42
//!      200           45 ms         34 ms      11.7 s     261
//!    1,000          351 ms        192 ms     ~ 292 s   ~ 832
//!    5,000          1.76 s        1.16 s
//!   10,000          3.02 s        2.17 s
//! overlays a second on one core, all parsed already           9,256 (4,200 with nothing remembered)
//! one edited overlay as a part of a root of 100, 1,000, 5,000 0.17, 0.18, 0.18 ms (median; worst 4 ms)
//! `claude-manager build` of one overlay, whole process        4.0 ms, 11.5 times as fast
//! `claude-manager build` of 5,000 from the root, most memory  156 MB
//! ```
//!
//! What looks odd in a file is on purpose when its comment says so: the output has to be that of the original, also where
//! the original does what nobody would ask for (`shared`, the lists of `patch::strategic`).
//!
//! **Architecture invariant:** a field that this engine does not know is an error that names file and field, or, in files
//! in which the original passes over it, a warning; nothing in a kustomization is ever ignored silently. No program is
//! run, no link followed, nothing fetched.

mod aliased_values;
mod build;
mod collection;
mod config;
mod crds;
mod cross_part_names;
mod definitions;
mod field;
mod field_spec;
mod files;
mod generate;
mod hash;
mod id;
mod inputs;
mod kustomization;
mod load;
mod memo;
mod object_key;
mod objects;
mod order;
mod origin;
mod parts;
mod patch;
mod path;
mod pattern;
mod plugin;
mod prebuild;
mod references;
mod resource;
mod schema;
mod suggest;
mod tables;
#[cfg(test)]
mod tests;
mod threads;
mod transform;
mod types;
mod vars;
pub mod yaml;

use std::fmt;

use serde_json::Value;

pub use cross_part_names::Names;
pub use files::{Entry, Files, FilesError, MemoryFiles, names_below};
pub use inputs::Inputs;
pub use kustomization::FILE_NAMES;
use load::Source;
pub use memo::Memo;
pub use object_key::{KeyParts, ObjectKey};
pub use parts::{PartBuild, Together, build_part, build_together, reaches_over_parts};
pub use path::{PathError, RepoPath};

/// One object of a build. Its `Debug` shows nothing of a Secret but its identity.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Its identity after all transformers.
    pub key: ObjectKey,
    /// `apiVersion` as written, for example `apps/v1`.
    pub api_version: String,
    /// The whole object.
    pub value: Value,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Object");
        shown.field("key", &self.key).field("api_version", &self.api_version);
        if self.key.kind == "Secret" {
            shown.finish_non_exhaustive()
        } else {
            shown.field("value", &self.value).finish()
        }
    }
}

/// What a build gave.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// The objects in the order of the output.
    pub objects: Vec<Object>,
    /// Every path that was looked at, found or not: equal content there means an equal build.
    pub inputs: Inputs,
    /// What stock kustomize would warn of.
    pub warnings: Vec<String>,
}

/// Why a directory does not build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct BuildError {
    /// The file at fault.
    pub file: RepoPath,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The field, as in `patches[0].target`.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for BuildError {
    /// `projects/a/kustomization.yaml:7: patches[0].path: patch.yaml does not exist`; the hint is apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Where a kustomization may read files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restrictions {
    /// In and below its own directory. Other directories may be anywhere.
    #[default]
    RootOnly,
    /// Anywhere.
    None,
}

/// What the flags of `kustomize build` say.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where files may be.
    pub restrictions: Restrictions,
    /// Whether the objects are sorted where the kustomization says nothing about it.
    pub sorted: bool,
    /// On how many threads; the result is the same.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { restrictions: Restrictions::RootOnly, sorted: true, threads: 1 }
    }
}

/// Builds `directory` as `kustomize build` does.
///
/// # Errors
/// [`BuildError`] names the file, field and way out.
pub fn build(files: &dyn Files, directory: &RepoPath) -> Result<Build, BuildError> {
    build_with(files, directory, &Options::default(), None)
}

/// As [`build`], with what its flags say, and with what earlier builds remember.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    files: &dyn Files,
    directory: &RepoPath,
    options: &Options,
    memo: Option<&Memo>,
) -> Result<Build, BuildError> {
    let source = Source::new(files, options.restrictions, memo);
    let (result, inputs) = build::run(&source, directory, options, None);
    let mut whole = result?;
    let warnings = std::mem::take(&mut whole.warnings);
    Ok(Build { objects: whole.each(|object| object)?, inputs, warnings })
}

/// As [`build_with`], printed as [`to_yaml`] does, with its warnings; no object is kept longer than it takes to print it.
///
/// # Errors
/// As [`build`].
pub fn build_yaml(
    files: &dyn Files,
    directory: &RepoPath,
    options: &Options,
    memo: Option<&Memo>,
) -> Result<(String, Vec<String>), BuildError> {
    let source = Source::new(files, options.restrictions, memo);
    let mut whole = build::run(&source, directory, options, None).0?;
    let warnings = std::mem::take(&mut whole.warnings);
    let documents = whole.each(|object| yaml::emit(&object.value).into_boxed_str())?;
    let length = documents.iter().map(|document| document.len() + SEPARATOR.len()).sum();
    let mut text = String::with_capacity(length);
    for document in documents {
        if !text.is_empty() {
            text.push_str(SEPARATOR);
        }
        text.push_str(&document);
    }
    Ok((text, warnings))
}

/// The resolved `resources` of the kustomization in `directory`, in order; all of them are there.
///
/// # Errors
/// As [`build`].
pub fn resources(files: &dyn Files, directory: &RepoPath, memo: Option<&Memo>) -> Result<Vec<RepoPath>, BuildError> {
    build::resources(&Source::new(files, Restrictions::RootOnly, memo), directory)
}

/// What a kustomization says of itself; nothing that it names is looked at.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Its `namespace`.
    pub namespace: Option<String>,
    /// The paths of its `resources`, in order.
    pub resources: Vec<RepoPath>,
}

/// What the kustomization in `directory` says of itself.
///
/// # Errors
/// As [`build`].
pub fn outline(files: &dyn Files, directory: &RepoPath, memo: Option<&Memo>) -> Result<Outline, BuildError> {
    build::outline(&Source::new(files, Restrictions::RootOnly, memo), directory)
}

/// What stands between two documents.
const SEPARATOR: &str = "---\n";

/// Objects as `kustomize build` prints them: documents joined by `---`.
#[must_use]
pub fn to_yaml(objects: &[Object]) -> String {
    let mut text = String::new();
    for (at, object) in objects.iter().enumerate() {
        if at > 0 {
            text.push_str(SEPARATOR);
        }
        yaml::emit_to(&mut text, &object.value);
    }
    text
}
