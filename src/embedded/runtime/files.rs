//! The files of a Secret or ConfigMap in a directory, renewed all at once while they are read.
//!
//! As in a pod: the values lie in a directory of their own, `..data` is a link to it, and each file is a link through
//! `..data`. To renew them, a new directory is written and the one link is replaced, so that a reader never sees half of a
//! change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::objects::Values;
use super::paths;
use super::spec::Files;

const DATA: &str = "..data";

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedFile {
    content: Vec<u8>,
    mode: u32,
}

/// The files of a volume by their paths, from the values of its object (`None`: it is not there).
///
/// # Errors
/// What is missing or has no usable name, in a sentence.
pub(super) fn wanted(files: &Files, values: Option<Values>) -> Result<BTreeMap<PathBuf, WantedFile>, String> {
    let kind = files.reference.kind.to_lowercase();
    let name = &files.reference.name;
    let Some(mut values) = values else {
        return if files.optional { Ok(BTreeMap::new()) } else { Err(format!("{kind} \"{name}\" not found")) };
    };
    let items = match &files.items {
        Some(items) => items.clone(),
        None => values.keys().map(|key| (key.clone(), key.clone(), None)).collect(),
    };
    let mut wanted = BTreeMap::new();
    for (key, path, mode) in items {
        let path = paths::file(&path).map_err(|error| format!("{kind} \"{name}\": {error}"))?;
        match values.remove(&key) {
            Some(content) => {
                wanted.insert(path, WantedFile { content, mode: mode.unwrap_or(files.mode) });
            }
            None if files.optional => {}
            None => return Err(format!("{kind} \"{name}\" references non-existent key: {key}")),
        }
    }
    Ok(wanted)
}

/// Makes `directory` hold exactly `wanted`. Writes nothing when it does.
pub(super) fn write(directory: &Path, wanted: &BTreeMap<PathBuf, WantedFile>) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let old = fs::read_link(directory.join(DATA)).ok();
    if old.is_some() && is_as_wanted(&directory.join(DATA), wanted) {
        return Ok(());
    }
    let name = format!("..{:016x}", rand::random::<u64>());
    let next = directory.join(&name);
    fs::DirBuilder::new().mode(0o700).create(&next)?;
    for (path, file) in wanted {
        let path = next.join(path);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        // The owner reads it, whatever the mode says: here, the owner is who the group is in a pod.
        let mode = (file.mode & 0o777) | 0o400;
        fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&path)?.write_all(&file.content)?;
    }
    let link = directory.join("..data_new");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(&name, &link)?;
    fs::rename(&link, directory.join(DATA))?;
    link_names(directory, wanted)?;
    // Whoever has a file of the old directory open goes on reading it.
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found.starts_with("..") && found != DATA && *found != name && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// One link in `directory` for each file, or directory of files, that is wanted, and no other.
fn link_names(directory: &Path, wanted: &BTreeMap<PathBuf, WantedFile>) -> io::Result<()> {
    let names: BTreeSet<PathBuf> = wanted.keys().filter_map(|path| path.iter().next()).map(PathBuf::from).collect();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        let ours = name.to_string_lossy().starts_with("..");
        if !ours && !names.contains(&name) && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    for name in names {
        match symlink(Path::new(DATA).join(&name), directory.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_as_wanted(data: &Path, wanted: &BTreeMap<PathBuf, WantedFile>) -> bool {
    let same =
        |(path, file): (&PathBuf, &WantedFile)| fs::read(data.join(path)).is_ok_and(|found| found == file.content);
    wanted.iter().all(same) && count(data) == wanted.len()
}

fn count(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => count(&entry.path()),
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::spec::Reference;
    use super::*;

    fn secret(items: Option<Vec<(String, String, Option<u32>)>>, optional: bool) -> Files {
        let reference = Reference { kind: "Secret", namespace: "n".to_owned(), name: "s".to_owned() };
        Files { reference, optional, mode: 0o440, items }
    }

    fn values(values: &[(&str, &str)]) -> Option<Values> {
        Some(values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("..")).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_renewed_at_once_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("secrets");
        write(&place, &wanted(&secret(None, true), values(&[("a", "1"), ("b", "2")])).unwrap()).unwrap();
        assert_eq!(names(&place), ["a", "b"]);
        assert_eq!(fs::read_to_string(place.join("a")).unwrap(), "1");
        assert_eq!(fs::metadata(place.join("a")).unwrap().permissions().mode() & 0o777, 0o440);
        let first = fs::read_link(place.join(DATA)).unwrap();

        write(&place, &wanted(&secret(None, true), values(&[("a", "1"), ("b", "2")])).unwrap()).unwrap();
        assert_eq!(fs::read_link(place.join(DATA)).unwrap(), first, "nothing to do");

        write(&place, &wanted(&secret(None, true), values(&[("b", "3"), ("c", "4")])).unwrap()).unwrap();
        assert_eq!(names(&place), ["b", "c"]);
        assert_eq!(fs::read_to_string(place.join("b")).unwrap(), "3");
        assert!(!place.join(first).exists());

        write(&place, &wanted(&secret(None, true), None).unwrap()).unwrap();
        assert_eq!(names(&place), [""; 0]);
    }

    #[test]
    fn items_choose_keys_and_name_them() {
        let directory = tempfile::tempdir().unwrap();
        let items = vec![("a".to_owned(), "below/one".to_owned(), Some(0o600))];
        let files = wanted(&secret(Some(items), false), values(&[("a", "1"), ("b", "2")])).unwrap();
        write(directory.path(), &files).unwrap();
        assert_eq!(names(directory.path()), ["below"]);
        assert_eq!(fs::read_to_string(directory.path().join("below/one")).unwrap(), "1");
    }

    #[test]
    fn what_is_missing_or_leads_out_is_said() {
        let item = |key: &str, path: &str| Some(vec![(key.to_owned(), path.to_owned(), None)]);
        let table = [
            (secret(None, false), None, "secret \"s\" not found"),
            (secret(item("x", "x"), false), values(&[]), "secret \"s\" references non-existent key: x"),
            (
                secret(item("a", "../../x"), true),
                values(&[("a", "1")]),
                "secret \"s\": the file name \"../../x\" is not used: it has to be relative, without `..`",
            ),
            (
                secret(None, true),
                values(&[("../x", "1")]),
                "secret \"s\": the file name \"../x\" is not used: it has to be relative, without `..`",
            ),
        ];
        for (files, values, expected) in table {
            assert_eq!(wanted(&files, values).unwrap_err(), expected);
        }
        assert_eq!(wanted(&secret(item("x", "x"), true), values(&[])).unwrap(), BTreeMap::new());
    }
}
