//! A way to say "stop, there is something newer" to an execution under way.

use tokio::sync::watch;

/// The side that stops; dropping it stops nothing.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// The side that is stopped: nothing new is begun, what is on its way to the API server is waited for.
#[derive(Clone, Debug)]
pub struct Cancel(Option<watch::Receiver<bool>>);

/// A connected pair.
#[must_use]
pub fn cancellation() -> (Canceller, Cancel) {
    let (sender, receiver) = watch::channel(false);
    (Canceller(sender), Cancel(Some(receiver)))
}

impl Canceller {
    /// Stops the other side, for ever.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// One that never happens.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// Whether it has happened.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|receiver| *receiver.borrow())
    }

    /// Returns when it happens; may never.
    pub async fn cancelled(&self) {
        if let Some(receiver) = &self.0 {
            let mut receiver = receiver.clone();
            if receiver.wait_for(|cancelled| *cancelled).await.is_ok() {
                return;
            }
        }
        std::future::pending().await
    }
}
