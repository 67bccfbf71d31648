//! Plans over HTTP: what would be done to the cluster, object by object and field by field, with the plan's hash.
//!
//! A project's plan is the reconciler's own, as it stands in the snapshot, and costs nothing. The plan of a whole commit is
//! made for whoever asks, one at a time. Neither shows a value of a Secret.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use super::AppState;
use super::api::{Id, known, name_of};
use super::call::{Call, no_such_project};
use super::problem::Problem;
use crate::plan::{self, Operation, UnitPlan};
use crate::project::{Action, ErrorKind, FieldError, ObjectKey, ProjectName, Revision, Unit};
use crate::reconcile::{OnceError, OnceReport};

/// The longest name of a commit that is looked for.
const MAX_REVISION: usize = 200;

/// A plan, as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    revision: Option<Revision>,
    /// The same for the same actions on the same objects; `reconcile --once --plan` takes it.
    hash: String,
    created: usize,
    changed: usize,
    deleted: usize,
    held: usize,
    unchanged: usize,
    /// Those that have something to say.
    units: Vec<UnitItem>,
    errors: Vec<ErrorItem>,
    warnings: Vec<String>,
    /// All of it for people, as `claude-manager plan` prints it.
    text: String,
}

#[derive(Debug, Serialize)]
struct UnitItem {
    /// `null` for the base-wide objects.
    project: Option<ProjectName>,
    actions: Vec<ActionItem>,
    held: Vec<HeldItem>,
    unchanged: usize,
}

#[derive(Debug, Serialize)]
struct ActionItem {
    operation: &'static str,
    object: Object,
    reason: String,
    changes: Vec<ChangeItem>,
}

#[derive(Debug, Serialize)]
struct ChangeItem {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

#[derive(Debug, Serialize)]
struct HeldItem {
    object: Object,
    reason: String,
}

#[derive(Debug, Serialize)]
struct ErrorItem {
    project: Option<ProjectName>,
    message: String,
}

#[derive(Debug, Serialize)]
struct Object {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

/// `GET /api/plan?revision=…&server=true`
pub(super) async fn of_commit(State(state): State<AppState>, call: Call) -> Result<Json<Plan>, Problem> {
    call.permit(Action::Read)?;
    let asked = Asked::parse(&call.query()?)?;
    let (revision, report) = state.backend.plan(asked.revision, asked.server).await?;
    Ok(Json(plan_of(Some(revision), &report)))
}

/// `GET /api/projects/{id}/plan?server=true`
pub(super) async fn of_project(State(state): State<AppState>, id: Id, call: Call) -> Result<Json<Plan>, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    let asked = Asked::parse(&call.query()?)?;
    if asked.revision.is_some() {
        return Err(Problem::field("revision", "is for /api/plan; a project's plan is that of the head"));
    }
    let snapshot = known(&state)?;
    let project = snapshot.projects.get(&name).ok_or_else(|| no_such_project(name.as_str()))?;
    if !snapshot.synced {
        let why = snapshot.cluster.as_deref().unwrap_or("it was not seen as a whole yet");
        return Err(Problem::of_kind(ErrorKind::Unavailable, format!("there is no plan without the cluster: {why}")));
    }
    let mut report = OnceReport { plans: vec![(*project.plan).clone()], ..OnceReport::default() };
    report.objects.insert(Unit::Project(name), project.objects);
    if asked.server {
        report = state.backend.ask_server(report).await;
    }
    Ok(Json(plan_of(snapshot.head, &report)))
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) revision: Option<String>,
    /// Whether the API server is to be asked what it would say.
    pub(super) server: bool,
}

impl Asked {
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut asked = Self::default();
        let mut errors = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (name, value) in pairs {
            let message = match (name.as_str(), value.as_str()) {
                _ if !seen.insert(name.as_str()) => "is given twice".to_owned(),
                ("revision", text) if (1..=MAX_REVISION).contains(&text.len()) => {
                    asked.revision = Some(text.to_owned());
                    continue;
                }
                ("revision", _) => format!("must be a commit, in at most {MAX_REVISION} characters"),
                ("server", "true" | "false") => {
                    asked.server = value == "true";
                    continue;
                }
                ("server", _) => "must be true or false".to_owned(),
                _ => "is not known here; the parameters are revision and server".to_owned(),
            };
            let field: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            errors.push(FieldError { field, message });
        }
        if errors.is_empty() { Ok(asked) } else { Err(Problem::fields(errors)) }
    }
}

fn plan_of(revision: Option<Revision>, report: &OnceReport) -> Plan {
    let count = |wanted: fn(&Operation) -> bool| {
        let all = report.plans.iter().flat_map(|plan| &plan.actions);
        all.filter(|action| wanted(&action.operation)).count()
    };
    let unchanged = |plan: &UnitPlan| unchanged(plan, report.objects.get(&plan.unit).copied().unwrap_or_default());
    Plan {
        revision,
        hash: plan::plan_hash(&report.plans),
        created: count(|operation| matches!(operation, Operation::Create(_))),
        changed: count(|operation| matches!(operation, Operation::Update { .. } | Operation::Remake { .. })),
        deleted: count(|operation| matches!(operation, Operation::Delete { .. })),
        held: report.plans.iter().map(|plan| plan.held.len()).sum(),
        unchanged: report.plans.iter().map(unchanged).sum(),
        units: (report.plans.iter())
            .filter(|plan| !plan.actions.is_empty() || !plan.held.is_empty())
            .map(|plan| unit(plan, unchanged(plan)))
            .collect(),
        errors: (report.errors.iter())
            .map(|(unit, message)| ErrorItem { project: project(unit), message: message.clone() })
            .collect(),
        warnings: report.warnings.clone(),
        text: plan::show(&report.plans),
    }
}

/// Of `wanted` objects those that nothing is done or said about.
fn unchanged(plan: &UnitPlan, wanted: usize) -> usize {
    let written = plan.actions.iter().filter(|action| !matches!(action.operation, Operation::Delete { .. }));
    wanted.saturating_sub(written.count())
}

fn unit(plan: &UnitPlan, unchanged: usize) -> UnitItem {
    let action = |action: &plan::Action| ActionItem {
        operation: match action.operation {
            Operation::Create(_) => "create",
            Operation::Update { .. } => "update",
            Operation::Remake { .. } => "remake",
            Operation::Delete { .. } => "delete",
        },
        object: object(&action.key),
        reason: action.reason.clone(),
        changes: (action.changes.iter())
            .map(|change| ChangeItem {
                path: change.path.clone(),
                before: change.before.clone(),
                after: change.after.clone(),
            })
            .collect(),
    };
    let held = |held: &plan::Held| HeldItem { object: object(&held.key), reason: held.reason.clone() };
    UnitItem {
        project: project(&plan.unit),
        actions: plan.actions.iter().map(action).collect(),
        held: plan.held.iter().map(held).collect(),
        unchanged,
    }
}

fn project(unit: &Unit) -> Option<ProjectName> {
    match unit {
        Unit::Base => None,
        Unit::Project(name) => Some(name.clone()),
    }
}

fn object(key: &ObjectKey) -> Object {
    let ObjectKey { group, kind, namespace, name } = key.clone();
    Object { group, kind, namespace, name }
}

impl From<OnceError> for Problem {
    fn from(error: OnceError) -> Self {
        let text = error.to_string();
        match error {
            OnceError::Git(error) => Self::of_kind(error.kind(), text),
            OnceError::Store(error) => error.into(),
            OnceError::Root(_) | OnceError::Outdated { .. } => Self::of_kind(ErrorKind::Conflict, text),
            OnceError::Cluster(_) => Self::of_kind(ErrorKind::Unavailable, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Asked, Problem> {
        let pairs: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Asked::parse(&pairs)
    }

    #[test]
    fn what_can_be_asked_for_is_this() {
        let asked = parse(&[("revision", "main"), ("server", "true")]).unwrap();
        assert_eq!(asked, Asked { revision: Some("main".to_owned()), server: true });
        assert_eq!(parse(&[]).unwrap(), Asked::default());
        let long = "a".repeat(MAX_REVISION + 1);
        for query in [("revision", ""), ("revision", long.as_str()), ("server", "yes"), ("hash", "x")] {
            assert!(parse(&[query]).is_err(), "{query:?}");
        }
        assert!(parse(&[("server", "true"), ("server", "true")]).is_err());
    }
}
