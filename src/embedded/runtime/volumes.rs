//! The directories of claims, and who uses them.
//!
//! A directory comes with its claim and goes with it, as soon as no pod uses it; nothing else ever removes one. Two pods
//! never have the same claim: the second waits until the first is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::paths::{Layout, segment};
use super::pod_state::Problem;
use super::root::{directory, remove_tree};

/// A claim: namespace and name.
type Claim = (String, String);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Volumes {
    layout: Layout,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    claims: BTreeSet<Claim>,
    /// Uid and name of the pod that uses a claim.
    users: BTreeMap<Claim, (String, String)>,
    /// Deleted, and the directory still there.
    going: BTreeSet<Claim>,
}

impl Volumes {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, state: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// Signals that a pod that waits for a claim may have it now.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A claim is there.
    pub(super) fn appeared(&self, namespace: &str, name: &str) {
        let claim = (namespace.to_owned(), name.to_owned());
        let mut state = self.lock();
        state.claims.insert(claim.clone());
        if !state.going.contains(&claim) {
            self.make(&claim);
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// A claim is deleted.
    pub(super) fn deleted(&self, namespace: &str, name: &str) {
        let claim = (namespace.to_owned(), name.to_owned());
        let Ok(mark) = self.layout.deleted_mark(namespace, name) else { return };
        let mut state = self.lock();
        state.claims.remove(&claim);
        // Written down first: a manager that is killed now removes it at its next start.
        if let Err(error) = fs::write(&mark, "") {
            tracing::warn!(claim = name, %error, "a deleted claim cannot be marked");
        }
        state.going.insert(claim.clone());
        let used = state.users.contains_key(&claim);
        drop(state);
        if !used {
            self.remove(claim);
        }
    }

    /// What an earlier run of the manager did not come to: the directories of claims that it saw deleted.
    pub(super) fn resume(&self) {
        for namespace in names_in(&self.layout.volumes()) {
            for name in names_in(&self.layout.volumes().join(&namespace)) {
                match name.strip_prefix(".deleted-") {
                    Some(claim) => {
                        let claim = (namespace.clone(), claim.to_owned());
                        self.lock().going.insert(claim.clone());
                        self.remove(claim);
                    }
                    None => {
                        if !self.lock().claims.contains(&(namespace.clone(), name.clone())) && segment(&name).is_ok() {
                            let directory = self.layout.volumes().join(&namespace).join(&name);
                            tracing::info!(
                                directory = %directory.display(),
                                "no claim uses this volume; it is kept, and a project of the same name finds it again"
                            );
                        }
                    }
                }
            }
        }
    }

    /// Gives a pod all its claims, or says what it waits for.
    pub(super) fn lease(
        &self,
        namespace: &str,
        claims: &BTreeSet<String>,
        uid: &str,
        pod: &str,
    ) -> Result<(), Problem> {
        let mut state = self.lock();
        let all: Vec<Claim> = claims.iter().map(|claim| (namespace.to_owned(), claim.clone())).collect();
        for claim in &all {
            if state.going.contains(claim) {
                return Err(Problem::creating(format!("waits until the deleted volume {} is gone", claim.1)));
            }
            if !state.claims.contains(claim) {
                return Err(Problem::creating(format!("persistentvolumeclaim \"{}\" not found", claim.1)));
            }
            if let Some((other, name)) = state.users.get(claim)
                && other != uid
            {
                return Err(Problem::creating(format!("waits until pod {name} no longer uses volume {}", claim.1)));
            }
        }
        for claim in all {
            self.make(&claim);
            state.users.insert(claim, (uid.to_owned(), pod.to_owned()));
        }
        Ok(())
    }

    /// Takes back what a pod has.
    pub(super) fn release(&self, uid: &str) {
        let mut state = self.lock();
        let free: Vec<Claim> =
            state.users.iter().filter(|(_, (user, _))| user == uid).map(|(claim, _)| claim.clone()).collect();
        state.users.retain(|_, (user, _)| user != uid);
        let going: Vec<Claim> = free.into_iter().filter(|claim| state.going.contains(claim)).collect();
        drop(state);
        self.changed.send_replace(());
        going.into_iter().for_each(|claim| self.remove(claim));
    }

    /// Removes a directory on a thread of its own: there may be a million files in it.
    fn remove(&self, claim: Claim) {
        let volumes = self.clone();
        tokio::task::spawn_blocking(move || {
            let (namespace, name) = &claim;
            let (Ok(path), Ok(mark)) =
                (volumes.layout.volume(namespace, name), volumes.layout.deleted_mark(namespace, name))
            else {
                return;
            };
            if let Err(error) = remove_tree(&path).and_then(|()| fs::remove_file(&mark)) {
                tracing::warn!(volume = %path.display(), %error, "the volume of a deleted claim cannot be removed; it is tried again at the next start");
            } else {
                tracing::info!(namespace, claim = name, "removed the volume of a deleted claim");
            }
            let mut state = volumes.lock();
            state.going.remove(&claim);
            if state.claims.contains(&claim) {
                volumes.make(&claim);
            }
            drop(state);
            volumes.changed.send_replace(());
        });
    }

    fn make(&self, (namespace, name): &Claim) {
        let made = match self.layout.volume(namespace, name) {
            Ok(path) => directory(&path).map_err(|problem| problem.message),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = made {
            tracing::warn!(namespace, claim = name, %error, "a volume has no directory");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names in a directory, none when there is no directory.
pub(super) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    fn volumes() -> (tempfile::TempDir, Volumes) {
        let data = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(Layout::new(data.path()));
        (data, volumes)
    }

    fn claims(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn gone(path: &Path) -> bool {
        for _ in 0..500 {
            if !path.exists() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    #[tokio::test]
    async fn a_directory_comes_with_its_claim_and_goes_with_it_when_no_pod_uses_it() {
        let (data, volumes) = volumes();
        let path = data.path().join("volumes/n/w");
        volumes.appeared("n", "w");
        assert!(path.is_dir());
        volumes.lease("n", &claims(&["w"]), "u1", "p1").unwrap();
        fs::create_dir_all(path.join("cache/module")).unwrap();
        fs::write(path.join("cache/module/file"), "x").unwrap();
        fs::set_permissions(path.join("cache/module"), fs::Permissions::from_mode(0o500)).unwrap();

        volumes.deleted("n", "w");
        volumes.appeared("n", "w");
        let refused = volumes.lease("n", &claims(&["w"]), "u1", "p1").unwrap_err();
        assert_eq!(refused.message, "waits until the deleted volume w is gone");
        assert!(path.join("cache/module/file").exists(), "a pod still uses it");
        volumes.release("u1");
        assert!(gone(&path.join("cache")).await);
        let mut changes = volumes.changes();
        while volumes.lease("n", &claims(&["w"]), "u2", "p2").is_err() {
            tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
        }
        assert!(path.is_dir(), "the new claim has a new directory");
        assert_eq!(names_in(&data.path().join("volumes/n")), ["w"]);
    }

    #[tokio::test]
    async fn two_pods_never_have_the_same_claim_and_one_never_has_half_of_its_claims() {
        let (_data, volumes) = volumes();
        volumes.appeared("n", "a");
        volumes.appeared("n", "b");
        volumes.lease("n", &claims(&["b"]), "u1", "p1").unwrap();
        let refused = volumes.lease("n", &claims(&["a", "b"]), "u2", "p2").unwrap_err();
        assert_eq!(refused.message, "waits until pod p1 no longer uses volume b");
        volumes.lease("n", &claims(&["a", "b"]), "u1", "p1").unwrap();
        volumes.release("u1");
        volumes.lease("n", &claims(&["a", "b"]), "u2", "p2").unwrap();
        let missing = volumes.lease("n", &claims(&["c"]), "u3", "p3").unwrap_err();
        assert_eq!(missing.message, "persistentvolumeclaim \"c\" not found");
    }

    #[tokio::test]
    async fn a_kill_between_deletion_and_removal_loses_no_order_and_what_has_no_claim_is_kept() {
        let (data, volumes) = volumes();
        fs::create_dir_all(data.path().join("volumes/n/deleted/x")).unwrap();
        fs::write(data.path().join("volumes/n/.deleted-deleted"), "").unwrap();
        fs::create_dir_all(data.path().join("volumes/n/orphan/x")).unwrap();
        volumes.resume();
        assert!(gone(&data.path().join("volumes/n/deleted")).await);
        assert!(gone(&data.path().join("volumes/n/.deleted-deleted")).await);
        assert!(data.path().join("volumes/n/orphan/x").is_dir());
    }

    #[tokio::test]
    async fn names_that_lead_elsewhere_get_no_directory() {
        let (data, volumes) = volumes();
        volumes.appeared("..", "x");
        volumes.appeared("n", "../../x");
        volumes.deleted("n", "../../x");
        assert_eq!(names_in(data.path()), [""; 0]);
    }
}
