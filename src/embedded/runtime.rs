//! The local runtime: the agent of each pod of the embedded cluster as a process on this machine.
//!
//! Takes the cluster's [`Runtime`](super::Runtime) handle and learns of pods, claims, Secrets and ConfigMaps by watches, like
//! anybody else. Does the kubelet's work: directories, files, processes, probes, statuses, restarts, ends, logs. It is no
//! sandbox: an agent is a process of the same user, with an environment of its own and, where the system can, without a
//! way to the data directory.
//!
//! *Guarantees.* A pod's directory and address are its own; a claim is used by one pod at a time. What runs when the manager
//! is killed goes on, and is taken over by the next start; [`LocalRuntime::stop`] ends all of it. No name or file content
//! that comes from the cluster or an agent leads out of the data directory.
//!
//! *Caveats.* Only the container `agent` runs, and always as this very program: its image and command are a cluster's
//! business. Limits of CPU, memory and storage are not enforced.

mod address;
mod environment;
mod files;
mod lock;
mod objects;
mod paths;
mod pod;
mod pod_state;
mod probe;
mod process;
mod record;
mod root;
mod spec;
mod status;
mod volumes;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch as signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::address::Addresses;
use self::objects::Objects;
use self::paths::Layout;
use self::pod::Message;
use self::spec::{PodSpec, Reference};
use self::volumes::{Volumes, names_in};
use self::watch::{Change, Kind};
use super::log::LogFiles;
use super::{Cluster, Runtime};
use crate::project::ErrorKind;

/// How long agents have to end when the manager does. Their pods may allow more; a person at a terminal waits less.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// How long an agent that no pod wants has to end.
const ORPHAN: Duration = Duration::from_secs(5);

/// Why pods cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Something else runs them.
    #[error("local runtime: the pods of this cluster are run by another manager already")]
    Taken,
    /// The cluster does not take it.
    #[error("local runtime: {0}")]
    Cluster(#[from] super::Error),
    /// A directory cannot be used.
    #[error("local runtime: {path}: {source}; DATA_DIR has to be writable for this user")]
    Storage {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The cluster did not tell what is there.
    #[error("local runtime: the embedded cluster does not tell its objects")]
    Silent,
}

impl RuntimeError {
    /// What the error means to whoever caused it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken => ErrorKind::Conflict,
            Self::Cluster(error) => error.kind(),
            Self::Storage { .. } => ErrorKind::Unavailable,
            Self::Silent => ErrorKind::Internal,
        }
    }
}

/// How to run pods.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory: pods and volumes are in it, and agents are kept out of the rest.
    pub data: PathBuf,
    /// The program that is started as `PROGRAM agent …`.
    pub program: PathBuf,
    /// CLAUDE_BIN of agents whose pod names none.
    pub claude: Option<PathBuf>,
}

/// Pods being run.
pub struct LocalRuntime {
    stop: signal::Sender<Stop>,
    /// Closed when nothing runs any more.
    ended: signal::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    InOrder,
    Now,
}

/// What all pods share.
struct Shared {
    handle: Runtime,
    layout: Layout,
    program: PathBuf,
    claude: Option<PathBuf>,
    objects: Objects,
    volumes: Volumes,
    addresses: Addresses,
    epoch: Instant,
}

impl LocalRuntime {
    /// Takes over what runs since before, ends what no pod wants any more, and begins to run the pods of `cluster`.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn start(cluster: &Cluster, options: Options) -> Result<Self, RuntimeError> {
        let storage = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| RuntimeError::Storage { path, source }
        };
        // Agents are given absolute paths, and compare them.
        let data = std::fs::canonicalize(&options.data).map_err(storage(&options.data))?;
        let layout = Layout::new(&data);
        for directory in [layout.pods(), layout.volumes()] {
            root::directory(&directory).map_err(|problem| storage(&directory)(io::Error::other(problem.message)))?;
        }
        let handle = cluster.runtime()?.ok_or(RuntimeError::Taken)?;
        handle.keeps_logs_in(&layout.pods());
        let (sender, mut changes) = mpsc::channel(256);
        let watches: JoinSet<()> =
            Kind::ALL.into_iter().map(|kind| watch::follow(cluster.client(), kind, sender.clone())).collect();
        drop(sender);
        let shared = Shared {
            handle,
            program: options.program,
            claude: options.claude,
            objects: Objects::default(),
            volumes: Volumes::new(layout.clone()),
            addresses: Addresses::new(&data),
            layout,
            epoch: Instant::now(),
        };
        let mut pods = Pods { shared: Arc::new(shared), running: BTreeMap::new(), tasks: JoinSet::new() };
        let mut early = Vec::new();
        let mut missing = Kind::ALL.len();
        while missing > 0 {
            match changes.recv().await.ok_or(RuntimeError::Silent)? {
                Change::Listed => missing -= 1,
                Change::Set(Kind::Pod, pod) => early.push(pod),
                change => pods.take(change),
            }
        }
        pods.sweep(&early).await;
        pods.shared.volumes.resume();
        tracing::info!(pods = early.len(), "the pods of the embedded cluster run on this machine");
        early.into_iter().for_each(|pod| pods.take(Change::Set(Kind::Pod, pod)));
        let (stop, stopping) = signal::channel(Stop::No);
        let (alive, ended) = signal::channel(());
        tokio::spawn(async move {
            // Dropped at the end, also at one that nobody wanted.
            let _alive = alive;
            pods.run(changes, stopping).await;
            drop(watches);
        });
        Ok(Self { stop, ended })
    }

    /// Waits until it has ended; without [`Self::stop`] that is a fault.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Ends all agents, in order while `hurry` lasts and at once from then on.
    pub async fn stop(&self, hurry: impl Future<Output = ()>) {
        self.stop.send_replace(Stop::InOrder);
        tokio::select! {
            () = self.ended() => return,
            () = hurry => {}
        }
        self.stop.send_replace(Stop::Now);
        self.ended().await;
    }
}

/// The files with the log of a pod's agent.
pub(super) fn log_files(pods: &Path, namespace: &str, name: &str) -> Option<LogFiles> {
    let directory = pods.join(paths::segment(namespace).ok()?).join(paths::segment(name).ok()?);
    Some(LogFiles::new(&directory))
}

/// All pods, each with its task.
struct Pods {
    shared: Arc<Shared>,
    running: BTreeMap<String, Handle>,
    tasks: JoinSet<String>,
}

struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
    references: BTreeSet<Reference>,
}

impl Pods {
    async fn run(mut self, mut changes: mpsc::Receiver<Change>, mut stopping: signal::Receiver<Stop>) {
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => self.take(change),
                    None => break,
                },
                Some(ended) = self.tasks.join_next() => self.forget(ended),
                changed = stopping.changed() => match changed {
                    Ok(()) => break,
                    // Dropped without a word, as at a panic: agents stay for the next start.
                    Err(_) => return,
                },
            }
        }
        drop(changes);
        if !self.running.is_empty() {
            tracing::info!(agents = self.running.len(), "ending the agents");
        }
        self.tell_all(Message::Shutdown(SHUTDOWN));
        while !self.tasks.is_empty() {
            let now = *stopping.borrow_and_update() == Stop::Now;
            if now {
                self.tell_all(Message::Kill);
            }
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.forget(ended),
                Ok(()) = stopping.changed(), if !now => {}
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Set(Kind::Pod, object) => self.pod(&object),
            Change::Gone(Kind::Pod, object) => {
                // The task said so itself, or somebody took the pod away under it.
                if let Some(handle) = self.running.get(uid(&object)) {
                    let _ = handle.inbox.send(Message::Delete(Duration::ZERO));
                }
            }
            Change::Set(Kind::Claim, object) => {
                let (namespace, name) = names(&object);
                self.shared.volumes.appeared(namespace, name);
            }
            Change::Gone(Kind::Claim, object) => {
                let (namespace, name) = names(&object);
                self.shared.volumes.deleted(namespace, name);
            }
            Change::Set(Kind::Secret, object) => self.object("Secret", object, true),
            Change::Gone(Kind::Secret, object) => self.object("Secret", object, false),
            Change::Set(Kind::ConfigMap, object) => self.object("ConfigMap", object, true),
            Change::Gone(Kind::ConfigMap, object) => self.object("ConfigMap", object, false),
            Change::Listed => {}
        }
    }

    fn pod(&mut self, object: &Value) {
        let deletion = PodSpec::deletion(object);
        if let Some(handle) = self.running.get(uid(object)) {
            if let Some(grace) = deletion {
                let _ = handle.inbox.send(Message::Delete(grace));
            }
            return;
        }
        let Some(spec) = PodSpec::parse(object) else { return };
        // What is told late of a pod that is gone must start nothing: its directory and name are its successor's.
        if !self.shared.handle.has(&spec.namespace, &spec.name, &spec.uid) {
            return;
        }
        let (inbox, messages) = mpsc::unbounded_channel();
        if let Some(grace) = deletion {
            let _ = inbox.send(Message::Delete(grace));
        }
        let uid = spec.uid.clone();
        self.running.insert(uid.clone(), Handle { inbox, references: spec.references() });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            pod::run(shared, spec, messages).await;
            uid
        });
    }

    fn object(&mut self, kind: &'static str, object: Value, there: bool) {
        let (namespace, name) = names(&object);
        let reference = Reference { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        self.shared.objects.set(reference.clone(), there.then_some(object));
        for handle in self.running.values().filter(|handle| handle.references.contains(&reference)) {
            let _ = handle.inbox.send(Message::Changed);
        }
    }

    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                self.running.remove(&uid);
            }
            Err(error) => tracing::error!(%error, "the task of a pod failed; the pod is run again after a restart"),
        }
    }

    fn tell_all(&self, message: Message) {
        for handle in self.running.values() {
            let _ = handle.inbox.send(message);
        }
    }

    /// Ends the agents of pods that are no more, and removes what is left of them.
    async fn sweep(&self, pods: &[Value]) {
        let wanted: BTreeSet<&str> = pods.iter().map(uid).collect();
        let layout = &self.shared.layout;
        for namespace in names_in(&layout.pods()) {
            for name in names_in(&layout.pods().join(&namespace)) {
                let Ok(paths) = layout.pod(&namespace, &name) else { continue };
                if let Some(holder) = lock::holder(&paths.root) {
                    if wanted.contains(holder.pod_uid.as_deref().unwrap_or_default()) {
                        continue;
                    }
                    tracing::info!(pod = name, pid = holder.pid, "ending an agent whose pod is gone");
                    end(holder.pid).await;
                }
                let known = record::read(&paths.directory).is_some_and(|record| wanted.contains(record.uid.as_str()));
                if !known && let Err(error) = root::remove_tree(&paths.directory) {
                    tracing::warn!(pod = name, %error, "the directory of a pod that is gone cannot be removed");
                }
            }
        }
    }
}

/// Ends a process that is no child of ours.
async fn end(pid: u32) {
    let Ok(mut process) = process::Process::adopt(pid) else { return };
    process::terminate(pid);
    if tokio::time::timeout(ORPHAN, process.wait()).await.is_err() {
        process::kill(pid);
        process.wait().await;
    }
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

fn names(object: &Value) -> (&str, &str) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}
