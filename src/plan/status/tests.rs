mod volumes;

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::plan::Content;
use crate::plan::{Action, Live};
use crate::project::ProjectName;

const NOW: &str = "2026-11-24T03:10:00Z";

fn project() -> Unit {
    Unit::Project(ProjectName::parse("a").unwrap())
}

fn key(kind: &str, name: &str) -> ObjectKey {
    let group = if kind == "StatefulSet" { "apps" } else { "" };
    ObjectKey::new(group, kind, Some("team"), name)
}

/// Live objects of the project: kind, name, and what they say beside name and label.
fn seen(objects: &[(&str, &str, Value)]) -> Observation {
    let live = |(kind, name, object): &(&str, &str, Value)| {
        let mut object = object.clone();
        object["metadata"]["name"] = json!(name);
        object["metadata"]["labels"]["claude-manager.io/project"] = json!("a");
        (key(kind, name), Live::new(object))
    };
    Observation { objects: objects.iter().map(live).collect(), ..Observation::default() }
}

fn set(replicas: i64) -> (&'static str, &'static str, Value) {
    let set = json!({"metadata": {"generation": 2}, "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, "updateRevision": "two"}});
    ("StatefulSet", "a-env", set)
}

fn pod(status: Value) -> (&'static str, &'static str, Value) {
    let metadata = json!({"ownerReferences": [{"kind": "StatefulSet", "name": "a-env"}],
        "labels": {"controller-revision-hash": "two"}});
    ("Pod", "a-env-0", json!({"metadata": metadata, "status": status}))
}

fn empty_plan() -> UnitPlan {
    UnitPlan { unit: project(), actions: Vec::new(), held: Vec::new() }
}

/// The input of a project that is applied and whose cluster looks like this.
fn applied<'a>(plan: &'a UnitPlan, observation: &'a Observation) -> StatusInput<'a> {
    StatusInput {
        spec: None,
        deleted: false,
        render_error: None,
        violations: &[],
        secrets_error: None,
        cluster_error: None,
        apply_errors: &[],
        untouched: false,
        last_words: None,
        busy_for: None,
        contested: &[],
        suspended: None,
        deletion_held: None,
        waits_for_turn: None,
        complaint: None,
        agent: None,
        plan,
        observation,
        applied_revision: Some(Revision::from_bytes([0xab; 20])),
        head: Some(Revision::from_bytes([0xcd; 20])),
        now: NOW.parse().unwrap(),
    }
}

/// Phase, reason and message of a project that is as Git says and looks like this.
fn of_cluster(objects: &[(&str, &str, Value)]) -> (Phase, Reason, String) {
    let (plan, observation) = (empty_plan(), seen(objects));
    told(&applied(&plan, &observation))
}

fn told(input: &StatusInput<'_>) -> (Phase, Reason, String) {
    let status = status(&project(), input);
    (status.phase, status.reason, status.message)
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [
        {"name": "agent", "image": "host/dev:1", "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}]})
}

fn scheduled(reason: &str, message: &str, since: &str) -> Value {
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastTransitionTime": since}]})
}

#[test]
fn a_pod_tells_how_the_project_is_doing() {
    use Phase::{Failed, Running, Starting};
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "agent", "ready": true, "state": {"running": {}}}]});
    let table = [
        (ready, Running, Reason::Ready, "Pod a-env-0 is ready."),
        (
            waiting("ImagePullBackOff", "Back-off pulling image."),
            Failed,
            Reason::ImagePullFailed,
            "Image host/dev:1 of container agent in pod a-env-0 cannot be pulled (ImagePullBackOff: Back-off pulling image). \
             Correct the image, or give the cluster access to it.",
        ),
        (
            waiting("CreateContainerConfigError", "secret \"x\" not found"),
            Failed,
            Reason::ContainerConfigError,
            "Container agent in pod a-env-0 cannot be made (CreateContainerConfigError: secret \"x\" not found). \
             Check the Secrets, ConfigMaps and command that it names.",
        ),
        (
            waiting("ContainerCreating", ""),
            Starting,
            Reason::ContainersStarting,
            "Container agent in pod a-env-0 is starting.",
        ),
        (
            json!({"containerStatuses": [{"name": "agent", "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 2}}}]}),
            Failed,
            Reason::CrashLoop,
            "Container agent in pod a-env-0 ends again and again (4 times so far, last with exit code 2). \
             Its log says why (kubectl logs a-env-0 -c agent --previous).",
        ),
        (
            json!({"containerStatuses": [{"name": "ide", "restartCount": 1,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}},
                "lastState": {"terminated": {"exitCode": 128, "reason": "StartError",
                    "message": "runc create failed: exec: \"/bin/sh\": stat /bin/sh: no such file or directory: unknown"}}}]}),
            Failed,
            Reason::ContainerConfigError,
            "Container ide in pod a-env-0 cannot be made (StartError: runc create failed: exec: \"/bin/sh\": stat /bin/sh: \
             no such file or directory: unknown). Check the Secrets, ConfigMaps and command that it names.",
        ),
        (
            json!({"containerStatuses": [{"name": "agent", "restartCount": 1,
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
            Failed,
            Reason::CrashLoop,
            "Container agent in pod a-env-0 ends again and again (once so far; it ran out of memory, so raise resources.memory). \
             Its log says why (kubectl logs a-env-0 -c agent --previous).",
        ),
        (
            json!({"initContainerStatuses": [{"name": "copy", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"name": "agent", "ready": true, "state": {"running": {}}},
                    {"name": "ide", "ready": false, "restartCount": 0, "state": {"running": {}}}]}),
            Starting,
            Reason::ContainersStarting,
            "Container ide in pod a-env-0 runs and is not ready yet.",
        ),
        (
            scheduled("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.", "2026-11-24T03:09:50Z"),
            Starting,
            Reason::Unschedulable,
            "No node takes pod a-env-0: 0/3 nodes are available: 3 Insufficient cpu. Ask for less, or give the cluster more room.",
        ),
        (
            scheduled("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.", "2026-11-24T03:09:40Z"),
            Failed,
            Reason::Unschedulable,
            "No node takes pod a-env-0: 0/3 nodes are available: 3 Insufficient cpu. Ask for less, or give the cluster more room.",
        ),
        (
            scheduled("NoRuntime", "no node", NOW),
            Starting,
            Reason::NoRuntime,
            "Nothing runs pods in this cluster, so that pod a-env-0 stays waiting (no node).",
        ),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}),
            Starting,
            Reason::WaitingForPod,
            "Pod a-env-0 has ended (The node was low on memory); the next one follows.",
        ),
        (json!({}), Starting, Reason::ContainersStarting, "Pod a-env-0 is starting."),
    ];
    for (pod_status, phase, reason, message) in table {
        assert_eq!(of_cluster(&[set(1), pod(pod_status)]), (phase, reason, message.to_owned()));
    }
}

#[test]
fn every_word_for_a_failing_image_or_container_is_a_failure_at_once() {
    let table = [
        ("ErrImagePull", Reason::ImagePullFailed),
        ("InvalidImageName", Reason::ImagePullFailed),
        ("ErrImageNeverPull", Reason::ImagePullFailed),
        ("CreateContainerError", Reason::ContainerConfigError),
        ("RunContainerError", Reason::ContainerConfigError),
        ("SomethingNewBackOff", Reason::ContainerConfigError),
    ];
    for (word, expected) in table {
        let (phase, reason, _) = of_cluster(&[set(1), pod(waiting(word, ""))]);
        assert_eq!((phase, reason), (Phase::Failed, expected), "{word}");
    }
}

#[test]
fn a_start_and_a_stop_read_like_this() {
    let going = || {
        let (kind, name, mut pod) = pod(json!({}));
        pod["metadata"]["deletionTimestamp"] = json!(NOW);
        (kind, name, pod)
    };
    let ready = || pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    let told = |objects: &[(&str, &str, Value)]| {
        let (phase, reason, message) = of_cluster(objects);
        format!("{} {reason:?}: {message}", phase.as_str())
    };
    assert_eq!(told(&[set(0)]), "Stopped Stopped: Stopped, as Git says. The volumes are kept.");
    assert_eq!(
        told(&[set(1)]),
        "Starting WaitingForPod: StatefulSet a-env has no pod yet. If that lasts, its events say why \
         (kubectl describe statefulset a-env)."
    );
    assert_eq!(told(&[set(1), ready()]), "Running Ready: Pod a-env-0 is ready.");
    assert_eq!(
        told(&[set(1), going()]),
        "Starting WaitingForPod: The earlier pod of StatefulSet a-env is ending; the next one follows."
    );
    assert_eq!(told(&[set(0), going()]), "Stopping PodsTerminating: Pod a-env-0 is being ended.");
    assert_eq!(told(&[set(0), ready()]), "Stopping PodsTerminating: Pod a-env-0 is being ended.");
}

#[test]
fn a_ready_pod_of_an_earlier_template_is_not_the_project_running() {
    let (kind, name, mut old) = pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    old["metadata"]["labels"]["controller-revision-hash"] = json!("one");
    let message = "Pod a-env-0 runs the earlier template and is being replaced.";
    assert_eq!(of_cluster(&[set(1), (kind, name, old)]), (Phase::Starting, Reason::WaitingForPod, message.to_owned()));
    let (kind, name, mut unobserved) = set(1);
    unobserved["metadata"]["generation"] = json!(3);
    let ready = pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    assert_eq!(of_cluster(&[(kind, name, unobserved), ready]).0, Phase::Starting);
}

#[test]
fn a_refused_pod_is_a_failure_that_quotes_the_refusal() {
    let (plan, observation) = (empty_plan(), seen(&[set(1)]));
    let refusal = "pods \"a-env-0\" is forbidden: exceeded quota: team";
    let mut input = applied(&plan, &observation);
    input.complaint = Some((Awaited::Pod, refusal));
    let (phase, reason, message) = told(&input);
    assert_eq!((phase, reason), (Phase::Failed, Reason::PodRefused));
    assert!(message.contains(refusal), "{message}");

    let (kind, name, mut set) = set(1);
    set["status"]["conditions"] =
        json!([{"type": "X", "status": "True", "reason": "FailedCreate", "message": refusal}]);
    assert_eq!(of_cluster(&[(kind, name, set)]).1, Reason::PodRefused);
}

#[test]
fn what_the_agent_of_a_pod_that_is_not_ready_says_is_the_reason_and_trouble_of_the_pod_goes_before_it() {
    let waits = json!([{"name": "agent", "ready": false, "state": {"running": {}}}]);
    let (plan, observation) = (empty_plan(), seen(&[set(1), pod(json!({"containerStatuses": waits}))]));
    let with = |agent| told(&StatusInput { agent, ..applied(&plan, &observation) });
    assert_eq!(with(None).1, Reason::ContainersStarting);
    let cloning = with(Some((Reason::Cloning, "Cloning https://h/x.")));
    assert_eq!((cloning.0, cloning.1), (Phase::Starting, Reason::Cloning));
    let (phase, reason, message) = with(Some((Reason::CloneFailed, "no such\u{1b}[31m branch")));
    assert_eq!((phase, reason), (Phase::Failed, Reason::CloneFailed));
    assert!(message.contains("branch") && !message.contains('\u{1b}'), "{message}");
    assert_eq!(with(Some((Reason::WaitingForCredentials, "x"))).0, Phase::Starting);

    let crashes = json!([{"name": "agent", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    let observation = seen(&[set(1), pod(json!({"containerStatuses": crashes}))]);
    let input = StatusInput { agent: Some((Reason::Cloning, "x")), ..applied(&plan, &observation) };
    assert_eq!(told(&input).1, Reason::CrashLoop);
}

#[test]
fn what_is_wrong_in_git_comes_before_what_the_cluster_says() {
    let (plan, observation) = (empty_plan(), seen(&[set(1), pod(json!({}))]));
    let violations = ["hostPath is not allowed".to_owned(), "x".to_owned()];
    let errors = [(key("Service", "a-env"), "field is immutable.\n".to_owned())];
    let contested = [(key("StatefulSet", "a-env"), Some("hpa".to_owned()))];
    let base = applied(&plan, &observation);
    let table = [
        (
            StatusInput {
                render_error: Some("projects/a/kustomization.yaml:3: no such field"),
                violations: &violations,
                ..base
            },
            Phase::Failed,
            Reason::RenderFailed,
            "The overlay does not build: projects/a/kustomization.yaml:3: no such field. The cluster stays as commit ababababab left it.",
        ),
        (
            StatusInput { violations: &violations, secrets_error: Some("x"), ..base },
            Phase::Failed,
            Reason::PolicyViolation,
            "The policy forbids what the overlay builds: hostPath is not allowed (and 1 more violation). \
             The cluster stays as commit ababababab left it.",
        ),
        (
            StatusInput { secrets_error: Some("no key"), applied_revision: None, ..base },
            Phase::Failed,
            Reason::SecretsUnreadable,
            "The secrets file cannot be decrypted: no key. Give the manager the age key that it is encrypted for.",
        ),
        (
            StatusInput { cluster_error: Some("connection refused"), apply_errors: &errors, ..base },
            Phase::Starting,
            Reason::ClusterUnreachable,
            "The cluster does not answer (connection refused). When it last did: Pod a-env-0 is starting.",
        ),
        (
            StatusInput { apply_errors: &errors, contested: &contested, ..base },
            Phase::Failed,
            Reason::ApplyFailed,
            "The API server refused Service a-env: field is immutable. It is tried again.",
        ),
        (
            StatusInput { contested: &contested, ..base },
            Phase::Failed,
            Reason::Contested,
            "The field manager hpa keeps changing StatefulSet a-env back: take the change out of there, commit it, or say under \
             `drift` in claude-manager.yaml whose word counts.",
        ),
    ];
    for (input, phase, reason, message) in table {
        assert_eq!(told(&input), (phase, reason, message.to_owned()));
    }
}

#[test]
fn a_project_with_writes_ahead_is_pending_and_one_with_deletes_only_is_not() {
    let action = |operation| Action {
        key: key("StatefulSet", "a-env"),
        api_version: "apps/v1".to_owned(),
        stage: 3,
        operation,
        reason: String::new(),
        changes: Vec::new(),
    };
    let observation = seen(&[set(0)]);
    let mut plan = empty_plan();
    plan.actions.push(action(Operation::Delete { uid: "1".to_owned() }));
    assert_eq!(told(&applied(&plan, &observation)).0, Phase::Stopped);
    plan.actions.push(action(Operation::Create(Content::new(json!({})))));
    let message = "1 object of commit cdcdcdcdcd is not applied yet.".to_owned();
    assert_eq!(told(&applied(&plan, &observation)), (Phase::Pending, Reason::WaitingForApply, message));
}

#[test]
fn a_deleted_project_says_what_is_still_going() {
    let mut plan = empty_plan();
    plan.actions.push(Action {
        key: key("StatefulSet", "a-env"),
        api_version: "apps/v1".to_owned(),
        stage: 97,
        operation: Operation::Delete { uid: "1".to_owned() },
        reason: String::new(),
        changes: Vec::new(),
    });
    let observation = seen(&[set(1), pod(json!({})), ("PersistentVolumeClaim", "a-workspace", json!({}))]);
    let input = StatusInput { deleted: true, render_error: Some("no such folder"), ..applied(&plan, &observation) };
    let message = "Pod a-env-0 and 1 more are still going.".to_owned();
    assert_eq!(told(&input), (Phase::Deleting, Reason::ObjectsTerminating, message));
    let errors = [(key("StatefulSet", "a-env"), "forbidden".to_owned())];
    let refused = told(&StatusInput { apply_errors: &errors, ..input });
    assert_eq!((refused.0, refused.1), (Phase::Deleting, Reason::ApplyFailed));
}

#[test]
fn a_held_deletion_has_the_phase_of_what_still_runs() {
    let ready = pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    for (set, pods, phase) in [(set(1), vec![ready], Phase::Running), (set(0), vec![], Phase::Stopped)] {
        let (plan, observation) = (empty_plan(), seen(&[vec![set], pods].concat()));
        let held =
            StatusInput { deleted: true, deletion_held: Some("8 of 9 are gone"), ..applied(&plan, &observation) };
        assert_eq!(told(&held), (phase, Reason::DeletionHeld, "Nothing is deleted yet: 8 of 9 are gone.".to_owned()));
    }
}

#[test]
fn a_stateful_set_beside_the_environment_does_not_speak_for_it() {
    let ready = || pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    let (kind, _, mut database) = set(1);
    database["metadata"]["generation"] = json!(3);
    let (phase, reason, message) = of_cluster(&[(kind, "a-db", database), set(1), ready()]);
    assert_eq!((phase, reason), (Phase::Running, Reason::Ready));
    assert_eq!(
        message,
        "Pod a-env-0 is ready. StatefulSet a-db is not ready yet (its controller has not seen the change)."
    );
}

#[test]
fn a_project_without_a_stateful_set_waits_or_says_that_it_has_none() {
    let (plan, observation) = (empty_plan(), Observation::default());
    let input = applied(&plan, &observation);
    assert_eq!(told(&StatusInput { applied_revision: None, ..input }).0, Phase::Pending);
    assert_eq!((told(&input).0, told(&input).1), (Phase::Stopped, Reason::Stopped));
}

#[test]
fn what_the_cluster_says_cannot_take_over_a_terminal_or_fill_a_page() {
    let said = format!("\u{1b}[2Jgone\0{}", "x".repeat(100_000));
    let (_, _, message) = of_cluster(&[set(1), pod(waiting("ErrImagePull", &said))]);
    assert!(message.chars().count() <= 1001, "{}", message.len());
    assert!(!message.contains(['\u{1b}', '\0']) && message.contains("gonexxx"));
}

#[test]
fn every_refusal_is_told_and_whether_anything_was_done() {
    let (plan, observation) = (empty_plan(), Observation::default());
    let error = |name: &str| (key("Service", name), format!("{name} is wrong."));
    let errors: Vec<_> = ["one", "two", "three", "four", "five"].map(error).into();
    let told = |count: usize, untouched| {
        let input = StatusInput { apply_errors: &errors[..count], untouched, ..applied(&plan, &observation) };
        status(&project(), &input).message
    };
    assert_eq!(told(1, false), "The API server refused Service one: one is wrong. It is tried again.");
    assert_eq!(
        told(2, true),
        "Nothing of the commit is applied, because the API server would refuse Service one: one is wrong; \
         Service two: two is wrong. It is tried again."
    );
    assert!(told(5, false).contains("three is wrong (and 2 more objects). It"), "{}", told(5, false));
}

#[test]
fn a_crash_loop_is_told_with_the_last_lines_of_its_log_and_nothing_else_is() {
    let crashes = json!([{"name": "agent", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    let (plan, observation) = (empty_plan(), seen(&[set(1), pod(json!({"containerStatuses": crashes}))]));
    let input = StatusInput { last_words: Some("start\nno such file\n"), ..applied(&plan, &observation) };
    let message = status(&project(), &input).message;
    assert!(message.ends_with("--previous). Its last lines: start | no such file"), "{message}");
    let observation = seen(&[set(1), pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}))]);
    let input = StatusInput { observation: &observation, ..input };
    assert_eq!(status(&project(), &input).message, "Pod a-env-0 is ready.");
}

#[test]
fn whose_log_is_asked_for_is_the_environments_own() {
    let crashes = json!([{"name": "x", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    let (kind, name, mut own) = pod(json!({"containerStatuses": crashes}));
    own["metadata"]["uid"] = json!("1");
    let mut cache = own.clone();
    cache["metadata"]["ownerReferences"][0]["name"] = json!("a-cache-7d9f");
    let asked = |objects: &[(&str, &str, Value)]| crash_loop(&project(), &seen(objects)).map(|crash| crash.pod);
    assert_eq!(asked(&[set(1), (kind, "a-cache-x", cache.clone())]), None);
    assert_eq!(asked(&[set(1), (kind, "a-cache-x", cache), (kind, name, own)]).as_deref(), Some("a-env-0"));
}

#[test]
fn whoever_waits_to_restart_says_for_what() {
    let (plan, observation) = (empty_plan(), Observation::default());
    let input = StatusInput { waits_for_turn: Some(2), ..applied(&plan, &observation) };
    assert!(status(&project(), &input).message.contains("2 at a time"));
    let busy = status(&project(), &StatusInput { busy_for: Some(Duration::from_secs(45 * 60)), ..input });
    assert_eq!((busy.phase, busy.reason), (Phase::Pending, Reason::WaitingForApply));
    let message = &busy.message;
    assert!(message.contains("when that turn has ended, or after 45 minutes, as rollout.busyMinutes"), "{message}");
}
