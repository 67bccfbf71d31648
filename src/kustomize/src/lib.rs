//! Builds Kustomize directories in process and gives the bytes of `kustomize build` 5.8.
//!
//! Takes [`Files`], which is any tree of files (memory, a directory, a Git commit), and a directory in it. Gives a
//! [`Build`]: the [`Object`]s in the order of the output, warnings, and the [`Inputs`], every path that was looked at. A
//! directory that does not build gives a [`BuildError`] with file, line, field and what to do.
//!
//! Pure: reads nothing but the given files, follows no link, fetches nothing and runs no program.
//!
//! # Example
//! ```
//! use kustomize::{MemoryFiles, RepoPath};
//!
//! let mut files = MemoryFiles::default();
//! let mut write = |path, text: &str| RepoPath::parse(path).map(|path| files.insert(path, text));
//! write("base/env.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: env}\n")?;
//! write("base/kustomization.yaml", "resources: [env.yaml]\n")?;
//! write("alpha/kustomization.yaml", "resources: [../base]\nnamePrefix: alpha-\n")?;
//! write("beta/kustomization.yaml", "resources: [../base]\nnamePrefx: beta-\n")?;
//!
//! let build = kustomize::build(&files, &RepoPath::parse("alpha")?)?;
//! assert_eq!(build.objects[0].key.name, "alpha-env");
//! assert_eq!(kustomize::to_yaml(&build.objects), "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: alpha-env\n");
//!
//! let error = kustomize::build(&files, &RepoPath::parse("beta")?).unwrap_err();
//! assert_eq!(error.to_string(), "beta/kustomization.yaml:2: namePrefx: is no field that is known here");
//! assert_eq!(error.hint.as_deref(), Some("did you mean namePrefix?"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Entry points
//! - [`build`] and [`build_with`] give objects, [`build_yaml`] gives text. [`Options`] are the flags of `kustomize build`.
//! - A [`Memo`] keeps parsed files and built directories between builds, by the Git ids of their contents, in bounded room.
//!   One memo serves any number of threads and trees.
//! - [`build_part`] builds one entry of a directory's `resources` as the build of the whole directory would, at the cost of
//!   that entry. [`PartBuild::together`] says when the entry depends on others (`vars`, replacements that read an object),
//!   [`PartBuild::names`] which references may lead to others. In these cases [`build_together`] builds the whole and
//!   divides it by entry.
//! - [`resources`] and [`outline`] read a kustomization without building it.
//! - [`yaml`] reads, writes and edits YAML as Kubernetes tools do.
//!
//! # Limits
//! - Not supported: remote resources, Helm charts, and plugins that are programs or containers. Each is an error that says
//!   what to do instead.
//! - Symbolic links and submodules are errors.
//! - Hostile trees give an error within bounded time and memory. A build may enter 50,000 directories, 64 of them building on
//!   one another, and make 200,000 objects; [`yaml`] limits files.
//! - Where `kustomize` does something odd, so does this crate. A comment at the place says so.
//!
//! **Architecture invariant:** a field that this engine does not know is an error that names file and field, or, in files
//! in which `kustomize` passes over it, a warning; nothing in a kustomization is ever ignored silently.
//!
//! # How a build runs
//! ```text
//! load        files of the tree, parsed once; where they may be
//! build       each directory, inner ones first: resources, generators, components, transformers, validators
//!   config      the fields that transformers change: the defaults, and what `configurations` and `crds` add
//!   generate    ConfigMaps and Secrets          plugin     documents of the built-in kinds
//!   transform   one file for each transformer   patch      strategic merges, by the types of schema; JSON patches
//! then once   hash (names of generated objects), references (who names whom), vars, order, origin (notes)
//! ```
//! `prebuild` builds the entries of a root ahead on several threads, and drops results that would differ in their turn.
//!
//! Each operation has an error type of its own (`MergeError`, `JsonPatchError`, `FieldPathError`, …). A place in a file
//! ([`BuildError`] with file, line and field) is added where the operation is called.
//!
//! A new transformer is a file in `transform/`, a variant of its enum, and a folder in `tests/kustomize/` with what
//! `kustomize` makes of it. `cargo bench --bench differential` compares random trees with the `kustomize` program;
//! `tests/bench/README.md` has the figures of `cargo bench --bench kustomize`.

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

/// Why a directory does not build. Callers show it; none has to tell one fault from another, so the fault is a text.
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
