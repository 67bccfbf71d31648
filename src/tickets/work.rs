//! Works deliveries off: issues side by side, those of one issue one after the other. A failure that may pass is tried again
//! with back-off, and holds up the later ones of its issue; what fails for good is dead, and kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::act::{self, Failure};
use super::{Inner, inbox, now};
use crate::metrics::Outcome;
use crate::store::{Delivery, DeliveryState, StoreError};

/// How many issues are worked on at once.
const AT_ONCE: usize = 4;
/// How long a delivery belongs to the process that took it, in milliseconds.
const LEASE: i64 = 120_000;
/// The longest that one try may take.
const LONGEST: Duration = Duration::from_secs(100);
/// The time before each further try, in seconds. After the last one the delivery is dead: more than a day later.
const DELAYS: [i64; 12] = [1, 2, 5, 15, 60, 300, 900, 3600, 7200, 14_400, 28_800, 43_200];
/// How long a webhook waits for that of its issue's creation: JIRA's retries end after half an hour.
const PARKED: i64 = 45 * 60 * 1000;
/// How long what was worked off is kept, in milliseconds.
const KEPT: i64 = 14 * 24 * 60 * 60 * 1000;
/// The longest time between two looks, and between two clean-ups.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until the process ends.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut running: JoinSet<String> = JoinSet::new();
    let mut issues: BTreeSet<String> = BTreeSet::new();
    let mut cleaned: Option<Instant> = None;
    loop {
        if cleaned.is_none_or(|cleaned| cleaned.elapsed() > LOOK * 60) {
            cleaned = Some(Instant::now());
            if let Err(error) = inner.store.forget_deliveries(now() - KEPT).await {
                tracing::warn!(%error, "old deliveries could not be deleted");
            }
        }
        let wait = match start(&inner, &mut running, &mut issues).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(%error, "deliveries could not be looked at");
                Duration::from_secs(5)
            }
        };
        tokio::select! {
            Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                Ok(issue) => drop(issues.remove(&issue)),
                // The claim runs out, and the delivery is taken again.
                Err(error) => {
                    tracing::error!(%error, "a delivery ended early");
                    if running.is_empty() {
                        issues.clear();
                    }
                }
            },
            _ = timeout(wait, inner.work.notified()) => {}
        }
    }
}

/// Starts what is due, and returns how long there is nothing more to start.
async fn start(
    inner: &Arc<Inner>,
    running: &mut JoinSet<String>,
    issues: &mut BTreeSet<String>,
) -> Result<Duration, StoreError> {
    if running.len() >= AT_ONCE {
        return Ok(LOOK);
    }
    let due = inner.store.due_deliveries(now(), 64).await?;
    for delivery in due {
        let lane = if delivery.issue.is_empty() { delivery.id.clone() } else { delivery.issue.clone() };
        if running.len() >= AT_ONCE || !issues.insert(lane.clone()) {
            continue;
        }
        let inner = Arc::clone(inner);
        running.spawn(async move {
            inbox::quiet(&inner).await;
            if let Err(error) = one(&inner, delivery).await {
                tracing::error!(%error, "what became of a delivery could not be written; it is tried again");
            }
            lane
        });
    }
    if running.len() >= AT_ONCE {
        return Ok(LOOK);
    }
    let now = now();
    let next = inner
        .store
        .next_delivery(now)
        .await?
        .map_or(LOOK.as_millis(), |next| (next - now).max(1).unsigned_abs().into());
    Ok(Duration::from_millis(u64::try_from(next).unwrap_or(u64::MAX)).min(LOOK))
}

/// Takes one delivery, does what it leads to, and writes what became of it.
async fn one(inner: &Arc<Inner>, delivery: Delivery) -> Result<(), StoreError> {
    let began = now();
    let Some(body) = inner.store.claim_delivery(&delivery.id, &inner.owner, began, began + LEASE).await? else {
        return Ok(());
    };
    let started = Instant::now();
    let done = timeout(LONGEST, act::work_off(inner, &delivery, &body)).await;
    let done = done.unwrap_or_else(|_| Err(Failure::Later("it took too long".to_owned())));
    let took = started.elapsed();
    let outcome = if done.is_ok() { Outcome::Success } else { Outcome::Failure };
    inner.metrics.webhook_processed("jira", outcome, took);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (issue, id) = (delivery.issue_key.as_str(), delivery.id.as_str());
    let after = match done {
        Ok(act::Done { state: DeliveryState::Parked, outcome }) => Delivery {
            state: DeliveryState::Parked,
            outcome,
            next_at: delivery.received_at + PARKED,
            took_ms,
            ..delivery.clone()
        },
        Ok(act::Done { state, outcome }) => {
            tracing::info!(issue, delivery = id, state = state.as_str(), outcome, "a delivery was worked off");
            Delivery { state, outcome, next_at: 0, took_ms, ..delivery.clone() }
        }
        Err(failure) => failed(&delivery, &failure, took_ms),
    };
    inner.store.note_delivery(&after).await
}

fn failed(delivery: &Delivery, failure: &Failure, took_ms: u64) -> Delivery {
    let (issue, id) = (delivery.issue_key.as_str(), delivery.id.as_str());
    let attempts = delivery.attempts + 1;
    let delay = usize::try_from(delivery.attempts).ok().and_then(|index| DELAYS.get(index));
    let again = match (failure, delay) {
        (Failure::Later(why), Some(seconds)) => Some((why, seconds * 1000)),
        (Failure::After(why, wait), Some(_)) => Some((why, i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2))),
        _ => None,
    };
    match again {
        Some((outcome, delay)) => {
            tracing::warn!(issue, delivery = id, attempts, outcome, "a delivery is tried again");
            let state = DeliveryState::Waiting;
            Delivery { state, outcome: outcome.clone(), attempts, next_at: now() + delay, took_ms, ..delivery.clone() }
        }
        None => {
            let outcome = failure.why().to_owned();
            tracing::error!(issue, delivery = id, attempts, outcome, "a delivery failed for good; it can be replayed");
            Delivery { state: DeliveryState::Dead, outcome, attempts, next_at: 0, took_ms, ..delivery.clone() }
        }
    }
}
