//! Executes a plan: the only place in this program that writes to a cluster.
//!
//! *Flow:* stage by stage, within a stage many at once. *Guarantees:* one result for each action, in the plan's order; a
//! failed action stops no other; nothing is deleted but what the plan names with its uid, and never to make room for a
//! change that the API server refuses. *Caveats:* a cancelled execution finishes what is on its way.

use std::time::{Duration, Instant};

use base64::Engine as _;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{Method, Request};
use hyper::body::Bytes;
use kube::Client;
use serde_json::{Value, json};

use super::cancel::Cancel;
use super::concurrency_limit::Pace;
use super::kinds::{Kind, Kinds};
use super::{Error, request, take_over};
use crate::plan::{Action, Content, Operation, UnitPlan};
use crate::project::ObjectKey;

/// How many requests of one plan are on their way at once, of those that [`Pace`] allows to all plans together.
const CONCURRENCY: usize = 16;
/// How often one action is tried.
const ATTEMPTS: u32 = 5;
/// The longest that a server's Retry-After is heeded; after that, the next plan tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What came of one action.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The object.
    pub key: ObjectKey,
    /// What was done, or why not.
    pub result: Result<Done, Error>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// The object is as sent; this is the API server's answer, as JSON.
    Applied(Box<str>),
    /// The object is gone, or goes as soon as its finalizers are done.
    Deleted,
}

/// Executes a plan.
pub async fn apply(client: &Client, kinds: &Kinds, pace: &Pace, plan: &UnitPlan, cancel: &Cancel) -> Vec<Outcome> {
    execute(client, kinds, pace, plan, cancel, false).await
}

/// Asks the API server what it would say to a plan, and changes nothing. Actions whose object needs another action first
/// may fail here and work there.
pub async fn dry_run(client: &Client, kinds: &Kinds, pace: &Pace, plan: &UnitPlan, cancel: &Cancel) -> Vec<Outcome> {
    execute(client, kinds, pace, plan, cancel, true).await
}

async fn execute(
    client: &Client,
    kinds: &Kinds,
    pace: &Pace,
    plan: &UnitPlan,
    cancel: &Cancel,
    dry: bool,
) -> Vec<Outcome> {
    let field_manager = plan.unit.field_manager();
    let writer = Writer { client, kinds, pace, cancel, field_manager: &field_manager, dry };
    let mut outcomes = Vec::with_capacity(plan.actions.len());
    for stage in plan.actions.chunk_by(|one, next| one.stage == next.stage) {
        // `buffered`, not `buffer_unordered`: results are told in the plan's order.
        let actions: Vec<_> = stage.iter().map(|action| writer.perform(action).boxed()).collect();
        outcomes.extend(stream::iter(actions).buffered(CONCURRENCY).collect::<Vec<_>>().await);
    }
    outcomes
}

struct Writer<'a> {
    client: &'a Client,
    kinds: &'a Kinds,
    pace: &'a Pace,
    cancel: &'a Cancel,
    field_manager: &'a str,
    dry: bool,
}

impl Writer<'_> {
    async fn perform(&self, action: &Action) -> Outcome {
        let mut attempt = 0;
        let result = loop {
            if self.cancel.is_cancelled() {
                break Err(Error::Cancelled);
            }
            attempt += 1;
            let place = tokio::select! {
                place = self.pace.place() => place,
                () = self.cancel.cancelled() => break Err(Error::Cancelled),
            };
            let result = self.attempt(action).await;
            place.went(&result);
            let error = match result {
                Ok(done) => break Ok(done),
                Err(error) => error,
            };
            if attempt == ATTEMPTS || !error.is_transient() || is_final(action, &error) {
                break Err(error);
            }
            let Some(pause) = pause(attempt, &error) else { break Err(error) };
            tracing::debug!(object = %action.key, %error, ?pause, "trying again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.cancelled() => {}
            }
        };
        let result = result.map_err(|error| masked(error, action));
        Outcome { key: action.key.clone(), result }
    }

    async fn attempt(&self, action: &Action) -> Result<Done, Error> {
        let kind = Kind::new(&action.key.group, &action.key.kind);
        let resource = self.kinds.resolve(&kind).await?;
        let collection = resource.collection(&action.api_version, action.key.namespace.as_deref());
        let path = format!("{collection}/{}", action.key.name);
        match &action.operation {
            Operation::Create(object) => self.create(&path, object).await,
            Operation::Update { object, take_over } => {
                if *take_over && !self.dry {
                    self.take_over(&path).await?;
                }
                self.patch(&path, object, true).await
            }
            Operation::Recreate { uid, object } => self.remake(&path, uid, object).await,
            Operation::Delete { uid } => self.delete(&path, uid, "Background").await,
        }
    }

    /// What is not seen may be there all the same: watches see only what has a label of ours. So nothing is taken from
    /// anybody by force, before it is known from whom.
    async fn create(&self, path: &str, object: &Content) -> Result<Done, Error> {
        match self.patch(path, object, false).await {
            Err(error) if error.is_about_owners() => match request::get(self.client, path).await {
                Ok(live) => match take_over::strangers(&live, self.field_manager) {
                    Some(strangers) => Err(Error::Taken(strangers)),
                    None => self.patch(path, object, true).await,
                },
                // Gone meanwhile.
                Err(Error::Api { code: 404, .. }) => self.patch(path, object, false).await,
                Err(error) => Err(error),
            },
            result => result,
        }
    }

    async fn patch(&self, path: &str, object: &Content, force: bool) -> Result<Done, Error> {
        let dry = if self.dry { "&dryRun=All" } else { "" };
        // Not strict: a field that the schema does not have is refused by every server-side apply. Only the search for
        // doubled keys is left out, which JSON made here does not have, and for which the server reads it a second time.
        let uri = format!("{path}?fieldManager={}&force={force}&fieldValidation=Ignore{dry}", self.field_manager);
        // JSON is YAML; a content type of its own for JSON came with Kubernetes 1.30 and is not everywhere on.
        let answer = self.send(Method::PATCH, &uri, "application/apply-patch+yaml", object.text()).await?;
        let answer = String::from_utf8(answer.into()).map_err(|error| Error::Answer(error.to_string()))?;
        Ok(Done::Applied(answer.into()))
    }

    async fn take_over(&self, path: &str) -> Result<(), Error> {
        let live = match request::get(self.client, path).await {
            Ok(live) => live,
            // Gone meanwhile: the apply makes it anew, all ours.
            Err(Error::Api { code: 404, .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(patch) = take_over::patch(&live, self.field_manager) else { return Ok(()) };
        let uri = format!("{path}?fieldManager={}", self.field_manager);
        match self.send(Method::PATCH, &uri, "application/json-patch+json", text(&patch)).await {
            Ok(_) => Ok(()),
            // The test of the version failed: a race like any other.
            Err(Error::Api { code: 422, reason, message, retry_after }) => {
                Err(Error::Api { code: 409, reason, message, retry_after })
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes an object but not what it owns, and makes it anew. The API server is first asked whether it would take the
    /// new one (under a name of its own, as the old one is still there): an object is never deleted for one that cannot be.
    async fn remake(&self, path: &str, uid: &str, object: &Content) -> Result<Done, Error> {
        self.would_take(path, object).await?;
        if self.dry {
            return Ok(Done::Deleted);
        }
        self.delete(path, uid, "Orphan").await?;
        let gone = Instant::now() + LONGEST_PAUSE;
        loop {
            match request::get(self.client, path).await {
                Err(Error::Api { code: 404, .. }) => break,
                Ok(_) if Instant::now() < gone => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(_) => return Err(Error::Answer("the old object does not go, though it was deleted".to_owned())),
                Err(error) => return Err(error),
            }
        }
        self.patch(path, object, true).await
    }

    async fn would_take(&self, path: &str, object: &Value) -> Result<(), Error> {
        let name = format!("{}-try", object["metadata"]["name"].as_str().unwrap_or_default());
        let mut object = object.clone();
        object["metadata"]["name"] = Value::from(name.as_str());
        let collection = path.rsplit_once('/').map_or(path, |(collection, _)| collection);
        let uri = format!(
            "{collection}/{name}?fieldManager={}&force=true&fieldValidation=Ignore&dryRun=All",
            self.field_manager
        );
        self.send(Method::PATCH, &uri, "application/apply-patch+yaml", text(&object)).await.map(drop)
    }

    async fn delete(&self, path: &str, uid: &str, propagation: &str) -> Result<Done, Error> {
        let mut options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": uid}, "propagationPolicy": propagation,
        });
        if self.dry {
            options["dryRun"] = json!(["All"]);
        }
        match self.send(Method::DELETE, path, "application/json", text(&options)).await {
            Ok(_) | Err(Error::Api { code: 404, .. }) => Ok(Done::Deleted),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, method: Method, uri: &str, content_type: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|error| Error::Answer(error.to_string()))?;
        request::fetch(self.client, request).await
    }
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A conflict on delete means that the object was replaced by another: the next plan decides about that one.
fn is_final(action: &Action, error: &Error) -> bool {
    matches!(
        (&action.operation, error),
        (Operation::Delete { .. } | Operation::Recreate { .. }, Error::Api { code: 409, .. })
    )
}

/// How long to wait before the next attempt; `None` when the server wants us to stay away for longer than a plan lasts.
fn pause(attempt: u32, error: &Error) -> Option<Duration> {
    let step = 100_u64 << attempt.min(5);
    let own = Duration::from_millis(rand::random_range(step / 2..=step));
    match error {
        Error::Api { retry_after: Some(seconds), .. } => {
            let wanted = Duration::from_secs(*seconds);
            (wanted <= LONGEST_PAUSE).then_some(wanted.max(own))
        }
        _ => Some(own),
    }
}

/// API servers quote what they do not like. A Secret's values must not get into logs and pages that way.
fn masked(error: Error, action: &Action) -> Error {
    let (Operation::Create(object) | Operation::Update { object, .. } | Operation::Recreate { object, .. }) =
        &action.operation
    else {
        return error;
    };
    if action.key.kind != "Secret" || !action.key.group.is_empty() {
        return error;
    }
    let mask = |mut message: String| {
        for (field, encoded) in [("data", true), ("stringData", false)] {
            for value in object[field].as_object().into_iter().flat_map(|values| values.values()) {
                let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { continue };
                message = message.replace(text, "***");
                let decoded = encoded.then(|| base64::engine::general_purpose::STANDARD.decode(text).ok()).flatten();
                if let Some(clear) =
                    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|clear| !clear.is_empty())
                {
                    message = message.replace(&clear, "***");
                }
            }
        }
        message
    };
    match error {
        Error::Api { code, reason, message, retry_after } => {
            Error::Api { code, reason, message: mask(message), retry_after }
        }
        Error::Fields(message) => Error::Fields(mask(message)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn action(kind: &str, operation: Operation) -> Action {
        let key = ObjectKey::new("", kind, None, "x");
        Action { key, api_version: "v1".to_owned(), stage: 0, operation, reason: String::new(), changes: Vec::new() }
    }

    fn api(code: u16, message: &str, retry_after: Option<u64>) -> Error {
        Error::Api { code, reason: String::new(), message: message.to_owned(), retry_after }
    }

    #[test]
    fn a_secrets_values_are_cut_out_of_the_servers_message() {
        let secret = json!({"data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "correct horse"}});
        let action = action("Secret", Operation::Create(Content::new(secret)));
        let error = masked(api(422, "bad: aHVudGVyMg== or hunter2 or correct horse", None), &action);
        assert_eq!(error.to_string(), "bad: *** or *** or ***");
    }

    #[test]
    fn the_server_says_how_long_to_wait_up_to_a_limit() {
        assert!(pause(1, &api(429, "", Some(2))).is_some_and(|pause| pause >= Duration::from_secs(2)));
        assert_eq!(pause(1, &api(429, "", Some(3600))), None);
        assert!(pause(1, &api(409, "", None)).is_some_and(|pause| pause <= Duration::from_millis(200)));
    }

    #[test]
    fn an_object_that_was_replaced_is_left_to_the_next_plan() {
        let delete = action("ConfigMap", Operation::Delete { uid: "1".to_owned() });
        assert!(is_final(&delete, &api(409, "", None)));
        let update = action("ConfigMap", Operation::Create(Content::default()));
        assert!(!is_final(&update, &api(409, "", None)));
    }

    /// A server that answers every write with the next of these, and the last one for ever; it counts them.
    fn scripted(answers: Vec<(u16, Option<u64>)>) -> (Client, Arc<std::sync::atomic::AtomicUsize>) {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let service = tower::service_fn(move |_: Request<kube::client::Body>| {
            let index = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let (code, retry) = answers[index.min(answers.len() - 1)];
            let mut response = http::Response::builder().status(code);
            if let Some(seconds) = retry {
                response = response.header("retry-after", seconds);
            }
            let response = response.body(axum::body::Body::from(r#"{"message":"m"}"#)).unwrap();
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        (Client::new(service, "n"), count)
    }

    fn plan() -> UnitPlan {
        let create = Operation::Create(Content::new(json!({})));
        UnitPlan { unit: crate::project::Unit::Base, actions: vec![action("ConfigMap", create)], held: Vec::new() }
    }

    async fn tries(answers: Vec<(u16, Option<u64>)>, cancel: &Cancel) -> (usize, Result<Done, Error>, Duration) {
        let (client, count) = scripted(answers);
        let began = tokio::time::Instant::now();
        let outcome = apply(&client, &Kinds::new(client.clone()), &Pace::default(), &plan(), cancel).await.remove(0);
        (count.load(std::sync::atomic::Ordering::Relaxed), outcome.result, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_and_what_cannot_is_not() {
        let never = Cancel::never();
        let (count, result, took) = tries(vec![(429, Some(3)), (409, None), (200, None)], &never).await;
        assert_eq!((count, result.is_ok()), (3, true));
        assert!(took >= Duration::from_secs(3), "the server asked for three seconds: {took:?}");
        let (count, result, _) = tries(vec![(503, None)], &never).await;
        assert_eq!((count, result.unwrap_err().code()), (ATTEMPTS as usize, Some(503)));
        for code in [400, 403, 404, 422] {
            assert_eq!(tries(vec![(code, None)], &never).await.0, 1, "{code}");
        }
        assert_eq!(tries(vec![(429, Some(600))], &never).await.0, 1, "the next plan comes sooner than that");
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_plan_does_not_wait_for_the_retries_of_an_older_one() {
        let (canceller, cancel) = crate::cluster::cancellation();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            canceller.cancel();
        });
        let (count, result, took) = tries(vec![(429, Some(9))], &cancel).await;
        assert_eq!((count, result), (1, Err(Error::Cancelled)));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}
