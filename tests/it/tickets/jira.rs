//! A double of JIRA's REST API, in the shapes that its documentation shows: Cloud (version 3) and Data Center (version 2).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use base64::Engine;
use serde_json::{Value, json};

/// The account whose token the manager has.
pub(crate) const ACCOUNT: &str = "557058:manager";

/// The running double.
#[derive(Clone)]
pub(crate) struct Jira {
    pub(crate) address: String,
    is_cloud: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    comments: BTreeMap<String, Vec<Comment>>,
    /// What every call is answered with, while it is set, and the Retry-After.
    fault: Option<(u16, Option<u64>)>,
    /// The comment is taken, and the answer is lost.
    losing: bool,
    calls: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Comment {
    pub(crate) id: String,
    pub(crate) body: Value,
    pub(crate) edits: usize,
}

impl Comment {
    /// All text of the body, whatever its format.
    pub(crate) fn text(&self) -> String {
        fn collect(value: &Value, text: &mut String) {
            match value {
                Value::String(found) => text.push_str(found),
                Value::Array(items) => items.iter().for_each(|item| collect(item, text)),
                Value::Object(fields) => {
                    for name in ["text", "content", "marks", "attrs", "href"] {
                        fields.get(name).into_iter().for_each(|field| collect(field, text));
                    }
                }
                _ => {}
            }
        }
        let mut text = String::new();
        collect(&self.body, &mut text);
        text
    }
}

impl Jira {
    pub(crate) async fn start(is_cloud: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let jira = Self { address, is_cloud, shared: Arc::default() };
        let routes = Router::new()
            .route("/myself", get(myself))
            .route("/field", get(fields))
            .route("/issue/{issue}/comment", get(list).post(add))
            .route("/issue/{issue}/comment/{id}", put(edit))
            .layer(axum::middleware::from_fn_with_state(jira.clone(), guard))
            .with_state(jira.clone());
        let version = if is_cloud { "/rest/api/3" } else { "/rest/api/2" };
        let router = Router::new().nest(version, routes);
        tokio::spawn(async move { axum::serve(listener, router).await });
        jira
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub(crate) fn comments(&self, issue: &str) -> Vec<Comment> {
        self.shared().comments.get(issue).cloned().unwrap_or_default()
    }

    /// Answers every call with this status from now on; `None` ends it.
    pub(crate) fn fault(&self, fault: Option<(u16, Option<u64>)>) {
        self.shared().fault = fault;
    }

    /// Takes the next new comment, and answers that it failed.
    pub(crate) fn lose_an_answer(&self) {
        self.shared().losing = true;
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.shared().calls.clone()
    }

    /// The body has to be a document for Cloud and a text for Data Center.
    fn takes(&self, body: &Value) -> bool {
        if self.is_cloud {
            body["type"] == "doc" && body["version"] == 1 && no_empty_text(body)
        } else {
            body.is_string()
        }
    }
}

/// The schema of the format has no empty text.
fn no_empty_text(node: &Value) -> bool {
    let children = node["content"].as_array().into_iter().flatten();
    (node["type"] != "text" || node["text"].as_str().is_some_and(|text| !text.is_empty()))
        && children.into_iter().all(no_empty_text)
}

async fn guard(
    State(jira): State<Jira>,
    method: Method,
    headers: HeaderMap,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let fault = {
        let mut shared = jira.shared();
        shared.calls.push(format!("{method} {}", request.uri().path()));
        shared.fault
    };
    if let Some((status, after)) = fault {
        let mut response = StatusCode::from_u16(status).unwrap().into_response();
        if let Some(after) = after {
            response.headers_mut().insert("retry-after", after.to_string().parse().unwrap());
        }
        return response;
    }
    let basic = base64::engine::general_purpose::STANDARD.encode("claude@example.com:jira-token");
    let wanted = if jira.is_cloud { format!("Basic {basic}") } else { "Bearer jira-token".to_owned() };
    if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&wanted) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    next.run(request).await
}

async fn myself(State(jira): State<Jira>) -> Json<Value> {
    Json(match jira.is_cloud {
        true => json!({"accountId": ACCOUNT, "accountType": "atlassian", "displayName": "Claude", "active": true}),
        false => json!({"key": ACCOUNT, "name": "claude", "displayName": "Claude", "active": true}),
    })
}

async fn fields() -> Json<Value> {
    Json(json!([
        {"id": "summary", "key": "summary", "name": "Summary", "custom": false, "schema": {"type": "string"}},
        {"id": "customfield_10079", "name": "Git repository", "custom": true, "schema": {"type": "string", "customId": 10079}},
    ]))
}

async fn list(State(jira): State<Jira>, Path(issue): Path<String>) -> Json<Value> {
    let comments = jira.comments(&issue);
    let items: Vec<Value> =
        comments.iter().rev().map(|comment| json!({"id": comment.id, "body": comment.body})).collect();
    Json(json!({"startAt": 0, "maxResults": 100, "total": items.len(), "comments": items}))
}

async fn add(State(jira): State<Jira>, Path(issue): Path<String>, Json(body): Json<Value>) -> Response {
    if !jira.takes(&body["body"]) {
        return refusal();
    }
    let mut shared = jira.shared();
    let count: usize = shared.comments.values().map(Vec::len).sum();
    let id = (10_100 + count).to_string();
    let comment = Comment { id: id.clone(), body: body["body"].clone(), edits: 0 };
    shared.comments.entry(issue).or_default().push(comment);
    if std::mem::take(&mut shared.losing) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    (StatusCode::CREATED, Json(json!({"id": id, "body": body["body"]}))).into_response()
}

async fn edit(
    State(jira): State<Jira>,
    Path((issue, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    if !jira.takes(&body["body"]) {
        return refusal();
    }
    let mut shared = jira.shared();
    let found = shared.comments.get_mut(&issue).and_then(|all| all.iter_mut().find(|comment| comment.id == id));
    let Some(comment) = found else { return StatusCode::NOT_FOUND.into_response() };
    comment.body = body["body"].clone();
    comment.edits += 1;
    Json(json!({"id": id, "body": comment.body})).into_response()
}

fn refusal() -> Response {
    let body = json!({"errorMessages": [], "errors": {"comment": "Comment body is not valid!"}});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
