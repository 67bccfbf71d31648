//! The loop of desired state: a signal, the head, what it wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Parts;
use super::desired::{DesiredTree, Renderer};
use super::driver::Message;
use crate::git;
use crate::project::{ProjectName, Revision};

/// "The head may have moved." Carries nothing but whom to tell when it has been looked at.
#[derive(Debug, Default)]
pub(super) struct Signal {
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// What a look at the head gave.
#[derive(Debug)]
pub(super) struct Look {
    /// The head.
    pub(super) head: Revision,
    /// What it wants, or why the root does not build.
    pub(super) desired: Result<DesiredTree, String>,
    /// The last commit of each project's folder, with its time.
    pub(super) last_changes: BTreeMap<ProjectName, git::LastChange>,
}

/// Runs until every handle is gone.
pub(super) async fn run(parts: Parts, mut signals: mpsc::Receiver<Signal>, driver: mpsc::Sender<Message>) {
    let fresh = || Follower {
        renderer: Renderer::new(Arc::clone(&parts.age_identities)),
        seen: None,
        rendered: None,
        changes: BTreeMap::new(),
    };
    let mut follower = Some(fresh());
    while let Some(signal) = signals.recv().await {
        let mut waiting: Vec<oneshot::Sender<()>> = signal.done.into_iter().collect();
        while let Ok(more) = signals.try_recv() {
            waiting.extend(more.done);
        }
        let repository = parts.repository.clone();
        let Some(mut this) = follower.take() else { return };
        let looked = tokio::task::spawn_blocking(move || {
            let look = this.look(&repository);
            (this, look)
        })
        .await;
        let look = match looked {
            Ok((this, look)) => {
                follower = Some(this);
                look
            }
            Err(panic) => {
                tracing::error!(%panic, "rendering panicked; what was desired before stays");
                follower = Some(fresh());
                Ok(None)
            }
        };
        let message = match look {
            Ok(Some(look)) => Message::Looked(Box::new(look), waiting),
            Ok(None) => Message::Unmoved(waiting),
            Err(error) => {
                tracing::error!(%error, "the state repository could not be read");
                Message::Unreadable(error.to_string(), waiting)
            }
        };
        if driver.send(message).await.is_err() {
            return;
        }
    }
}

struct Follower {
    renderer: Renderer,
    /// The head of the last look.
    seen: Option<Revision>,
    /// The last head whose root did build: what the renderer remembers, and what the next difference counts from.
    rendered: Option<Revision>,
    changes: BTreeMap<ProjectName, git::LastChange>,
}

impl Follower {
    /// Reads the head; `None` when it is the one already seen.
    fn look(&mut self, repository: &git::Repository) -> Result<Option<Look>, git::GitError> {
        let Some(head) = repository.head()? else { return Ok(None) };
        if self.seen == Some(head) {
            return Ok(None);
        }
        let started = std::time::Instant::now();
        let tree = repository.tree(head)?;
        let changed = match self.rendered {
            Some(rendered) => Some(repository.diff_paths(Some(rendered), head)?),
            None => None,
        };
        let desired = self.renderer.render(&tree, head, changed.as_ref());
        if desired.is_ok() {
            self.rendered = Some(head);
        }
        self.changes = repository.last_changes(head, self.seen.map(|seen| (seen, &self.changes)))?;
        self.seen = Some(head);
        tracing::debug!(%head, elapsed = ?started.elapsed(), "rendered");
        Ok(Some(Look {
            head,
            desired: desired.map_err(|error| super::desired::render_failed(&error).message),
            last_changes: self.changes.clone(),
        }))
    }
}
