//! Plans over HTTP: what would be done to the cluster, object by object and field by field, with the plan's hash; and the
//! way to have a plan done just as it was looked at.
//!
//! No plan shows a value of a Secret. A plan's hash is its ETag: a POST to the same address names it as If-Match, and is
//! refused when the plan has become another one.

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::project_json::etag;
use crate::operations::{PlanOutcome, PlanRequest, Planned};
use crate::plan::{self, Operation, UnitPlan};
use crate::project::{Action, ErrorKind, FieldError, ObjectKey, ProjectName, Revision, Unit};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::{Call, Id, name_of};

/// The longest name of a commit that is looked for.
const MAX_REVISION: usize = 200;

/// A plan, as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::web) struct Plan {
    revision: Revision,
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
pub(in crate::web) async fn of_commit(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    answer(&state, &parse(&call.query()?)?).await
}

/// `GET /api/projects/{id}/plan?drift=…&server=true`
pub(in crate::web) async fn of_project(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    answer(&state, &about(parse(&call.query()?)?, name)?).await
}

/// `POST /api/plan?project=…&drift=…`, with the plan's hash as If-Match
pub(in crate::web) async fn apply_head(State(state): State<AppState>, call: Call) -> Result<Json<Plan>, Problem> {
    apply(&state, &call, &parse(&call.query()?)?).await
}

/// `POST /api/projects/{id}/plan?drift=…`, with the plan's hash as If-Match
pub(in crate::web) async fn apply_project(
    State(state): State<AppState>,
    id: Id,
    call: Call,
) -> Result<Json<Plan>, Problem> {
    let name = name_of(id)?;
    apply(&state, &call, &about(parse(&call.query()?)?, name)?).await
}

/// The plan, with its hash as the ETag.
async fn answer(state: &AppState, request: &PlanRequest) -> Result<Response, Problem> {
    let plan = Plan::of(&state.operations.plan(request).await?);
    let tag = HeaderValue::from_str(&etag(&plan.hash)).ok();
    let mut response = Json(plan).into_response();
    response.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    Ok(response)
}

async fn apply(state: &AppState, call: &Call, request: &PlanRequest) -> Result<Json<Plan>, Problem> {
    call.permit(Action::Apply)?;
    call.no_body()?;
    let hashes = call.if_match()?;
    if hashes.is_empty() {
        let detail = "send the ETag of the plan that you have looked at as If-Match; GET at this address gives both";
        let status = StatusCode::PRECONDITION_REQUIRED;
        return Err(Problem::new(status, "plan-required", "Which plan is to be applied?", detail));
    }
    match state.operations.apply_plan(&call.actor, request, &hashes).await? {
        PlanOutcome::Applied { mut planned, failures } => {
            planned.report.errors.extend(failures);
            Ok(Json(Plan::of(&planned)))
        }
        PlanOutcome::Outdated(planned) => {
            let plan = Plan::of(&planned);
            let detail = format!("the plan is {} by now: look at it again; nothing was done", plan.hash);
            let mut problem = Problem::of_kind(ErrorKind::PreconditionFailed, detail);
            if let Ok(tag) = HeaderValue::from_str(&etag(&plan.hash)) {
                problem = problem.with_header(ETAG, tag);
            }
            Err(problem.with_member("plan", plan.summary()))
        }
    }
}

/// Reads the parameters of a request for a plan.
pub(in crate::web) fn parse(pairs: &[(String, String)]) -> Result<PlanRequest, Problem> {
    let mut request = PlanRequest::default();
    let mut errors = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in pairs {
        let message = match (name.as_str(), value.as_str()) {
            _ if !seen.insert(name.as_str()) => "is given twice".to_owned(),
            ("revision", text) if (1..=MAX_REVISION).contains(&text.len()) => {
                request.revision = Some(text.to_owned());
                continue;
            }
            ("revision", _) => format!("must be a commit, in at most {MAX_REVISION} characters"),
            ("project", text) => match ProjectName::parse(text) {
                Ok(name) => {
                    request.query.project = Some(name);
                    continue;
                }
                Err(error) => error.to_string(),
            },
            ("drift", "correct" | "policy") => {
                request.query.corrects = value == "correct";
                continue;
            }
            ("drift", _) => "must be policy or correct".to_owned(),
            ("server", "true" | "false") => {
                request.server = value == "true";
                continue;
            }
            ("server", _) => "must be true or false".to_owned(),
            _ => "is not known here; the parameters are revision, project, drift and server".to_owned(),
        };
        let field: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        errors.push(FieldError { field, message });
    }
    if errors.is_empty() { Ok(request) } else { Err(Problem::fields(errors)) }
}

/// The same for the project that the address names.
fn about(mut request: PlanRequest, name: ProjectName) -> Result<PlanRequest, Problem> {
    if request.query.project.is_some() {
        return Err(Problem::field("project", "stands in the address"));
    }
    request.query.project = Some(name);
    Ok(request)
}

impl Plan {
    pub(in crate::web) fn of(planned: &Planned) -> Self {
        let report = &planned.report;
        let count = |wanted: fn(&Operation) -> bool| {
            let all = report.plans.iter().flat_map(|plan| &plan.actions);
            all.filter(|action| wanted(&action.operation)).count()
        };
        let unchanged = |plan: &UnitPlan| unchanged(plan, report.objects.get(&plan.unit).copied().unwrap_or_default());
        Self {
            revision: planned.revision,
            hash: planned.hash(),
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
            text: planned.text(),
        }
    }

    /// Without what is done object by object.
    fn summary(&self) -> Value {
        json!({
            "revision": self.revision, "hash": self.hash, "created": self.created, "changed": self.changed,
            "deleted": self.deleted, "held": self.held, "unchanged": self.unchanged,
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::PlanQuery;

    fn parsed(query: &[(&str, &str)]) -> Result<PlanRequest, Problem> {
        let pairs: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parse(&pairs)
    }

    #[test]
    fn what_can_be_asked_for_is_this() {
        let asked = parsed(&[("revision", "main"), ("server", "true")]).unwrap();
        assert_eq!(asked, PlanRequest { revision: Some("main".to_owned()), server: true, ..PlanRequest::default() });
        let query = PlanQuery { project: ProjectName::parse("shop").ok(), corrects: true };
        let asked = parsed(&[("project", "shop"), ("drift", "correct")]).unwrap();
        assert_eq!(asked, PlanRequest { query, ..PlanRequest::default() });
        assert_eq!(parsed(&[]).unwrap(), PlanRequest::default());
        let long = "a".repeat(MAX_REVISION + 1);
        for query in [
            ("revision", ""),
            ("revision", long.as_str()),
            ("server", "yes"),
            ("hash", "x"),
            ("drift", "warn"),
            ("project", "A"),
        ] {
            assert!(parsed(&[query]).is_err(), "{query:?}");
        }
        assert!(parsed(&[("server", "true"), ("server", "true")]).is_err());
    }
}
