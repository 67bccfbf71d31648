//! Plans: made for whoever asks, from what the reconciler knows, and applied by their hash only.

use super::services::ask;
use super::{OperationError, Operations, permit};
use crate::metrics::Outcome;
use crate::plan::{self, Operation};
use crate::project::{Action, Actor, Revision, Unit};
use crate::reconcile::{Dependencies, OnceReport, PlanQuery};

/// Which plan is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanRequest {
    /// A commit, branch or tag; `None`: the head.
    pub revision: Option<String>,
    /// Which units, and which rules for drift.
    pub query: PlanQuery,
    /// Whether the API server is asked to check the plan (a dry run).
    pub server: bool,
}

/// A plan, and the commit that it leads to.
#[derive(Debug)]
pub struct Planned {
    /// The commit.
    pub revision: Revision,
    /// The plan of each unit, and what cannot be planned.
    pub report: OnceReport,
}

/// What came of a plan that was to be applied.
#[derive(Debug)]
pub enum PlanOutcome {
    /// It was applied.
    Applied {
        /// The plan.
        planned: Planned,
        /// What of it was not done, and why.
        failures: Vec<(Unit, String)>,
    },
    /// The plan has changed to this one; nothing was done.
    Outdated(Planned),
}

impl Planned {
    /// The hash that binds an approval to this plan.
    #[must_use]
    pub fn hash(&self) -> String {
        plan::plan_hash(&self.report.plans)
    }

    /// The plan for people, object by object, without secrets.
    #[must_use]
    pub fn text(&self) -> String {
        plan::show(&self.report.plans)
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        self.report.plans.iter().any(|plan| !plan.actions.is_empty())
    }

    fn deletes_volumes(&self) -> bool {
        let mut actions = self.report.plans.iter().flat_map(|plan| &plan.actions);
        actions.any(|action| {
            matches!(action.operation, Operation::Delete { .. }) && action.key.kind == "PersistentVolumeClaim"
        })
    }
}

impl Operations {
    /// Plans a commit, or one project of the head: what would be done to the cluster as it is now. Writes nothing.
    ///
    /// # Errors
    /// [`OperationError`] when there can be no plan at all; a unit that cannot be planned is an entry of the report.
    pub async fn plan(&self, request: &PlanRequest) -> Result<Planned, OperationError> {
        let Some(name) = &request.query.project else {
            let ended = |error| OperationError::internal(format!("no plans are made any more: {error}"));
            let _turn = self.planning.acquire().await.map_err(ended)?;
            return ask!(self, services => services.plan(request).await);
        };
        if request.revision.is_some() {
            let message = "is for the plan of everything; a project's plan is that of the head";
            return Err(OperationError::field("revision", message));
        }
        self.project(name)?;
        ask!(self, services => services.plan(request).await)
    }

    /// Applies the plan of the head that `request` leads to, if its hash is one of `hashes`: that plan or nothing.
    ///
    /// # Errors
    /// [`OperationError`] when the role of `actor` may not apply it (a plan that deletes volumes needs an administrator),
    /// or when there can be no plan; nothing was done then.
    pub async fn apply_plan(
        &self,
        actor: &Actor,
        request: &PlanRequest,
        hashes: &[String],
    ) -> Result<PlanOutcome, OperationError> {
        permit(actor, Action::Apply)?;
        if request.revision.is_some() {
            let message = "is for looking; what is applied is the head, so merge the commit first";
            return Err(OperationError::field("revision", message));
        }
        if request.server {
            let message = "is for looking; what is applied is answered by the API server anyway";
            return Err(OperationError::field("server", message));
        }
        let planned = self.plan(request).await?;
        let hash = planned.hash();
        if !hashes.contains(&hash) {
            return Ok(PlanOutcome::Outdated(planned));
        }
        if planned.deletes_volumes() {
            permit(actor, Action::DeleteVolumes)?;
        }
        tracing::info!(plan = %hash, head = %planned.revision, by = %actor.principal.name, "an approved plan is applied");
        let applied = ask!(self, services => services.apply(&planned.report.plans, &request.query).await);
        let failures = applied.ok_or_else(|| OperationError::internal("the reconciler has ended"))?;
        let outcome = if failures.is_empty() { Outcome::Success } else { Outcome::Failure };
        self.metrics.project_operation("apply", outcome);
        Ok(PlanOutcome::Applied { planned, failures })
    }
}

/// The commit that `revision` names; the head for `None`.
pub(super) fn resolve(parts: &Dependencies, revision: Option<&str>) -> Result<Revision, OperationError> {
    Ok(tokio::task::block_in_place(|| parts.repository.resolve(revision.unwrap_or("HEAD")))?)
}
