//! `GET …/pods/{pod}/log`: what an agent wrote, as the API server answers it.
//!
//! Refusals are in the words of the API server, and of the kubelet behind it.

mod files;
mod lines;
mod stream;
mod tail;

use std::sync::Arc;

use axum::body::Body;
use http::{Response, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub(super) use self::files::{Instance, LogFiles};
use self::lines::Lines;
use self::stream::Reader;
use super::errors::{Issue, Refusal};
use super::service::Query;
use super::state::Id;
use super::{Inner, lock, runtime};

/// What is asked for.
#[derive(Debug, Default)]
struct Options {
    container: String,
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
}

/// Answers.
pub(super) fn answer(inner: &Arc<Inner>, id: &Id, query: &Query) -> Result<Response<Body>, Refusal> {
    let options = Options::parse(query)?;
    options.check(&id.name)?;
    let state = lock(&inner.state);
    let pod = state.get(id).cloned().ok_or_else(|| Refusal::not_found(id.resource, &id.name))?;
    let pods = state.logs.clone();
    drop(state);
    let container = container(&pod, &options.container)?;
    // Without a runtime a pod is on no machine, and has written nothing.
    let Some(files) = pods.and_then(|pods| runtime::log_files(&pods, &id.namespace, &id.name)) else {
        return Ok(text(Body::empty()));
    };
    let instance = instance(&pod, &container, options.previous)?;
    let unreadable =
        |error: std::io::Error| Refusal::internal(&format!("the log of {} cannot be read: {error}", id.name));
    let mut open = files.open(instance).map_err(unreadable)?;
    if let Some(wanted) = options.tail_lines {
        tail::seek(&mut open, wanted.unsigned_abs()).map_err(unreadable)?;
    }
    let since = options
        .since_time
        .or_else(|| Timestamp::now().checked_sub(SignedDuration::from_secs(options.since_seconds?)).ok());
    let lines = Lines {
        since,
        timestamps: options.timestamps,
        left: options.limit_bytes.map(i64::unsigned_abs),
        ..Lines::new()
    };
    let reader = Reader::new(open, lines);
    let follows = options.follow && instance == Instance::Current && is_running(&pod, &container);
    Ok(text(if follows {
        stream::follow(reader, files.directory(), Arc::clone(inner), id.clone(), process_of(&pod, &container))
    } else {
        stream::once(reader)
    }))
}

impl Options {
    fn parse(query: &Query) -> Result<Self, Refusal> {
        let number = |key: &str| match query.get(key) {
            "" => Ok(None),
            text => text.parse::<i64>().map(Some).map_err(|error| {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                let problem = match error.kind() {
                    PosOverflow | NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                Refusal::bad_request(&format!("strconv.ParseInt: parsing \"{text}\": {problem}"))
            }),
        };
        let since_time = match query.get("sinceTime") {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                let layout = "2006-01-02T15:04:05Z07:00";
                let message = format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\" as \"2006\"");
                Refusal::bad_request(&message)
            })?),
        };
        Ok(Self {
            container: query.get("container").to_owned(),
            follow: query.is("follow"),
            previous: query.is("previous"),
            timestamps: query.is("timestamps"),
            since_seconds: number("sinceSeconds")?,
            since_time,
            tail_lines: number("tailLines")?,
            limit_bytes: number("limitBytes")?,
        })
    }

    fn check(&self, pod: &str) -> Result<(), Refusal> {
        let mut issues = Vec::new();
        let mut invalid = |field: &str, value: i64, message: &str| {
            issues.push(Issue::invalid(field, &value.into(), message));
        };
        if let Some(lines) = self.tail_lines.filter(|lines| *lines < 0) {
            invalid("tailLines", lines, "must be greater than or equal to 0");
        }
        if let Some(bytes) = self.limit_bytes.filter(|bytes| *bytes < 1) {
            invalid("limitBytes", bytes, "must be greater than 0");
        }
        if let Some(seconds) = self.since_seconds.filter(|seconds| *seconds < 1) {
            invalid("sinceSeconds", seconds, "must be greater than 0");
        }
        if self.since_seconds.is_some() && self.since_time.is_some() {
            issues.push(Issue::forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        if issues.is_empty() { Ok(()) } else { Err(Refusal::invalid_options("PodLogOptions", pod, &issues)) }
    }
}

/// The container that is meant.
fn container(pod: &Value, wanted: &str) -> Result<String, Refusal> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let names = |list: &str| -> Vec<&str> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.filter_map(|container| container["name"].as_str()).collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    if !wanted.is_empty() {
        let known = containers.contains(&wanted) || init.contains(&wanted);
        return if known {
            Ok(wanted.to_owned())
        } else {
            Err(Refusal::bad_request(&format!("container {wanted} is not valid for pod {name}")))
        };
    }
    match containers.as_slice() {
        [one] => Ok((*one).to_owned()),
        _ => {
            let all: Vec<&str> = init.iter().chain(&containers).copied().collect();
            let message =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "));
            Err(Refusal::bad_request(&message))
        }
    }
}

/// Whose log it is, by what the container does.
fn instance(pod: &Value, container: &str, previous: bool) -> Result<Instance, Refusal> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let status = status(pod, container);
    let ended_before = status["lastState"]["terminated"].is_object();
    if previous {
        let message = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
        // While the next process is waited for, the one before is the last one that ran.
        let waiting = status["state"]["waiting"].is_object();
        return match (ended_before, waiting) {
            (true, true) => Ok(Instance::Current),
            (true, false) => Ok(Instance::Previous),
            (false, _) => Err(Refusal::bad_request(&message)),
        };
    }
    match status["state"]["waiting"]["reason"].as_str() {
        Some(reason) if !ended_before => {
            let message = format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}");
            Err(Refusal::bad_request(&message))
        }
        _ => Ok(Instance::Current),
    }
}

fn status<'a>(pod: &'a Value, container: &str) -> &'a Value {
    static NONE: Value = Value::Null;
    let list = |list: &str| pod["status"][list].as_array().into_iter().flatten();
    let mut all = list("containerStatuses").chain(list("initContainerStatuses"));
    all.find(|status| status["name"] == container).unwrap_or(&NONE)
}

fn is_running(pod: &Value, container: &str) -> bool {
    status(pod, container)["state"]["running"].is_object()
}

/// What tells one process of a container from the next.
fn process_of(pod: &Value, container: &str) -> Process {
    Process { container: container.to_owned(), id: status(pod, container)["containerID"].clone() }
}

/// A process of a container.
#[derive(Debug)]
struct Process {
    container: String,
    id: Value,
}

impl Process {
    /// Whether it still runs in what has become of the pod.
    fn runs_in(&self, pod: Option<&Value>) -> bool {
        pod.is_some_and(|pod| {
            is_running(pod, &self.container) && status(pod, &self.container)["containerID"] == self.id
        })
    }
}

fn text(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    response
}
