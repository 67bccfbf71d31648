//! The status of a pod as the kubelet would write it.
//!
//! Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::pod_state::{Machine, State, Terminated};
use super::spec::{AGENT, PodSpec};

/// The status; `before` is the one that was written last, whose times of unchanged conditions are kept.
pub(super) fn status(pod: &PodSpec, machine: &Machine, address: Option<&str>, before: &Value, now: Timestamp) -> Value {
    let ready = machine.is_ready();
    let mut status = Map::new();
    let phase = if machine.ran { "Running" } else { "Pending" };
    status.insert("phase".to_owned(), phase.into());
    status.insert("conditions".to_owned(), conditions(pod, ready, before, now));
    status.insert("hostIP".to_owned(), "127.0.0.1".into());
    if let Some(address) = address {
        status.insert("podIP".to_owned(), address.into());
        status.insert("podIPs".to_owned(), json!([{"ip": address}]));
    }
    let start = before["startTime"].as_str().map_or_else(|| time(now), str::to_owned);
    status.insert("startTime".to_owned(), start.into());
    let of = |list: &str, status: &dyn Fn(&Value) -> Value| -> Value {
        pod.object["spec"][list].as_array().into_iter().flatten().map(status).collect()
    };
    let init = of("initContainers", &|container| needless(container, now, before));
    if init.as_array().is_some_and(|init| !init.is_empty()) {
        status.insert("initContainerStatuses".to_owned(), init);
    }
    let containers = of("containers", &|container| {
        if container["name"] == AGENT { agent(pod, container, machine, ready) } else { not_run(container) }
    });
    status.insert("containerStatuses".to_owned(), containers);
    Value::Object(status)
}

fn conditions(pod: &PodSpec, ready: bool, before: &Value, now: Timestamp) -> Value {
    let known = |kind: &str, status: &str| {
        let mut all = before["conditions"].as_array().into_iter().flatten();
        all.find(|known| known["type"] == kind && known["status"] == status && known["reason"] != "NoRuntime")
            .and_then(|known| known["lastTransitionTime"].as_str())
            .map(str::to_owned)
    };
    let all = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let condition = |kind: &&str| {
        let about_agent = matches!(*kind, "Ready" | "ContainersReady");
        let status = if ready || !about_agent { "True" } else { "False" };
        let since = known(kind, status).unwrap_or_else(|| time(now));
        let mut condition = json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": since});
        if status == "False" {
            condition["reason"] = "ContainersNotReady".into();
            condition["message"] = match pod.agent() {
                Some(_) => format!("containers with unready status: [{AGENT}]"),
                None => format!("there is no container named {AGENT}, and no other is run on this machine"),
            }
            .into();
        }
        condition
    };
    all.iter().map(condition).collect()
}

fn agent(pod: &PodSpec, container: &Value, machine: &Machine, ready: bool) -> Value {
    let running = |started: Timestamp| json!({"running": {"startedAt": time(started)}});
    let (state, pid) = match &machine.state {
        State::Waiting { problem, .. } => {
            let mut waiting = json!({"reason": problem.reason});
            if !problem.message.is_empty() {
                waiting["message"] = problem.message.clone().into();
            }
            (json!({"waiting": waiting}), None)
        }
        State::BackOff { pause, .. } => {
            let message = format!(
                "back-off {}s restarting failed container={AGENT} pod={}_{}({})",
                pause.as_secs(),
                pod.name,
                pod.namespace,
                pod.uid
            );
            (json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}), None)
        }
        State::Running(process) => (running(process.started), Some(process.pid)),
        State::Ending(process) => (running(process.started), Some(process.pid)),
        State::Ended => match &machine.last {
            Some(last) => (terminated(last), None),
            None => (json!({"waiting": {"reason": "ContainerCreating"}}), None),
        },
    };
    let last = match (&machine.last, &machine.state) {
        (Some(last), State::Waiting { .. } | State::BackOff { .. } | State::Running(_) | State::Ending(_)) => {
            terminated(last)
        }
        _ => json!({}),
    };
    let mut status = json!({
        "name": AGENT, "image": container["image"], "imageID": "", "ready": ready,
        "started": matches!(&machine.state, State::Running(process) if process.up),
        "restartCount": machine.restarts, "state": state, "lastState": last,
    });
    if let Some(pid) = pid {
        status["containerID"] = format!("process://{pid}").into();
    }
    status
}

fn terminated(last: &Terminated) -> Value {
    let (reason, message) = match &last.exit {
        exit if !exit.known => {
            ("ContainerStatusUnknown", "it was started by an earlier run of the manager, so how it ended is not known")
        }
        exit if exit.code == 0 => ("Completed", ""),
        _ => ("Error", ""),
    };
    let mut terminated = json!({
        "exitCode": last.exit.code, "reason": reason, "startedAt": time(last.started), "finishedAt": time(last.finished),
        "containerID": "process://ended",
    });
    if let Some(signal) = last.exit.signal {
        terminated["signal"] = signal.into();
    }
    if !message.is_empty() {
        terminated["message"] = message.into();
    }
    json!({"terminated": terminated})
}

/// A container that there is no program for on this machine, such as the web IDE.
fn not_run(container: &Value) -> Value {
    json!({
        "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "started": false,
        "restartCount": 0, "lastState": {},
        "state": {"waiting": {"reason": "NotRunHere", "message": "only the agent runs on this machine; a cluster runs this container, too"}},
    })
}

/// An init container brings programs into the pod; here they are there.
fn needless(container: &Value, now: Timestamp, before: &Value) -> Value {
    let known = before["initContainerStatuses"].as_array().into_iter().flatten();
    if let Some(known) = known.into_iter().find(|known| known["name"] == container["name"]) {
        return known.clone();
    }
    json!({
        "name": container["name"], "image": container["image"], "imageID": "", "ready": true, "started": false,
        "restartCount": 0, "lastState": {},
        "state": {"terminated": {"exitCode": 0, "reason": "Completed", "message": "not needed on this machine",
                                 "startedAt": time(now), "finishedAt": time(now)}},
    })
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::pod_state::{Event, Exit, Now, Problem};
    use super::*;

    fn pod() -> PodSpec {
        PodSpec::parse(&json!({
            "metadata": {"name": "a-env-0", "namespace": "n", "uid": "u"},
            "spec": {"initContainers": [{"name": "install-agent", "image": "m"}],
                     "containers": [{"name": "agent", "image": "i"}, {"name": "ide", "image": "i"}]},
        }))
        .unwrap()
    }

    fn told(pod: &PodSpec, machine: &Machine, before: &Value, now: &str) -> Value {
        status(pod, machine, Some("127.1.2.3"), before, now.parse().unwrap())
    }

    #[test]
    fn a_life_reads_as_the_kubelet_tells_it() {
        let pod = pod();
        let mut machine = Machine::new(pod.probes.clone(), pod.grace);
        let at = |seconds| Now { clock: Duration::from_secs(seconds), wall: Timestamp::from_second(1000).unwrap() };
        let agent = |status: &Value| status["containerStatuses"][0].clone();

        machine.step(Event::Tick, at(0));
        machine.step(Event::Failed(Problem::config("configmap \"x\" not found")), at(0));
        let first = told(&pod, &machine, &Value::Null, "2026-11-24T03:00:00Z");
        assert_eq!(first["phase"], "Pending");
        let expected = json!({"reason": "CreateContainerConfigError", "message": "configmap \"x\" not found"});
        assert_eq!(agent(&first)["state"]["waiting"], expected);
        assert_eq!(first["containerStatuses"][1]["state"]["waiting"]["reason"], "NotRunHere");
        assert_eq!(first["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);

        machine.step(Event::Changed, at(1));
        let started = Timestamp::from_second(1000).unwrap();
        machine.step(Event::Started { pid: 7, started, adopted: false, ready: true }, at(1));
        let second = told(&pod, &machine, &first, "2026-11-24T03:00:09Z");
        assert_eq!((&second["phase"], &second["podIP"]), (&json!("Running"), &json!("127.1.2.3")));
        assert_eq!(agent(&second)["ready"], true);
        let ready = &second["conditions"][2];
        assert_eq!((&ready["status"], &ready["lastTransitionTime"]), (&json!("True"), &json!("2026-11-24T03:00:09Z")));
        assert_eq!(second["conditions"][4]["lastTransitionTime"], "2026-11-24T03:00:00Z", "unchanged, so its time is");
        assert_eq!(second["startTime"], "2026-11-24T03:00:00Z");

        for _ in 0..2 {
            machine.step(Event::Exited(Exit { code: 137, signal: Some(9), known: true }), at(2));
            machine.step(Event::Started { pid: 8, started, adopted: false, ready: false }, at(2));
        }
        let third = told(&pod, &machine, &second, "2026-11-24T03:00:09Z");
        assert_eq!(agent(&third)["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!(agent(&third)["restartCount"], 1);
        assert_eq!(agent(&third)["lastState"]["terminated"]["exitCode"], 137);
        assert_eq!(third["conditions"][2]["message"], "containers with unready status: [agent]");
    }
}
