//! The router as clients meet it; the services behind it follow a script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::change::{ChangeError, Committed, Upgraded};
use crate::cluster::{LogError, LogStream};
use crate::operations::Script;
use crate::plan::UnitPlan;
use crate::project::{
    ErrorKind, FieldError, Intent, Phase, Principal, ProjectName, ProjectSpec, ProjectStatus, Quantity, Reason,
    RepoPath, Resources, Revision, Role, Storage, Unit, Volumes,
};
use crate::reconcile::{Deletion, ProjectState, Snapshot};

mod access;
mod backup;
mod chat;
mod logs;
mod pages;
mod projects;
mod requests;
mod sessions;
mod tickets;

const OVERLAY: &str = "1111111111111111111111111111111111111111";
const COMMIT: &str = "2222222222222222222222222222222222222222";

/// How long a wrong token takes.
const WRONG: Duration = Duration::from_millis(20);

/// A manager with two projects, a script, and three people.
struct TestApp {
    router: Router,
    script: Arc<Script>,
    metrics: Metrics,
    operations: Operations,
    key: crate::auth::TokenKey,
    _data: tempfile::TempDir,
}

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl TestApp {
    async fn new() -> Self {
        Self::with(&[], |_| {}).await
    }

    async fn with(vars: &[(&str, &str)], change: impl FnOnce(&mut Script)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::from_vars(&vars.collect::<BTreeMap<_, _>>()).unwrap();
        let lines = || Ok(Box::pin(futures::stream::iter([Ok("one\ntwo\n".into())])) as LogStream);
        let mut script = Script::new(snapshot(), |intent| Ok(committed(intent)), lines);
        script.plan_errors = vec![(Unit::Project(name("beta")), "does not build".to_owned())];
        script.upgraded = upgraded();
        change(&mut script);
        let script = Arc::new(script);
        let metrics = Metrics::new().unwrap();
        let store = Store::open_sqlite(data.path()).await.unwrap();
        let operations = Operations::scripted(Arc::clone(&script), store.clone(), metrics.clone());
        let key = crate::auth::token_key(data.path(), None).unwrap();
        let auth = Auth::with_tokens([
            ("admin", principal("ana", Role::Administrator)),
            ("operator", principal("olga", Role::Operator)),
            ("viewer", principal("vera", Role::Viewer)),
        ])
        .knowing(key.clone())
        .slowing(WRONG);
        let agents =
            crate::agent::Client::new(crate::agent::Signer::open(data.path()).unwrap(), crate::agent::Reach::Direct);
        let chat = Chat::new(operations.clone(), store.clone(), metrics.clone(), Some(agents));
        let options = crate::tickets::Options {
            jira: None,
            site: None,
            repository_field: None,
            may_create: true,
            has_secret: settings.secrets.webhook_secret.is_some(),
            defaults: settings.defaults.clone(),
            public_url: None,
        };
        let tickets = Tickets::new(options, operations.clone(), chat.clone(), store.clone(), metrics.clone());
        let state = AppState::new(operations.clone(), chat, tickets, store, Arc::new(settings), metrics.clone(), auth);
        Self { router: router(state), script, metrics, operations, key, _data: data }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:3000");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// A token of Otto with this role, for so many seconds from now on.
    fn token(&self, role: Role, seconds: i64) -> String {
        let (name, email) = (Some("Otto".to_owned()), Some("otto@example.org".to_owned()));
        let ttl = Duration::from_secs(60);
        let made = jiff::Timestamp::now().as_second() + seconds - 60;
        self.key.create(&crate::auth::NewToken { role, ttl, name, email }, made.try_into().unwrap()).unwrap()
    }

    /// As the administrator.
    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[("authorization", "Bearer admin")], "").await
    }

    /// As the administrator, with JSON and further headers.
    async fn json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let mut all = vec![("authorization", "Bearer admin"), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, &body.to_string()).await
    }

    fn submitted(&self) -> usize {
        self.script.submitted.lock().unwrap().len()
    }
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The last word of the problem's type.
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["requestId"], self.header("x-request-id"));
        assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty());
        body["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

fn principal(id: &str, role: Role) -> Principal {
    Principal { id: id.to_owned(), name: id.to_owned(), email: format!("{id}@example.com"), role }
}

fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn revision(text: &str) -> Revision {
    Revision::parse(text).unwrap()
}

fn spec(short_name: &str, display: &str, created_at: &str) -> ProjectSpec {
    ProjectSpec {
        short_name: name(short_name),
        name: display.to_owned(),
        git_repository: format!("https://git.example/team/{short_name}.git"),
        git_branch: None,
        replicas: 1,
        resources: Resources { cpu: Some(Quantity::parse("500m").unwrap()), memory: None },
        storage: Storage { size: Some(Quantity::parse("20Gi").unwrap()), storage_class: None },
        image: "claude-dev-env:latest".to_owned(),
        jira_issue: None,
        suspended: None,
        created_at: Some(created_at.to_owned()),
    }
}

fn state(spec: ProjectSpec, phase: Phase, reason: Reason) -> ProjectState {
    let unit = Unit::Project(spec.short_name.clone());
    ProjectState {
        status: ProjectStatus {
            phase,
            reason,
            message: "a sentence".to_owned(),
            applied_revision: Some(revision(COMMIT)),
        },
        overlay_id: Some(OVERLAY.to_owned()),
        revision: Some(revision(COMMIT)),
        updated_at: spec.created_at.clone(),
        spec: Some(spec),
        plan: Arc::new(UnitPlan { unit, actions: Vec::new(), held: Vec::new() }),
        objects: 6,
    }
}

/// `alpha` runs, `beta` (displayed as `Zeta`) is stopped.
fn snapshot() -> Snapshot {
    let alpha = state(spec("alpha", "Alpha", "2026-11-02T00:00:00Z"), Phase::Running, Reason::Ready);
    let beta = state(spec("beta", "Zeta", "2026-11-01T00:00:00Z"), Phase::Stopped, Reason::Stopped);
    Snapshot {
        head: Some(revision(COMMIT)),
        synced: true,
        projects: [(name("alpha"), Arc::new(alpha)), (name("beta"), Arc::new(beta))].into(),
        ..Snapshot::default()
    }
}

fn committed(intent: &Intent) -> Committed {
    let project = match intent {
        Intent::Delete(..) => None,
        other => other.project().map(|project| spec(project.as_str(), "Committed", "2026-11-24T00:00:00Z")),
    };
    let overlay_id = project.as_ref().map(|_| "3".repeat(40));
    Committed { revision: revision(&"4".repeat(40)), changed: true, project, overlay_id }
}

/// One file of the base is to be written, another is kept.
fn upgraded() -> Upgraded {
    let path = |text: &str| RepoPath::parse(text).unwrap();
    let kept = vec![(path("base/service.yaml"), "it was edited here")];
    Upgraded { revision: None, written: vec![path("base/statefulset.yaml")], kept }
}

fn body() -> Value {
    json!({ "name": "Gamma", "shortName": "gamma", "gitRepository": "https://git.example/team/gamma.git" })
}

/// Every route with a method that it knows.
const ROUTES: [(&str, &str); 22] = [
    ("GET", "/api/projects"),
    ("POST", "/api/projects"),
    ("GET", "/api/projects/alpha"),
    ("PUT", "/api/projects/alpha"),
    ("DELETE", "/api/projects/alpha"),
    ("POST", "/api/projects/alpha/start"),
    ("POST", "/api/projects/alpha/stop"),
    ("POST", "/api/projects/alpha/refresh"),
    ("GET", "/api/projects/alpha/history"),
    ("GET", "/api/projects/alpha/logs"),
    ("GET", "/api/projects/alpha/plan"),
    ("GET", "/api/projects/alpha/conversations"),
    ("POST", "/api/projects/alpha/conversations"),
    ("GET", "/api/tickets/deliveries"),
    ("GET", "/api/plan"),
    ("POST", "/api/plan"),
    ("POST", "/api/projects/alpha/plan"),
    ("GET", "/api/monitoring/status"),
    ("GET", "/api/monitoring/health"),
    ("GET", "/api/monitoring/metrics"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
];
