//! Clones and fetches of the state repository, bounded in number.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use hyper::body::Bytes;

use super::services::ask;
use super::{FetchRequest, OperationError, Operations, permit};
use crate::project::{Action, Actor, ErrorKind};

/// How many are answered at the same time.
pub(super) const AT_ONCE: usize = 8;
/// How long a place is waited for.
const WAIT: Duration = Duration::from_secs(10);

/// An answer to a fetch.
pub type PackStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

impl Operations {
    /// Begins to answer a request of `git fetch` or `git clone`. The secrets in the repository are encrypted, so that a
    /// caller who may read may fetch.
    ///
    /// # Errors
    /// [`OperationError`] when the role of `actor` may not read, too many fetches are answered already, or the program cannot
    /// be started.
    pub async fn fetch(
        &self,
        actor: &Actor,
        protocol: Option<&str>,
        request: FetchRequest,
    ) -> Result<PackStream, OperationError> {
        permit(actor, Action::Read)?;
        let place = tokio::time::timeout(WAIT, self.fetches.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            let message =
                format!("{AT_ONCE} fetches of the state repository are being answered; try again in a moment");
            return Err(OperationError::new(ErrorKind::Unavailable, message));
        };
        let stream = ask!(self, services => services.fetch(protocol, request))?;
        Ok(Box::pin(stream.map(move |part| {
            // The place is free again when the stream is dropped.
            let _place = &place;
            part
        })))
    }
}
