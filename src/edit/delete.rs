//! A project's end: its folder and its line in the root go; a tombstone says whether its volumes go with it.

use crate::project::{ChangeSet, Entry, Files, ProjectName, RepoPath, Volumes};

use crate::project::layout::{directory, tombstone_path};

use super::{EditError, exists, must_exist, root};

/// What a tombstone says.
const TOMBSTONE: &str = "\
# This project was deleted together with its data: its volumes are given up. A new project of this name removes this file.
volumes: delete
";

pub(super) fn delete(files: &dyn Files, name: &ProjectName, volumes: Volumes) -> Result<ChangeSet, EditError> {
    must_exist(files, name)?;
    let mut changes = ChangeSet::default();
    remove_all(files, &directory(name), &mut changes, 0)?;
    root::unlist(files, name, &mut changes)?;
    match volumes {
        Volumes::Delete => changes.write(tombstone_path(name), TOMBSTONE),
        // An old tombstone would take volumes that are to stay.
        Volumes::Keep if exists(files, &tombstone_path(name))? => changes.remove(tombstone_path(name)),
        Volumes::Keep => {}
    }
    Ok(changes)
}

fn remove_all(files: &dyn Files, path: &RepoPath, changes: &mut ChangeSet, depth: usize) -> Result<(), EditError> {
    if depth > 64 {
        return Err(EditError::conflict(path, "the folder is nested too deep; remove it by hand"));
    }
    match files.entry(path)? {
        Entry::Missing => {}
        Entry::File | Entry::Other => changes.remove(path.clone()),
        Entry::Directory => {
            for entry in files.list(path)? {
                let below = path.join(&entry).map_err(|error| EditError::conflict(path, error.to_string()))?;
                // A name that text alone would resolve to another place is no entry of this folder.
                if below.parent() != *path {
                    return Err(EditError::conflict(path, format!("the name {entry:?} in it cannot be removed")));
                }
                remove_all(files, &below, changes, depth + 1)?;
            }
        }
    }
    Ok(())
}
