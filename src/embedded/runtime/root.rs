//! The directory that an agent sees as `/`: a link for each claim, files for Secrets and ConfigMaps, empty directories.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::files;
use super::objects::Objects;
use super::paths::{self, Layout, PodPaths};
use super::pod_state::Problem;
use super::spec::{PodSpec, Source};

/// Makes the root as the pod asks for it, and gives the directories that the agent may write. What is there already is
/// brought up to date.
pub(super) fn make(
    layout: &Layout,
    paths: &PodPaths,
    pod: &PodSpec,
    objects: &Objects,
) -> Result<Vec<PathBuf>, Problem> {
    directory(&paths.root)?;
    let mut places: Vec<(PathBuf, &Source, &str)> = Vec::new();
    for (mount, source) in pod.mounted() {
        let place = paths::mount(&mount.path).map_err(|error| Problem::config(error.to_string()))?;
        if mount.sub_path {
            return Err(Problem::config(format!("the mount {} has a subPath, which is not done here", mount.path)));
        }
        let within = |other: &Path| place.starts_with(other) || other.starts_with(&place);
        if places.iter().any(|(other, ..)| within(other)) {
            // The outer one belongs to the agent, who could turn the way to the inner one elsewhere.
            return Err(Problem::config(format!(
                "the mount {} lies within another one, which is not done here",
                mount.path
            )));
        }
        let source = source.ok_or_else(|| Problem::config(format!("there is no volume {}", mount.volume)))?;
        places.push((place, source, &mount.volume));
    }
    let mut writable = Vec::new();
    let mut empty: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for (place, source, volume) in places {
        let at = paths.root.join(&place);
        match source {
            Source::Claim(claim) => {
                let target = layout
                    .volume(&pod.namespace, claim)
                    .map_err(|error| Problem::config(format!("volume {volume}: {error}")))?;
                link(&target, &at)?;
                // A person may have moved it to another disk. No agent can write where its link would be.
                writable.push(fs::canonicalize(&target).map_err(|error| refused(&target, &error))?);
            }
            Source::Files(wanted) => {
                let wanted = files::wanted(wanted, objects.values(&wanted.reference)).map_err(Problem::config)?;
                files::write(&at, &wanted).map_err(|error| refused(&at, &error))?;
            }
            Source::Empty => match empty.get(volume) {
                Some(first) => link(first, &at)?,
                None => {
                    directory(&at)?;
                    writable.push(at.clone());
                    empty.insert(volume, at);
                }
            },
            Source::Unknown(kind) => {
                return Err(Problem::config(format!(
                    "volume {volume} is of the kind {kind}, which there is not on this machine"
                )));
            }
        }
    }
    Ok(writable)
}

/// Brings the files of Secrets and ConfigMaps up to date. One that cannot be is told and keeps its old files.
pub(super) fn renew(paths: &PodPaths, pod: &PodSpec, objects: &Objects) {
    for (mount, source) in pod.mounted() {
        let Some(Source::Files(wanted)) = source else { continue };
        let Ok(place) = paths::mount(&mount.path) else { continue };
        let result = files::wanted(wanted, objects.values(&wanted.reference))
            .and_then(|wanted| files::write(&paths.root.join(place), &wanted).map_err(|error| error.to_string()));
        if let Err(error) = result {
            tracing::warn!(pod = %pod.name, mount = %mount.path, %error, "files of a running pod are not renewed");
        }
    }
}

/// Makes a directory that only this user can read.
pub(super) fn directory(path: &Path) -> Result<(), Problem> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| refused(path, &error))
}

fn link(target: &Path, at: &Path) -> Result<(), Problem> {
    if fs::read_link(at).is_ok_and(|found| found == target) {
        return Ok(());
    }
    if let Some(parent) = at.parent() {
        directory(parent)?;
    }
    symlink(target, at).map_err(|error| refused(at, &error))
}

fn refused(path: &Path, error: &io::Error) -> Problem {
    Problem::run(format!("{} cannot be made: {error}", path.display()))
}

/// Removes a directory with all that is in it, also what its owner made read-only.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let mut result = fs::remove_dir_all(path);
    for _ in 0..3 {
        match &result {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => make_removable(path),
            // A process in its last moment made another file.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(_) => return result,
        }
        result = fs::remove_dir_all(path);
    }
    result
}

/// Package caches are made of read-only directories.
fn make_removable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        // Links are not followed.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path());
        }
    }
}
