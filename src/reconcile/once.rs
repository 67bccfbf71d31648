//! One look and one pass, for the commands `plan` and `reconcile --once`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::claims::Claims;
use super::inventory;
use super::on_demand::{FleetState, PlanQuery, compare, was_applied};
use super::{Dependencies, Reconciler, Snapshot};
use crate::cluster;
use crate::desired::{self, DesiredTree, DesiredUnit, Reader, Renderer, RootError, Verdicts};
use crate::git::{GitError, Tree};
use crate::plan::{self, UnitPlan};
use crate::project::{Phase, ProjectName, Revision, Sent, Unit};
use crate::sops;
use crate::store::StoreError;

/// How long the first look at the cluster may take.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The repository could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The inventory could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root does not build.
    #[error("{0}")]
    Root(String),
    /// The cluster does not answer.
    #[error("the cluster does not answer: {0}")]
    Cluster(String),
    /// The plan that somebody looked at is not the plan any more.
    #[error("the plan is {found} by now, not {wanted}: look at it again with `claude-manager plan`; nothing was done")]
    Outdated {
        /// What was asked for.
        wanted: String,
        /// What would be done.
        found: String,
    },
}

/// What one pass did and found.
#[derive(Debug, Default)]
pub struct OnceReport {
    /// The plan of each unit that has one, in order.
    pub plans: Vec<UnitPlan>,
    /// Units that cannot be planned or applied, with the reason.
    pub errors: Vec<(Unit, String)>,
    /// Folders that are not applied, and why.
    pub warnings: Vec<String>,
    /// How many objects Git wants of each unit that has a plan.
    pub objects: BTreeMap<Unit, usize>,
}

/// What of `revision` cannot be applied, and what it warns of. Asks no cluster.
///
/// # Errors
/// [`OnceError::Git`] and [`OnceError::Root`] when nothing of it can be read.
pub fn check_at(
    repository: &crate::git::Repository,
    identities: Arc<Vec<sops::Identity>>,
    revision: Revision,
) -> Result<OnceReport, OnceError> {
    let tree = repository.tree(revision)?;
    let mut renderer = Renderer::new(Arc::new(sops::reader(identities)), Arc::default());
    let desired = renderer.render(&tree, revision, None).map_err(|error| OnceError::Root(error.to_string()))?;
    let failed = |(unit, desired): (&Unit, &Arc<DesiredUnit>)| {
        desired.objects.as_ref().err().map(|error| (unit.clone(), error.message.clone()))
    };
    let errors = desired.units.iter().filter_map(failed).collect();
    Ok(OnceReport { errors, warnings: desired.warnings, ..OnceReport::default() })
}

/// What `revision` would change in the cluster. Writes nothing.
///
/// # Errors
/// [`OnceError`] when there can be no plan at all; a broken unit is an entry of the report.
pub async fn plan_at(parts: &Dependencies, revision: Revision) -> Result<OnceReport, OnceError> {
    look_at(parts, revision).await.map(|(_, report)| report)
}

/// What `revision` wants, and the plan that brings the cluster there.
async fn look_at(parts: &Dependencies, revision: Revision) -> Result<(FleetState, OnceReport), OnceError> {
    let desired = render(parts, revision)?;
    let inventory = parts.store.inventory().await?;
    let applied = parts.store.applied_digests().await?;
    let rendered = desired.units.values().flat_map(|unit| unit.objects.iter().flat_map(|objects| objects.iter()));
    let keys = rendered.map(|object| &object.key).chain(inventory.values().flat_map(BTreeMap::keys));
    let kinds: BTreeSet<cluster::Kind> = keys.map(|key| cluster::Kind::new(&key.group, &key.kind)).collect();
    let observer = cluster::Observer::start(parts.client.clone(), &parts.namespace, kinds);
    if tokio::time::timeout(FIRST_LOOK, observer.synced()).await.is_err() {
        let reason = observer.connection().borrow().unreachable.clone();
        return Err(OnceError::Cluster(reason.unwrap_or_else(|| "no answer in time".to_owned())));
    }
    let was_applied = was_applied(&desired, &applied);
    let claims = Arc::new(Claims::of(&desired.units));
    let known = FleetState { desired, inventory, was_applied, claims, ..FleetState::default() };
    let report = compare(&known, &observer, &PlanQuery::default());
    Ok((known, report))
}

/// What `revision` wants, rendered from nothing. One that the branch does not have is judged as a push of it would be: by the
/// policy of the branch, and against what the branch has.
pub(super) fn render(parts: &Dependencies, revision: Revision) -> Result<DesiredTree, OnceError> {
    let repository = &parts.repository;
    let tree = repository.tree(revision)?;
    let mut renderer = super::follow::renderer(parts);
    let policy_of = |revision: Revision, tree: &Tree| {
        desired::policy_in_force(tree, |file, limit| repository.versions(revision, file, limit))
    };
    let head = repository.head()?.filter(|head| *head != revision);
    let base = match head {
        Some(head) if !repository.is_ancestor(revision, head)? => Some(head),
        _ => None,
    };
    let root_error = |error: RootError| OnceError::Root(error.to_string());
    let Some(base) = base else {
        renderer.fall_back_on(policy_of(revision, &tree)?);
        return tokio::task::block_in_place(|| renderer.render(&tree, revision, None)).map_err(root_error);
    };
    let before = repository.tree(base)?;
    let policy = policy_of(base, &before)?;
    let changed = repository.diff_paths(Some(base), revision)?;
    tokio::task::block_in_place(|| {
        let mut desired = renderer.propose(&tree, revision, policy).map_err(root_error)?;
        let (reader, read) = (Reader::new(Arc::clone(&parts.memo)), sops::reader(Arc::clone(&parts.age_identities)));
        if let Ok(root) = reader.root(&before) {
            let policy = Arc::clone(&desired.policy);
            desired.refuse_renamed_volumes(&Verdicts::new(&reader, &before, &root, &policy, &read), &changed);
        }
        Ok(desired)
    })
}

/// Brings the cluster to the head and waits until nothing is left to do, or what is left has failed.
///
/// # Errors
/// [`OnceError`] when nothing could be done at all.
pub async fn reconcile_once(parts: Dependencies) -> Result<OnceReport, OnceError> {
    let head = parts.repository.head()?;
    let before = match head {
        Some(head) => plan_at(&parts, head).await?,
        None => OnceReport::default(),
    };
    let reconciler = Reconciler::start(parts);
    let mut snapshots = reconciler.subscribe();
    let synced = snapshots.wait_for(|snapshot| snapshot.synced && snapshot.head.is_some());
    if tokio::time::timeout(FIRST_LOOK, synced).await.is_err() {
        let reason = reconciler.snapshot().cluster.clone();
        return Err(OnceError::Cluster(reason.unwrap_or_else(|| "no answer in time".to_owned())));
    }
    let after = reconciler.refresh(None).await;
    Ok(OnceReport {
        plans: before.plans,
        errors: errors(&after),
        warnings: after.warnings.clone(),
        objects: before.objects,
    })
}

/// Executes the plan of the head, if it is the one with this hash, and nothing else: what differs only later is left to the
/// next plan.
///
/// # Errors
/// [`OnceError`] when nothing was done.
pub async fn reconcile_planned(parts: &Dependencies, hash: &str) -> Result<OnceReport, OnceError> {
    let (mut known, mut report) = match parts.repository.head()? {
        Some(head) => look_at(parts, head).await?,
        None => Default::default(),
    };
    let found = plan::plan_hash(&report.plans);
    if found != hash {
        return Err(OnceError::Outdated { wanted: hash.to_owned(), found });
    }
    let (kinds, pace) = (cluster::Kinds::new(parts.client.clone()), cluster::Pace::default());
    for plan in report.plans.iter().filter(|plan| !plan.actions.is_empty()) {
        // First what may exist from now on, so that nothing that was applied can be forgotten.
        let before = known.inventory.remove(&plan.unit).unwrap_or_default();
        let hashes = inventory::hashes(known.desired.units.get(&plan.unit).map(|one| &**one), plan);
        let mut after = inventory::during(&before, plan, &hashes);
        parts.store.set_inventory(&plan.unit, &after).await?;
        let outcomes = cluster::apply(&parts.client, &kinds, &pace, plan, &cluster::Cancel::never()).await;
        let done = outcomes.iter().filter(|outcome| matches!(outcome.result, Ok(cluster::Done::Applied(_))));
        let sent = done.filter_map(|outcome| Some((outcome.key.clone(), Sent::Hash(*hashes.get(&outcome.key)?))));
        after.extend(sent);
        parts.store.set_inventory(&plan.unit, &after).await?;
        report.errors.extend(failed(plan, outcomes));
    }
    Ok(report)
}

/// Asks the API server what it would say to the plans of a report, and adds what it would refuse to its errors.
pub async fn ask_server(parts: &Dependencies, report: &mut OnceReport) {
    let (kinds, pace) = (cluster::Kinds::new(parts.client.clone()), cluster::Pace::default());
    for plan in report.plans.iter().filter(|plan| !plan.actions.is_empty()) {
        let outcomes = cluster::dry_run(&parts.client, &kinds, &pace, plan, &cluster::Cancel::never()).await;
        report.errors.extend(failed(plan, outcomes));
    }
}

fn failed(plan: &UnitPlan, outcomes: Vec<cluster::Outcome>) -> impl Iterator<Item = (Unit, String)> {
    let unit = plan.unit.clone();
    outcomes.into_iter().filter_map(move |outcome| {
        let error = outcome.result.err()?;
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        Some((unit.clone(), format!("{}: {error}{hint}", outcome.key)))
    })
}

fn errors(snapshot: &Snapshot) -> Vec<(Unit, String)> {
    let base = snapshot.base_error.iter().map(|error| (Unit::Base, error.clone()));
    let failed = snapshot.projects.iter().filter(|(_, project)| project.status.phase == Phase::Failed);
    let unapplied = |name: &ProjectName, message: &str| (Unit::Project(name.clone()), message.to_owned());
    base.chain(failed.map(|(name, project)| unapplied(name, &project.status.message))).collect()
}
