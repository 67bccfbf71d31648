//! Signals that a ref may have moved, whoever moved it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{GitError, Repository};

/// How long to wait for the rest of a burst: a push writes several files.
const SETTLE: Duration = Duration::from_millis(20);

/// A signal without data: whoever receives it reads the head. It may come without need, but never not at all.
pub struct Watch {
    signals: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Repository {
    /// Watches the refs of this repository.
    ///
    /// # Errors
    /// [`GitError::Io`] when the system has no watches left; poll the head then.
    pub fn watch(&self) -> Result<Watch, GitError> {
        let root = self.path().to_owned();
        // One waiting signal is as good as many.
        let (sender, signals) = mpsc::channel(1);
        let relevant_root = root.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error, or an overflow of the queue, says that something may have been missed.
            let relevant =
                event.as_ref().map_or(true, |event| event.need_rescan() || concerns_refs(&relevant_root, event));
            if relevant {
                // Full means that a signal waits already.
                let _ = sender.try_send(());
            }
        })
        .map_err(|error| failed(&root, &error))?;
        for (path, mode) in [(root.clone(), RecursiveMode::NonRecursive), (root.join("refs"), RecursiveMode::Recursive)]
        {
            watcher.watch(&path, mode).map_err(|error| failed(&path, &error))?;
        }
        Ok(Watch { signals, _watcher: watcher })
    }
}

impl Watch {
    /// Waits for the next signal, and a moment for the rest of its burst. False when no more will come.
    pub async fn changed(&mut self) -> bool {
        if self.signals.recv().await.is_none() {
            return false;
        }
        tokio::time::sleep(SETTLE).await;
        let _ = self.signals.try_recv();
        true
    }
}

/// Refs are `HEAD`, `packed-refs` and everything below `refs`; lock files beside them say nothing yet.
fn concerns_refs(root: &Path, event: &notify::Event) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    event.paths.iter().any(|path: &PathBuf| {
        let Ok(below) = path.strip_prefix(root) else { return false };
        let locked = path.extension().is_some_and(|extension| extension == "lock");
        !locked && (below == Path::new("HEAD") || below == Path::new("packed-refs") || below.starts_with("refs"))
    })
}

fn failed(path: &Path, error: &notify::Error) -> GitError {
    GitError::Io { what: format!("watching {}", path.display()), message: error.to_string() }
}
