//! The loop of desired state: a signal, the head, what it wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Parts;
use super::desired::{DesiredTree, Renderer};
use super::driver::Message;
use crate::git;
use crate::plan::{POLICY_FILE, Policy};
use crate::project::{ProjectName, RepoPath, Revision};

/// How many commits are tried for a root that builds.
const LOOK_BACK: usize = 100;

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
    /// The name of whoever made it.
    pub(super) author: Arc<str>,
    /// Why the head's root does not build.
    pub(super) error: Option<String>,
    /// What is wanted: by the head, or when this is the first look and its root does not build, by the newest commit
    /// before it whose root does.
    pub(super) desired: Option<DesiredTree>,
    /// The last commit of each project's folder, of those for which it is another than at the last look.
    pub(super) changes: git::Changes,
}

/// Runs until every handle is gone.
pub(super) async fn run(parts: Parts, mut signals: mpsc::Receiver<Signal>, driver: mpsc::Sender<Message>) {
    let fresh = || Follower {
        renderer: Renderer::new(Arc::clone(&parts.age_identities), Arc::clone(&parts.memo)),
        seen: None,
        rendered: None,
        last_changes: BTreeMap::new(),
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
    last_changes: BTreeMap<ProjectName, git::LastChange>,
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
        if self.rendered.is_none() {
            self.renderer.fall_back_on(policy_before(repository, head)?);
        }
        let (desired, error) = match self.renderer.render(&tree, head, changed.as_ref()) {
            Ok(desired) => {
                self.rendered = Some(head);
                (Some(desired), None)
            }
            Err(error) => {
                let error = super::desired::render_failed(&error).message;
                (self.last_that_builds(repository, head)?, Some(error))
            }
        };
        let changes = self.changes(repository, head)?;
        self.seen = Some(head);
        tracing::debug!(%head, elapsed = ?started.elapsed(), "rendered");
        let author = repository.log(head, None, 1)?.pop().map(|entry| entry.author.name.into()).unwrap_or_default();
        Ok(Some(Look { head, author, error, desired, changes }))
    }

    /// What has changed since the last look.
    fn changes(&mut self, repository: &git::Repository, head: Revision) -> Result<git::Changes, git::GitError> {
        let since = match self.seen {
            Some(seen) => repository.changes_since(seen, head)?,
            None => None,
        };
        if let Some(changes) = since {
            git::take_changes(&mut self.last_changes, &changes);
            return Ok(changes);
        }
        let all = repository.last_changes(head, self.seen.map(|seen| (seen, &self.last_changes)))?;
        let before = std::mem::replace(&mut self.last_changes, all);
        let gone = before.keys().filter(|name| !self.last_changes.contains_key(*name)).map(|name| (name.clone(), None));
        let others = self.last_changes.iter().filter(|(name, change)| before.get(*name) != Some(*change));
        Ok(gone.chain(others.map(|(name, change)| (name.clone(), Some(change.clone())))).collect())
    }

    /// After a start: the newest commit before `head` whose root builds. A broken root must not make a fleet look as if it
    /// had been deleted. Later, what was rendered last still holds.
    fn last_that_builds(
        &mut self,
        repository: &git::Repository,
        head: Revision,
    ) -> Result<Option<DesiredTree>, git::GitError> {
        if self.rendered.is_some() {
            return Ok(None);
        }
        for entry in repository.log(head, None, LOOK_BACK)?.into_iter().skip(1) {
            let tree = repository.tree(entry.revision)?;
            if let Ok(desired) = self.renderer.render(&tree, entry.revision, None) {
                self.rendered = Some(entry.revision);
                return Ok(Some(desired));
            }
        }
        Ok(None)
    }
}

/// The newest policy of `head`'s history that reads: a broken file after a start must not lift what was in force.
pub(super) fn policy_before(repository: &git::Repository, head: Revision) -> Result<Policy, git::GitError> {
    if let Ok(policy) = Policy::read(&repository.tree(head)?) {
        return Ok(policy);
    }
    let file = RepoPath::parse(POLICY_FILE).unwrap_or_default();
    let entries = repository.log(head, Some(&file), LOOK_BACK)?;
    let trees = entries.iter().filter_map(|entry| repository.tree(entry.revision).ok());
    Ok(Policy::newest_valid(trees).unwrap_or_default())
}
