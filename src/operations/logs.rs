//! Logs of projects, also without an end. Those who read are bounded in number, and end when the manager stops.
//!
//! A reader that follows holds a connection and a place of [`AT_ONCE`], but no worker. It goes when its stream is
//! dropped, when the container ends, or when the manager stops.

use std::sync::Arc;

use futures::StreamExt as _;
use tokio::sync::{Semaphore, watch};

use super::services::ask;
use super::{ErrorCode, OperationError, Operations};
use crate::cluster::{LogError, LogQuery, LogStream};
use crate::project::{ErrorKind, Phase, ProjectName};
use crate::reconcile::ProjectState;

/// How many logs are read at the same time.
const AT_ONCE: usize = 64;

/// What all readers of logs share; cheap to clone.
#[derive(Clone)]
pub(super) struct LogReaders {
    places: Arc<Semaphore>,
    closing: Arc<watch::Sender<bool>>,
}

impl LogReaders {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), closing: Arc::new(watch::channel(false).0) }
    }
}

impl Operations {
    /// Opens a project's log, in one of the places for it.
    ///
    /// # Errors
    /// [`OperationError`] when there is no such project, no log (its code says why), or no place.
    pub async fn logs(&self, name: &ProjectName, query: &LogQuery) -> Result<LogStream, OperationError> {
        let project = self.project(name)?;
        let place = Arc::clone(&self.readers.places).try_acquire_owned().map_err(|_| {
            let message =
                format!("{AT_ONCE} logs are being read already; try again when a reader has stopped following");
            OperationError::new(ErrorKind::Unavailable, message)
        })?;
        let log = ask!(self, services => services.logs(name, query).await);
        let log = log.map_err(|error| no_log(name, &project, error))?;
        let mut closing = self.readers.closing.subscribe();
        let closed = Box::pin(async move {
            let _ = closing.wait_for(|closing| *closing).await;
        });
        let held = log.map(move |part| {
            // The place is free again when the stream is dropped.
            let _place = &place;
            part
        });
        Ok(Box::pin(held.take_until(closed)))
    }

    /// Ends the answers that would go on for ever, so that the program can stop.
    pub fn close_streams(&self) {
        self.readers.closing.send_replace(true);
    }
}

/// Why there is no log, and what to do.
fn no_log(name: &ProjectName, project: &ProjectState, error: LogError) -> OperationError {
    match error {
        LogError::NoPod => {
            let why = match project.status.phase {
                Phase::Stopped | Phase::Stopping => {
                    format!("{name} is stopped, and its log went with its pod; start it, then ask again")
                }
                Phase::Deleting => format!("{name} is being deleted"),
                Phase::Pending | Phase::Starting | Phase::Running | Phase::Failed | Phase::Suspended => {
                    format!("{name} has no pod (yet): {}", project.status.message)
                }
            };
            OperationError::new(ErrorKind::Conflict, why).with_code(ErrorCode::NoPod)
        }
        LogError::NotStarted(why) => {
            let message =
                format!("the container has not started yet ({why}); ask again in a moment. {}", project.status.message);
            OperationError::new(ErrorKind::Conflict, message).with_code(ErrorCode::NoPod)
        }
        LogError::NoPrevious => {
            let message = "the container has had no earlier run; leave out previous for the log of this one";
            OperationError::new(ErrorKind::NotFound, message).with_code(ErrorCode::NoPreviousRun)
        }
        LogError::NoContainer { known, .. } => {
            OperationError::field("container", format!("must be one of {}", known.join(", ")))
        }
        // Whatever the cluster says of our own rights or of itself, the caller's request was good.
        LogError::Cluster(error) => {
            let message = format!("the cluster gave no log: {error}");
            OperationError::new(ErrorKind::Unavailable, message).with_code(ErrorCode::Cluster)
        }
    }
}
