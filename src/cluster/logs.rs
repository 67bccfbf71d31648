//! What a project's containers have written, as the API server passes it on.
//!
//! *Flow.* The project's newest pod is looked for by its label; then the pod's `log` is asked for, and its bytes are given
//! on as they come. Nothing is kept, and dropping the stream ends the request: a reader that goes away costs nothing more.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::Request;
use http_body_util::{BodyDataStream, BodyExt as _};
use hyper::body::Bytes;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use super::{Error, request};
use crate::project::{PROJECT_LABEL, ProjectName};

/// How long the first byte of the answer may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How many lines the end of a log has.
const END_LINES: u32 = 20;
/// How many bytes the end of a log has at most.
const LONGEST_END: usize = 8 * 1024;
/// How much of an answer that is an error is read.
const MAX_ERROR: usize = 64 * 1024;

/// Which part of a log is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// The container; the one that says how the project is doing is `agent`.
    pub container: String,
    /// The last so many lines.
    pub lines: u32,
    /// Nothing older than this.
    pub since: Option<Since>,
    /// Of the container's run before this one, which has ended.
    pub previous: bool,
    /// Also what is yet to come, until the container ends.
    pub follow: bool,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// This long ago.
    Seconds(u32),
    /// This moment.
    Time(Timestamp),
}

/// A log as it comes.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Why there is no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Nothing of the project runs.
    #[error("there is no pod")]
    NoPod,
    /// The pod has other containers.
    #[error("the pod has no container {wanted}, only {}", known.join(", "))]
    NoContainer {
        /// The one that was asked for.
        wanted: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The container has written nothing yet, since it has not run.
    #[error("the container has not started yet: {0}")]
    NotStarted(String),
    /// The container has had no earlier run.
    #[error("the container has had no earlier run")]
    NoPrevious,
    /// The cluster could not be asked.
    #[error(transparent)]
    Cluster(#[from] Error),
}

/// Opens the log of `project` in `namespace`.
///
/// # Errors
/// [`LogError`]; also an error in the stream, when the connection breaks in the middle.
pub async fn logs(
    client: &Client,
    namespace: &str,
    project: &ProjectName,
    query: &LogQuery,
) -> Result<LogStream, LogError> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let label = PROJECT_LABEL.replace('/', "%2F");
    let list = request::get(client, &format!("{path}?labelSelector={label}%3D{project}")).await?;
    let pod = newest(&list).ok_or(LogError::NoPod)?;
    let known = containers(pod);
    if !known.contains(&query.container) {
        return Err(LogError::NoContainer { wanted: query.container.clone(), known });
    }
    // Of such a pod the API server gives an empty log, as if all were well.
    if let Some(why) = unscheduled(pod) {
        return Err(LogError::NotStarted(why.to_owned()));
    }
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    open(client, &format!("{path}/{name}/log?{}", parameters(query))).await
}

/// The end of what a container has written, at most `LONGEST_END` bytes; of its run before this one where that
/// `is_earlier_run`.
///
/// # Errors
/// [`LogError`] when there is none, or the connection breaks.
pub async fn log_end(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    is_earlier_run: bool,
) -> Result<String, LogError> {
    let query = LogQuery {
        container: container.to_owned(),
        lines: END_LINES,
        since: None,
        previous: is_earlier_run,
        follow: false,
    };
    let mut stream =
        open(client, &format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?{}", parameters(&query))).await?;
    let mut end = Vec::new();
    while let Some(part) = tokio::time::timeout(LIMIT, stream.next()).await.unwrap_or_default() {
        end.extend_from_slice(&part?);
        // A line may be of any length, and what comes last is what counts.
        end.drain(..end.len().saturating_sub(LONGEST_END));
    }
    Ok(String::from_utf8_lossy(&end).into_owned())
}

/// The pod that is not about to go, else the one that was made last.
fn newest(list: &Value) -> Option<&Value> {
    let order = |pod: &&Value| {
        let stays = pod.pointer("/metadata/deletionTimestamp").is_none_or(Value::is_null);
        let made = pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default();
        (stays, made.to_owned())
    };
    list["items"].as_array()?.iter().max_by_key(order)
}

fn containers(pod: &Value) -> Vec<String> {
    let of = |list: &str| pod.pointer(list).and_then(Value::as_array).into_iter().flatten();
    let all = of("/spec/containers").chain(of("/spec/initContainers"));
    all.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

/// Why no node has taken the pod, where the scheduler has looked at it to no avail.
fn unscheduled(pod: &Value) -> Option<&str> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let waits = |condition: &&Value| condition["type"] == "PodScheduled" && condition["status"] == "False";
    let condition = conditions.iter().find(waits)?;
    Some(condition["reason"].as_str().unwrap_or("no node has taken its pod"))
}

fn parameters(query: &LogQuery) -> String {
    let mut text = format!("container={}&tailLines={}", query.container, query.lines);
    match query.since {
        Some(Since::Seconds(seconds)) => text.push_str(&format!("&sinceSeconds={seconds}")),
        // To the second, as the API server reads it; a '+' cannot be in it, for it is in UTC.
        Some(Since::Time(time)) => text.push_str(&format!("&sinceTime={}", time.strftime("%Y-%m-%dT%H:%M:%SZ"))),
        None => {}
    }
    if query.previous {
        text.push_str("&previous=true");
    }
    if query.follow {
        text.push_str("&follow=true");
    }
    text
}

async fn open(client: &Client, path: &str) -> Result<LogStream, LogError> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| Error::Answer(error.to_string()))?;
    let slow = |_| Error::Unreachable(format!("no answer within {} s", LIMIT.as_secs()));
    let sent = tokio::time::timeout(LIMIT, client.send(request.map(Into::into))).await.map_err(slow)?;
    let response = sent.map_err(|error| Error::from_client(&error))?;
    let code = response.status();
    let body = response.into_body();
    if code.is_success() {
        let bytes = BodyDataStream::new(body);
        return Ok(Box::pin(bytes.map(|part| part.map_err(|error| Error::from_client(&error)))));
    }
    let read = tokio::time::timeout(LIMIT, http_body_util::Limited::new(body, MAX_ERROR).collect()).await;
    let bytes = read.map_err(slow)?.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    Err(refused(code.as_u16(), &bytes))
}

/// What the API server says instead of a log. It tells these cases apart in words alone.
fn refused(code: u16, body: &[u8]) -> LogError {
    let status: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let message = match status["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("the API server answered {code}"),
    };
    if message.contains("previous terminated container") {
        return LogError::NoPrevious;
    }
    if let Some((_, why)) = message.split_once("is waiting to start: ") {
        return LogError::NotStarted(why.to_owned());
    }
    if code == 404 && message.contains("pods ") {
        // It went between the two questions.
        return LogError::NoPod;
    }
    let reason = status["reason"].as_str().unwrap_or_default().to_owned();
    Error::from_answer(code, reason, message, None).into()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::Response;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// A client whose server has these pods, and this answer for any log; keeps what was asked.
    fn client(pods: Value, code: u16, log: &'static str) -> (Client, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let target = request.uri().path_and_query().unwrap().to_string();
            let answer = match target.contains("/log?") {
                true => Response::builder().status(code).body(Body::from(log.as_bytes().to_vec())),
                false => Response::builder().body(Body::from(json!({ "items": pods }).to_string().into_bytes())),
            };
            kept.lock().unwrap().push(target);
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        (Client::new(service, "default"), asked)
    }

    fn pod(name: &str, made: &str, going: bool) -> Value {
        let going = going.then_some("2026-11-24T00:00:00Z");
        json!({
            "metadata": { "name": name, "creationTimestamp": made, "deletionTimestamp": going },
            "spec": { "containers": [{ "name": "agent" }, { "name": "ide" }], "initContainers": [{ "name": "copy" }] },
        })
    }

    fn query() -> LogQuery {
        LogQuery { container: "agent".to_owned(), lines: 100, since: None, previous: false, follow: false }
    }

    async fn read(client: &Client, query: &LogQuery) -> Result<String, LogError> {
        let mut stream = logs(client, "team", &ProjectName::parse("shop").unwrap(), query).await?;
        let mut text = Vec::new();
        while let Some(part) = stream.next().await {
            text.extend_from_slice(&part?);
        }
        Ok(String::from_utf8(text).unwrap())
    }

    #[tokio::test]
    async fn the_log_of_the_pod_that_stays_is_asked_for_with_every_wish() {
        let pods = json!([
            pod("old", "2026-11-01T00:00:00Z", false),
            pod("new", "2026-11-02T00:00:00Z", false),
            pod("going", "2026-11-03T00:00:00Z", true),
        ]);
        let (client, asked) = client(pods, 200, "one\ntwo\n");
        assert_eq!(read(&client, &query()).await.unwrap(), "one\ntwo\n");
        let time = "2026-11-24T10:00:00.5+02:00".parse().unwrap();
        let wishes = LogQuery { container: "ide".to_owned(), lines: 5, previous: true, follow: true, ..query() };
        read(&client, &LogQuery { since: Some(Since::Time(time)), ..wishes }).await.unwrap();
        read(&client, &LogQuery { since: Some(Since::Seconds(90)), ..query() }).await.unwrap();
        let asked = asked.lock().unwrap();
        assert_eq!(asked[0], "/api/v1/namespaces/team/pods?labelSelector=claude-manager.io%2Fproject%3Dshop");
        let logs: Vec<&str> = asked.iter().filter_map(|target| target.split("/pods/").nth(1)).collect();
        assert_eq!(
            logs,
            [
                "new/log?container=agent&tailLines=100",
                "new/log?container=ide&tailLines=5&sinceTime=2026-11-24T08:00:00Z&previous=true&follow=true",
                "new/log?container=agent&tailLines=100&sinceSeconds=90",
            ]
        );
    }

    #[tokio::test]
    async fn the_end_of_a_log_is_bounded_and_its_last_bytes_are_kept() {
        let (client, asked) = client(json!([]), 200, "one\ntwo\n");
        assert_eq!(log_end(&client, "team", "shop-env-0", "agent", true).await.unwrap(), "one\ntwo\n");
        log_end(&client, "team", "shop-env-0", "agent", false).await.unwrap();
        let path = "/api/v1/namespaces/team/pods/shop-env-0/log?container=agent&tailLines=20";
        assert_eq!(*asked.lock().unwrap(), [format!("{path}&previous=true"), path.to_owned()]);
        let long: &'static str = Box::leak(format!("{}the end", "x".repeat(100_000)).into_boxed_str());
        let (client, _) = self::client(json!([]), 200, long);
        let end = log_end(&client, "team", "shop-env-0", "agent", true).await.unwrap();
        assert!(end.len() == LONGEST_END && end.ends_with("the end"));
    }

    #[tokio::test]
    async fn a_pod_that_no_node_takes_has_not_an_empty_log_but_none() {
        let mut waiting = pod("one", "", false);
        waiting["status"] = json!({"conditions": [
            {"type": "PodReadyToStartContainers", "status": "False", "reason": "Other"},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
        ]});
        let (client, asked) = client(json!([waiting.clone()]), 200, "");
        assert_eq!(read(&client, &query()).await, Err(LogError::NotStarted("Unschedulable".to_owned())));
        assert_eq!(asked.lock().unwrap().len(), 1, "no log was asked for");

        waiting["status"]["conditions"][1]["status"] = json!("True");
        let (client, _) = self::client(json!([waiting]), 200, "one\n");
        assert_eq!(read(&client, &query()).await.unwrap(), "one\n");
    }

    #[tokio::test]
    async fn without_a_log_the_reason_is_told() {
        let one = || json!([pod("one", "", false)]);
        let (none, _) = client(json!([]), 200, "");
        assert_eq!(read(&none, &query()).await, Err(LogError::NoPod));

        let (fine, asked) = client(one(), 200, "");
        let error = read(&fine, &LogQuery { container: "x".to_owned(), ..query() }).await.unwrap_err();
        assert_eq!(error.to_string(), "the pod has no container x, only agent, ide, copy");
        assert_eq!(asked.lock().unwrap().len(), 1, "no log was asked for");

        for (code, body, expected) in [
            (
                400,
                r#"{"message":"container \"agent\" in pod \"one\" is waiting to start: ContainerCreating"}"#,
                LogError::NotStarted("ContainerCreating".to_owned()),
            ),
            (
                400,
                r#"{"message":"previous terminated container \"agent\" in pod \"one\" not found"}"#,
                LogError::NoPrevious,
            ),
            (404, r#"{"message":"pods \"one\" not found","reason":"NotFound"}"#, LogError::NoPod),
        ] {
            let (refusing, _) = client(one(), code, body);
            assert_eq!(read(&refusing, &query()).await, Err(expected));
        }
        let (proxy, _) = client(one(), 502, "<html>");
        let error = read(&proxy, &query()).await.unwrap_err();
        assert!(matches!(&error, LogError::Cluster(Error::Api { code: 502, .. })), "{error:?}");
    }
}
