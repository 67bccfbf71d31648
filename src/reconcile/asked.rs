//! Plans for whoever asks a running manager, and their execution by hash.
//!
//! A commit is applied by itself, as soon as it is there: it can be looked at before it is merged, and nobody has to say a
//! word afterwards. What is bound to a hash is what waits for a person all the same: a project that Git suspends, drift
//! that the policy leaves, a deletion that is held, and what failed and is tried again later.

use std::collections::BTreeMap;

use super::compare::{Known, PlanQuery, compare, was_applied};
use super::once::{OnceError, OnceReport, render};
use super::{Parts, Reconciler};
use crate::plan::{self, UnitPlan};
use crate::project::{Revision, Unit};

/// What `revision` would change in the cluster, with what `reconciler` has seen of it: asks the cluster nothing. The head is
/// not rendered again.
///
/// # Errors
/// [`OnceError`] when there can be no plan at all; a broken unit is an entry of the report.
pub async fn plan_seen(
    parts: &Parts,
    reconciler: &Reconciler,
    revision: Revision,
    query: &PlanQuery,
) -> Result<OnceReport, OnceError> {
    let snapshot = reconciler.snapshot();
    let unknown = || snapshot.cluster.clone().unwrap_or_else(|| "it was not seen as a whole yet".to_owned());
    let only = query.project.clone().map(Unit::Project);
    let seen = reconciler.seen(only).await.filter(|_| snapshot.synced);
    let mut seen = seen.ok_or_else(|| OnceError::Cluster(unknown()))?;
    if seen.head != Some(revision) {
        let desired = render(parts, revision)?;
        let was_applied = was_applied(&desired, &parts.store.applied_digests().await?);
        seen.known = Known { desired, was_applied, inventory: seen.known.inventory, ..Known::default() };
    }
    Ok(tokio::task::block_in_place(|| compare(&seen.known, &seen.observer, query)))
}

/// Has the plans done that somebody has looked at with `query`, each if it is still that plan, and waits for their end.
/// Gives what was not done, and why; `None` when the reconciler has ended.
pub async fn apply_plans(
    reconciler: &Reconciler,
    plans: &[UnitPlan],
    query: &PlanQuery,
) -> Option<Vec<(Unit, String)>> {
    let hash = |plan: &UnitPlan| (plan.unit.clone(), plan::plan_hash(std::slice::from_ref(plan)));
    let plans: BTreeMap<Unit, String> = plans.iter().filter(|plan| !plan.actions.is_empty()).map(hash).collect();
    if plans.is_empty() {
        return Some(Vec::new());
    }
    reconciler.grant(plans, query.drift()).await
}
