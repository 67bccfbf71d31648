//! The way of the inventory to the store: written in order, one entry after the other.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, oneshot};

use crate::project::{ObjectKey, Unit};
use crate::store::Store;

/// What belongs to a unit, on its way to the store.
pub(super) struct Entry {
    pub(super) unit: Unit,
    /// Everything that is its own.
    pub(super) keys: BTreeSet<ObjectKey>,
    /// Whom to tell when it is there.
    pub(super) written: Option<oneshot::Sender<Result<(), String>>>,
}

/// Writes the inventory, one entry after the other: an older one must never overwrite a newer one.
pub(super) async fn keep(store: Store, mut entries: mpsc::UnboundedReceiver<Entry>) {
    while let Some(Entry { unit, keys, written }) = entries.recv().await {
        let result = store.set_inventory(&unit, &keys).await.map_err(|error| error.to_string());
        if let Err(error) = &result {
            tracing::warn!(%unit, error, "the inventory could not be written");
        }
        if let Some(written) = written {
            let _ = written.send(result);
        }
    }
}
