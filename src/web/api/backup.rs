//! Backups over HTTP: their state and list, making one, downloading a tree, restoring one with its plan first.

use std::io::{self, Write};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::json;
use super::plan::Plan;
use super::project_json::etag;
use crate::operations::{BackupOutcome, Export, Node, Overview, Quota, RestoreOrder, RestoreOutcome, StorageClass};
use crate::project::{Action, FieldError, ProjectName, Revision};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::Call;

/// The most backups on one page.
const MAX_LIMIT: usize = 100;
/// How much of an export is sent at once.
const CHUNK: usize = 64 * 1024;
/// How many chunks may wait for a slow reader.
const WAITING: usize = 4;

/// `GET /api/backup/status`
pub(in crate::web) async fn status(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    Ok(Json(state.operations.backup_status()?).into_response())
}

/// `GET /api/backup/list?page=…&limit=…`
pub(in crate::web) async fn list(State(state): State<AppState>, call: Call) -> Result<Json<Value>, Problem> {
    call.permit(Action::Read)?;
    let (page, limit) = page_of(&call.query()?)?;
    let found = state.operations.list_backups((page - 1) * limit, limit).await?;
    Ok(Json(json!({
        "items": found.items,
        "page": page,
        "limit": limit,
        "total": found.total,
        "pages": found.total.div_ceil(limit),
        "stale": found.stale,
    })))
}

/// Reads the parameters of a list: the page from 1 on, and how many are on it.
pub(in crate::web) fn page_of(parameters: &[(String, String)]) -> Result<(usize, usize), Problem> {
    let (mut page, mut limit) = (1, 20);
    let mut errors = Vec::new();
    for (name, value) in parameters {
        let (slot, most) = match name.as_str() {
            "page" => (&mut page, 1_000_000),
            "limit" => (&mut limit, MAX_LIMIT),
            _ => {
                let message = "is not known here; the parameters are page and limit".to_owned();
                errors.push(FieldError { field: json::path("", name), message });
                continue;
            }
        };
        match value.parse::<usize>() {
            Ok(number) if (1..=most).contains(&number) => *slot = number,
            _ => {
                let message = format!("must be a number from 1 to {most}");
                errors.push(FieldError { field: name.clone(), message });
            }
        }
    }
    if errors.is_empty() { Ok((page, limit)) } else { Err(Problem::fields(errors)) }
}

/// `POST /api/backup/create`
pub(in crate::web) async fn create(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::BackUp)?;
    call.no_body()?;
    Ok(match state.operations.create_backup(&call.actor).await? {
        BackupOutcome::Complete(made) => (StatusCode::CREATED, Json(made)).into_response(),
        BackupOutcome::Running => (StatusCode::ACCEPTED, Json(state.operations.backup_status()?)).into_response(),
    })
}

/// `POST /api/backup/restore {timestamp, project?, dryRun?}`, with the head as If-Match where a plan was looked at
pub(in crate::web) async fn restore(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Restore)?;
    let mut order = order(call.json()?)?;
    order.expected_head = match call.if_match()?.as_slice() {
        [] => None,
        [head] => Some(Revision::parse(head).map_err(|error| Problem::field("If-Match", error.to_string()))?),
        _ => return Err(Problem::field("If-Match", "must be one ETag: that of the dry run")),
    };
    let project = order.project.clone();
    let outcome = state.operations.restore_backup(&call.actor, order).await?;
    let head = HeaderValue::from_str(&etag(&outcome.restored.head.to_string())).ok();
    let is_dry = outcome.plan.is_some();
    let mut response = Json(answer(&outcome, project.as_ref())).into_response();
    if is_dry {
        response.headers_mut().extend(head.map(|head| (ETAG, head)));
    }
    Ok(response)
}

fn order(body: &[u8]) -> Result<RestoreOrder, Problem> {
    let (value, twice) = json::parse(body).map_err(|message| Problem::field("", message))?;
    let Value::Object(fields) = value else { return Err(Problem::field("", "must be an object with a timestamp")) };
    let mut errors = twice;
    let mut order = RestoreOrder { timestamp: String::new(), project: None, expected_head: None, dry_run: false };
    let mut fail = |field: &str, message: &str| {
        errors.push(FieldError { field: json::path("", field), message: message.to_owned() });
    };
    if !fields.contains_key("timestamp") {
        fail("timestamp", "is missing; GET /api/backup/list names the backups");
    }
    for (name, value) in &fields {
        match (name.as_str(), value) {
            ("timestamp", Value::String(text)) => order.timestamp.clone_from(text),
            ("timestamp", _) => fail("timestamp", "must be a text"),
            ("project", Value::Null) => {}
            ("project", Value::String(text)) => match ProjectName::parse(text) {
                Ok(name) => order.project = Some(name),
                Err(error) => fail("project", &error.to_string()),
            },
            ("project", _) => fail("project", "must be the shortName of a project"),
            ("dryRun", Value::Bool(dry)) => order.dry_run = *dry,
            ("dryRun", _) => fail("dryRun", "must be true or false"),
            (other, _) => fail(other, "is not known here; the fields are timestamp, project and dryRun"),
        }
    }
    if errors.is_empty() { Ok(order) } else { Err(Problem::fields(errors)) }
}

fn answer(outcome: &RestoreOutcome, project: Option<&ProjectName>) -> Value {
    let restored = &outcome.restored;
    let mut answer: Map<String, Value> = Map::new();
    answer.insert("backup".to_owned(), json!(outcome.backup));
    answer.insert("project".to_owned(), json!(project));
    answer.insert("dryRun".to_owned(), json!(outcome.plan.is_some()));
    answer.insert("changed".to_owned(), json!(restored.changed));
    answer.insert("head".to_owned(), json!(restored.head));
    answer.insert("commit".to_owned(), json!(restored.revision));
    let files: Vec<String> = restored.files.iter().map(ToString::to_string).collect();
    answer.insert("files".to_owned(), json!(files));
    answer.insert("deletedProjects".to_owned(), json!(restored.deleted));
    answer.insert("notes".to_owned(), json!(restored.notes));
    match &outcome.plan {
        None => {}
        Some(Ok(plan)) => drop(answer.insert("plan".to_owned(), json!(Plan::of(plan)))),
        Some(Err(why)) => drop(answer.insert("planError".to_owned(), json!(why))),
    }
    Value::Object(answer)
}

/// `GET /api/backup/export?timestamp=…`: the head without one
pub(in crate::web) async fn export(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Export)?;
    let query = call.query()?;
    let timestamp = match query.as_slice() {
        [] => None,
        [(name, value)] if name == "timestamp" => Some(value.as_str()),
        _ => return Err(Problem::field("", "the only parameter is timestamp, and it stands once")),
    };
    let export = state.operations.export_tree(&call.actor, timestamp).await?;
    let disposition = format!("attachment; filename=\"{}\"", export.file_name);
    let tag = etag(&export.revision.to_string());
    let mut response = stream(export).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    headers.extend(HeaderValue::from_str(&disposition).ok().map(|value| (CONTENT_DISPOSITION, value)));
    headers.extend(HeaderValue::from_str(&tag).ok().map(|value| (ETAG, value)));
    Ok(response)
}

/// The archive as it is made. An error ends the connection, so that no client takes a part for the whole.
fn stream(export: Export) -> Body {
    let (chunks, received) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    tokio::task::spawn_blocking(move || {
        let writer = io::BufWriter::with_capacity(CHUNK, Chunks(chunks.clone()));
        if let Err(error) = export.write(writer) {
            tracing::warn!(%error, "an export was cut off");
            let _ = chunks.blocking_send(Err(io::Error::other("the export was cut off")));
        }
    });
    Body::from_stream(futures::stream::unfold(received, |mut received| async move {
        received.recv().await.map(|chunk| (chunk, received))
    }))
}

struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `GET /api/backup/cluster-info`
pub(in crate::web) async fn cluster_info(State(state): State<AppState>, call: Call) -> Result<Json<Value>, Problem> {
    call.permit(Action::Read)?;
    Ok(Json(of_overview(&state.operations.cluster_overview().await?)))
}

/// Each part, or `null` with its reason among the problems.
fn of_overview(overview: &Overview) -> Value {
    let mut problems = Vec::new();
    let mut part = |read: Result<Value, &String>| {
        read.unwrap_or_else(|why| {
            problems.push(why.clone());
            Value::Null
        })
    };
    let version = part(overview.version.as_ref().map(|version| json!(version)));
    let nodes = part(overview.nodes.as_ref().map(|nodes| {
        let node = |node: &Node| {
            json!({
                "name": node.name, "ready": node.is_ready, "schedulable": node.is_schedulable,
                "version": node.version, "cpu": node.cpu, "memory": node.memory,
            })
        };
        Value::Array(nodes.iter().map(node).collect())
    }));
    let classes = part(overview.storage_classes.as_ref().map(|classes| {
        let class = |class: &StorageClass| {
            json!({"name": class.name, "default": class.default, "expandable": class.expandable})
        };
        Value::Array(classes.iter().map(class).collect())
    }));
    let quotas = part(overview.quotas.as_ref().map(|quotas| {
        let quota = |quota: &Quota| {
            let resources =
                quota.resources.iter().map(|(name, used, hard)| (name.clone(), json!({"used": used, "hard": hard})));
            json!({"name": quota.name, "resources": resources.collect::<Map<String, Value>>()})
        };
        Value::Array(quotas.iter().map(quota).collect())
    }));
    json!({
        "version": version, "nodes": nodes, "storageClasses": classes, "resourceQuotas": quotas, "problems": problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_names_a_backup_and_perhaps_a_project() {
        let body = br#"{"timestamp": "2023-12-01T10-30-00-000Z", "project": "shop", "dryRun": true}"#;
        let read = order(body).unwrap();
        assert_eq!(read.timestamp, "2023-12-01T10-30-00-000Z");
        assert_eq!(read.project.unwrap().as_str(), "shop");
        assert!(read.dry_run);
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"timestamp": 5}"#,
            r#"{"timestamp": "x", "timestamp": "y"}"#,
            r#"{"timestamp": "x", "project": "../x"}"#,
            r#"{"timestamp": "x", "dryRun": "true"}"#,
            r#"{"timestamp": "x", "force": true}"#,
        ] {
            assert_eq!(order(wrong.as_bytes()).unwrap_err().status(), StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn pages_are_counted_from_one() {
        let query = |text: &str| {
            let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            page_of(&pairs)
        };
        assert_eq!(query("").unwrap(), (1, 20));
        assert_eq!(query("page=3&limit=100").unwrap(), (3, 100));
        for wrong in ["page=0", "limit=101", "page=x", "offset=1", "page=99999999999999999999"] {
            assert!(query(wrong).is_err(), "{wrong}");
        }
    }
}
