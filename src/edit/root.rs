//! The root's list of projects: one line each, in alphabetical order as long as a person keeps it so.

use serde_yaml::Value;

use crate::project::{ChangeSet, Files, ProjectName, RepoPath};
use kustomize::yaml::edit::{self, Step, path};

use super::{EditError, directory, exists, fixed, read_text, unplaced};

/// The names that kustomize takes for a kustomization, in its order.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Adds the project's line, unless it is there.
pub(super) fn list(files: &dyn Files, name: &ProjectName, changes: &mut ChangeSet) -> Result<(), EditError> {
    let (file, text) = read(files)?;
    let listed = entries(&file, &text)?;
    let wanted = directory(name);
    if listed.iter().any(|entry| entry.as_ref() == Some(&wanted)) {
        return Ok(());
    }
    let item = Value::String(wanted.as_str().to_owned());
    let at = place(&listed, &wanted);
    let new = edit::insert(&text, &path!["resources"], at, &item).map_err(|error| unplaced(&file, &error))?;
    changes.write(file, new);
    Ok(())
}

/// Adds the line of a file that belongs to no project, before all that are there.
pub(super) fn list_base(files: &dyn Files, wanted: &RepoPath, changes: &mut ChangeSet) -> Result<(), EditError> {
    let (file, text) = read(files)?;
    if entries(&file, &text)?.iter().any(|entry| entry.as_ref() == Some(wanted)) {
        return Ok(());
    }
    let item = Value::String(wanted.as_str().to_owned());
    let new = edit::insert(&text, &path!["resources"], 0, &item).map_err(|error| unplaced(&file, &error))?;
    changes.write(file, new);
    Ok(())
}

/// Takes the project's line away, where there is one.
pub(super) fn unlist(files: &dyn Files, name: &ProjectName, changes: &mut ChangeSet) -> Result<(), EditError> {
    let (file, text) = read(files)?;
    let gone = directory(name);
    let mut new = text.clone();
    while let Some(index) = entries(&file, &new)?.iter().position(|entry| entry.as_ref() == Some(&gone)) {
        let at = [Step::from("resources"), Step::from(index)];
        new = edit::remove(&new, &at).map_err(|error| unplaced(&file, &error))?;
    }
    if new != text {
        changes.write(file, new);
    }
    Ok(())
}

fn read(files: &dyn Files) -> Result<(RepoPath, String), EditError> {
    for name in NAMES {
        let file = fixed(RepoPath::parse(name));
        if exists(files, &file)? {
            let text = read_text(files, &file)?;
            return Ok((file, text));
        }
    }
    Err(EditError::conflict(&fixed(RepoPath::parse(NAMES[0])), "the file does not exist; it lists the projects"))
}

/// The entries of `resources` as paths; `None` for what is none.
fn entries(file: &RepoPath, text: &str) -> Result<Vec<Option<RepoPath>>, EditError> {
    let document = edit::read(text).map_err(|error| unplaced(file, &error))?;
    match document.get("resources") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Sequence(items)) => {
            Ok(items.iter().map(|item| item.as_str().and_then(|text| RepoPath::parse(text).ok())).collect())
        }
        Some(_) => Err(EditError::conflict(file, "resources is no list")),
    }
}

/// Where the new line goes: in order where the projects are in order, else behind the last of them.
fn place(listed: &[Option<RepoPath>], wanted: &RepoPath) -> usize {
    let parent = wanted.parent();
    let projects: Vec<(usize, &RepoPath)> = listed
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| entry.as_ref().map(|entry| (index, entry)))
        .filter(|(_, entry)| entry.parent() == parent)
        .collect();
    let Some((last, _)) = projects.last() else { return listed.len() };
    if !projects.is_sorted_by_key(|(_, entry)| *entry) {
        return last + 1;
    }
    match projects.iter().rev().find(|(_, entry)| *entry < wanted) {
        Some((before, _)) => before + 1,
        None => projects.first().map_or(0, |(first, _)| *first),
    }
}
