//! A Kubernetes API in this process, so that the whole product works on a machine where nothing is installed.
//!
//! Takes a directory and gives a `kube::Client` whose requests never leave the process: there is no port. It answers what
//! our own client sends (list, watch, server-side apply, JSON and merge patches, deletion) for the kinds of environments,
//! in the words of the real API server: the same requests are sent to both in `tests/it/replay.rs`, and the answers have
//! to be equal.
//!
//! The cluster itself runs no pods; they wait with the reason `NoRuntime` until somebody takes the [`Runtime`]. The
//! [`LocalRuntime`] does, and runs the agent of each as a process on this machine.
//!
//! **Architecture invariant:** whoever uses the client cannot tell the difference; nothing outside `app` names this module.

mod controllers;
mod defaults;
mod errors;
mod fields;
mod journal;
mod log;
mod merge;
mod quantity;
mod resources;
mod runtime;
mod schema;
mod select;
mod service;
mod state;
mod validate;
mod write;

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use serde_json::Value;
use tokio::sync::watch;

pub use self::runtime::{LocalRuntime, Options, RuntimeError};
use self::schema::Schema;
use self::state::{Id, State};
use crate::project::ErrorKind;

/// Why the embedded cluster does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be used.
    #[error("embedded cluster: {path}: {source}")]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("embedded cluster: {0} is in use by another process; stop that one, or choose another DATA_DIR")]
    InUse(PathBuf),
    /// The file is not what this program writes.
    #[error("embedded cluster: {path}:{line}: {reason}; restore the file, or move it away to begin anew from Git")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line in it, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is no such pod.
    #[error("embedded cluster: there is no pod {namespace}/{name}")]
    NoPod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A write failed.
    #[error("embedded cluster: {0}")]
    Refused(String),
}

impl Error {
    /// What the error means to whoever caused it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage { .. } | Self::InUse(_) | Self::Refused(_) => ErrorKind::Unavailable,
            Self::Damaged { .. } => ErrorKind::Internal,
            Self::NoPod { .. } => ErrorKind::NotFound,
        }
    }
}

/// The embedded cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    schema: Schema,
    state: Mutex<State>,
    /// The version of the last change, for watches.
    signal: watch::Sender<u64>,
}

impl Inner {
    fn wake(&self) {
        let version = lock(&self.state).version();
        self.signal.send_if_modified(|known| std::mem::replace(known, version) != version);
    }
}

impl Cluster {
    /// Opens the cluster in `directory`, which is made if need be. Only one process can have it.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::InUse`], [`Error::Damaged`].
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let mut state = State::open(directory)?;
        // Whatever ran pods ended with the last process.
        controllers::reset_pods(&mut state).map_err(refused)?;
        let signal = watch::Sender::new(state.version());
        Ok(Self(Arc::new(Inner { schema: Schema::new(), state: Mutex::new(state), signal })))
    }

    /// A client for it. Has to be called within a tokio runtime.
    #[must_use]
    pub fn client(&self) -> Client {
        let inner = Arc::clone(&self.0);
        let service = tower::service_fn(move |request| {
            let inner = Arc::clone(&inner);
            async move { Ok::<_, Infallible>(service::answer(inner, request).await) }
        });
        Client::new(service, "default")
    }

    /// The one handle through which pods are run; `None` while somebody has it. With it, pods are no longer `NoRuntime`,
    /// and a deleted pod stays, with its deletion time set, until [`Runtime::removed`].
    ///
    /// # Errors
    /// [`Error::Refused`] when the change cannot be written down.
    pub fn runtime(&self) -> Result<Option<Runtime>, Error> {
        let mut state = lock(&self.0.state);
        if state.has_runtime {
            return Ok(None);
        }
        state.has_runtime = true;
        controllers::reset_pods(&mut state).map_err(refused)?;
        drop(state);
        self.0.wake();
        Ok(Some(Runtime(Arc::clone(&self.0))))
    }
}

/// The right to say how pods are doing. Which pods there are to run, it learns by a watch like anybody else.
pub struct Runtime(Arc<Inner>);

impl Runtime {
    /// Sets the status of the pod with this uid.
    ///
    /// # Errors
    /// [`Error::NoPod`]; [`Error::Refused`] when it cannot be written down.
    pub fn set_status(&self, namespace: &str, name: &str, uid: &str, status: Value) -> Result<(), Error> {
        let (id, mut state) = self.pod(namespace, name, uid)?;
        let Some(pod) = state.get(&id).filter(|pod| pod["status"] != status).cloned() else { return Ok(()) };
        let mut pod = (*pod).clone();
        pod["status"] = status;
        state.put(&id, pod).map_err(refused)?;
        controllers::settle(&mut state, [id]).map_err(refused)?;
        drop(state);
        self.0.wake();
        Ok(())
    }

    /// Says that nothing of the deleted pod with this uid runs any more.
    ///
    /// # Errors
    /// As [`Self::set_status`].
    pub fn removed(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
        let (id, mut state) = self.pod(namespace, name, uid)?;
        state.remove(&id).map_err(refused)?;
        controllers::settle(&mut state, [id]).map_err(refused)?;
        drop(state);
        self.0.wake();
        Ok(())
    }

    /// Says where the logs are, for the requests that read them.
    fn keeps_logs_in(&self, pods: &Path) {
        lock(&self.0.state).logs = Some(pods.to_owned());
    }

    /// Whether the pod with this uid is there; another one may have its name by now.
    fn has(&self, namespace: &str, name: &str, uid: &str) -> bool {
        self.pod(namespace, name, uid).is_ok()
    }

    fn pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(Id, MutexGuard<'_, State>), Error> {
        let none = || Error::NoPod { namespace: namespace.to_owned(), name: name.to_owned() };
        let resource = resources::by_kind("", "Pod").ok_or_else(none)?;
        let id = Id { resource, namespace: namespace.to_owned(), name: name.to_owned() };
        let state = lock(&self.0.state);
        if state.get(&id).is_none_or(|pod| pod["metadata"]["uid"] != uid) {
            return Err(none());
        }
        Ok((id, state))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.has_runtime = false;
        state.logs = None;
        if let Err(refusal) = controllers::reset_pods(&mut state) {
            tracing::warn!(error = %refused(refusal), "pods could not be marked as not running");
        }
        drop(state);
        self.0.wake();
    }
}

fn refused(refusal: errors::Refusal) -> Error {
    Error::Refused(refusal.body["message"].as_str().unwrap_or_default().to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is made whole or not at all, so what a panic leaves behind is usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time as Kubernetes writes it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random UUID.
fn uid() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
