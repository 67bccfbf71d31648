//! Where the runtime keeps what it keeps. Names of objects become paths here and nowhere else.
//!
//! **Architecture invariant:** no name that a cluster object carries leads out of the data directory.

use std::path::{Path, PathBuf};

/// A name or path that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// Kubernetes itself would refuse it.
    #[error("{0:?} is no name of a Kubernetes object, so that no directory is made for it")]
    Name(String),
    /// It is not absolute, or has `.` or `..` in it.
    #[error("the path {0:?} is not used: it has to be absolute, without `.` and `..`")]
    Mount(String),
    /// A key of a Secret or ConfigMap, or the path that an item gives it.
    #[error("the file name {0:?} is not used: it has to be relative, without `..`")]
    File(String),
}

/// The directories below the data directory.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    data: PathBuf,
}

/// What belongs to one pod.
#[derive(Clone, Debug)]
pub(super) struct PodPaths {
    /// Everything of it.
    pub(super) directory: PathBuf,
    /// What the agent sees as `/`.
    pub(super) root: PathBuf,
}

impl Layout {
    /// The layout below `data`, which is absolute.
    pub(super) fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// The data directory itself.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// All pods, by namespace and name.
    pub(super) fn pods(&self) -> PathBuf {
        self.data.join("pods")
    }

    /// All volumes, by namespace and claim.
    pub(super) fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// What belongs to a pod.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Result<PodPaths, PathError> {
        let directory = self.pods().join(segment(namespace)?).join(segment(name)?);
        Ok(PodPaths { root: directory.join("root"), directory })
    }

    /// The directory of a claim.
    pub(super) fn volume(&self, namespace: &str, claim: &str) -> Result<PathBuf, PathError> {
        Ok(self.volumes().join(segment(namespace)?).join(segment(claim)?))
    }

    /// The mark that says that a claim is deleted and its directory is to go. No claim's name begins with a dot.
    pub(super) fn deleted_mark(&self, namespace: &str, claim: &str) -> Result<PathBuf, PathError> {
        Ok(self.volumes().join(segment(namespace)?).join(format!(".deleted-{}", segment(claim)?)))
    }
}

/// A name of an object as one part of a path: what Kubernetes allows in names, which has no slash and begins with no dot.
pub(super) fn segment(name: &str) -> Result<&str, PathError> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let begins_well = name.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= 253 && name.bytes().all(allowed) {
        Ok(name)
    } else {
        Err(PathError::Name(name.to_owned()))
    }
}

/// Where a mount lies below the root: `/workspace` is `workspace`.
pub(super) fn mount(path: &str) -> Result<PathBuf, PathError> {
    let refused = || PathError::Mount(path.to_owned());
    let below = path.strip_prefix('/').ok_or_else(refused)?;
    parts(below.trim_end_matches('/')).ok_or_else(refused)
}

/// Where a file lies in its volume.
pub(super) fn file(path: &str) -> Result<PathBuf, PathError> {
    // The links of the volume itself begin with two dots.
    let refused = || PathError::File(path.to_owned());
    parts(path).filter(|_| !path.starts_with("..")).ok_or_else(refused)
}

fn parts(path: &str) -> Option<PathBuf> {
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    path.split('/').all(good).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_data_directory() {
        let layout = Layout::new(Path::new("/data"));
        for name in ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "-x", "A", "a\0", "a b", &"a".repeat(254)] {
            assert!(layout.pod(name, "p").is_err(), "{name:?}");
            assert!(layout.pod("n", name).is_err(), "{name:?}");
            assert!(layout.volume("n", name).is_err(), "{name:?}");
        }
        assert_eq!(layout.volume("n", "a-workspace").unwrap(), Path::new("/data/volumes/n/a-workspace"));
        assert_eq!(layout.pod("n", "a-env-0").unwrap().root, Path::new("/data/pods/n/a-env-0/root"));
    }

    #[test]
    fn mounts_and_files_stay_below_what_they_belong_to() {
        assert_eq!(mount("/etc/claude-manager/x/").unwrap(), Path::new("etc/claude-manager/x"));
        for path in ["", "/", "workspace", "/..", "/a/../b", "/a//b", "/./a", "/a\0"] {
            assert!(mount(path).is_err(), "{path:?}");
        }
        assert_eq!(file("a/b.pem").unwrap(), Path::new("a/b.pem"));
        for path in ["", "..", "../a", "..data", "/a", "a/../b", "a//b"] {
            assert!(file(path).is_err(), "{path:?}");
        }
    }
}
