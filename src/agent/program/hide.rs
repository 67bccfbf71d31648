//! Takes directories away from this process and from everything that it starts, by Landlock
//! (<https://docs.kernel.org/userspace-api/landlock.html>).
//!
//! Landlock knows permissions and no prohibitions, so everything beside the way to a hidden directory is permitted one by
//! one. The directories on that way can therefore be passed through but not listed, and what is put there later is not
//! seen. It is a fence around the manager's own data on a laptop, no sandbox: other files of the user stay readable.
//!
//! **Architecture invariant:** a link never gives a hidden directory back: where it leads is looked at, and what leads
//! into or around a hidden directory is not permitted, except for the volumes that the root's own links name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use rustix::thread::CapabilitySet;

use super::AgentError;
use super::layout::Layout;

/// What is asked of the kernel; of an older one as much as it has.
const WANTED: ABI = ABI::V6;
/// Where programs put what is nobody's data. `/proc` and `/dev` hold what the process may write by other rules.
const WRITABLE: [&str; 4] = ["/tmp", "/var/tmp", "/dev", "/proc"];

/// Hides `directories`. Has to be called while the process has one thread.
///
/// # Errors
/// When a directory cannot be resolved, or the kernel has Landlock and refuses. Where it has none, one warning is logged.
pub(super) fn hide(directories: &[PathBuf], layout: &Layout) -> Result<(), AgentError> {
    if directories.is_empty() {
        return Ok(());
    }
    let mut hidden = Vec::new();
    for directory in directories {
        let failed = |reason: String| AgentError::Hide { what: directory.display().to_string(), reason };
        let resolved = fs::canonicalize(directory).map_err(|error| failed(error.to_string()))?;
        if resolved == Path::new("/") {
            return Err(failed("everything cannot be hidden".to_owned()));
        }
        hidden.push(resolved);
    }
    drop_rights();
    let rules = Rules::collect(&hidden, layout);
    match enforce(&rules) {
        Ok(Some(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced)) => Ok(()),
        Ok(Some(RulesetStatus::NotEnforced) | None) => {
            tracing::warn!(
                "this kernel has no Landlock that could be used (Linux has it from 5.19 on, where it is switched on); \
                 what runs here can read the manager's data"
            );
            Ok(())
        }
        Err(error) => Err(AgentError::Hide { what: "the manager's data".to_owned(), reason: error.to_string() }),
    }
}

/// What is permitted.
#[derive(Debug, Default)]
struct Rules {
    readable: BTreeSet<PathBuf>,
    writable: BTreeSet<PathBuf>,
}

impl Rules {
    fn collect(hidden: &[PathBuf], layout: &Layout) -> Self {
        let mut rules = Self::default();
        rules.permit(Path::new("/"), hidden, false);
        rules.permit_root(hidden, layout);
        // The credential helper is this very program.
        rules.readable.extend(std::env::current_exe());
        rules
    }

    /// Permits `path` as a whole, or where something hidden lies below it everything beside that.
    fn permit(&mut self, path: &Path, hidden: &[PathBuf], writable: bool) {
        let writable = writable || WRITABLE.iter().any(|place| path == Path::new(place));
        if hidden.iter().any(|hidden| path.starts_with(hidden)) {
            return;
        }
        if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
            let list = if writable { &mut self.writable } else { &mut self.readable };
            list.insert(path.to_owned());
            return;
        }
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries.flatten() {
            let below = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_link {
                self.permit(&below, hidden, writable);
                continue;
            }
            // A rule holds for what a link leads to. Its own way there needs none.
            let Ok(target) = fs::canonicalize(&below) else { continue };
            let apart = hidden.iter().all(|hidden| !target.starts_with(hidden) && !hidden.starts_with(&target));
            if apart {
                self.readable.insert(target);
            }
        }
    }

    /// Permits the environment's own root: to read as a whole, to write where its volumes are. The root itself cannot be
    /// written, so that nobody puts a link there which the next start would follow.
    fn permit_root(&mut self, hidden: &[PathBuf], layout: &Layout) {
        let Ok(root) = fs::canonicalize(layout.root()) else { return };
        if root == Path::new("/") {
            return;
        }
        self.readable.insert(root.clone());
        let Ok(entries) = fs::read_dir(&root) else { return };
        for entry in entries.flatten() {
            if entry.file_name() == "etc" {
                self.permit_links(&entry.path().join("claude-manager"), hidden);
                continue;
            }
            let Ok(target) = fs::canonicalize(entry.path()) else { continue };
            if leads_around(&target, hidden) {
                tracing::warn!(link = %entry.path().display(), "this leads to what is hidden; passed over");
            } else {
                self.writable.insert(target);
            }
        }
    }

    /// Mounted files may be links to where the runtime keeps them.
    fn permit_links(&mut self, directory: &Path, hidden: &[PathBuf]) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if let Ok(target) = fs::canonicalize(entry.path())
                && !leads_around(&target, hidden)
            {
                self.readable.insert(target);
            }
        }
    }
}

/// Whether a directory is a hidden one or has one below it.
fn leads_around(target: &Path, hidden: &[PathBuf]) -> bool {
    hidden.iter().any(|hidden| hidden.starts_with(target))
}

/// Takes from the superuser's children what would let them read the variables of every process, the manager's among them:
/// since Linux 6.13 these rights go before Landlock's. Nobody else has them.
fn drop_rights() {
    for right in [CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN] {
        // Refused to whoever has no such rights to give away.
        let _ = rustix::thread::remove_capability_from_bounding_set(right);
    }
}

/// `None` where the kernel has too little: the first version forbids every move between directories, which Git cannot do
/// without.
fn enforce(rules: &Rules) -> Result<Option<RulesetStatus>, RulesetError> {
    let needed =
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(ABI::V2));
    let Ok(ruleset) = needed else { return Ok(None) };
    let mut ruleset = ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        // What runs here cannot end the manager either.
        .scope(Scope::Signal)?
        .create()?;
    let read = AccessFs::from_read(WANTED);
    let all = AccessFs::from_all(WANTED);
    for (paths, access) in [(&rules.readable, read), (&rules.writable, all)] {
        for path in paths {
            // What is gone by now needs no permission.
            let Ok(file) = PathFd::new(path) else { continue };
            ruleset = ruleset.add_rule(PathBeneath::new(file, fitting(path, access)))?;
        }
    }
    Ok(Some(ruleset.restrict_self()?.ruleset))
}

/// Rights of directories mean nothing for a file.
fn fitting(path: &Path, access: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    if path.is_dir() { access } else { access & AccessFs::from_file(WANTED) }
}
