//! The embedded cluster's answers to HTTP requests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::errors::Refusal;
use super::resources::{self, RESOURCES, Resource};
use super::select::Selector;
use super::state::{Event, Id, State};
use super::write::{self, Options};
use super::{Inner, lock, log};

/// How often a watch without news says how far it has come.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// Answers one request.
pub(super) async fn answer(inner: Arc<Inner>, request: Request<kube::client::Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(&Refusal::bad_request(&error.to_string())),
    };
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path: Vec<String> = parts.uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let result = match route(&path) {
        Route::Plain(text) => return Response::new(Body::from(text)),
        Route::Document(document) if parts.method == Method::GET => Ok((200, Arc::new(document))),
        Route::Document(_) => Err(Refusal::not_allowed()),
        Route::Nothing => return plain_not_found(),
        Route::Unknown => Err(Refusal::unknown_path()),
        Route::Collection(resource, namespace) if parts.method == Method::GET => {
            if query.is("watch") {
                return watch(&inner, resource, namespace, &query);
            }
            list(&lock(&inner.state), resource, namespace, &query).map(|list| (200, Arc::new(list)))
        }
        Route::Collection(..) => Err(Refusal::not_allowed()),
        Route::Log(id) if parts.method == Method::GET => match log::answer(&inner, &id, &query) {
            Ok(response) => return response,
            Err(refusal) => Err(refusal),
        },
        Route::Log(_) => Err(Refusal::not_allowed()),
        Route::Object(id) => {
            let result = object(&inner, &id, &parts.method, content_type, &body, &query);
            inner.wake();
            result
        }
    };
    match result {
        Ok((code, value)) => json(code, &value),
        Err(refusal) => refuse(&refusal),
    }
}

enum Route<'a> {
    Plain(&'static str),
    Document(Value),
    Collection(&'static Resource, Option<&'a str>),
    Object(Id),
    /// The log of a pod.
    Log(Id),
    /// A path of a group that is not there.
    Nothing,
    /// A path within a group that is there.
    Unknown,
}

fn route<'a>(path: &[&'a str]) -> Route<'a> {
    let (group, version, rest) = match path {
        ["readyz" | "livez" | "healthz"] => return Route::Plain("ok"),
        ["version"] => {
            return Route::Document(
                json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0+embedded", "platform": "embedded"}),
            );
        }
        ["api"] => return Route::Document(json!({"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]})),
        ["apis"] => {
            let groups: Vec<Value> = resources::groups().map(group_document).collect();
            return Route::Document(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}));
        }
        ["apis", group] if resources::groups().any(|known| known == *group) => {
            let mut document = group_document(group);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            return Route::Document(document);
        }
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Route::Nothing,
    };
    if version != "v1" || !(group.is_empty() || resources::groups().any(|known| known == group)) {
        return Route::Nothing;
    }
    let id = |resource: &'static Resource, namespace: &str, name: &str| Id {
        resource,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let find = |plural: &str, namespaced: bool| {
        resources::by_plural(group, version, plural).filter(|resource| resource.namespaced == namespaced)
    };
    match rest {
        [] => Route::Document(resource_list(group, version)),
        ["namespaces", namespace, plural] => match find(plural, true) {
            Some(resource) => Route::Collection(resource, Some(namespace)),
            None => Route::Unknown,
        },
        ["namespaces", namespace, plural, name] => match find(plural, true) {
            Some(resource) => Route::Object(id(resource, namespace, name)),
            None => Route::Unknown,
        },
        ["namespaces", namespace, plural, name, "log"] => match find(plural, true) {
            Some(resource) if resource.kind == "Pod" => Route::Log(id(resource, namespace, name)),
            _ => Route::Unknown,
        },
        [plural] => match resources::by_plural(group, version, plural) {
            Some(resource) => Route::Collection(resource, None),
            None => Route::Unknown,
        },
        [plural, name] => match find(plural, false) {
            Some(resource) => Route::Object(id(resource, "", name)),
            None => Route::Unknown,
        },
        _ => Route::Unknown,
    }
}

fn group_document(group: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

fn resource_list(group: &str, version: &str) -> Value {
    let of_group = RESOURCES.iter().filter(|resource| resource.group == group && resource.version == version);
    let list: Vec<Value> = of_group
        .map(|resource| {
            json!({
                "name": resource.plural, "singularName": resource.kind.to_lowercase(), "namespaced": resource.namespaced,
                "kind": resource.kind, "verbs": ["delete", "get", "list", "patch", "watch"],
            })
        })
        .collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list})
}

fn object(
    inner: &Inner,
    id: &Id,
    method: &Method,
    content_type: &str,
    body: &[u8],
    query: &Query,
) -> write::WriteAnswer {
    let mut state = lock(&inner.state);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let options = Options {
        manager: query.get("fieldManager").to_owned(),
        force: query.is("force"),
        dry_run: query.get("dryRun") == "All",
    };
    let read = || serde_json::from_slice::<Value>(body).map_err(|error| Refusal::bad_request(&error.to_string()));
    if *method == Method::GET {
        let found = state.get(id).cloned().or_else(|| implied_namespace(id));
        return found.map(|object| (200, object)).ok_or_else(|| Refusal::not_found(id.resource, &id.name));
    }
    if *method == Method::DELETE {
        let options = if body.is_empty() { Value::Null } else { read()? };
        let dry = query.get("dryRun") == "All" || options["dryRun"] == json!(["All"]);
        return write::delete(&mut state, id, &options, dry);
    }
    if *method != Method::PATCH {
        return Err(Refusal::not_allowed());
    }
    match media_type {
        "application/apply-patch+yaml" => {
            // JSON is YAML, and our client sends JSON.
            let applied = serde_yaml::from_slice(body)
                .map_err(|error| Refusal::bad_request(&format!("error decoding YAML: {error}")))?;
            write::apply(&mut state, &inner.schema, id, applied, &options)
        }
        "application/json-patch+json" => {
            let patch: json_patch::Patch =
                serde_json::from_slice(body).map_err(|error| Refusal::bad_request(&error.to_string()))?;
            let change = |object: &mut Value| json_patch::patch(object, &patch).map_err(|_| Refusal::invalid_patch());
            write::patch(&mut state, &inner.schema, id, &options, change)
        }
        "application/merge-patch+json" => {
            let patch = read()?;
            let change = |object: &mut Value| {
                json_patch::merge(object, &patch);
                Ok(())
            };
            write::patch(&mut state, &inner.schema, id, &options, change)
        }
        _ => Err(Refusal::media_type()),
    }
}

/// Every namespace is there: the state repository names one and makes none.
fn implied_namespace(id: &Id) -> Option<Arc<Value>> {
    (id.resource.kind == "Namespace").then(|| {
        Arc::new(json!({
            "kind": "Namespace", "apiVersion": "v1",
            "metadata": {"name": id.name, "labels": {"kubernetes.io/metadata.name": id.name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        }))
    })
}

fn list(state: &State, resource: &'static Resource, namespace: Option<&str>, query: &Query) -> Result<Value, Refusal> {
    let filter = Filter::of(resource, namespace, query)?;
    let items: Vec<Value> = state
        .list(resource, namespace)
        .filter(|(id, object)| filter.takes(id, object))
        .map(|(_, object)| {
            let mut item = (**object).clone();
            if let Some(fields) = item.as_object_mut() {
                fields.remove("apiVersion");
                fields.remove("kind");
            }
            item
        })
        .collect();
    Ok(json!({
        "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": state.version().to_string()}, "items": items,
    }))
}

/// What a list or watch is about.
struct Filter {
    resource: &'static Resource,
    namespace: Option<String>,
    labels: Selector,
    name: Option<String>,
}

impl Filter {
    fn of(resource: &'static Resource, namespace: Option<&str>, query: &Query) -> Result<Self, Refusal> {
        let unreadable = |text: &str| Refusal::bad_request(&format!("unable to parse requirement: {text}"));
        let labels = query.get("labelSelector");
        let labels = Selector::parse(labels).ok_or_else(|| unreadable(labels))?;
        let name = match query.get("fieldSelector") {
            "" => None,
            text => match text.split_once('=') {
                Some(("metadata.name", name)) => Some(name.trim_start_matches('=').to_owned()),
                _ => return Err(Refusal::bad_request(&format!("field label not supported: {text}"))),
            },
        };
        Ok(Self { resource, namespace: namespace.map(str::to_owned), labels, name })
    }

    fn takes(&self, id: &Id, object: &Value) -> bool {
        id.resource == self.resource
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == id.namespace)
            && self.name.as_ref().is_none_or(|name| *name == id.name)
            && self.labels.matches(object)
    }

    /// An event as this watch sees it: an object that is no longer selected is gone for it.
    fn tell(&self, event: &Event) -> Option<Value> {
        let was = event.before.as_ref().is_some_and(|before| self.takes(&event.id, before));
        let is = !event.gone && self.takes(&event.id, &event.object);
        let kind = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        if is || event.gone {
            return Some(json!({"type": kind, "object": *event.object}));
        }
        // It left by a change of its labels: as it was, under the version of the change.
        let mut object = event.before.as_deref().cloned().unwrap_or_default();
        object["metadata"]["resourceVersion"] = event.version.to_string().into();
        Some(json!({"type": kind, "object": object}))
    }
}

/// A watch under way.
struct Watch {
    inner: Arc<Inner>,
    filter: Filter,
    signal: watch::Receiver<u64>,
    version: u64,
    /// What is there at the beginning, for a watch without a version.
    first: Vec<u8>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    ended: bool,
}

fn watch(inner: &Arc<Inner>, resource: &'static Resource, namespace: Option<&str>, query: &Query) -> Response<Body> {
    let filter = match Filter::of(resource, namespace, query) {
        Ok(filter) => filter,
        Err(refusal) => return refuse(&refusal),
    };
    let mut signal = inner.signal.subscribe();
    signal.mark_changed();
    let state = lock(&inner.state);
    let mut first = Vec::new();
    let version = match query.get("resourceVersion") {
        "" | "0" => {
            for (_, object) in state.list(resource, namespace).filter(|(id, object)| filter.takes(id, object)) {
                write_line(&mut first, &json!({"type": "ADDED", "object": **object}));
            }
            state.version()
        }
        text => match text.parse() {
            Ok(version) => version,
            Err(_) => return refuse(&Refusal::bad_request(&format!("invalid resource version {text:?}"))),
        },
    };
    drop(state);
    let seconds = query.get("timeoutSeconds").parse().unwrap_or(1800_u64).min(86_400);
    let watch = Watch {
        inner: Arc::clone(inner),
        filter,
        signal,
        version,
        first,
        bookmarks: query.is("allowWatchBookmarks"),
        next_bookmark: Instant::now() + BOOKMARKS,
        end: Instant::now() + Duration::from_secs(seconds),
        ended: false,
    };
    let chunks = stream::unfold(watch, |mut watch| async move {
        let chunk = watch.next().await?;
        Some((Ok::<_, Infallible>(chunk), watch))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

impl Watch {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first));
        }
        while !self.ended {
            let woken = tokio::select! {
                changed = self.signal.changed() => changed.is_ok(),
                () = tokio::time::sleep_until(self.next_bookmark.min(self.end)) => true,
            };
            let lines = self.gather();
            let now = Instant::now();
            self.ended |= !woken || now >= self.end;
            let mut lines = lines;
            if self.bookmarks && now >= self.next_bookmark.min(self.end) {
                self.next_bookmark = now + BOOKMARKS;
                let resource = self.filter.resource;
                let metadata = json!({"resourceVersion": self.version.to_string()});
                let object = json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata});
                write_line(&mut lines, &json!({"type": "BOOKMARK", "object": object}));
            }
            if !lines.is_empty() {
                return Some(lines);
            }
        }
        None
    }

    fn gather(&mut self) -> Vec<u8> {
        self.signal.borrow_and_update();
        let mut lines = Vec::new();
        let state = lock(&self.inner.state);
        match state.since(self.version) {
            Ok(events) => {
                for event in events.filter_map(|event| self.filter.tell(event)) {
                    write_line(&mut lines, &event);
                }
                self.version = state.version().max(self.version);
            }
            Err(oldest) => {
                let refusal = Refusal::expired(self.version, oldest);
                write_line(&mut lines, &json!({"type": "ERROR", "object": refusal.body}));
                self.ended = true;
            }
        }
        lines
    }
}

/// The parameters of a request.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|part| !part.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(&value.replace('+', " ")))
                })
                .collect(),
        )
    }

    pub(super) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(super) fn is(&self, key: &str) -> bool {
        matches!(self.get(key), "1" | "true")
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let hex = text.get(index + 1..index + 3).filter(|_| *byte == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                index += 3;
            }
            None => {
                decoded.push(*byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn write_line(lines: &mut Vec<u8>, value: &Value) {
    lines.extend_from_slice(value.to_string().as_bytes());
    lines.push(b'\n');
}

fn json(code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    json(refusal.code, &refusal.body)
}

fn plain_not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
