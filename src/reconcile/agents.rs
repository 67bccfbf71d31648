//! Why an environment whose pod runs is not ready yet: its agent knows, and is asked.
//!
//! The cluster says only "not ready". While that lasts the agent is asked, ever less often; nobody asks the agent of a
//! pod that is ready, stopped or not running yet, so a quiet system asks nobody. The decision is pure; the driver starts
//! the question as a task of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::agent::{ClientError, Status};
use crate::plan::Observation;
use crate::project::{ProjectName, Reason};

/// The first question comes so long after the pod began to run: most are ready before.
const FIRST: Duration = Duration::from_millis(300);
/// The longest time between two questions.
const LONGEST: Duration = Duration::from_secs(30);

/// What is known of the agents of pods that are not ready.
#[derive(Debug, Default)]
pub(super) struct Agents(BTreeMap<ProjectName, KnownAgent>);

#[derive(Debug)]
struct KnownAgent {
    pod: Pod,
    answer: Option<AgentAnswer>,
    /// When to ask next; `None` while a question is under way.
    next: Option<Instant>,
    delay: Duration,
}

/// A pod whose agent runs and is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ip: Option<IpAddr>,
}

/// What an agent said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AgentAnswer {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// What to do about one project.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: there is no such pod, or a question is under way.
    Rest,
    /// Look again then.
    Later(Instant),
    /// Ask this one now.
    Ask(Pod),
}

impl Agents {
    /// Looks at a project's pod, and says whether its agent is to be asked.
    pub(super) fn step(&mut self, project: &ProjectName, observation: &Observation, now: Instant) -> Step {
        let Some(pod) = unready(observation) else {
            self.0.remove(project);
            return Step::Rest;
        };
        if self.0.get(project).is_none_or(|known| known.pod.uid != pod.uid) {
            let known = KnownAgent { pod, answer: None, next: Some(now + FIRST), delay: FIRST };
            self.0.insert(project.clone(), known);
            return Step::Later(now + FIRST);
        }
        let Some(known) = self.0.get_mut(project) else { return Step::Rest };
        known.pod = pod;
        match known.next {
            None => Step::Rest,
            Some(at) if at > now => Step::Later(at),
            Some(_) => {
                known.next = None;
                Step::Ask(known.pod.clone())
            }
        }
    }

    /// Takes what the agent of the pod `uid` said. An agent that does not answer leaves what it said before: it may be
    /// busy.
    pub(super) fn answered(
        &mut self,
        project: &ProjectName,
        uid: &str,
        answer: &Result<Status, ClientError>,
        now: Instant,
    ) {
        let Some(known) = self.0.get_mut(project).filter(|known| known.pod.uid == uid) else { return };
        if let Ok(status) = answer {
            let said = status.reason.reason().filter(|reason| *reason != Reason::Ready);
            let answer = said.map(|reason| AgentAnswer { reason, message: status.message.clone() });
            if answer != known.answer {
                // Something happens there, so that the next change may be near.
                known.delay = FIRST;
            }
            known.answer = answer;
        }
        known.delay = (known.delay * 2).min(LONGEST);
        known.next = Some(now + known.delay);
    }

    /// What the project's agent said last.
    pub(super) fn answer(&self, project: &ProjectName) -> Option<&AgentAnswer> {
        self.0.get(project)?.answer.as_ref()
    }
}

/// The pod of a project whose agent is ready, so that somebody may work there.
pub(super) fn ready(observation: &Observation) -> Option<Pod> {
    pod(observation, true)
}

/// The pod of a project whose agent runs, ready or not: it takes prompts while the repository is cloned, too.
pub(super) fn running(observation: &Observation) -> Option<Pod> {
    ready(observation).or_else(|| unready(observation))
}

/// The pod of a project whose agent runs and is not ready.
fn unready(observation: &Observation) -> Option<Pod> {
    pod(observation, false)
}

fn pod(observation: &Observation, is_ready: bool) -> Option<Pod> {
    let pods = observation.objects.iter().filter(|(key, _)| key.group.is_empty() && key.kind == "Pod");
    pods.filter_map(|(key, live)| {
        let pod = &live.object;
        let going = pod.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
        let containers = pod.pointer("/status/containerStatuses").and_then(Value::as_array)?;
        let agent = containers.iter().find(|container| container["name"] == "agent")?;
        let is_it = agent.pointer("/state/running").is_some() && (agent["ready"] == true) == is_ready && !going;
        is_it.then(|| Pod {
            namespace: key.namespace.clone().unwrap_or_default(),
            name: key.name.clone(),
            uid: pod.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            ip: pod.pointer("/status/podIP").and_then(Value::as_str).and_then(|ip| ip.parse().ok()),
        })
    })
    .next()
}

#[cfg(test)]
mod tests {

    use serde_json::json;

    use super::*;
    use crate::agent::{PROTOCOL, Readiness};
    use crate::plan::Live;
    use crate::project::ObjectKey;

    fn project() -> ProjectName {
        ProjectName::parse("shop").unwrap()
    }

    fn pod(uid: &str, ready: bool) -> Observation {
        let key = ObjectKey::new("", "Pod", Some("team"), "shop-env-0");
        let object = json!({
            "metadata": {"uid": uid},
            "status": {
                "podIP": "10.0.0.7",
                "containerStatuses": [{"name": "agent", "ready": ready, "state": {"running": {}}}],
            },
        });
        let mut observation = Observation::default();
        observation.objects.insert(key, Live::new(object));
        observation
    }

    fn says(reason: Readiness) -> Result<Status, ClientError> {
        Ok(Status {
            protocol: PROTOCOL,
            version: String::new(),
            project: "shop".into(),
            ready: false,
            busy: false,
            reason,
            message: "because".into(),
            repository: None,
            started_at: String::new(),
            last_activity_at: None,
            claude: None,
        })
    }

    #[test]
    fn the_agent_of_a_pod_that_is_not_ready_is_asked_ever_less_often() {
        let mut now = Instant::now();
        let mut agents = Agents::default();
        assert_eq!(agents.step(&project(), &pod("a", false), now), Step::Later(now + FIRST));
        let mut waits = Vec::new();
        for _ in 0..9 {
            let Step::Later(at) = agents.step(&project(), &pod("a", false), now) else { panic!("has to wait") };
            waits.push((at - now).as_millis());
            now = at;
            let Step::Ask(asked) = agents.step(&project(), &pod("a", false), now) else { panic!("has to ask") };
            assert_eq!((asked.name.as_str(), asked.ip), ("shop-env-0", "10.0.0.7".parse().ok()));
            assert_eq!(agents.step(&project(), &pod("a", false), now), Step::Rest, "one question at a time");
            agents.answered(&project(), "a", &says(Readiness::CloneFailed), now);
        }
        assert_eq!(waits, [300, 600, 1200, 2400, 4800, 9600, 19200, 30000, 30000]);
        assert_eq!(agents.answer(&project()).map(|answer| answer.reason), Some(Reason::CloneFailed));
    }

    #[test]
    fn another_answer_is_followed_closely_and_silence_changes_nothing() {
        let now = Instant::now();
        let mut agents = Agents::default();
        agents.step(&project(), &pod("a", false), now);
        for _ in 0..6 {
            agents.answered(&project(), "a", &says(Readiness::Cloning), now);
        }
        agents.answered(&project(), "a", &says(Readiness::CloneFailed), now);
        assert_eq!(agents.step(&project(), &pod("a", false), now), Step::Later(now + FIRST * 2));
        let silence = ClientError::Unreachable { pod: String::new(), reason: String::new() };
        agents.answered(&project(), "a", &Err(silence), now);
        assert_eq!(agents.answer(&project()).map(|answer| answer.reason), Some(Reason::CloneFailed));
    }

    #[test]
    fn a_ready_pod_and_another_pod_forget_what_was_said() {
        let now = Instant::now();
        let mut agents = Agents::default();
        agents.step(&project(), &pod("a", false), now);
        agents.answered(&project(), "a", &says(Readiness::Cloning), now);
        agents.answered(&project(), "b", &says(Readiness::CloneFailed), now);
        assert_eq!(agents.answer(&project()).map(|answer| answer.reason), Some(Reason::Cloning), "not its pod");
        agents.step(&project(), &pod("b", false), now);
        assert_eq!(agents.answer(&project()), None);
        agents.answered(&project(), "b", &says(Readiness::Cloning), now);
        assert_eq!(agents.step(&project(), &pod("b", true), now), Step::Rest);
        assert_eq!(agents.answer(&project()), None);
    }
}
