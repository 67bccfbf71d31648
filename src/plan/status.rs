//! How a project is doing, in one phase, one stable word and one sentence.
//!
//! Takes what Git says, what is still to be done and what was seen of the cluster; the same input gives the same
//! answer. The sentence names the object and the way out. What the cluster says is quoted bounded and without control
//! characters: it comes from images and admission rules that anybody may have written.

mod other;
mod pod;
mod text;
mod volume;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::unit::is_going;
use super::{Live, Observation, Operation, UnitPlan};
use crate::project::{ObjectKey, Phase, ProjectSpec, ProjectStatus, Reason, Revision, Unit};
pub use pod::CrashLoop;
use text::{bounded, last_lines, quote};
pub use volume::is_growing;

/// So many of the objects that the API server refuses are told with its words.
const TOLD_ERRORS: usize = 3;

/// What a project's status is made of.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The project as its overlay reads; `None` when it does not build, or is deleted.
    pub spec: Option<&'a ProjectSpec>,
    /// Whether the head has no such project any more.
    pub deleted: bool,
    /// Why the overlay does not build.
    pub render_error: Option<&'a str>,
    /// What the policy forbids in the objects.
    pub violations: &'a [String],
    /// Why the secrets file cannot be decrypted.
    pub secrets_error: Option<&'a str>,
    /// Why the cluster cannot be reached.
    pub cluster_error: Option<&'a str>,
    /// What the API server refused since the last clean apply.
    pub apply_errors: &'a [(ObjectKey, String)],
    /// Whether it was asked beforehand, so that nothing of the commit was applied.
    pub untouched: bool,
    /// Objects that somebody else keeps changing back, with the field manager where it is known.
    pub contested: &'a [(ObjectKey, Option<String>)],
    /// Why Git wants nothing applied, and in which file it says so.
    pub suspended: Option<(&'a str, &'a str)>,
    /// Why a deletion waits for somebody's word.
    pub deletion_held: Option<&'a str>,
    /// How many environments may restart at once, where this one waits for its turn.
    pub waits_for_turn: Option<usize>,
    /// How long the end of a turn is waited for, where one runs.
    pub busy_for: Option<Duration>,
    /// What the newest event says of what the project waits for, where events are read.
    pub complaint: Option<(Awaited, &'a str)>,
    /// What the agent of a pod that runs and is not ready says: a reason and a sentence.
    pub agent: Option<(Reason, &'a str)>,
    /// What a container that ends again and again wrote last, without secrets.
    pub last_words: Option<&'a str>,
    /// What still differs between Git and the cluster.
    pub plan: &'a UnitPlan,
    /// What was seen of the cluster.
    pub observation: &'a Observation,
    /// The commit that the project was last brought to.
    pub applied_revision: Option<Revision>,
    /// The head.
    pub head: Option<Revision>,
    /// The present time; graces are counted against it.
    pub now: Timestamp,
}

impl<'a> StatusInput<'a> {
    fn said_of(&self, awaited: Awaited) -> Option<&'a str> {
        self.complaint.filter(|(what, _)| *what == awaited).map(|(_, said)| said)
    }
}

/// What a project may wait for that only the cluster's events explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Its pod is to be made.
    Pod,
    /// A volume is to be bound.
    Volume,
    /// A volume is to become as big as Git says.
    Growth,
}

/// A phase with its reason and sentence.
pub(super) struct Verdict {
    phase: Phase,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into() }
    }
}

/// The status of `unit`.
///
/// What is wrong with the project in Git comes first, then what the API server refused, then what waits to be applied,
/// and then what the workload does: a sentence about a pod is of no use while the pod is not what Git says.
#[must_use]
pub fn status(unit: &Unit, input: &StatusInput<'_>) -> ProjectStatus {
    let seen = || if input.deleted { deleting(unit, input) } else { workload(unit, input) };
    let verdict = match (in_git(input), input.cluster_error) {
        (Some(verdict), _) => verdict,
        (None, _) if input.deletion_held.is_some() => {
            let why = input.deletion_held.unwrap_or_default();
            // Nothing goes until a person confirms, so that the environment does what it did.
            let phase = workload(unit, input).phase;
            Verdict::new(phase, Reason::DeletionHeld, format!("Nothing is deleted yet: {why}."))
        }
        (None, _) if input.suspended.is_some() => suspended(input, &seen()),
        (None, Some(error)) => {
            let seen = seen();
            let message = format!("The cluster does not answer ({}). When it last did: {}", quote(error), seen.message);
            Verdict::new(seen.phase, Reason::ClusterUnreachable, message)
        }
        (None, None) => in_the_way(input).unwrap_or_else(seen),
    };
    ProjectStatus {
        phase: verdict.phase,
        reason: verdict.reason,
        message: bounded(&verdict.message),
        applied_revision: input.applied_revision,
    }
}

/// A project that is left alone: what it would be brought to, and what it does.
fn suspended(input: &StatusInput<'_>, seen: &Verdict) -> Verdict {
    let (file, why) = input.suspended.unwrap_or_default();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", quote(why)) };
    let differs = match input.plan.actions.len() {
        0 => String::new(),
        1 => " 1 object is not as Git says.".to_owned(),
        count => format!(" {count} objects are not as Git says."),
    };
    let message = format!("Suspended by {file}{why}: nothing is applied.{differs} {}", seen.message);
    Verdict::new(Phase::Suspended, Reason::Suspended, message)
}

/// What is wrong before the cluster is even asked.
fn in_git(input: &StatusInput<'_>) -> Option<Verdict> {
    if input.deleted {
        return None;
    }
    let since = match input.applied_revision {
        Some(revision) => format!(" The cluster stays as commit {} left it.", revision.short()),
        None => String::new(),
    };
    let failed = |reason, what: String| Some(Verdict::new(Phase::Failed, reason, format!("{what}{since}")));
    if let Some(error) = input.render_error {
        return failed(Reason::RenderFailed, format!("The overlay does not build: {}.", quote(error)));
    }
    if let Some(first) = input.violations.first() {
        let more = more(input.violations.len(), "violation");
        return failed(
            Reason::PolicyViolation,
            format!("The policy forbids what the overlay builds: {}{more}.", quote(first)),
        );
    }
    if let Some(error) = input.secrets_error {
        return failed(
            Reason::SecretsUnreadable,
            format!(
                "The secrets file cannot be decrypted: {}. Give the manager the age key that it is encrypted for.",
                quote(error)
            ),
        );
    }
    None
}

/// What keeps the cluster from being as Git says.
fn in_the_way(input: &StatusInput<'_>) -> Option<Verdict> {
    if !input.apply_errors.is_empty() {
        let phase = if input.deleted { Phase::Deleting } else { Phase::Failed };
        let told = input.apply_errors.iter().take(TOLD_ERRORS);
        let told: Vec<_> = told.map(|(key, error)| format!("{} {}: {}", key.kind, key.name, quote(error))).collect();
        let more = more(input.apply_errors.len() + 1 - told.len(), "object");
        let refused = match input.untouched {
            true => "Nothing of the commit is applied, because the API server would refuse",
            false => "The API server refused",
        };
        let message = format!("{refused} {}{more}. It is tried again.", told.join("; "));
        return Some(Verdict::new(phase, Reason::ApplyFailed, message));
    }
    if input.deleted {
        return None;
    }
    if let Some((key, by)) = input.contested.first() {
        let who =
            by.as_ref().map_or_else(|| "Another client".to_owned(), |by| format!("The field manager {}", quote(by)));
        let message = format!(
            "{who} keeps changing {} {} back: take the change out of there, commit it, or say under `drift` in \
             claude-manager.yaml whose word counts.",
            key.kind, key.name
        );
        return Some(Verdict::new(Phase::Failed, Reason::Contested, message));
    }
    if let Some(budget) = input.waits_for_turn {
        let message = match input.busy_for {
            Some(limit) => format!(
                "Somebody works in it: it is restarted for the newest commit when that turn has ended, or after {} minutes, \
                 as rollout.busyMinutes in claude-manager.yaml says.",
                limit.as_secs() / 60
            ),
            None => format!(
                "Waits for its turn to restart: {budget} at a time, as rollout.restarts in claude-manager.yaml says."
            ),
        };
        return Some(Verdict::new(Phase::Pending, Reason::WaitingForApply, message));
    }
    let writes = |plan: &UnitPlan| {
        let is_write = |operation: &Operation| !matches!(operation, Operation::Delete { .. });
        plan.actions.iter().filter(|action| is_write(&action.operation)).count()
    };
    let count = writes(input.plan);
    if count > 0 {
        let head = input.head.map(|head| format!(" of commit {}", head.short())).unwrap_or_default();
        let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
        let verb = if count == 1 { "is" } else { "are" };
        let message = format!("{objects}{head} {verb} not applied yet.");
        return Some(Verdict::new(Phase::Pending, Reason::WaitingForApply, message));
    }
    None
}

/// What is left of a deleted project.
fn deleting(unit: &Unit, input: &StatusInput<'_>) -> Verdict {
    let left: Vec<_> = of(unit, input.observation)
        .filter(|(key, live)| {
            key.kind == "Pod" || live.is_going || input.plan.actions.iter().any(|action| action.key == **key)
        })
        .map(|(key, _)| format!("{} {}", key.kind, key.name))
        .collect();
    let message = match left.as_slice() {
        [] => "Deleted.".to_owned(),
        [one] => format!("{one} is still going."),
        [one, rest @ ..] => format!("{one} and {} more are still going.", rest.len()),
    };
    Verdict::new(Phase::Deleting, Reason::ObjectsTerminating, message)
}

/// What the project's workload does, or what is wrong beside it.
fn workload(unit: &Unit, input: &StatusInput<'_>) -> Verdict {
    let environment = environment(unit, input);
    match environment.phase {
        Phase::Running | Phase::Stopped => {
            let with_others = other::beside(unit, input.observation, environment);
            if with_others.phase == Phase::Failed { with_others } else { volume::growing(unit, input, with_others) }
        }
        _ => environment,
    }
}

/// What the environment does.
fn environment(unit: &Unit, input: &StatusInput<'_>) -> Verdict {
    if let Some(verdict) = volume::lost(unit, input.observation) {
        return verdict;
    }
    let Some((key, live)) = main_set(unit, input.observation) else {
        return match input.applied_revision {
            None => Verdict::new(Phase::Pending, Reason::WaitingForApply, "Waits for its turn to be applied."),
            Some(_) => Verdict::new(
                Phase::Stopped,
                Reason::Stopped,
                "The overlay builds no StatefulSet, so that nothing runs; ../../base has one.",
            ),
        };
    };
    let (name, set) = (&key.name, &*live.object);
    let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_i64);
    let mut pods: Vec<&Value> = pods_of(name, unit, input.observation).map(|(_, pod)| &*pod.object).collect();
    if number("/spec/replicas") == Some(0) {
        return match pods.first() {
            Some(pod) => Verdict::new(
                Phase::Stopping,
                Reason::PodsTerminating,
                format!("Pod {} is being ended.", pod::name(pod)),
            ),
            None if number("/status/replicas").unwrap_or(0) > 0 => {
                Verdict::new(Phase::Stopping, Reason::PodsTerminating, "The pod is being ended.")
            }
            None => Verdict::new(Phase::Stopped, Reason::Stopped, "Stopped, as Git says. The volumes are kept."),
        };
    }
    let going = pods.iter().filter(|pod| is_going(pod)).count();
    pods.retain(|pod| !is_going(pod));
    let newest = set.pointer("/status/updateRevision").and_then(Value::as_str);
    let settled = number("/status/observedGeneration") == number("/metadata/generation");
    // The worst pod speaks for the project.
    let verdicts = pods.iter().map(|pod| {
        if settled && pod::is_of_revision(pod, newest) { pod::verdict(pod, input.now) } else { pod::outdated(pod) }
    });
    let worst = verdicts.min_by_key(|verdict| match verdict.phase {
        Phase::Failed => 0,
        Phase::Running => 2,
        _ => 1,
    });
    match worst {
        None => no_pod(name, set, going, input),
        Some(verdict) if matches!(verdict.reason, Reason::ContainersStarting | Reason::Unschedulable) => {
            pods.retain(|pod| pod::may_wait_for_volume(pod));
            let unbound = (!pods.is_empty()).then(|| volume::unbound(unit, input, &pods));
            unbound.flatten().or_else(|| said_by_agent(&verdict, input.agent)).unwrap_or(verdict)
        }
        Some(verdict) if verdict.reason == Reason::CrashLoop => {
            let words = input.last_words.map(last_lines).filter(|words| !words.is_empty());
            let message = match words {
                Some(words) => format!("{} Its last lines: {words}", verdict.message),
                None => verdict.message,
            };
            Verdict { message, ..verdict }
        }
        Some(verdict) => verdict,
    }
}

/// The first container of a project's environment that ends again and again.
#[must_use]
pub fn crash_loop(unit: &Unit, observation: &Observation) -> Option<CrashLoop> {
    let (set, _) = main_set(unit, observation)?;
    let mut pods = pods_of(&set.name, unit, observation).filter(|(_, pod)| !pod.is_going);
    pods.find_map(|(key, pod)| pod::crash_of(key.namespace.as_deref().unwrap_or_default(), &pod.object))
}

/// A pod that is not ready, in the words of its agent.
fn said_by_agent(verdict: &Verdict, agent: Option<(Reason, &str)>) -> Option<Verdict> {
    let (reason, message) = agent.filter(|_| verdict.reason == Reason::ContainersStarting)?;
    let phase = if reason == Reason::CloneFailed { Phase::Failed } else { Phase::Starting };
    Some(Verdict::new(phase, reason, quote(message)))
}

/// Why a StatefulSet that should have a pod has none.
fn no_pod(name: &str, set: &Value, going: usize, input: &StatusInput<'_>) -> Verdict {
    if going > 0 {
        return Verdict::new(
            Phase::Starting,
            Reason::WaitingForPod,
            format!("The earlier pod of StatefulSet {name} is ending; the next one follows."),
        );
    }
    let conditions = set.pointer("/status/conditions").and_then(Value::as_array);
    let condition = conditions.into_iter().flatten().find(|condition| {
        condition["status"] == "True"
            && (condition["reason"] == "FailedCreate" || condition["type"] == "ReplicaFailure")
    });
    let refusal = condition.and_then(|condition| condition["message"].as_str()).or(input.said_of(Awaited::Pod));
    if let Some(refusal) = refusal {
        let message = format!(
            "The cluster refuses the pod of StatefulSet {name}: {}. Ask for less, or have the quota or rule changed.",
            quote(refusal)
        );
        return Verdict::new(Phase::Failed, Reason::PodRefused, message);
    }
    let message = format!(
        "StatefulSet {name} has no pod yet. If that lasts, its events say why (kubectl describe statefulset {name})."
    );
    Verdict::new(Phase::Starting, Reason::WaitingForPod, message)
}

/// The StatefulSet that is the environment: the one that is called so, where there are others beside it.
pub(super) fn main_set<'a>(unit: &'a Unit, observation: &'a Observation) -> Option<(&'a ObjectKey, &'a Live)> {
    let sets = of(unit, observation).filter(|(key, _)| key.group == "apps" && key.kind == "StatefulSet");
    sets.min_by_key(|(key, _)| (!is_main_name(unit, &key.name), !key.name.ends_with("-env")))
}

/// The pods of a StatefulSet, and those that nobody owns: while a set is made anew around its pods, they are such.
fn pods_of<'a>(
    set: &'a str,
    unit: &'a Unit,
    observation: &'a Observation,
) -> impl Iterator<Item = (&'a ObjectKey, &'a Live)> {
    let pods = of(unit, observation).filter(|(key, _)| key.group.is_empty() && key.kind == "Pod");
    pods.filter(move |(_, pod)| {
        let owner = pod.object.pointer("/metadata/ownerReferences/0/name").and_then(Value::as_str);
        owner.is_none_or(|owner| owner == set)
    })
}

/// Whether an object is called as those of the base are in this project.
fn is_main_name(unit: &Unit, name: &str) -> bool {
    matches!(unit, Unit::Project(project) if name.strip_suffix("-env") == Some(project.as_str()))
}

/// The live objects of `unit`.
fn of<'a>(unit: &'a Unit, observation: &'a Observation) -> impl Iterator<Item = (&'a ObjectKey, &'a Live)> {
    observation.objects.iter().filter(move |(_, live)| live.is_of(unit))
}

fn more(count: usize, what: &str) -> String {
    match count {
        0 | 1 => String::new(),
        2 => format!(" (and 1 more {what})"),
        count => format!(" (and {} more {what}s)", count - 1),
    }
}

#[cfg(test)]
mod tests;
