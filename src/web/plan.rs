//! Plans over HTTP: what would be done to the cluster, object by object and field by field, with the plan's hash; and the
//! way to have a plan done just as it was looked at.
//!
//! A plan is made for whoever asks, of what the reconciler knows; those of everything one at a time. None shows a value of a
//! Secret. A plan's hash is its ETag: a POST to the same address names it as If-Match, and is refused when the plan has
//! become another one.

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::AppState;
use super::api::{Id, known, name_of};
use super::problem::Problem;
use super::project_json::etag;
use super::request::{Call, no_such_project};
use crate::metrics::Outcome;
use crate::plan::{self, Operation, UnitPlan};
use crate::project::{Action, Actor, ErrorKind, FieldError, ObjectKey, ProjectName, Revision, Unit};
use crate::reconcile::{OnceError, OnceReport, PlanQuery};

/// The longest name of a commit that is looked for.
const MAX_REVISION: usize = 200;

/// A plan, as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    revision: Option<Revision>,
    /// The same for the same actions on the same objects; If-Match and `reconcile --once --plan` take it.
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

/// `GET /api/plan?revision=…&project=…&drift=…&server=true`
pub(super) async fn of_commit(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    answer(&state, Asked::parse(&call.query()?)?).await
}

/// `GET /api/projects/{id}/plan?drift=…&server=true`
pub(super) async fn of_project(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    answer(&state, Asked::parse(&call.query()?)?.about(name)?).await
}

/// `POST /api/plan?project=…&drift=…`, with the plan's hash as If-Match
pub(super) async fn apply_head(State(state): State<AppState>, call: Call) -> Result<Json<Plan>, Problem> {
    let asked = Asked::parse(&call.query()?)?;
    apply(&state, &call, &asked).await
}

/// `POST /api/projects/{id}/plan?drift=…`, with the plan's hash as If-Match
pub(super) async fn apply_project(State(state): State<AppState>, id: Id, call: Call) -> Result<Json<Plan>, Problem> {
    let name = name_of(id)?;
    let asked = Asked::parse(&call.query()?)?.about(name)?;
    apply(&state, &call, &asked).await
}

/// The plan, with its hash as the ETag.
async fn answer(state: &AppState, asked: Asked) -> Result<Response, Problem> {
    let (revision, report) = planned(state, &asked).await?;
    let plan = plan_of(Some(revision), &report);
    let tag = HeaderValue::from_str(&etag(&plan.hash)).ok();
    let mut response = Json(plan).into_response();
    response.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    Ok(response)
}

/// The plan that is asked for.
pub(super) async fn planned(state: &AppState, asked: &Asked) -> Result<(Revision, OnceReport), Problem> {
    if let Some(name) = &asked.query.project {
        if asked.revision.is_some() {
            return Err(Problem::field(
                "revision",
                "is for the plan of everything; a project's plan is that of the head",
            ));
        }
        known(state)?.projects.get(name).ok_or_else(|| no_such_project(name.as_str()))?;
    }
    state.backend.plan(asked).await
}

async fn apply(state: &AppState, call: &Call, asked: &Asked) -> Result<Json<Plan>, Problem> {
    call.permit(Action::Apply)?;
    call.no_body()?;
    if asked.server {
        return Err(Problem::field("server", "is for looking; what is applied is answered by the API server anyway"));
    }
    let hashes = call.if_match()?;
    if hashes.is_empty() {
        let detail = "send the ETag of the plan that you have looked at as If-Match; GET at this address gives both";
        let status = StatusCode::PRECONDITION_REQUIRED;
        return Err(Problem::new(status, "plan-required", "Which plan is to be applied?", detail));
    }
    match apply_bound(state, &|action| call.permit(action), &call.actor, asked, &hashes).await? {
        Bound::Done { revision, mut report, failures } => {
            report.errors.extend(failures);
            Ok(Json(plan_of(Some(revision), &report)))
        }
        Bound::Outdated(revision, report) => {
            let plan = plan_of(Some(revision), &report);
            let detail = format!("the plan is {} by now: look at it again; nothing was done", plan.hash);
            let mut problem = Problem::of_kind(ErrorKind::PreconditionFailed, detail);
            if let Ok(tag) = HeaderValue::from_str(&etag(&plan.hash)) {
                problem = problem.with_header(ETAG, tag);
            }
            Err(problem.with_member("plan", plan.summary()))
        }
    }
}

/// What came of a plan that somebody wanted.
pub(super) enum Bound {
    /// It was done.
    Done {
        revision: Revision,
        report: OnceReport,
        /// What of it was not done, and why.
        failures: Vec<(Unit, String)>,
    },
    /// This is the plan by now, and nothing was done.
    Outdated(Revision, OnceReport),
}

/// Has the plan that `asked` leads to done, if its hash is one of `hashes`.
pub(super) async fn apply_bound(
    state: &AppState,
    permit: &(dyn Fn(Action) -> Result<(), Problem> + Sync),
    actor: &Actor,
    asked: &Asked,
    hashes: &[String],
) -> Result<Bound, Problem> {
    if asked.revision.is_some() {
        return Err(Problem::field(
            "revision",
            "is for looking; what is applied is the head, so merge the commit first",
        ));
    }
    let (revision, report) = planned(state, asked).await?;
    let hash = plan::plan_hash(&report.plans);
    if !hashes.contains(&hash) {
        return Ok(Bound::Outdated(revision, report));
    }
    if report.plans.iter().flat_map(|plan| &plan.actions).any(gives_a_volume_up) {
        permit(Action::DeleteVolumes)?;
    }
    tracing::info!(plan = %hash, head = %revision, by = %actor.principal.name, "a plan is applied as somebody has seen it");
    let failures = state.backend.apply(&report.plans, asked).await?;
    state.metrics.project_operation("apply", if failures.is_empty() { Outcome::Success } else { Outcome::Failure });
    Ok(Bound::Done { revision, report, failures })
}

fn gives_a_volume_up(action: &plan::Action) -> bool {
    matches!(action.operation, Operation::Delete { .. }) && action.key.kind == "PersistentVolumeClaim"
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// A commit; `None`: the head.
    pub(super) revision: Option<String>,
    pub(super) query: PlanQuery,
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
                ("project", text) => match ProjectName::parse(text) {
                    Ok(name) => {
                        asked.query.project = Some(name);
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                ("drift", "correct" | "policy") => {
                    asked.query.corrects = value == "correct";
                    continue;
                }
                ("drift", _) => "must be policy or correct".to_owned(),
                ("server", "true" | "false") => {
                    asked.server = value == "true";
                    continue;
                }
                ("server", _) => "must be true or false".to_owned(),
                _ => "is not known here; the parameters are revision, project, drift and server".to_owned(),
            };
            let field: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            errors.push(FieldError { field, message });
        }
        if errors.is_empty() { Ok(asked) } else { Err(Problem::fields(errors)) }
    }

    /// The same for the project that the address names.
    fn about(mut self, name: ProjectName) -> Result<Self, Problem> {
        if self.query.project.is_some() {
            return Err(Problem::field("project", "stands in the address"));
        }
        self.query.project = Some(name);
        Ok(self)
    }
}

impl Plan {
    /// Without what is done object by object.
    fn summary(&self) -> Value {
        json!({
            "revision": self.revision, "hash": self.hash, "created": self.created, "changed": self.changed,
            "deleted": self.deleted, "held": self.held, "unchanged": self.unchanged,
        })
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
        changed: count(|operation| matches!(operation, Operation::Update { .. } | Operation::Recreate { .. })),
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
            Operation::Recreate { .. } => "remake",
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
    Object {
        group: key.group.clone(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
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
        assert_eq!(asked, Asked { revision: Some("main".to_owned()), server: true, ..Asked::default() });
        let query = PlanQuery { project: ProjectName::parse("shop").ok(), corrects: true };
        let asked = parse(&[("project", "shop"), ("drift", "correct")]).unwrap();
        assert_eq!(asked, Asked { query, ..Asked::default() });
        assert_eq!(parse(&[]).unwrap(), Asked::default());
        let long = "a".repeat(MAX_REVISION + 1);
        for query in [
            ("revision", ""),
            ("revision", long.as_str()),
            ("server", "yes"),
            ("hash", "x"),
            ("drift", "warn"),
            ("project", "A"),
        ] {
            assert!(parse(&[query]).is_err(), "{query:?}");
        }
        assert!(parse(&[("server", "true"), ("server", "true")]).is_err());
    }
}
