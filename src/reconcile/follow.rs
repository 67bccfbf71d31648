//! The loop of desired state: a signal, the head, what it wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Dependencies;
use super::driver::Message;
use super::store_writer::ChangesTo;
use crate::desired::{self, DesiredTree, Renderer};
use crate::git;
use crate::project::{LastChange, ProjectName, RepoPath, Revision};
use crate::sops;

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
    /// Of these, what the store does not have yet.
    pub(super) unstored: Option<ChangesTo>,
}

/// Runs until every handle is gone.
pub(super) async fn run(parts: Dependencies, mut signals: mpsc::Receiver<Signal>, driver: mpsc::Sender<Message>) {
    let stored = parts.store.last_changes().await.unwrap_or_else(|error| {
        tracing::error!(%error, "the last changes could not be read; the history is looked through for them");
        None
    });
    let fresh = |known| Follower { renderer: renderer(&parts), seen: None, rendered: None, known };
    let mut follower = Some(fresh(stored));
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
                follower = Some(fresh(None));
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
    /// The last commit of each project's folder, and the head that this is of.
    known: Option<(Revision, BTreeMap<ProjectName, LastChange>)>,
}

impl Follower {
    /// Reads the head; `None` when it is the one already seen.
    fn look(&mut self, repository: &git::Repository) -> Result<Option<Look>, git::GitError> {
        let Some(head) = repository.head()? else { return Ok(None) };
        if self.seen == Some(head) {
            return Ok(None);
        }
        let started = std::time::Instant::now();
        let author = repository.log(head, None, 1)?.pop().map(|entry| entry.author.name.into()).unwrap_or_default();
        let tree = repository.tree(head)?;
        let changed = match self.rendered {
            Some(rendered) => Some(repository.diff_paths(Some(rendered), head)?),
            None => None,
        };
        if self.rendered.is_none() {
            let versions = |file: &RepoPath, limit| repository.versions(head, file, limit);
            self.renderer.fall_back_on(desired::policy_in_force(&tree, versions)?);
        }
        let (desired, error) = match self.renderer.render(&tree, head, changed.as_ref()) {
            Ok(desired) => {
                self.rendered = Some(head);
                (Some(desired), None)
            }
            Err(error) => (self.last_that_builds(repository, head)?, Some(error.to_string())),
        };
        let news = self.changes(repository, head)?;
        let is_first = self.seen.is_none();
        let known = self.known.iter().flat_map(|(_, known)| known);
        let changes = match is_first {
            // Nobody was told of those that are in the store.
            true => known.map(|(name, change)| (name.clone(), Some(change.clone()))).collect(),
            false => news.changes.clone(),
        };
        let unstored = Some(news).filter(|news| news.since != Some(head));
        self.seen = Some(head);
        tracing::debug!(%head, elapsed = ?started.elapsed(), "rendered");
        Ok(Some(Look { head, author, error, desired, changes, unstored }))
    }

    /// Learns the last commit of each project's folder as of `head`; gives what is new in that.
    fn changes(&mut self, repository: &git::Repository, head: Revision) -> Result<ChangesTo, git::GitError> {
        let since = self.known.as_ref().map(|(since, _)| *since);
        let chain = match since {
            Some(since) => repository.changes_since(since, head)?,
            None => None,
        };
        let changes = match (&mut self.known, chain) {
            (Some((known_of, known)), Some(changes)) => {
                git::take_changes(known, &changes);
                *known_of = head;
                changes
            }
            (known, _) => {
                let now = repository.last_changes(head, known.as_ref().map(|(since, known)| (*since, known)))?;
                let before = known.take().map(|(_, known)| known).unwrap_or_default();
                let gone = before.keys().filter(|name| !now.contains_key(*name)).map(|name| (name.clone(), None));
                let others = now.iter().filter(|(name, change)| before.get(*name) != Some(*change));
                let changes = gone.chain(others.map(|(name, change)| (name.clone(), Some(change.clone())))).collect();
                *known = Some((head, now));
                changes
            }
        };
        Ok(ChangesTo { head, since, changes })
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

/// Makes a renderer that knows nothing yet.
pub(super) fn renderer(parts: &Dependencies) -> Renderer {
    let read = sops::reader(Arc::clone(&parts.age_identities));
    Renderer::new(Arc::new(read), Arc::clone(&parts.memo)).in_namespace(&parts.namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{CommitMeta, Person, Repository};
    use crate::project::ChangeSet;

    fn name(text: &str) -> ProjectName {
        ProjectName::parse(text).unwrap()
    }

    fn meta() -> CommitMeta {
        let message = "a commit".to_owned();
        CommitMeta {
            author: Person::manager(),
            committer: Person::manager(),
            time: jiff::Timestamp::UNIX_EPOCH,
            message,
        }
    }

    /// A change of the named projects; one that is said to be gone is removed.
    fn touch(projects: &[(&str, Option<&str>)]) -> ChangeSet {
        let mut changes = ChangeSet::default();
        for (name, content) in projects {
            let path = RepoPath::parse(&format!("projects/{name}/kustomization.yaml")).unwrap();
            match content {
                Some(content) => changes.write(path, *content),
                None => changes.remove(path),
            }
        }
        changes
    }

    fn start(known: Option<(Revision, BTreeMap<ProjectName, LastChange>)>) -> Follower {
        let renderer = Renderer::new(Arc::new(sops::reader(Arc::default())), Arc::default());
        Follower { renderer, seen: None, rendered: None, known }
    }

    #[test]
    fn a_start_looks_at_what_came_after_what_is_remembered_and_at_everything_when_that_is_of_another_history() {
        let directory = tempfile::tempdir().unwrap();
        let seed = touch(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]);
        let repository = Repository::open_or_init(&directory.path().join("state.git"), "main", &seed, &meta()).unwrap();
        let first = repository.head().unwrap().unwrap();

        let mut follower = start(None);
        let look = follower.look(&repository).unwrap().unwrap();
        let told = look.unstored.unwrap();
        assert_eq!((told.since, told.head, &told.changes), (None, first, &look.changes));
        assert_eq!(look.changes.len(), 3);

        // What is remembered says something else than the history, so that it can be seen whether it was believed.
        let marked = LastChange { author: "remembered".into(), ..look.changes[&name("a")].clone().unwrap() };
        let remembered: BTreeMap<_, _> = ["a", "b", "c"].map(|text| (name(text), marked.clone())).into();
        let second = repository.commit(Some(first), &touch(&[("b", Some("2")), ("c", None)]), &meta()).unwrap();
        let look = start(Some((first, remembered.clone()))).look(&repository).unwrap().unwrap();
        let news = look.unstored.unwrap();
        let by = |changes: &git::Changes, text: &str| {
            changes.get(&name(text)).map(|change| change.as_ref().map(|change| change.author.to_string()))
        };
        let manager = || Some(Some(Person::manager().name));
        assert_eq!((news.since, news.head), (Some(first), second));
        assert_eq!(["a", "b", "c"].map(|text| by(&news.changes, text)), [None, manager(), Some(None)]);
        // Whoever was told nothing yet is told everything.
        assert_eq!(["a", "b"].map(|text| by(&look.changes, text)), [Some(Some("remembered".to_owned())), manager()]);

        let look = start(Some((second, remembered.clone()))).look(&repository).unwrap().unwrap();
        assert!(look.unstored.is_none(), "the store has all that there is: {:?}", look.unstored);

        let elsewhere = Revision::from_bytes([7; 20]);
        let look = start(Some((elsewhere, remembered))).look(&repository).unwrap().unwrap();
        assert_eq!(["a", "b", "c"].map(|text| by(&look.changes, text)), [manager(), manager(), None]);
        let news = look.unstored.unwrap();
        assert_eq!((news.since, by(&news.changes, "c")), (Some(elsewhere), Some(None)));
    }
}
