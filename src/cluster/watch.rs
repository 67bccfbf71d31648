//! One watch: lists, then follows the changes, for ever.
//!
//! Without a label selector: an object whose label somebody changes or takes away would leave the selection, and look as if
//! it had been deleted. What is not ours is passed over as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _, Lines};
use kube::Client;
use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::cache::Head;
use super::kinds::{Kind, Kinds, Resource};
use super::observe::Shared;
use super::warning_events::{self, SELECTOR};
use super::{Error, request};

/// How many objects one answer of a list holds.
const PAGE: u32 = 200;
/// How many pages are read at the same time, over all watches: a start reads them all, and should not hold them all.
pub(super) const PAGES: usize = 2;
/// After how many seconds the server ends a watch, at most and at least: spread, so that watches that began together
/// are not renewed together for ever.
const LIFE: std::ops::RangeInclusive<u64> = 240..=300;
/// A watch that ends sooner than this was no success, whatever the server says.
const SHORTEST_SUCCESS: Duration = Duration::from_secs(5);

/// What one task watches.
pub(super) struct Watch {
    pub(super) client: Client,
    pub(super) kinds: Kinds,
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) shared: Arc<Shared>,
}

/// One answer of a list. Its items are read one by one: their trees take ten times the room of their text.
#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    token: String,
    resource_version: Option<String>,
}

impl Watch {
    /// Never ends by itself: whoever started it drops it.
    pub(super) async fn run(self) {
        let mut position = None;
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let result = self.follow(&mut position).await;
            if began.elapsed() >= SHORTEST_SUCCESS {
                failures = 0;
            }
            if let Err(error) = result {
                if matches!(error, Error::Api { code: 410, .. }) {
                    // The server has forgotten the changes since then. No failure: a new list tells all.
                    position = None;
                } else {
                    self.shared.failed(&self.kind, error.clone());
                }
                tokio::time::sleep(pause_after(failures, &error)).await;
                failures = failures.saturating_add(1);
            } else if began.elapsed() < SHORTEST_SUCCESS {
                tokio::time::sleep(pause(failures, true)).await;
                failures = failures.saturating_add(1);
            }
        }
    }

    async fn follow(&self, position: &mut Option<String>) -> Result<(), Error> {
        let resource = self.kinds.resolve(&self.kind).await?;
        let path = resource.collection(&resource.api_version(), Some(&self.namespace));
        let from = match position {
            Some(from) => from.clone(),
            None => self.list(&resource, &path).await?,
        };
        *position = Some(from.clone());
        let mut events = Events::open(&self.client, &format!("{path}?"), &from).await?;
        self.shared.live(&self.kind);
        while let Some(event) = events.next().await? {
            match event {
                Event::Put(object) => {
                    let Some(head) = Head::read(object.get(), None) else { continue };
                    advance(position, head.version());
                    self.shared.seen(head, object.get());
                }
                Event::Deleted(object) => {
                    let Some(head) = Head::read(object.get(), None) else { continue };
                    advance(position, head.version());
                    self.shared.change(|cache| cache.deleted(&head));
                }
                Event::Bookmark(version) => *position = Some(version),
            }
        }
        Ok(())
    }

    /// Lists everything, in pages, and gives the version to watch from.
    async fn list(&self, resource: &Resource, path: &str) -> Result<String, Error> {
        let mut listing = self.shared.with(super::cache::Cache::begin_list);
        let mut token = String::new();
        loop {
            // Never closed.
            let _place = self.shared.pages.acquire().await;
            let from = match token.as_str() {
                "" => String::new(),
                token => format!("&continue={}", percent_encode(token)),
            };
            let answer = request::fetch(&self.client, request::at(&format!("{path}?limit={PAGE}{from}"))?).await?;
            let page: Page<'_> = request::read(&answer)?;
            for item in page.items {
                self.shared.listed(&mut listing, item.get(), resource);
            }
            token = page.metadata.token;
            if token.is_empty() {
                self.shared.change(|cache| cache.end_list(&listing, &self.kind));
                return (page.metadata.resource_version)
                    .ok_or_else(|| Error::Answer("a list without resourceVersion".to_owned()));
            }
        }
    }
}

/// Follows what controllers complain of. Never ends by itself, but where a cluster has no events.
pub(super) async fn complaints(client: Client, shared: Arc<Shared>, namespace: String) {
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector={}", percent_encode(SELECTOR));
    let mut failures = 0_u32;
    loop {
        let began = Instant::now();
        let result = follow_complaints(&client, &shared, &path).await;
        if began.elapsed() >= SHORTEST_SUCCESS {
            failures = 0;
        }
        match result {
            // The embedded cluster has no events, and nothing in it refuses pods.
            Err(Error::Api { code: 404, .. }) => return,
            Err(Error::Api { code: 410, .. }) => {}
            Err(error) => {
                tracing::debug!(%error, "events cannot be watched");
                tokio::time::sleep(pause_after(failures, &error)).await;
                failures = failures.saturating_add(1);
            }
            Ok(()) if began.elapsed() < SHORTEST_SUCCESS => {
                tokio::time::sleep(pause(failures, true)).await;
                failures = failures.saturating_add(1);
            }
            Ok(()) => {}
        }
    }
}

/// One list and its watches, until one of them fails.
async fn follow_complaints(client: &Client, shared: &Shared, path: &str) -> Result<(), Error> {
    let mut token = String::new();
    let mut position = loop {
        let page = match token.as_str() {
            "" => request::get(client, &format!("{path}&limit={PAGE}")).await?,
            token => {
                let token = percent_encode(token);
                request::get(client, &format!("{path}&limit={PAGE}&continue={token}")).await?
            }
        };
        let events = page["items"].as_array().into_iter().flatten();
        events
            .filter_map(|event| warning_events::Event::deserialize(event).ok())
            .for_each(|event| shared.complained(&event));
        page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut token);
        if token.is_empty() {
            let version = page["metadata"]["resourceVersion"].as_str().map(str::to_owned);
            break version.ok_or_else(|| Error::Answer("a list without resourceVersion".to_owned()))?;
        }
    };
    loop {
        let began = Instant::now();
        let mut events = Events::open(client, &format!("{path}&"), &position).await?;
        while let Some(event) = events.next().await? {
            match event {
                Event::Put(event) => {
                    let Ok(event) = serde_json::from_str::<warning_events::Event>(event.get()) else { continue };
                    if let Some(version) = &event.metadata.resource_version {
                        version.clone_into(&mut position);
                    }
                    shared.complained(&event);
                }
                Event::Deleted(event) => {
                    if let Ok(event) = serde_json::from_str(event.get()) {
                        shared.expired(&event);
                    }
                }
                Event::Bookmark(version) => position = version,
            }
        }
        if began.elapsed() < SHORTEST_SUCCESS {
            return Ok(());
        }
    }
}

/// What a watch tells.
enum Event {
    /// An object was made or changed. Its text: most of what is told is known already, and then it is not read.
    Put(Box<RawValue>),
    Deleted(Box<RawValue>),
    /// Nothing happened until this version.
    Bookmark(String),
}

/// An open watch.
struct Events {
    lines: Lines<Pin<Box<dyn AsyncBufRead + Send>>>,
    /// When the server should have ended it.
    overdue: Instant,
}

impl Events {
    /// Begins to watch a collection from a version on. Its path ends where the next parameter of the query begins.
    async fn open(client: &Client, path: &str, from: &str) -> Result<Self, Error> {
        let life = rand::random_range(LIFE);
        let uri = format!("{path}watch=1&allowWatchBookmarks=true&resourceVersion={from}&timeoutSeconds={life}");
        // A compressed watch would be held back until a block is full.
        let request = http::Request::get(uri).header(http::header::ACCEPT_ENCODING, "identity").body(Vec::new());
        let request = request.map_err(|error| Error::Answer(error.to_string()))?;
        // The headers come at once, the body never ends.
        let body = tokio::time::timeout(Duration::from_secs(30), client.request_stream(request))
            .await
            .map_err(|_| Error::Unreachable("no answer to a watch within 30 s".to_owned()))?
            .map_err(|error| Error::from_client(&error))?;
        let body: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(body);
        // A connection that died without a word is found by the server's own end of the watch not coming.
        Ok(Self { lines: body.lines(), overdue: Instant::now() + Duration::from_secs(life + 10) })
    }

    /// The next event; `None` at the end, which a broken connection is as well: whoever begins anew finds out what is wrong.
    async fn next(&mut self) -> Result<Option<Event>, Error> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(rename = "type")]
            kind: String,
            object: Box<RawValue>,
        }
        #[derive(Deserialize)]
        struct Bookmark {
            metadata: PageMetadata,
        }
        let Ok(line) = tokio::time::timeout_at(self.overdue, self.lines.next()).await else {
            return Err(Error::Unreachable("a watch fell silent".to_owned()));
        };
        let Some(Ok(line)) = line else { return Ok(None) };
        let line: Line = match serde_json::from_str(&line) {
            Ok(line) => line,
            // Cut off.
            Err(error) if error.is_eof() => return Ok(None),
            Err(error) => {
                let status = serde_json::from_str::<Status>(&line).ok().filter(|status| status.code > 0);
                return Err(status.map_or_else(|| Error::Answer(error.to_string()), |status| ended(&status)));
            }
        };
        let unreadable = |error: serde_json::Error| Error::Answer(error.to_string());
        match line.kind.as_str() {
            "ADDED" | "MODIFIED" => Ok(Some(Event::Put(line.object))),
            "DELETED" => Ok(Some(Event::Deleted(line.object))),
            "BOOKMARK" => {
                let bookmark: Bookmark = serde_json::from_str(line.object.get()).map_err(unreadable)?;
                let version = bookmark.metadata.resource_version;
                Ok(Some(Event::Bookmark(
                    version.ok_or_else(|| Error::Answer("a bookmark without version".to_owned()))?,
                )))
            }
            "ERROR" => Err(ended(&serde_json::from_str(line.object.get()).map_err(unreadable)?)),
            other => Err(Error::Answer(format!("a watch event of the type {other}"))),
        }
    }
}

/// Why the server ended a watch.
fn ended(status: &Status) -> Error {
    Error::Api { code: status.code, reason: status.reason.clone(), message: status.message.clone(), retry_after: None }
}

fn advance(position: &mut Option<String>, version: &str) {
    if !version.is_empty() {
        *position = Some(version.to_owned());
    }
}

/// How long to wait after this failure. Credentials may be renewed any moment, as by a rotated token.
fn pause_after(failures: u32, error: &Error) -> Duration {
    let own = pause(failures, error.is_transient() || error.code() == Some(401));
    match error {
        Error::Api { retry_after: Some(seconds), .. } => own.max(Duration::from_secs((*seconds).min(300))),
        _ => own,
    }
}

/// How long to wait after so many failures in a row. What no waiting cures (a missing right, an unknown kind) is looked
/// at again now and then only, because somebody may cure it.
fn pause(failures: u32, transient: bool) -> Duration {
    let longest = if transient { 30_000 } else { 300_000 };
    let step = 250_u64.saturating_mul(1 << failures.min(12)).min(longest);
    Duration::from_millis(rand::random_range(step / 2..=step))
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_never_nothing() {
        for failures in 0..40 {
            assert!(pause(failures, true) >= Duration::from_millis(125));
            assert!(pause(failures, true) <= Duration::from_secs(30));
            assert!(pause(failures, false) <= Duration::from_secs(300));
        }
        assert!(pause(20, false) >= Duration::from_secs(150));
    }

    #[test]
    fn the_server_says_when_it_wants_to_be_asked_again() {
        let api = |code, retry_after| Error::Api { code, reason: String::new(), message: String::new(), retry_after };
        assert!(pause_after(0, &api(429, Some(7))) >= Duration::from_secs(7));
        assert!(pause_after(0, &api(429, Some(86_400))) <= Duration::from_secs(300));
        assert!(pause_after(20, &api(401, None)) <= Duration::from_secs(30));
    }

    #[test]
    fn selectors_survive_the_way_through_a_url() {
        assert_eq!(percent_encode("a.b/c=d,!e"), "a.b%2Fc%3Dd%2C%21e");
    }
}
