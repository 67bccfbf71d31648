//! In which order objects are applied and deleted.

/// The stage of the first delete: deletes come after every apply.
const DELETES: u8 = 100;

/// The stage in which an object of this kind is applied: what others need comes first, what runs comes last, so that
/// no pod starts before its account, its network policy and its volumes are there.
pub(super) fn apply_stage(group: &str, kind: &str) -> u8 {
    match (group, kind) {
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => 0,
        (
            "",
            "ServiceAccount"
            | "ConfigMap"
            | "Secret"
            | "PersistentVolume"
            | "PersistentVolumeClaim"
            | "ResourceQuota"
            | "LimitRange",
        )
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
        | ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("scheduling.k8s.io", "PriorityClass")
        | ("storage.k8s.io", "StorageClass") => 1,
        ("", "Pod" | "ReplicationController") => 3,
        ("apps", "StatefulSet" | "Deployment" | "DaemonSet" | "ReplicaSet") | ("batch", "Job" | "CronJob") => 3,
        ("admissionregistration.k8s.io", _) => 4,
        // Services before the pods that are found by them; kinds that are not known may be what a pod waits for.
        _ => 2,
    }
}

/// The stage in which an object of this kind is deleted: the other way round.
pub(super) fn delete_stage(group: &str, kind: &str) -> u8 {
    DELETES - apply_stage(group, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first_and_goes_last() {
        let order = [
            ("", "Namespace"),
            ("", "PersistentVolumeClaim"),
            ("", "Service"),
            ("apps", "StatefulSet"),
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ];
        for pair in order.windows(2) {
            let [(group, kind), (next_group, next_kind)] = [pair[0], pair[1]];
            assert!(apply_stage(group, kind) < apply_stage(next_group, next_kind), "{kind} {next_kind}");
            assert!(delete_stage(group, kind) > delete_stage(next_group, next_kind), "{kind} {next_kind}");
            assert!(apply_stage(next_group, next_kind) < delete_stage(next_group, next_kind));
        }
        assert_eq!(apply_stage("networking.k8s.io", "NetworkPolicy"), apply_stage("", "ServiceAccount"));
    }
}
