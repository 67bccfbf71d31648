use super::*;

#[test]
fn volumes_are_judged_by_whether_a_pod_waits_for_them() {
    let claim = |phase: &str, made: &str| {
        let claim = json!({"metadata": {"creationTimestamp": made}, "spec": {"storageClassName": "fast"}, "status": {"phase": phase}});
        ("PersistentVolumeClaim", "a-workspace", claim)
    };
    let unbound =
        || pod(scheduled("Unschedulable", "pod has unbound immediate PersistentVolumeClaims", "2026-11-24T03:00:00Z"));
    let old = "2026-01-01T00:00:00Z";
    let since = |made: &str, (kind, name, mut pod): (&'static str, &'static str, Value)| {
        pod["metadata"]["creationTimestamp"] = json!(made);
        (kind, name, pod)
    };
    let (early, late) = ("2026-11-24T03:09:00Z", "2026-11-24T03:07:00Z");

    // A class that waits for its first consumer leaves the claim pending for as long as the project is stopped.
    assert_eq!(of_cluster(&[set(0), claim("Pending", old)]).0, Phase::Stopped);
    // The time counts from the pod, however old the claim is.
    let (phase, reason, message) = of_cluster(&[set(1), claim("Pending", old), since(early, unbound())]);
    assert_eq!((phase, reason), (Phase::Starting, Reason::WaitingForVolume));
    assert_eq!(message, "Volume a-workspace is not bound yet; the storage class fast has to provide it.");
    let (phase, reason, _) = of_cluster(&[set(1), claim("Pending", old), since(late, unbound())]);
    assert_eq!((phase, reason), (Phase::Failed, Reason::WaitingForVolume));
    assert_eq!(of_cluster(&[set(1), claim("Bound", old), since(late, unbound())]).1, Reason::Unschedulable);
    // A claim that is not bound because no node has room is not what is wrong.
    let full = pod(scheduled("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.", late));
    assert_eq!(of_cluster(&[set(1), claim("Pending", old), since(late, full)]).1, Reason::Unschedulable);
    for replicas in [0, 1] {
        let (phase, reason, _) = of_cluster(&[set(replicas), claim("Lost", old)]);
        assert_eq!((phase, reason), (Phase::Failed, Reason::WaitingForVolume));
    }
}

#[test]
fn a_volume_that_is_not_yet_as_big_as_git_says_is_told_beside_what_the_environment_does() {
    let claim = |has: &str, status: Value| {
        let mut claim = json!({"spec": {"resources": {"requests": {"storage": "60Gi"}}}, "status": status});
        claim["status"]["phase"] = json!("Bound");
        claim["status"]["capacity"] = json!({"storage": has});
        ("PersistentVolumeClaim", "a-workspace", claim)
    };
    let ready = || pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    let running = |claim| of_cluster(&[set(1), ready(), claim]);
    let condition = |kind: &str, said: &str| json!({"conditions": [{"type": kind, "status": "True", "message": said}]});

    for enough in ["60Gi", "64424509440", "100Gi"] {
        assert_eq!(running(claim(enough, json!({}))).2, "Pod a-env-0 is ready.", "{enough}");
    }
    let (phase, reason, message) = running(claim("40Gi", condition("Resizing", "")));
    assert_eq!((phase, reason), (Phase::Running, Reason::Ready));
    assert_eq!(message, "Pod a-env-0 is ready. Volume a-workspace grows from 40Gi to 60Gi.");
    for waits in [
        condition("FileSystemResizePending", "waiting for a pod"),
        json!({"allocatedResourceStatuses": {"storage": "NodeResizePending"}}),
    ] {
        let (phase, _, message) = running(claim("40Gi", waits.clone()));
        assert!(phase == Phase::Running && message.contains("stop and start the project"), "{message}");
        let (phase, _, message) = of_cluster(&[set(0), claim("40Gi", waits)]);
        assert!(phase == Phase::Stopped && message.contains("when a pod mounts it next"), "{message}");
    }

    // It cannot: by what the claim says, and by what events say, which count for this wait alone.
    let failures = [
        condition("ControllerResizeError", "disk is full"),
        condition("NodeResizeError", "disk is full"),
        json!({"allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"}}),
        json!({"allocatedResourceStatuses": {"storage": "NodeResizeInfeasible"}}),
    ];
    for failed in failures {
        let (phase, reason, message) = running(claim("40Gi", failed.clone()));
        assert_eq!((phase, reason), (Phase::Failed, Reason::VolumeGrowthFailed), "{failed}");
        assert_eq!(message.contains("(disk is full)"), failed["conditions"].is_array(), "{message}");
    }
    let (plan, observation) = (empty_plan(), seen(&[set(1), ready(), claim("40Gi", json!({}))]));
    let of = |awaited| told(&StatusInput { complaint: Some((awaited, "no room")), ..applied(&plan, &observation) });
    assert_eq!(of(Awaited::Pod).1, Reason::Ready);
    let (_, reason, message) = of(Awaited::Growth);
    assert_eq!(reason, Reason::VolumeGrowthFailed);
    assert_eq!(
        message,
        "Volume a-workspace stays at 40Gi and does not grow to 60Gi (no room). Have the storage looked at, or ask in Git for a \
         size in between that it can give; the environment itself is not touched."
    );
    // What keeps the pod from running comes first.
    let loops = json!([{"name": "agent", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    let observation =
        [set(1), pod(json!({"containerStatuses": loops})), claim("40Gi", condition("NodeResizeError", ""))];
    assert_eq!(of_cluster(&observation).1, Reason::CrashLoop);
}
