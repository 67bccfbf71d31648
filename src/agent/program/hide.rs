//! Takes directories away from this process and from everything that it starts, by Landlock
//! (<https://docs.kernel.org/userspace-api/landlock.html>).
//!
//! Landlock knows permissions and no prohibitions, so everything beside the way to a hidden directory is permitted one by
//! one. The directories on that way can therefore be passed through but not listed, and what is put there later is not
//! seen. It is a fence around the manager's own data on a laptop, no sandbox: other files of the user stay readable.
//!
//! **Architecture invariant:** a link never gives a hidden directory back: where it leads is looked at, and what leads
//! into or around a hidden directory is not permitted. Volumes are named by the manager, links resolved, and never found by
//! following what lies in the root: an environment can put links of its own into its volumes.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::thread::CapabilitySet;

use super::AgentError;
use super::layout::Layout;

/// What is asked of the kernel; of an older one as much as it has.
const WANTED: ABI = ABI::V6;
/// Where programs put what is nobody's data. `/proc` and `/dev` hold what the process may write by other rules.
const WRITABLE: [&str; 4] = ["/tmp", "/var/tmp", "/dev", "/proc"];

/// Hides `directories`, except for the root of `layout`, which can be read, and `volumes`, which can be written. Has to be
/// called while the process has one thread.
///
/// # Errors
/// When a directory cannot be resolved, a volume is reached by a link or has something hidden in it, or the kernel has
/// Landlock and refuses. Where it has none, one warning is logged.
pub(super) fn hide(directories: &[PathBuf], layout: &Layout, volumes: &[PathBuf]) -> Result<(), AgentError> {
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
    let rules = Rules::collect(&hidden, layout, volumes)?;
    drop_rights();
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
    fn collect(hidden: &[PathBuf], layout: &Layout, volumes: &[PathBuf]) -> Result<Self, AgentError> {
        let mut rules = Self::default();
        rules.permit(Path::new("/"), hidden, false);
        rules.permit_root(hidden, layout, volumes)?;
        // It is executed when this stage has ended, and the credential helper is this very program.
        rules.readable.extend(std::env::current_exe());
        Ok(rules)
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

    /// Permits the environment's own root to be read as a whole, and its volumes to be written. The root itself cannot be
    /// written, nor can the files of Secrets and ConfigMaps in it, so that nobody puts a link there which the manager would
    /// follow when it renews them.
    fn permit_root(&mut self, hidden: &[PathBuf], layout: &Layout, volumes: &[PathBuf]) -> Result<(), AgentError> {
        self.readable.insert(plain(layout.root(), hidden)?);
        let temporary = layout.temporary();
        // Not where it is a volume: then it is a link, and what it leads to is among the volumes.
        if temporary.is_dir() && !temporary.is_symlink() {
            self.writable.insert(plain(&temporary, hidden)?);
        }
        for volume in volumes {
            self.writable.insert(plain(volume, hidden)?);
        }
        Ok(())
    }
}

/// A directory of the environment, when the path leads to it without a link and it has nothing hidden in it.
fn plain(path: &Path, hidden: &[PathBuf]) -> Result<PathBuf, AgentError> {
    let failed = |reason: String| AgentError::Hide { what: "the manager's data".to_owned(), reason };
    let resolved = fs::canonicalize(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    if resolved != path {
        return Err(failed(format!("{} leads to {} by a link", path.display(), resolved.display())));
    }
    if leads_around(&resolved, hidden) {
        return Err(failed(format!("{} has it inside, and the agent is to have that directory", path.display())));
    }
    Ok(resolved)
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
            let Some((file, is_directory)) = open(path) else { continue };
            // Rights of directories mean nothing for a file.
            let access = if is_directory { access } else { access & AccessFs::from_file(WANTED) };
            ruleset = ruleset.add_rule(PathBeneath::new(file, access))?;
        }
    }
    Ok(Some(ruleset.restrict_self()?.ruleset))
}

/// Opens what a rule is for, and says whether it is a directory; `None` when it is not there, or there is a link on the way.
/// All paths had their links resolved: one that appeared since was put there by another agent, to have a rule for what it
/// leads to. A kernel with Landlock has `openat2`.
fn open(path: &Path) -> Option<(OwnedFd, bool)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()?;
    let kind = FileType::from_raw_mode(fstat(&file).ok()?.st_mode);
    Some((file, kind.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_takes_the_place_of_a_directory_gets_no_rule() {
        let directory = tempfile::tempdir().unwrap();
        let place = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir_all(place.join("hidden/below")).unwrap();
        fs::write(place.join("file"), "").unwrap();
        std::os::unix::fs::symlink(place.join("hidden"), place.join("link")).unwrap();
        assert!(open(&place.join("hidden/below")).is_some_and(|(_, is_directory)| is_directory));
        assert!(open(&place.join("file")).is_some_and(|(_, is_directory)| !is_directory));
        for path in ["link", "link/below", "gone"] {
            assert!(open(&place.join(path)).is_none(), "{path}");
        }
    }
}
