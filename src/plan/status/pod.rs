//! What one pod says.

use jiff::Timestamp;
use serde_json::Value;

use super::Verdict;
use super::text::quote;
use crate::project::{Phase, Reason};

/// For how long no node may take a pod before that is a failure, in seconds: an autoscaler or a pod that just ends may
/// still make room.
const SCHEDULING: i64 = 15;

/// A container that ends again and again, at one of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashLoop {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// The container.
    pub container: String,
    /// How often it was started again before this end.
    pub restarts: i64,
    /// Whether the API server knows the run that ended as the one before: it is about to start the next one.
    pub is_earlier_run: bool,
}

impl CrashLoop {
    /// Whether both are one end, seen at different times.
    #[must_use]
    pub fn is_same_end(&self, other: &Self) -> bool {
        (&self.uid, &self.container, self.restarts) == (&other.uid, &other.container, other.restarts)
    }
}

/// The first container of a pod that ends again and again, and has written a log.
pub(super) fn crash_of(namespace: &str, pod: &Value) -> Option<CrashLoop> {
    let is_loop = |container: &&Value| broken("", container).is_some_and(|verdict| verdict.reason == Reason::CrashLoop);
    let container = containers(pod).find(is_loop)?;
    Some(CrashLoop {
        namespace: namespace.to_owned(),
        pod: name(pod).to_owned(),
        uid: pod.pointer("/metadata/uid").and_then(Value::as_str)?.to_owned(),
        container: container["name"].as_str()?.to_owned(),
        restarts: container["restartCount"].as_i64().unwrap_or(0),
        is_earlier_run: container.pointer("/state/terminated").is_none(),
    })
}

/// A pod's name.
pub(super) fn name(pod: &Value) -> &str {
    pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Whether a pod was made from the given revision of its StatefulSet; so if neither says.
pub(super) fn is_of_revision(pod: &Value, revision: Option<&str>) -> bool {
    let own = pod.pointer("/metadata/labels").and_then(|labels| labels.get("controller-revision-hash"));
    match (own.and_then(Value::as_str), revision) {
        (Some(own), Some(revision)) => own == revision,
        _ => true,
    }
}

/// A pod of an earlier template, about to be replaced.
pub(super) fn outdated(pod: &Value) -> Verdict {
    let message = format!("Pod {} runs the earlier template and is being replaced.", name(pod));
    Verdict::new(Phase::Starting, Reason::WaitingForPod, message)
}

/// Whether a pod may be waiting for its volumes: it has a node, or the scheduler names volumes as what is missing.
pub(super) fn may_wait_for_volume(pod: &Value) -> bool {
    conditions(pod).filter(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False").all(
        |condition| {
            let said = condition["message"].as_str().unwrap_or_default().to_lowercase();
            said.contains("persistentvolume") || said.contains("persistent volume")
        },
    )
}

/// What a pod that is not being deleted does.
pub(super) fn verdict(pod: &Value, now: Timestamp) -> Verdict {
    let pod_name = name(pod);
    if let Some(condition) = conditions(pod).find(|condition| condition["reason"] == "NoRuntime") {
        let said = condition["message"].as_str().map(quote).filter(|said| !said.is_empty());
        let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
        let message = format!("Nothing runs pods in this cluster, so that pod {pod_name} stays waiting{said}.");
        return Verdict::new(Phase::Starting, Reason::NoRuntime, message);
    }
    if let Some(verdict) = containers(pod).find_map(|container| broken(pod_name, container)) {
        return verdict;
    }
    if let Some(verdict) = unschedulable(pod, now) {
        return verdict;
    }
    if matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Failed" | "Succeeded")) {
        let said = pod.pointer("/status/message").and_then(Value::as_str).map(quote).unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
        let message = format!("Pod {pod_name} has ended{said}; the next one follows.");
        return Verdict::new(Phase::Starting, Reason::WaitingForPod, message);
    }
    if conditions(pod).any(|condition| condition["type"] == "Ready" && condition["status"] == "True") {
        return Verdict::new(Phase::Running, Reason::Ready, format!("Pod {pod_name} is ready."));
    }
    starting(pod)
}

/// What keeps a container from running, if that is more than a matter of time.
fn broken(pod: &str, container: &Value) -> Option<Verdict> {
    let name = container["name"].as_str().unwrap_or_default();
    let restarts = container["restartCount"].as_i64().unwrap_or(0);
    if let Some(waiting) = container.pointer("/state/waiting") {
        let word = waiting["reason"].as_str().unwrap_or_default();
        let said = waiting["message"].as_str().map(quote).unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        return match word {
            "CrashLoopBackOff" => Some(crash_loop(pod, name, container, restarts)),
            "ImagePullBackOff"
            | "ErrImagePull"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable"
            | "ImageInspectError"
            | "SignatureValidationFailed" => {
                let image = container["image"].as_str().map(quote).unwrap_or_default();
                let message = format!(
                    "Image {image} of container {name} in pod {pod} cannot be pulled ({word}{said}). Correct the image, or give the cluster access to it."
                );
                Some(Verdict::new(Phase::Failed, Reason::ImagePullFailed, message))
            }
            // The words of kubelet for trouble, among them CreateContainerConfigError, RunContainerError.
            word if word.starts_with("Err")
                || word.ends_with("Error")
                || word.ends_with("BackOff")
                || word == "ContainerCannotRun" =>
            {
                Some(not_made(pod, name, word, &said))
            }
            _ => None,
        };
    }
    // Between its end and the next try the container shows as terminated, and must not look fine for that second.
    let ended = container.pointer("/state/terminated")?;
    let failed = ended["exitCode"].as_i64().unwrap_or(0) != 0;
    (failed && restarts > 0).then(|| crash_loop(pod, name, container, restarts))
}

fn not_made(pod: &str, name: &str, word: &str, said: &str) -> Verdict {
    let message = format!(
        "Container {name} in pod {pod} cannot be made ({}{said}). Check the Secrets, ConfigMaps and command that it names.",
        quote(word)
    );
    Verdict::new(Phase::Failed, Reason::ContainerConfigError, message)
}

fn crash_loop(pod: &str, name: &str, container: &Value, restarts: i64) -> Verdict {
    let ended = container.pointer("/state/terminated").or_else(|| container.pointer("/lastState/terminated"));
    // What never began has written no log, so that only these words say why.
    if let Some(ended) = ended
        && let Some(word @ ("StartError" | "ContainerCannotRun")) = ended["reason"].as_str()
    {
        let said = ended["message"].as_str().map(quote).filter(|said| !said.is_empty());
        return not_made(pod, name, word, &said.map(|said| format!(": {said}")).unwrap_or_default());
    }
    let how = match ended {
        Some(ended) if ended["reason"] == "OOMKilled" => "; it ran out of memory, so raise resources.memory".to_owned(),
        Some(ended) => {
            ended["exitCode"].as_i64().map(|code| format!(", last with exit code {code}")).unwrap_or_default()
        }
        None => String::new(),
    };
    let times = if restarts == 1 { "once".to_owned() } else { format!("{restarts} times") };
    let message = format!(
        "Container {name} in pod {pod} ends again and again ({times} so far{how}). Its log says why (kubectl logs {pod} -c {name} --previous)."
    );
    Verdict::new(Phase::Failed, Reason::CrashLoop, message)
}

fn unschedulable(pod: &Value, now: Timestamp) -> Option<Verdict> {
    let condition = conditions(pod).find(|condition| {
        condition["type"] == "PodScheduled" && condition["status"] == "False" && condition["reason"] == "Unschedulable"
    })?;
    let since = condition["lastTransitionTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let late = since.is_none_or(|since| now.as_second() - since.as_second() > SCHEDULING);
    let said = condition["message"].as_str().map(quote).unwrap_or_default();
    let message = format!("No node takes pod {}: {said}. Ask for less, or give the cluster more room.", name(pod));
    Some(Verdict::new(if late { Phase::Failed } else { Phase::Starting }, Reason::Unschedulable, message))
}

/// A pod on its way.
fn starting(pod: &Value) -> Verdict {
    let name = name(pod);
    let waiting = containers(pod).find(|container| container["ready"] != true && !has_finished(container));
    let message = match waiting {
        None => format!("Pod {name} is starting."),
        Some(container) => {
            let restarts = container["restartCount"].as_i64().unwrap_or(0);
            let again = if restarts > 0 { format!(" after {restarts} restarts") } else { String::new() };
            let running = container.pointer("/state/running").is_some();
            let doing = if running { "runs and is not ready yet" } else { "is starting" };
            format!("Container {} in pod {name} {doing}{again}.", container["name"].as_str().unwrap_or_default())
        }
    };
    Verdict::new(Phase::Starting, Reason::ContainersStarting, message)
}

/// An init container that did its work.
fn has_finished(container: &Value) -> bool {
    container.pointer("/state/terminated/exitCode").and_then(Value::as_i64) == Some(0)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list("/status/initContainerStatuses").chain(list("/status/containerStatuses"))
}

fn conditions(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}
