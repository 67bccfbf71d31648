//! Directories that are built apart from what builds on them: ahead, on other threads, or once for all that name them.
//!
//! What comes of a directory depends on its files alone, but for four things: the types that an `openapi` field before it
//! has given, the directories around it (none may be in it), how many directories the build has entered, and whether
//! origins are followed. Where these are not as they would be in turn, what was built apart is dropped and the directory
//! is built in its turn, so that the result, errors included, is always that of a build in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Entry, RepoPath};

use super::build::{Accumulated, Chosen, MAX_CHAIN, Run};
use super::field::Place;
use super::load::{Loader, MAX_DIRECTORIES, Source, Traces};
use super::schema::Schema;
use super::{BuildError, kustomization, threads};

/// So few entries are not worth a thread.
const FEW: usize = 8;

/// Where a run starts.
#[derive(Clone)]
pub(super) struct Start<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) top: &'a RepoPath,
    pub(super) follows: bool,
    pub(super) chain: Vec<RepoPath>,
    pub(super) entered: usize,
    pub(super) types: Option<Arc<Schema>>,
    pub(super) types_used: bool,
    pub(super) threads: usize,
}

/// What a run did beside making objects.
#[derive(Clone)]
struct Log {
    warnings: Vec<String>,
    /// The directories that were entered, and how long the longest chain of them is.
    directories: Vec<RepoPath>,
    height: usize,
    /// The types after it.
    types: Option<Arc<Schema>>,
    types_used: bool,
}

/// What came of a directory that was built apart.
#[derive(Clone)]
pub(super) struct Apart {
    pub(super) made: Accumulated,
    pub(super) traces: Traces,
    log: Log,
    /// The types before it.
    types: Option<Arc<Schema>>,
}

impl std::fmt::Debug for Apart {
    /// Without objects: some may be Secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apart").field("directories", &self.log.directories).finish_non_exhaustive()
    }
}

impl Apart {
    /// Whether types played no part.
    fn has_no_types(&self) -> bool {
        self.types.is_none() && self.log.types.is_none()
    }

    /// Roughly the bytes that this takes.
    pub(super) fn weight(&self) -> usize {
        let nodes: usize = self.made.objects.iter().map(|resource| resource.node.extent().0).sum();
        nodes * 120 + self.traces.inputs.len() * 100
    }
}

impl<'a> Start<'a> {
    /// At `top`, on one thread.
    pub(super) fn of(source: &'a Source<'a>, top: &'a RepoPath) -> Self {
        Self { source, top, follows: false, chain: Vec::new(), entered: 0, types: None, types_used: false, threads: 1 }
    }
}

fn same(a: Option<&Arc<Schema>>, b: Option<&Arc<Schema>>) -> bool {
    a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
}

impl<'a> Run<'a> {
    fn start(&self, threads: usize) -> Start<'a> {
        Start {
            source: self.loader.source(),
            top: self.top,
            follows: self.follows,
            chain: self.chain.clone(),
            entered: self.loader.entered(),
            types: self.types.clone(),
            types_used: self.types_used_before || self.types_used,
            threads,
        }
    }

    fn into_log(self, start: &Start<'_>) -> Log {
        Log {
            height: self.deepest - start.chain.len(),
            warnings: self.warnings,
            directories: self.directories,
            types: self.types,
            types_used: self.types_used,
        }
    }

    /// Takes what was built apart as if it had been built here, all but the objects; `false`, and nothing, when it would
    /// not have come out the same here.
    pub(super) fn take(&mut self, apart: &Apart) -> bool {
        let around = |visited: &RepoPath| apart.log.directories.iter().any(|inner| visited.is_within(inner));
        let fits = same(apart.types.as_ref(), self.types.as_ref())
            // Types that are new depend on what was used before them.
            && same(apart.types.as_ref(), apart.log.types.as_ref())
            && self.chain.len() + apart.log.height <= MAX_CHAIN
            && !self.chain.iter().any(around);
        let fits = fits && self.loader.take(&apart.traces);
        if fits {
            self.adopt(&apart.log);
        }
        fits
    }

    fn adopt(&mut self, log: &Log) {
        self.warnings.extend(log.warnings.iter().cloned());
        self.directories.extend(log.directories.iter().cloned());
        self.deepest = self.deepest.max(self.chain.len() + log.height);
        self.types.clone_from(&log.types);
        self.types_used |= log.types_used;
    }

    /// What comes of a directory that stands under `resources`. One that is named a second time is remembered.
    pub(super) fn directory(&mut self, path: &RepoPath, place: &Place) -> Result<Accumulated, BuildError> {
        let inner = self.enter(path, place, false)?;
        let may_be_known = !self.follows && self.types.is_none();
        let Some((states, is_own)) = may_be_known.then(|| self.loader.remembered(path, &inner)).flatten() else {
            return self.accumulate(path, &inner, Accumulated::default(), None);
        };
        for state in states {
            if (is_own || self.loader.hold(&state.traces.inputs)) && self.take(&state) {
                return Ok(state.made.clone());
            }
        }
        let start = self.start(self.threads);
        let loader = Loader::after(start.source, start.entered);
        let mut run = start.run(&loader);
        let result = run.accumulate(path, &inner, Accumulated::default(), None);
        let log = run.into_log(&start);
        let traces = loader.into_traces();
        // It was built in its turn, so it fits.
        self.loader.take(&traces);
        self.adopt(&log);
        let apart = Apart { made: result?, traces, log, types: start.types };
        let made = apart.made.clone();
        if apart.has_no_types() {
            self.loader.remember(path, &inner, Arc::new(apart));
        }
        Ok(made)
    }

    /// Builds the directories among many entries ahead, on several threads. What is not there, or does not fit, is built
    /// in its turn; errors are left to that too.
    pub(super) fn ahead(
        &self,
        directory: &RepoPath,
        entries: &[kustomization::Entry],
        part: Option<&Chosen>,
    ) -> Vec<Option<Apart>> {
        if self.threads < 2 {
            return Vec::new();
        }
        let wanted = part.map_or_else(|| (0..entries.len()).collect(), |part| part.entries.clone());
        if wanted.len() < FEW {
            return Vec::new();
        }
        let start = self.start(1);
        // Entries that name one another without end are found out in turn; here they only must not take for ever.
        let entered = AtomicUsize::new(0);
        let built = threads::map(self.threads, wanted, |at| {
            let (text, place) = &entries[at];
            if entered.load(Ordering::Relaxed) > MAX_DIRECTORIES {
                return (at, None);
            }
            let apart = entry(&start, directory, text, place).ok().flatten();
            entered.fetch_add(apart.as_ref().map_or(1, |apart| apart.traces.entered), Ordering::Relaxed);
            (at, apart)
        });
        let mut ahead: Vec<Option<Apart>> = vec![None; entries.len()];
        for (at, apart) in built {
            ahead[at] = apart;
        }
        ahead
    }
}

/// What comes of one entry, when that is a directory.
fn entry(start: &Start<'_>, directory: &RepoPath, text: &str, place: &Place) -> Result<Option<Apart>, BuildError> {
    let loader = Loader::after(start.source, start.entered);
    let mut run = start.run(&loader);
    let (path, Entry::Directory) = loader.resolve(directory, text, place)? else { return Ok(None) };
    let made = run.directory(&path, place)?;
    let log = run.into_log(start);
    Ok(Some(Apart { made, traces: loader.into_traces(), log, types: start.types.clone() }))
}
