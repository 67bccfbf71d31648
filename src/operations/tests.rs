//! The rules that hold for every caller, over services that follow a script.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::change::ChangeError;
use crate::cluster::LogError;
use crate::plan::{self, Operation, UnitPlan};
use crate::project::{
    Intent, ObjectKey, Phase, Principal, ProjectName, ProjectStatus, Reason, Revision, Role, Source, Unit,
};

struct Fixture {
    operations: Operations,
    script: Arc<Script>,
    _data: tempfile::TempDir,
}

impl Fixture {
    async fn with(change: impl FnOnce(&mut Script)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut script = Script::new(snapshot(), |intent| Ok(committed(intent)), || Err(LogError::NoPod));
        change(&mut script);
        let script = Arc::new(script);
        let store = Store::open_sqlite(data.path()).await.unwrap();
        let operations = Operations::scripted(Arc::clone(&script), store, Metrics::new().unwrap());
        Self { operations, script, _data: data }
    }

    fn applied(&self) -> usize {
        self.script.applied.lock().unwrap().len()
    }
}

fn revision() -> Revision {
    Revision::parse(&"2".repeat(40)).unwrap()
}

fn alpha() -> ProjectName {
    ProjectName::parse("alpha").unwrap()
}

fn actor(role: Role) -> Actor {
    let principal = Principal { id: "ana".into(), name: "ana".into(), email: "ana@example.com".into(), role };
    Actor { principal, source: Source::Api, request_id: "1".into() }
}

fn committed(_: &Intent) -> Committed {
    Committed { revision: revision(), changed: true, project: None, overlay_id: None }
}

/// `alpha` waits for somebody to let its volume go.
fn snapshot() -> Snapshot {
    let volume = plan::Action {
        key: ObjectKey::new("", "PersistentVolumeClaim", None, "alpha-workspace"),
        api_version: "v1".into(),
        stage: 1,
        operation: Operation::Delete { uid: "u".into() },
        reason: "held".into(),
        changes: Vec::new(),
    };
    let state = ProjectState {
        spec: None,
        status: ProjectStatus {
            phase: Phase::Running,
            reason: Reason::Ready,
            message: "a sentence".into(),
            applied_revision: None,
        },
        overlay_id: None,
        revision: None,
        updated_at: None,
        plan: Arc::new(UnitPlan { unit: Unit::Project(alpha()), actions: vec![volume], held: Vec::new() }),
        objects: 1,
    };
    let projects = [(alpha(), Arc::new(state))].into();
    Snapshot { head: Some(revision()), synced: true, projects, ..Snapshot::default() }
}

#[tokio::test]
async fn a_plan_is_applied_by_its_hash_and_by_a_role_that_may_do_all_of_it() {
    let fixture = Fixture::with(|_| {}).await;
    let (operations, request) = (&fixture.operations, PlanRequest::default());
    let hash = [operations.plan(&request).await.unwrap().hash()];

    for role in [Role::Viewer, Role::Operator] {
        let refused = operations.apply_plan(&actor(role), &request, &hash).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Forbidden, "{role:?}: {refused}");
    }
    let other = ["0123456789abcdef".to_owned()];
    let outdated = operations.apply_plan(&actor(Role::Administrator), &request, &other).await.unwrap();
    assert!(matches!(&outdated, PlanOutcome::Outdated(planned) if planned.hash() == hash[0]), "{outdated:?}");
    assert_eq!(fixture.applied(), 0);

    let done = operations.apply_plan(&actor(Role::Administrator), &request, &hash).await.unwrap();
    assert!(matches!(&done, PlanOutcome::Applied { failures, .. } if failures.is_empty()), "{done:?}");
    assert_eq!(fixture.applied(), 1);
}

#[tokio::test]
async fn only_the_head_is_applied_and_only_a_project_that_exists_is_planned() {
    let fixture = Fixture::with(|_| {}).await;
    let operations = &fixture.operations;
    let admin = actor(Role::Administrator);
    let of_branch = PlanRequest { revision: Some("main".into()), ..PlanRequest::default() };
    let hash = [operations.plan(&of_branch).await.unwrap().hash()];
    let refused = operations.apply_plan(&admin, &of_branch, &hash).await.unwrap_err();
    assert_eq!((refused.kind, refused.fields[0].field.as_str()), (ErrorKind::Invalid, "revision"));
    let query = PlanQuery { project: Some(ProjectName::parse("gamma").unwrap()), corrects: false };
    let unknown = operations.plan(&PlanRequest { query, ..PlanRequest::default() }).await.unwrap_err();
    assert_eq!((unknown.kind, unknown.message.as_str()), (ErrorKind::NotFound, "there is no project \"gamma\""));
    assert_eq!(fixture.applied(), 0);
}

#[tokio::test]
async fn a_commit_is_made_though_the_caller_goes_away() {
    let fixture = Fixture::with(|script| script.pause = Duration::from_millis(50)).await;
    let submit = fixture.operations.submit(Intent::Start(alpha()), actor(Role::Operator), None);
    assert!(tokio::time::timeout(Duration::from_millis(5), submit).await.is_err(), "the caller does not wait");
    assert!(fixture.script.submitted.lock().unwrap().is_empty());
    for _ in 0..200 {
        if fixture.script.submitted.lock().unwrap().len() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was committed");
}

#[tokio::test]
async fn a_project_is_reconciled_and_a_base_is_shown_only_to_those_who_may() {
    let fixture = Fixture::with(|_| {}).await;
    let (operations, operator) = (&fixture.operations, actor(Role::Operator));
    assert_eq!(operations.refresh(&actor(Role::Viewer), &alpha()).await.unwrap_err().kind, ErrorKind::Forbidden);
    assert!(operations.refresh(&operator, &alpha()).await.is_ok());
    let refused = operations.preview_upgrade(&operator).await.unwrap_err();
    assert_eq!(
        refused.message,
        "the role operator may not renew the base of the environments; this needs the role administrator"
    );
    assert!(operations.preview_upgrade(&actor(Role::Administrator)).await.is_ok());
}

#[test]
fn the_cause_of_an_error_is_for_the_log_and_the_terminal() {
    let error = OperationError::from(crate::store::StoreError::Server("connection refused".into()));
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Unavailable, "the manager's database does not answer")
    );
    assert!(error.to_string().ends_with("does not answer: connection refused"), "{error}");
    let fields = vec![crate::project::FieldError { field: "image".into(), message: "is too long".into() }];
    let change = ChangeError { kind: ErrorKind::Invalid, message: "no".into(), fields: fields.clone() };
    assert_eq!(OperationError::from(change).fields, fields);
}
