//! Executes a unit's plan, and feeds what came back to the watch cache.

use super::Parts;
use crate::cluster;
use crate::metrics::Outcome;
use crate::plan::{self, Operation, UnitPlan};
use crate::project::ObjectKey;

/// How an apply ended.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// What could not be done, and why.
    pub(super) failures: Vec<(ObjectKey, String)>,
    /// Whether it was not stopped before its end.
    pub(super) complete: bool,
}

/// The end of an apply that could not begin.
pub(super) fn not_begun(plan: &UnitPlan, error: &str) -> Applied {
    let first = plan.actions.first().map(|action| action.key.clone());
    let message = format!("the inventory could not be written: {error}");
    Applied { failures: first.map(|key| (key, message)).into_iter().collect(), complete: false }
}

/// Executes a plan and feeds what came back to the watch cache.
pub(super) async fn apply(
    parts: &Parts,
    observer: &cluster::Observer,
    pace: &cluster::Pace,
    plan: &UnitPlan,
    cancel: &cluster::Cancel,
) -> Applied {
    let outcomes = cluster::apply(&parts.client, observer.kinds(), pace, plan, cancel).await;
    let mut applied = Applied { failures: Vec::new(), complete: !cancel.is_cancelled() };
    for (action, outcome) in plan.actions.iter().zip(outcomes) {
        let operation = if matches!(action.operation, Operation::Delete { .. }) { "delete" } else { "apply" };
        parts.metrics.kubernetes_operation(operation, &outcome.key.kind, Outcome::from(&outcome.result));
        match outcome.result {
            Ok(done) => {
                if let (
                    cluster::Done::Applied(answer),
                    Operation::Create(sent)
                    | Operation::Update { object: sent, .. }
                    | Operation::Remake { object: sent, .. },
                ) = (&done, &action.operation)
                {
                    observer.record(answer, plan::object_hash(sent));
                }
                tracing::info!(unit = %plan.unit, object = %outcome.key, reason = %action.reason, "applied");
            }
            Err(cluster::Error::Cancelled) => {}
            Err(error) => {
                tracing::warn!(unit = %plan.unit, object = %outcome.key, %error, "could not be applied");
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                applied.failures.push((outcome.key, format!("{error}{hint}")));
            }
        }
    }
    applied
}
