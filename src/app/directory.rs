//! A directory of this machine as files to build from, for `claude-manager build DIR`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::project::{Entry, Files, FilesError, RepoPath};

/// The largest file that is read: manifests are small, and a mistyped path must not fill the memory.
const LARGEST_FILE: u64 = 16 << 20;

/// The machine's files. Paths are seen from the root directory, because an overlay may name a base beside it.
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// All files of this machine, and the path of `directory` among them.
    ///
    /// # Errors
    /// When `directory` does not exist or has a path that is no UTF-8.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<(Self, RepoPath)> {
        let shown = directory.display();
        let absolute =
            fs::canonicalize(directory).map_err(|error| anyhow::anyhow!("{shown} cannot be opened: {error}"))?;
        anyhow::ensure!(absolute.is_dir(), "{shown} is no directory; give the one that holds kustomization.yaml");
        let text = absolute.to_str().ok_or_else(|| anyhow::anyhow!("the path of {shown} is no UTF-8"))?;
        let path = RepoPath::parse(text.trim_start_matches('/'))?;
        Ok((Self { root: PathBuf::from("/") }, path))
    }

    /// An error's text with its paths as somebody in the present directory would write them.
    pub(crate) fn shown(text: &str) -> String {
        let here = std::env::current_dir()
            .ok()
            .and_then(|path| path.to_str().map(|path| path.trim_start_matches('/').to_owned()));
        match here {
            Some(here) if !here.is_empty() => text.replace(&format!("{here}/"), ""),
            _ => text.to_owned(),
        }
    }

    fn at(&self, path: &RepoPath) -> PathBuf {
        self.root.join(path.as_str())
    }
}

impl Files for Directory {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        match fs::symlink_metadata(self.at(path)) {
            Ok(found) if found.is_file() => Ok(Entry::File),
            Ok(found) if found.is_dir() => Ok(Entry::Directory),
            Ok(_) => Ok(Entry::Other),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Entry::Missing),
            Err(error) => Err(unreadable(path, &error.to_string())),
        }
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        match self.entry(path)? {
            Entry::File => {}
            Entry::Missing => return Err(FilesError::Missing(path.clone())),
            Entry::Directory | Entry::Other => return Err(FilesError::NotAFile(path.clone())),
        }
        let file = self.at(path);
        let size = fs::metadata(&file).map_err(|error| unreadable(path, &error.to_string()))?.len();
        if size > LARGEST_FILE {
            return Err(unreadable(path, "it is larger than 16 MiB"));
        }
        fs::read(&file).map(Arc::from).map_err(|error| unreadable(path, &error.to_string()))
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        if self.entry(directory)? != Entry::Directory {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(self.at(directory)).map_err(|error| unreadable(directory, &error.to_string()))?;
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    fn content_id(&self, _: &RepoPath) -> Option<[u8; 20]> {
        None
    }
}

fn unreadable(path: &RepoPath, message: &str) -> FilesError {
    FilesError::Unreadable { path: path.clone(), message: message.to_owned() }
}
