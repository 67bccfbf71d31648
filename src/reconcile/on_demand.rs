//! Plans on request: computes them from the desired state and the observed cluster, and executes them by hash.
//!
//! The loop applies commits by itself, so most plans are looked at before a merge. A hash binds what still waits for a
//! person afterwards: a project that Git suspends, drift that the policy leaves, a deletion that is held, and actions that
//! failed and will be tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claims::Claims;
use super::once::{OnceError, OnceReport, render};
use super::{Dependencies, Reconciler};
use crate::cluster;
use crate::desired::DesiredTree;
use crate::plan::{self, Desired, Drift, Observation, POLICY_FILE, Standing, UnitPlan};
use crate::project::{Inventory, ProjectName, Revision, Unit};

/// Which plans somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanQuery {
    /// Only this project's; it is planned though Git suspends it.
    pub project: Option<ProjectName>,
    /// With every drift corrected, whatever the policy says.
    pub corrects: bool,
}

impl PlanQuery {
    /// The rules for drift, where they are not the policy's.
    pub(super) fn drift(&self) -> Option<Drift> {
        self.corrects.then(Drift::default)
    }
}

/// What `revision` would change in the cluster, with what `reconciler` has seen of it: asks the cluster nothing. The head is
/// not rendered again.
///
/// # Errors
/// [`OnceError`] when there can be no plan at all; a broken unit is an entry of the report.
pub async fn plan_seen(
    parts: &Dependencies,
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
        let claims = Arc::new(Claims::of(&desired.units));
        let FleetState { inventory, standings, .. } = seen.known;
        seen.known = FleetState { desired, was_applied, inventory, claims, standings, ..FleetState::default() };
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

/// The units that `applied` says were brought to what `desired` wants.
pub(super) fn was_applied(desired: &DesiredTree, applied: &BTreeMap<Unit, String>) -> BTreeSet<Unit> {
    let as_before = |unit: &Unit| {
        let objects = desired.units.get(unit).and_then(|unit| unit.objects.as_ref().ok());
        objects.is_some_and(|objects| applied.get(unit).is_some_and(|digest| *digest == objects.digest()))
    };
    applied.keys().filter(|unit| as_before(unit)).cloned().collect()
}

/// What is wanted, and what is known of it beside the cluster.
#[derive(Debug, Default)]
pub(super) struct FleetState {
    /// What Git wants.
    pub(super) desired: DesiredTree,
    /// What was applied for each unit.
    pub(super) inventory: BTreeMap<Unit, Inventory>,
    /// Which unit wants which object.
    pub(super) claims: Arc<Claims>,
    /// How units stand of which neither `desired` nor `inventory` has anything.
    pub(super) standings: BTreeMap<Unit, Standing>,
    /// The units that were brought to what is wanted before.
    pub(super) was_applied: BTreeSet<Unit>,
    /// The units of which it is known that nothing is to be done or said by the policy's rules. Optimisation only: each of
    /// them would be unpacked and compared to find the same.
    pub(super) settled: BTreeSet<Unit>,
}

impl FleetState {
    fn standing(&self, unit: &Unit) -> Standing {
        match self.desired.units.get(unit) {
            Some(desired) if desired.objects.is_ok() => Standing::Builds,
            Some(_) => Standing::Unsettled,
            None => match self.standings.get(unit).copied().unwrap_or_default() {
                Standing::Unknown if self.inventory.contains_key(unit) => Standing::Deleted,
                standing => standing,
            },
        }
    }
}

/// The plans that bring what was observed to what is desired.
pub(super) fn compare(known: &FleetState, observer: &cluster::Observer, query: &PlanQuery) -> OnceReport {
    let FleetState { desired, inventory, was_applied, settled, claims, .. } = known;
    let mut report = OnceReport { warnings: desired.warnings.clone(), ..OnceReport::default() };
    let corrected = query.drift();
    let drift = corrected.as_ref().unwrap_or(&desired.policy.drift);
    let units: BTreeSet<Unit> = match &query.project {
        Some(name) => BTreeSet::from([Unit::Project(name.clone())]),
        None => desired.units.keys().chain(inventory.keys()).cloned().chain(observer.units(|_| true)).collect(),
    };
    for unit in units {
        if settled.contains(&unit) && !query.corrects && suspended(desired, &unit).is_none() {
            let wanted = desired.units.get(&unit).and_then(|unit| unit.objects.as_ref().ok());
            if let Some(objects) = wanted {
                report.plans.push(UnitPlan { unit: unit.clone(), actions: Vec::new(), held: Vec::new() });
                report.objects.insert(unit, objects.iter().count());
                continue;
            }
        }
        let wanted_keys =
            desired.units.get(&unit).into_iter().flat_map(|unit| unit.objects.iter().flat_map(|all| all.iter()));
        let applied = inventory.get(&unit).cloned().unwrap_or_default();
        let objects = observer.objects_for(&unit, wanted_keys.map(|object| &object.key).chain(applied.keys()));
        let was_applied = was_applied.contains(&unit);
        let mut observation = Observation { objects, inventory: applied, was_applied, ..Observation::default() };
        claims.complete(&mut observation, &unit, |other| known.standing(other));
        if !desired.units.contains_key(&unit) && !inventory.contains_key(&unit) {
            report.warnings.push(format!("the cluster has objects of {unit}, which is neither in Git nor known here"));
            continue;
        }
        if let Some((file, why)) = suspended(desired, &unit) {
            let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
            report.warnings.push(format!("{unit} is suspended by {file}{why}: nothing of it is applied"));
            if query.project.is_none() {
                continue;
            }
        }
        match wanted(desired, &unit) {
            Ok(wanted) => {
                report.plans.push(plan::unit(&unit, &wanted, &observation, drift));
                if let Desired::Objects(objects) = wanted {
                    report.objects.insert(unit, objects.len());
                }
            }
            Err(error) => report.errors.push((unit, error)),
        }
    }
    report
}

fn suspended<'a>(tree: &'a DesiredTree, unit: &Unit) -> Option<(&'a str, &'a str)> {
    let own = tree.units.get(unit).and_then(|desired| desired.suspended.as_deref());
    let all = tree.policy.suspended.as_deref().map(|why| (POLICY_FILE, why));
    all.or_else(|| own.map(|why| ("its overlay", why)))
}

fn wanted(tree: &DesiredTree, unit: &Unit) -> Result<Desired, String> {
    match tree.units.get(unit) {
        Some(desired) => match &desired.objects {
            Ok(objects) => Ok(Desired::Objects(objects.wanted())),
            Err(error) => Err(error.message.clone()),
        },
        None => {
            let delete_volumes = matches!(unit, Unit::Project(name) if tree.volumes_given_up.contains(name));
            Ok(Desired::Absent { delete_volumes })
        }
    }
}
