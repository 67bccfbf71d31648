//! The base of a newer program for an older state repository: whole files, but never over a person's edits.
//!
//! Takes the tree, the tree in which this program last wrote the base, and the base as it is now. What still reads as it was
//! written is replaced; what somebody has changed, removed or put there is kept and told.

use super::seed::base;
use crate::project::{ChangeSet, Files, FilesError, RepoPath};

/// What an upgrade does.
#[derive(Clone, Debug, Default)]
pub struct Upgrade {
    /// The files to write.
    pub changes: ChangeSet,
    /// Files that are kept although the new base has them otherwise, and why.
    pub kept: Vec<(RepoPath, &'static str)>,
}

/// Compares `files` with the base of this program; `written` is the tree in which the base was last written.
///
/// # Errors
/// [`FilesError`] when a tree cannot be read.
pub fn upgrade(files: &dyn Files, written: &dyn Files) -> Result<Upgrade, FilesError> {
    let mut upgrade = Upgrade::default();
    for (path, fresh) in base() {
        let (here, then) = (content(files, &path)?, content(written, &path)?);
        match (here, then) {
            (Some(here), _) if *here == *fresh.as_bytes() => {}
            (None, None) => upgrade.changes.write(path, fresh),
            (Some(here), Some(then)) if here == then => upgrade.changes.write(path, fresh),
            (Some(_), Some(_)) => upgrade.kept.push((path, "it was edited here")),
            (Some(_), None) => upgrade.kept.push((path, "the file exists and is not from the template")),
            (None, Some(_)) => upgrade.kept.push((path, "it was removed here")),
        }
    }
    Ok(upgrade)
}

fn content(files: &dyn Files, path: &RepoPath) -> Result<Option<std::sync::Arc<[u8]>>, FilesError> {
    match files.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(FilesError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::MemoryFiles;

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    /// A repository of an older program: all its base files read "old".
    fn older() -> MemoryFiles {
        let mut files = MemoryFiles::default();
        for (path, _) in base() {
            files.insert(path, b"old".to_vec());
        }
        files
    }

    #[test]
    fn untouched_files_are_renewed_and_a_persons_edits_are_kept_and_told() {
        let written = older();
        let all = base().count();
        assert_eq!(upgrade(&older(), &written).unwrap().changes.0.len(), all);

        let mut edited = older();
        edited.insert(path("base/service.yaml"), b"old, and more".to_vec());
        let found = upgrade(&edited, &written).unwrap();
        assert_eq!(found.changes.0.len(), all - 1);
        assert_eq!(found.kept, [(path("base/service.yaml"), "it was edited here")]);

        let mut current = MemoryFiles::default();
        for (path, text) in base() {
            current.insert(path, text.into_bytes());
        }
        let found = upgrade(&current, &written).unwrap();
        assert!(found.changes.is_empty() && found.kept.is_empty(), "{found:?}");
    }

    #[test]
    fn new_files_come_and_removed_ones_stay_removed() {
        let found = upgrade(&MemoryFiles::default(), &MemoryFiles::default()).unwrap();
        assert_eq!(found.changes.0.len(), base().count());
        let found = upgrade(&MemoryFiles::default(), &older()).unwrap();
        assert!(found.changes.is_empty());
        assert!(found.kept.iter().all(|(_, why)| *why == "it was removed here"), "{found:?}");
    }
}
