//! Executes a unit's plan, and feeds what came back to the watch cache.

use super::Dependencies;
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
    /// Whether nothing was done, because the API server would have refused a part of it.
    pub(super) untouched: bool,
    /// The objects that the API server has as they were sent.
    pub(super) sent: Vec<ObjectKey>,
}

/// The end of an apply that could not begin.
pub(super) fn not_begun(plan: &UnitPlan, error: &str) -> Applied {
    let first = plan.actions.first().map(|action| action.key.clone());
    let message = format!("the inventory could not be written: {error}");
    Applied { failures: first.map(|key| (key, message)).into_iter().collect(), ..Applied::default() }
}

/// Executes a plan and feeds what came back to the watch cache. One that changes what runs is first shown to the API server
/// as a whole, and left if a part of it would be refused; not so what only `heals`: Git wanted it before, and it was taken.
pub(super) async fn apply(
    parts: &Dependencies,
    observer: &cluster::Observer,
    pace: &cluster::Pace,
    plan: &UnitPlan,
    cancel: &cluster::Cancel,
    heals: bool,
) -> Applied {
    if is_asked_first(plan, heals) {
        let failures = refusals(parts, observer, pace, plan, cancel).await;
        if !failures.is_empty() {
            return Applied { failures, complete: !cancel.is_cancelled(), untouched: true, sent: Vec::new() };
        }
    }
    let outcomes = cluster::apply(&parts.client, observer.kinds(), pace, plan, cancel).await;
    let mut applied = Applied { complete: !cancel.is_cancelled(), ..Applied::default() };
    for (action, outcome) in plan.actions.iter().zip(outcomes) {
        let operation = if matches!(action.operation, Operation::Delete { .. }) { "delete" } else { "apply" };
        parts.metrics.kubernetes_operation(operation, &outcome.key.kind, Outcome::from(&outcome.result));
        match outcome.result {
            Ok(done) => {
                if let (
                    cluster::Done::Applied(answer),
                    Operation::Create(sent)
                    | Operation::Update { object: sent, .. }
                    | Operation::Recreate { object: sent, .. },
                ) = (&done, &action.operation)
                {
                    observer.record(answer, sent.hash());
                    applied.sent.push(outcome.key.clone());
                }
                tracing::info!(unit = %plan.unit, object = %outcome.key, reason = %action.reason, "applied");
            }
            Err(cluster::Error::Cancelled) => {}
            Err(error) => {
                tracing::warn!(unit = %plan.unit, object = %outcome.key, %error, "could not be applied");
                applied.failures.push((outcome.key, sentence(&error)));
            }
        }
    }
    applied
}

/// Whether a plan is shown to the API server before it is executed. What only heals is not: it would cost every drifted
/// project a request for each object.
fn is_asked_first(plan: &UnitPlan, heals: bool) -> bool {
    !heals && plan::may_leave_half(plan)
}

/// Everything of a plan that the API server would refuse.
async fn refusals(
    parts: &Dependencies,
    observer: &cluster::Observer,
    pace: &cluster::Pace,
    plan: &UnitPlan,
    cancel: &cluster::Cancel,
) -> Vec<(ObjectKey, String)> {
    let outcomes = cluster::dry_run(&parts.client, observer.kinds(), pace, plan, cancel).await;
    let mut refusals = Vec::new();
    for outcome in outcomes {
        parts.metrics.kubernetes_operation("check", &outcome.key.kind, Outcome::from(&outcome.result));
        if let Err(error) = outcome.result
            && is_refusal(&error)
        {
            tracing::warn!(unit = %plan.unit, object = %outcome.key, %error, "would be refused; nothing is applied");
            refusals.push((outcome.key, sentence(&error)));
        }
    }
    refusals
}

/// Whether the answer to a dry run speaks against the real one. Not so what another action of the plan may bring (a kind,
/// a namespace), and a webhook that cannot be asked.
fn is_refusal(error: &cluster::Error) -> bool {
    match error {
        cluster::Error::Cancelled | cluster::Error::UnknownKind { .. } | cluster::Error::Api { code: 404, .. } => false,
        cluster::Error::Api { message, .. } => !message.contains("does not support dry run"),
        _ => true,
    }
}

fn sentence(error: &cluster::Error) -> String {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Unit;

    #[test]
    fn a_commit_is_asked_for_first_and_a_heal_never() {
        let action = |name: &str| plan::Action {
            key: ObjectKey::new("", "Service", None, name),
            api_version: "v1".into(),
            stage: 1,
            operation: Operation::Update { object: plan::Content::default(), take_over: false },
            reason: String::new(),
            changes: Vec::new(),
        };
        let plan = UnitPlan { unit: Unit::Base, actions: vec![action("a"), action("b")], held: Vec::new() };
        assert!(is_asked_first(&plan, false));
        assert!(!is_asked_first(&plan, true));
    }

    #[test]
    fn what_a_dry_run_cannot_know_does_not_hold_the_real_one_back() {
        let api = |code, message: &str| cluster::Error::Api {
            code,
            reason: String::new(),
            message: message.into(),
            retry_after: None,
        };
        let kind = cluster::Error::UnknownKind { group: "example.org".into(), kind: "Widget".into() };
        let webhook = "admission webhook \"x\" does not support dry run";
        for error in [cluster::Error::Cancelled, kind, api(404, "namespaces \"x\" not found"), api(400, webhook)] {
            assert!(!is_refusal(&error), "{error}");
        }
        for error in [api(422, "is invalid"), api(403, "quota"), api(400, "no"), cluster::Error::Fields(".x".into())] {
            assert!(is_refusal(&error), "{error}");
        }
    }
}
