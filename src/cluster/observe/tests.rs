//! Watches against a scripted server, in paused time.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::project::PROJECT_LABEL;

/// A client whose requests are answered by a function of path and query.
fn scripted(answer: impl Fn(&str) -> Response<Body> + Clone + Send + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer(&request.uri().to_string())) }
    });
    Client::new(service, "n")
}

fn json(code: u16, value: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(format!("{value}\n"))).unwrap()
}

fn list(version: &str, items: &Value) -> Response<Body> {
    json(200, &json!({"metadata": {"resourceVersion": version}, "items": items}))
}

/// A watch that says these events and then nothing.
fn events(events: &[Value]) -> Response<Body> {
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    let said = stream::iter([Ok::<_, Infallible>(text.into_bytes())]);
    Response::new(Body::from_stream(said.chain(stream::pending())))
}

fn config(name: &str, version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
           "metadata": {"name": name, "namespace": "n", "resourceVersion": version, "labels": {PROJECT_LABEL: "shop"}}})
}

fn names(observer: &Observer) -> Vec<String> {
    observer.objects(None).into_keys().map(|key| key.name.clone()).collect()
}

/// Whether a request is about config maps; the other watches stay empty and silent.
fn is_subject(uri: &str) -> bool {
    uri.contains("/configmaps?")
}

fn silent(uri: &str) -> Response<Body> {
    if uri.contains("watch=1") { events(&[]) } else { list("1", &json!([])) }
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_is_followed_by_a_new_list() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lists);
    let client = scripted(move |uri| {
        if !is_subject(uri) {
            return silent(uri);
        }
        let expired = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}});
        match (uri.contains("watch=1"), uri.contains("resourceVersion=5")) {
            (false, _) if counted.fetch_add(1, Ordering::Relaxed) == 0 => list("5", &json!([config("old", "4")])),
            (false, _) => list("9", &json!([config("new", "8")])),
            (true, true) => events(&[expired]),
            (true, false) => events(&[json!({"type": "ADDED", "object": config("newest", "10")})]),
        }
    });
    let observer = Observer::start(client, "n", []);
    let mut changes = observer.changes();
    while names(&observer) != ["new", "newest"] {
        tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap();
    }
    assert_eq!(lists.load(Ordering::Relaxed), 2);
    assert_eq!(observer.connection().borrow().unreachable, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_the_last_bookmark() {
    let uris = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&uris);
    let client = scripted(move |uri| {
        if !is_subject(uri) {
            return silent(uri);
        }
        lock(&seen).push(uri.to_owned());
        let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1",
                                                             "metadata": {"resourceVersion": "77"}}});
        match (uri.contains("watch=1"), uri.contains("resourceVersion=5")) {
            (false, _) => list("5", &json!([])),
            // The server ends the watch at the end of its life.
            (true, true) => Response::new(Body::from(format!("{bookmark}\n"))),
            (true, false) => events(&[]),
        }
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let uris = lock(&uris).clone();
    assert_eq!(uris.len(), 3, "{uris:#?}");
    assert!(uris[2].contains("resourceVersion=77"), "{uris:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_page_follows_the_other() {
    let client = scripted(|uri| {
        if !is_subject(uri) || uri.contains("watch=1") {
            return silent(uri);
        }
        if uri.contains("continue=next%2Fpage") {
            return list("5", &json!([config("b", "2")]));
        }
        json(200, &json!({"metadata": {"resourceVersion": "5", "continue": "next/page"}, "items": [config("a", "1")]}))
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    assert_eq!(names(&observer), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_reads_only_a_few_pages_at_a_time() {
    let under_way = Arc::new(AtomicUsize::new(0));
    let (now, most) = (Arc::clone(&under_way), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (uri, now, seen) = (request.uri().to_string(), Arc::clone(&now), Arc::clone(&seen));
        async move {
            let is_list = !uri.contains("watch=1") && !uri.contains("/events?");
            if is_list {
                seen.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                now.fetch_sub(1, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(silent(&uri))
        }
    });
    let observer = Observer::start(Client::new(service, "n"), "n", []);
    observer.synced().await;
    assert_eq!((under_way.load(Ordering::Relaxed), most.load(Ordering::Relaxed)), (0, PAGES));
}

#[tokio::test(start_paused = true)]
async fn a_refused_kind_is_named_and_asked_for_ever_less_often() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let client = scripted(move |uri| {
        if !is_subject(uri) {
            return silent(uri);
        }
        counted.fetch_add(1, Ordering::Relaxed);
        json(403, &json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}))
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    let connection = observer.connection().borrow().clone();
    assert_eq!(connection.refused.keys().map(Kind::to_string).collect::<Vec<_>>(), ["ConfigMap"]);
    assert_eq!(connection.unreachable, None);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let requests = requests.load(Ordering::Relaxed);
    assert!((15..45).contains(&requests), "{requests} requests in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let client = scripted(move |uri| {
        if !is_subject(uri) {
            return silent(uri);
        }
        counted.fetch_add(1, Ordering::Relaxed);
        if uri.contains("watch=1") { Response::new(Body::empty()) } else { list("1", &json!([])) }
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let requests = requests.load(Ordering::Relaxed);
    assert!(requests < 60, "{requests} requests in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_found_out_and_begun_anew() {
    let client = scripted(|uri| {
        if is_subject(uri) && uri.contains("watch=1") && !uri.contains("resourceVersion=2") {
            return events(&[json!({"type": "ADDED", "object": config("a", "2")})]);
        }
        if is_subject(uri) && uri.contains("watch=1") {
            return events(&[json!({"type": "DELETED", "object": config("a", "3")})]);
        }
        silent(uri)
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    let began = Instant::now();
    let mut changes = observer.changes();
    while names(&observer) != ["a"] {
        changes.next().await;
    }
    while !names(&observer).is_empty() {
        changes.next().await;
    }
    assert!(began.elapsed() > Duration::from_secs(200) && began.elapsed() < Duration::from_secs(330));
}

#[tokio::test(start_paused = true)]
async fn the_watches_end_with_the_observer() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let client = scripted(move |uri| {
        counted.fetch_add(1, Ordering::Relaxed);
        silent(uri)
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    let clone = observer.clone();
    drop(observer);
    tokio::time::sleep(Duration::from_secs(400)).await;
    let before = requests.load(Ordering::Relaxed);
    assert!(before > 16, "a clone keeps them alive: {before}");
    drop(clone);
    tokio::time::sleep(Duration::from_secs(4000)).await;
    assert_eq!(requests.load(Ordering::Relaxed), before);
}

#[tokio::test(start_paused = true)]
async fn a_kind_can_be_added_and_is_discovered() {
    let client = scripted(|uri| match uri {
        "/apis/example.com" => json(200, &json!({"preferredVersion": {"version": "v2"}})),
        "/apis/example.com/v2" => json(
            200,
            &json!({"resources": [{"kind": "Thing", "name": "things/status"}, {"kind": "Thing", "name": "things", "namespaced": true}]}),
        ),
        uri if uri.starts_with("/apis/example.com/v2/namespaces/n/things?") && !uri.contains("watch=1") => {
            let metadata =
                json!({"name": "x", "namespace": "n", "resourceVersion": "3", "labels": {PROJECT_LABEL: "shop"}});
            list("3", &json!([{"metadata": metadata}]))
        }
        uri => silent(uri),
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    observer.watch_kind(&Kind::new("example.com", "Thing"));
    assert!(!observer.connection().borrow().synced);
    observer.synced().await;
    let key = observer.objects(None).into_keys().next().unwrap();
    assert_eq!((key.group.as_str(), key.kind.as_str()), ("example.com", "Thing"));
}

#[tokio::test(start_paused = true)]
async fn a_complaint_wakes_whom_it_is_about_until_it_expires() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lists);
    let client = scripted(move |uri| {
        if is_subject(uri) && !uri.contains("watch=1") {
            return list("5", &json!([config("a", "1")]));
        }
        if !uri.contains("/events?") {
            return silent(uri);
        }
        if !uri.contains("watch=1") {
            counted.fetch_add(1, Ordering::Relaxed);
            return list("1", &json!([]));
        }
        let line = |kind: &str| {
            let event = json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"uid": "e", "resourceVersion": "9"},
                "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "n", "name": "a"}, "message": "quota",
                "reason": "FailedCreate", "lastTimestamp": "2026-11-24T10:00:00Z",
            });
            format!("{}\n", json!({"type": kind, "object": event}))
        };
        if uri.contains("resourceVersion=9") {
            return events(&[]);
        }
        // The server says it a second later, takes it back after ten, and ends the watch.
        let said = [(1, line("ADDED")), (10, line("DELETED"))];
        let said = stream::iter(said).then(|(seconds, line)| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Infallible>(line.into_bytes())
        });
        Response::new(Body::from_stream(said))
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    assert!(observer.connection().borrow().refused.is_empty());
    let mut changes = observer.changes();
    let woken = tokio::time::timeout(Duration::from_secs(5), changes.next()).await.expect("somebody is woken");
    assert_eq!(woken.iter().map(Unit::to_string).collect::<Vec<_>>(), ["shop"]);
    let key = observer.objects(None).into_keys().next().expect("the object");
    assert_eq!(observer.complaint(&key).map(|complaint| complaint.message).as_deref(), Some("quota"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(observer.complaint(&key), None);
    assert_eq!(lists.load(Ordering::Relaxed), 1, "a watch that ends goes on where it was");
}

#[tokio::test(start_paused = true)]
async fn events_that_may_not_be_read_hold_nothing_up() {
    let client = scripted(|uri| match uri {
        uri if uri.contains("/events?") => {
            json(403, &json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}))
        }
        uri if is_subject(uri) && !uri.contains("watch=1") => list("5", &json!([config("a", "1")])),
        uri => silent(uri),
    });
    let observer = Observer::start(client, "n", []);
    observer.synced().await;
    assert!(observer.connection().borrow().refused.is_empty());
    assert_eq!(observer.objects(None).len(), 1);
}
