use super::*;
use crate::project::MemoryFiles;

fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn parse(text: &str) -> Result<Policy, String> {
    Policy::parse(text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn the_templates_file_says_what_no_file_says() {
    let template = include_str!("../../../state-repo-template/claude-manager.yaml");
    assert_eq!(parse(template), Ok(Policy::default()));
    assert_eq!(Policy::read(&MemoryFiles::default()), Ok(Policy::default()));
    let defaults = Policy::default();
    assert_eq!(defaults.confinement.pod_security, PodSecurity::Baseline);
    assert!(defaults.confinement.kinds.contains("StatefulSet.apps"));
}

#[test]
fn every_part_of_the_file_is_read() {
    let policy = parse(
        "schemaVersion: 1\n\
         suspend: moving the cluster\n\
         policy:\n  podSecurity: restricted\n  registries: [registry.example/]\n  shared: {secrets: [regcred]}\n  \
         prune: {projects: 1, percent: 50}\n  projects:\n    shop: {kinds: [Widget.example.org], podSecurity: privileged, registries: [other/]}\n\
         drift:\n  mode: warn\n  projects: {shop: correct}\n  fields:\n  - {kind: StatefulSet, path: spec.replicas}\n  \
         managers:\n  - {name: 'hpa*', mode: warn}\n\
         rollout: {restarts: 3, busyMinutes: 5}\n\
         jira: {anything: here}\n",
    )
    .unwrap();
    assert_eq!(policy.suspended.as_deref(), Some("moving the cluster"));
    assert_eq!(policy.drift.mode, DriftMode::Warn);
    assert_eq!(policy.drift.projects[&name("shop")], DriftMode::Correct);
    assert_eq!(policy.drift.fields[0].mode, DriftMode::Ignore, "a named field is named to be left alone");
    assert_eq!(policy.drift.managers[0].mode, DriftMode::Warn);
    assert_eq!((policy.rollout.restarts, policy.rollout.busy.as_secs()), (Some(3), 300));
    assert_eq!(Policy::default().rollout.busy.as_secs(), 3600, "what the template says");
    assert!(policy.prune.is_exceeded(2, 3) && !policy.prune.is_exceeded(2, 4));

    let shop = policy.confinement_of(&name("shop"));
    assert_eq!(shop.pod_security, PodSecurity::Privileged);
    assert_eq!(shop.registries, ["registry.example/", "other/"]);
    assert!(shop.kinds.contains("Widget.example.org") && shop.kinds.contains("Service"));
    assert!(shop.shared.contains(&("Secret".to_owned(), "regcred".to_owned())));
    let other = policy.confinement_of(&name("other"));
    assert_eq!(other.pod_security, PodSecurity::Restricted);
    assert!(!other.kinds.contains("Widget.example.org"));
}

#[test]
fn what_is_no_policy_is_said_by_key() {
    for (text, named) in [
        ("", "schemaVersion"),
        ("schemaVersion: 2\n", "schemaVersion 2"),
        ("schemaVersion: 1\npolicies: {}\n", "policies"),
        ("schemaVersion: 1\npolicy: {kindz: []}\n", "kindz"),
        ("schemaVersion: 1\ndrift: {mode: sometimes}\n", "sometimes"),
        ("schemaVersion: 1\npolicy: {projects: {UPPER: {}}}\n", "lower-case"),
        ("schemaVersion: 1\npolicy: {loaderVariables: [LD_PRELOAD, PATH]}\n", "\"PATH\""),
        ("schemaVersion: 1\npolicy: {loaderVariables: ['LD_*']}\n", "LD_*"),
        ("schemaVersion: 1\npolicy: {projects: {shop: {loaderVariables: [gconv_path]}}}\n", "gconv_path"),
        ("schemaVersion: 1\nrollout: {restarts: 0}\n", "rollout.restarts"),
        ("schemaVersion: 1\nrollout: {restarts: -1}\n", "-1"),
        ("schemaVersion: 1\nrollout: {busyMinutes: 10081}\n", "rollout.busyMinutes"),
        ("- a\n", "claude-manager.yaml"),
        ("schemaVersion: [\n", "line"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with("claude-manager.yaml: ") && error.contains(named), "{text:?}: {error}");
    }
}

#[test]
fn a_few_projects_may_always_go_and_more_only_when_they_are_few_of_all() {
    let limit = PruneLimit::default();
    assert!(!limit.is_exceeded(5, 5));
    assert!(limit.is_exceeded(6, 10));
    assert!(!limit.is_exceeded(20, 100));
    assert!(limit.is_exceeded(21, 100));
}

#[test]
fn a_broken_file_leaves_the_last_valid_one_in_force() {
    let tree = |text: &str| {
        let mut files = MemoryFiles::default();
        files.insert(RepoPath::parse(POLICY_FILE).unwrap(), text.as_bytes().to_vec());
        files
    };
    let trees = [tree("broken: ["), tree("schemaVersion: 1\nsuspend: true\n"), tree("schemaVersion: 1\n")];
    assert!(Policy::newest_valid(trees).unwrap().suspended.is_some());
}
