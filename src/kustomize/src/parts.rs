//! A directory in parts: what each entry of its `resources` makes of itself, with the fields of the directory done to it.
//!
//! Most fields of a root do the same to each object, so that a part is built for itself and costs what it holds. Some reach
//! over all of them (`vars`, replacements that read an object); then a part says so, and [`build_together`] gives the share
//! of each entry in the whole.

use std::collections::BTreeMap;

use crate::{Entry, Files, RepoPath};

use super::build::{self, Part};
use super::cross_part_names::Names;
use super::inputs::Inputs;
use super::load::{Loader, Source};
use super::memo::Memo;
use super::prebuild::Start;
use super::{BuildError, Object, Options, Restrictions, threads};

/// What came of one part.
#[derive(Debug)]
pub struct PartBuild {
    /// Its share of the whole, when `together` says nothing else.
    pub result: Result<Vec<Object>, BuildError>,
    /// What was looked at, also when it failed. The directory's own kustomization is among it; of that everything counts but
    /// the entries that other parts are made of.
    pub inputs: Inputs,
    /// Why the result is not the share of the whole: something in it reaches over parts.
    pub together: Option<BuildError>,
    /// The names by which references may go to or come from other parts.
    pub names: Names,
}

/// The whole, by the entries that its objects come from.
#[derive(Debug, Default)]
pub struct Together {
    /// The objects of each entry, in the order of the output.
    pub entries: BTreeMap<RepoPath, Vec<Object>>,
    /// The objects that the directory generates itself.
    pub own: Vec<Object>,
    /// Entries that do not build. They are left out of the whole.
    pub broken: BTreeMap<RepoPath, BuildError>,
    /// What was looked at.
    pub inputs: Inputs,
}

/// Builds `directory` as if its own `resources` held only the entries that `keep` wants (asked with the resolved path),
/// and its own generators only where `generators` is true. All its transformers still apply, but a patch of the
/// directory itself that finds no object is no error here: its object may belong to another part.
///
/// Entries that `keep` does not want are not looked at, so that a part costs what it holds.
pub fn build_part(
    files: &dyn Files,
    directory: &RepoPath,
    keep: &(dyn Fn(&RepoPath) -> bool + Sync),
    generators: bool,
    memo: Option<&Memo>,
) -> PartBuild {
    let source = Source::new(files, Restrictions::RootOnly, memo);
    let (result, inputs) =
        build::run(&source, directory, &Options::default(), Some(&Part { keep, generators, alone: false }));
    match result {
        Ok(mut whole) => {
            let together = whole.together.take();
            let names = std::mem::take(&mut whole.names);
            PartBuild { result: whole.each(|object| object), inputs, together, names }
        }
        Err(error) => {
            let together = reaches_over_parts(files, directory, memo).ok().flatten();
            PartBuild { result: Err(error), inputs, together, names: Names::default() }
        }
    }
}

/// Why the parts of `directory` cannot be built for themselves, as far as its own kustomization says it.
///
/// # Errors
/// When that does not read.
pub fn reaches_over_parts(
    files: &dyn Files,
    directory: &RepoPath,
    memo: Option<&Memo>,
) -> Result<Option<BuildError>, BuildError> {
    let source = Source::new(files, Restrictions::RootOnly, memo);
    let top = Loader::new(&source).kustomization(directory, None)?;
    Ok(top.reaches_over_parts())
}

/// Builds `directory` as a whole. Entries that do not build for themselves are left out, so that each costs only itself.
///
/// # Errors
/// When what is left does not build.
pub fn build_together(
    files: &dyn Files,
    directory: &RepoPath,
    threads: usize,
    memo: Option<&Memo>,
) -> Result<Together, BuildError> {
    let source = Source::new(files, Restrictions::RootOnly, memo);
    let options = Options { threads, ..Options::default() };
    let paths = build::resources(&source, directory)?;
    let (result, mut inputs) = build::run(&source, directory, &options, None);
    let mut broken = BTreeMap::new();
    let whole = match result {
        Ok(whole) => whole,
        Err(error) => {
            broken = broken_entries(&source, directory, &paths, threads);
            if broken.is_empty() {
                return Err(error);
            }
            let keep = |path: &RepoPath| !broken.contains_key(path);
            let (result, more) =
                build::run(&source, directory, &options, Some(&Part { keep: &keep, generators: true, alone: true }));
            inputs.add(&more);
            result?
        }
    };
    let mut together = Together { broken, inputs, ..Together::default() };
    for path in &paths {
        together.entries.entry(path.clone()).or_default();
    }
    let entries = whole.entries();
    for (object, entry) in whole.each(|object| object)?.into_iter().zip(entries) {
        match entry.checked_sub(1).and_then(|at| paths.get(at)) {
            Some(path) => together.entries.entry(path.clone()).or_default().push(object),
            None => together.own.push(object),
        }
    }
    Ok(together)
}

/// The directories among the entries that do not build for themselves.
fn broken_entries(
    source: &Source<'_>,
    directory: &RepoPath,
    paths: &[RepoPath],
    threads: usize,
) -> BTreeMap<RepoPath, BuildError> {
    let start = Start { chain: vec![directory.clone()], ..Start::of(source, directory) };
    let failed = threads::map(threads, paths.iter().collect(), |path: &RepoPath| {
        let loader = Loader::new(source);
        let place = super::field::Place { file: directory.clone(), ..Default::default() };
        let is_directory = matches!(loader.entry(path), Ok(Entry::Directory));
        let error = is_directory.then(|| start.run(&loader).directory(path, &place).err()).flatten();
        error.map(|error| (path.clone(), error))
    });
    failed.into_iter().flatten().collect()
}
