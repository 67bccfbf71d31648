use proptest::prelude::*;

use super::*;
use crate::project::{
    AgentKey, GitUrl, Image, MemoryFiles, NewProject, Overlaid, ProjectChange, Quantity, Resources, Volumes,
};

fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

fn new(short: &str) -> NewProject {
    NewProject {
        short_name: name(short),
        name: "Checkout".into(),
        git_repository: GitUrl::parse("https://git.example/team/checkout.git").unwrap(),
        git_branch: None,
        image: Image::parse("host/claude-dev-env:1.2").unwrap(),
        resources: Resources::default(),
        workspace_size: quantity("20Gi"),
        config_size: quantity("5Gi"),
        storage_class: None,
        jira_issue: None,
        created_at: "2026-11-24T03:00:00Z".into(),
        secrets: Default::default(),
    }
}

fn create(new: NewProject) -> Intent {
    Intent::Create(Box::new(new))
}

fn change(short: &str, change: ProjectChange) -> Intent {
    Intent::Change(name(short), Box::new(change))
}

/// A tree, and what commits do to it.
struct Tree(MemoryFiles);

impl Tree {
    fn seeded() -> Self {
        let mut tree = Self(MemoryFiles::default());
        tree.commit(&seed::seed("team", "age1x"));
        tree
    }

    fn with(projects: &[&str]) -> Self {
        let mut tree = Self::seeded();
        for project in projects {
            tree.make(&create(new(project)), None).unwrap();
        }
        tree
    }

    fn commit(&mut self, changes: &ChangeSet) {
        let overlaid = Overlaid { base: &self.0, changes };
        let mut after = MemoryFiles::default();
        let paths: std::collections::BTreeSet<_> =
            self.0.iter().map(|(path, _)| path).chain(changes.0.keys()).collect();
        for path in paths {
            if let Ok(content) = overlaid.read(path) {
                after.insert(path.clone(), content.to_vec());
            }
        }
        self.0 = after;
    }

    fn make(&mut self, intent: &Intent, secrets: Option<&str>) -> Result<Vec<String>, EditError> {
        let changes = apply(&self.0, intent, secrets.map(|text| text.as_bytes().to_vec()))?;
        self.commit(&changes);
        Ok(changes.0.keys().map(ToString::to_string).collect())
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.0.read(&RepoPath::parse(path).unwrap()).unwrap().to_vec()).unwrap()
    }

    fn write(&mut self, path: &str, text: &str) {
        self.0.insert(RepoPath::parse(path).unwrap(), text);
    }

    fn spec(&self, short: &str) -> ProjectSpec {
        current(&self.0, &name(short)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        exists(&self.0, &RepoPath::parse(path).unwrap()).unwrap()
    }
}

const OVERLAY: &str = "projects/checkout/kustomization.yaml";

/// An overlay as a person may have left it.
const BY_HAND: &str = r#"
# ours
kind: Kustomization
apiVersion: kustomize.config.k8s.io/v1beta1
namePrefix:   checkout-
resources:   [../../base]

labels:
    - pairs: {claude-manager.io/project: checkout}
      includeSelectors: true
images: [{name: claude-dev-env, newName: host/dev, newTag: '1'}]   # pinned by us
configMapGenerator:
    - behavior: merge
      literals:
          - "GIT_REPOSITORY=https://h/x"   # moved in May

          - EXTRA=1
      name: env
patches:
    # the volumes first
    - patch: |
          # for the secrets
          kind: StatefulSet
          apiVersion: apps/v1
          metadata: {name: env, annotations: {claude-manager.io/display-name: 'By hand'}}
          spec:
            template:
              spec:
                volumes:
                - {name: project-secrets, secret: {secretName: checkout-secrets}}
    - path: size.yaml
    - target: {kind: StatefulSet}
      patch: |-
          - op: add
            path: /spec/minReadySeconds
            value: 3
# the end
"#;

const SIZE: &str = "# grown twice\r\napiVersion: v1\r\nkind: PersistentVolumeClaim\r\nmetadata:\r\n  name: workspace\r\nspec:\r\n  \
                    resources: {requests: {storage: 30Gi}} # for now\r\n";

fn by_hand() -> Tree {
    let mut tree = Tree::with(&["checkout"]);
    tree.write(OVERLAY, BY_HAND);
    tree.write("projects/checkout/size.yaml", SIZE);
    tree
}

#[test]
fn a_new_project_is_an_overlay_a_line_and_its_secrets() {
    let mut tree = Tree::seeded();
    let project = NewProject {
        git_branch: Some("main".into()),
        jira_issue: Some("ABC-1".into()),
        storage_class: Some("fast-ssd".into()),
        resources: Resources { cpu: Some(quantity("2")), memory: Some(quantity("4Gi")) },
        ..new("checkout")
    };
    let written = tree.make(&create(project), Some("sealed")).unwrap();

    assert_eq!(written, ["kustomization.yaml", OVERLAY, "projects/checkout/secrets.sops.yaml"]);
    insta::assert_snapshot!(tree.text(OVERLAY), @r#"
    # Project checkout. Edit here or through Claude Manager: comments and layout are kept.
    apiVersion: kustomize.config.k8s.io/v1beta1
    kind: Kustomization
    resources:
    - ../../base
    namePrefix: checkout-
    labels:
    - includeSelectors: true
      pairs:
        claude-manager.io/project: checkout
    images:
    - name: claude-dev-env
      newName: host/claude-dev-env
      newTag: "1.2"
    replicas:
    - name: env
      count: 1
    configMapGenerator:
    - name: env
      behavior: merge
      literals:
      - GIT_REPOSITORY=https://git.example/team/checkout.git
      - GIT_BRANCH=main
    patches:
    - target:
        kind: StatefulSet
        name: env
      patch: |-
        apiVersion: apps/v1
        kind: StatefulSet
        metadata:
          name: env
          annotations:
            claude-manager.io/display-name: Checkout
            claude-manager.io/created-at: "2026-11-24T03:00:00Z"
            claude-manager.io/jira-issue: ABC-1
        spec:
          template:
            spec:
              containers:
              - name: agent
                resources:
                  requests:
                    cpu: "2"
                    memory: 4Gi
                  limits:
                    cpu: "2"
                    memory: 4Gi
              volumes:
              - name: project-secrets
                secret:
                  secretName: checkout-secrets
    - target:
        kind: PersistentVolumeClaim
        name: workspace
      patch: |-
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata:
          name: workspace
        spec:
          storageClassName: fast-ssd
          resources:
            requests:
              storage: 20Gi
    - target:
        kind: PersistentVolumeClaim
        name: config
      patch: |-
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata:
          name: config
        spec:
          storageClassName: fast-ssd
          resources:
            requests:
              storage: 5Gi
    "#);
    assert!(tree.text("kustomization.yaml").ends_with("\nresources:\n- agent-keys.yaml\n- projects/checkout\n"));
    let spec = tree.spec("checkout");
    assert_eq!((spec.replicas, spec.image.as_str()), (1, "host/claude-dev-env:1.2"));
    assert_eq!(spec.resources.cpu, Some(quantity("2")));
    assert_eq!(spec.storage.storage_class.as_deref(), Some("fast-ssd"));

    let again = tree.make(&create(new("checkout")), None).unwrap_err();
    assert_eq!((again.kind(), again.fields()[0].field.as_str()), (ErrorKind::Conflict, "shortName"));
}

#[test]
fn impossible_values_are_told_by_field() {
    let project = NewProject {
        name: "a\nb".into(),
        git_branch: Some("a..b".into()),
        jira_issue: Some(String::new()),
        storage_class: Some("Fast".into()),
        workspace_size: quantity("0"),
        resources: Resources { cpu: Some(quantity("-1")), memory: None },
        ..new("checkout")
    };
    let error = Tree::seeded().make(&create(project), None).unwrap_err();
    let fields: Vec<String> = error.fields().into_iter().map(|field| field.field).collect();
    assert_eq!(fields, ["name", "gitBranch", "jiraIssue", "storage.storageClass", "resources.cpu", "storage.size"]);
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn the_roots_list_stays_as_people_keep_it() {
    let listing = |before: &str, short: &str| {
        let mut tree = Tree::seeded();
        tree.write("kustomization.yaml", before);
        let mut changes = ChangeSet::default();
        root::list(&tree.0, &name(short), &mut changes).unwrap();
        tree.commit(&changes);
        tree.text("kustomization.yaml")
    };
    for (before, after) in [
        ("resources: []\n", "resources:\n- projects/m\n"),
        ("resources:\nnamespace: x\n", "resources:\n- projects/m\nnamespace: x\n"),
        ("namespace: x # y\n", "namespace: x # y\nresources:\n- projects/m\n"),
        ("resources:\n- shared.yaml\n", "resources:\n- shared.yaml\n- projects/m\n"),
        (
            "resources:\n  - projects/a # 1\n  - ./projects/z/\n",
            "resources:\n  - projects/a # 1\n  - projects/m\n  - ./projects/z/\n",
        ),
        ("resources:\n- s\n# all\n- projects/z\n", "resources:\n- s\n- projects/m\n# all\n- projects/z\n"),
        (
            "resources:\n- projects/z\n- projects/a\n- projects/y\n- late\n",
            "resources:\n- projects/z\n- projects/a\n- projects/y\n- projects/m\n- late\n",
        ),
        ("resources: [projects/a, late]\n", "resources: [projects/a, projects/m, late]\n"),
        ("resources:\n- ./projects/m/\n", "resources:\n- ./projects/m/\n"),
    ] {
        assert_eq!(listing(before, "m"), after);
    }
}

#[test]
fn a_deleted_project_leaves_nothing_but_a_tombstone_when_its_volumes_go() {
    let mut tree = Tree::with(&["checkout", "other"]);
    let before = tree.text("kustomization.yaml");
    tree.make(&create(new("gone")), Some("sealed")).unwrap();
    tree.write("projects/gone/notes/a.md", "x");

    let changed = tree.make(&Intent::Delete(name("gone"), Volumes::Keep), None).unwrap();
    assert_eq!(changed.len(), 4, "{changed:?}");
    assert_eq!(tree.text("kustomization.yaml"), before);
    assert!(!tree.has("tombstones/gone.yaml") && tree.0.list(&directory(&name("gone"))).unwrap().is_empty());

    tree.make(&Intent::Delete(name("other"), Volumes::Delete), None).unwrap();
    assert!(tree.text("tombstones/other.yaml").ends_with("volumes: delete\n"));
    tree.make(&create(new("other")), None).unwrap();
    assert!(!tree.has("tombstones/other.yaml"));

    for intent in [Intent::Delete(name("gone"), Volumes::Keep), Intent::Stop(name("gone"))] {
        assert_eq!(tree.make(&intent, None), Err(EditError::NotFound(name("gone"))));
    }
}

#[test]
fn the_last_project_leaves_an_empty_list() {
    let mut tree = Tree::seeded();
    let before = tree.text("kustomization.yaml");
    tree.make(&create(new("checkout")), None).unwrap();
    tree.make(&Intent::Delete(name("checkout"), Volumes::Keep), None).unwrap();
    assert_eq!(tree.text("kustomization.yaml"), before);
}

#[test]
fn stop_and_start_change_the_count_alone() {
    let mut tree = Tree::with(&["checkout"]);
    let running = tree.text(OVERLAY);
    assert_eq!(tree.make(&Intent::Start(name("checkout")), None).unwrap(), Vec::<String>::new());
    assert_eq!(tree.make(&Intent::Stop(name("checkout")), None).unwrap(), [OVERLAY]);
    assert_eq!(tree.text(OVERLAY), running.replace("count: 1", "count: 0"));
    assert_eq!(tree.make(&Intent::Stop(name("checkout")), None).unwrap(), Vec::<String>::new());
    tree.make(&Intent::Start(name("checkout")), None).unwrap();
    assert_eq!(tree.text(OVERLAY), running);
}

#[test]
fn a_count_that_is_nowhere_is_added() {
    let mut tree = by_hand();
    tree.make(&Intent::Stop(name("checkout")), None).unwrap();
    let added = "replicas:\n- name: env\n  count: 0\n";
    assert_eq!(tree.text(OVERLAY), BY_HAND.replace("# the end\n", &format!("{added}# the end\n")));
    assert_eq!(tree.spec("checkout").replicas, 0);
}

#[test]
fn every_field_goes_where_a_person_put_it() {
    let mut tree = by_hand();
    let wish = ProjectChange {
        name: Some("It's: new".into()),
        git_repository: Some(GitUrl::parse("git@h:a/b.git").unwrap()),
        git_branch: Some(Some("feature/x".into())),
        image: Some(Image::parse("host/dev:2").unwrap()),
        resources: Resources { cpu: Some(quantity("3")), memory: None },
        workspace_size: Some(quantity("40Gi")),
        jira_issue: Some(Some("ABC-2".into())),
        ..ProjectChange::default()
    };
    let written = tree.make(&change("checkout", wish), None).unwrap();
    assert_eq!(written, [OVERLAY, "projects/checkout/size.yaml"]);
    let expected = BY_HAND
        .replace("newTag: '1'", "newTag: '2'")
        .replace("\"GIT_REPOSITORY=https://h/x\"", "\"GIT_REPOSITORY=git@h:a/b.git\"")
        .replace("- EXTRA=1\n", "- EXTRA=1\n          - GIT_BRANCH=feature/x\n")
        .replace("'By hand'}", "'It''s: new', claude-manager.io/jira-issue: ABC-2}")
        .replace(
            "secretName: checkout-secrets}}\n",
            "secretName: checkout-secrets}}\n                containers:\n                - name: agent\n                  \
             resources:\n                    requests:\n                      cpu: \"3\"\n                    limits:\n                      \
             cpu: \"3\"\n",
        );
    assert_eq!(tree.text(OVERLAY), expected);
    assert_eq!(tree.text("projects/checkout/size.yaml"), SIZE.replace("30Gi", "40Gi"));

    let back = ProjectChange { git_branch: Some(None), jira_issue: Some(None), ..ProjectChange::default() };
    tree.make(&change("checkout", back), None).unwrap();
    let expected =
        expected.replace("          - GIT_BRANCH=feature/x\n", "").replace(", claude-manager.io/jira-issue: ABC-2", "");
    assert_eq!(tree.text(OVERLAY), expected);
}

#[test]
fn a_suspension_is_an_annotation_with_its_reason_and_goes_without_a_trace() {
    let mut tree = Tree::with(&["checkout"]);
    let path = "projects/checkout/kustomization.yaml";
    let before = tree.text(path);
    let suspend =
        |why: Option<&str>| ProjectChange { suspended: Some(why.map(str::to_owned)), ..ProjectChange::default() };
    tree.make(&change("checkout", suspend(Some("true"))), None).unwrap();
    assert!(
        tree.text(path).contains("claude-manager.io/suspended: \"true\"")
            || tree.text(path).contains("claude-manager.io/suspended: 'true'"),
        "{}",
        tree.text(path)
    );
    tree.make(&change("checkout", suspend(Some("Ana: looks #into it"))), None).unwrap();
    tree.make(&change("checkout", suspend(None)), None).unwrap();
    assert_eq!(tree.text(path), before);
    for why in ["", " ", "false", "a\nb"] {
        assert!(tree.make(&change("checkout", suspend(Some(why))), None).is_err(), "{why:?}");
    }
}

#[test]
fn a_change_that_changes_nothing_writes_nothing() {
    let mut tree = Tree::with(&["checkout"]);
    let wish = ProjectChange {
        name: Some("Checkout".into()),
        image: Some(Image::parse("host/claude-dev-env:1.2").unwrap()),
        workspace_size: Some(quantity("20480Mi")),
        git_branch: Some(None),
        ..ProjectChange::default()
    };
    assert_eq!(tree.make(&change("checkout", wish), None).unwrap(), Vec::<String>::new());
}

#[test]
fn secrets_are_replaced_kept_or_removed() {
    let mut tree = Tree::with(&["checkout"]);
    let file = "projects/checkout/secrets.sops.yaml";
    let wish = || change("checkout", ProjectChange::default());
    assert_eq!(tree.make(&wish(), Some("")).unwrap(), Vec::<String>::new());
    assert_eq!(tree.make(&wish(), Some("a")).unwrap(), [file]);
    assert_eq!(tree.make(&wish(), Some("a")).unwrap(), Vec::<String>::new());
    assert_eq!(tree.make(&wish(), None).unwrap(), Vec::<String>::new());
    assert_eq!(tree.text(file), "a");
    tree.make(&wish(), Some("")).unwrap();
    assert!(!tree.has(file));
}

#[test]
fn a_volume_only_grows() {
    let mut tree = Tree::with(&["checkout"]);
    let wish = |size| change("checkout", ProjectChange { workspace_size: Some(quantity(size)), ..Default::default() });
    let error = tree.make(&wish("10Gi"), None).unwrap_err();
    assert_eq!((error.kind(), error.fields()[0].field.as_str()), (ErrorKind::Invalid, "storage.size"));
    assert_eq!(error.to_string(), "storage.size must be at least 20Gi: a volume cannot shrink");
    tree.make(&wish("21Gi"), None).unwrap();
    assert_eq!(tree.spec("checkout").storage.size, Some(quantity("21Gi")));
}

#[test]
fn a_later_patch_that_has_the_last_word_gets_a_patch_behind_it() {
    let mut tree = Tree::with(&["checkout"]);
    let odd = "- target:\n    kind: StatefulSet\n  patch: |-\n    - op: add\n      path: \
               /metadata/annotations/claude-manager.io~1display-name\n      value: Fixed\n";
    let before = tree.text(OVERLAY) + odd;
    tree.write(OVERLAY, &before);
    let wish = ProjectChange { name: Some("Mine".into()), ..ProjectChange::default() };
    tree.make(&change("checkout", wish), None).unwrap();
    assert_eq!(tree.spec("checkout").name, "Mine");
    let added = tree.text(OVERLAY).strip_prefix(&before).unwrap().to_owned();
    insta::assert_snapshot!(added, @r"
    - target:
        kind: StatefulSet
        name: env
      patch: |-
        apiVersion: apps/v1
        kind: StatefulSet
        metadata:
          name: env
          annotations:
            claude-manager.io/display-name: Mine
    ");
}

#[test]
fn of_two_patches_the_one_with_the_last_word_is_edited() {
    let mut tree = Tree::with(&["checkout"]);
    let late = "- patch: |-\n    kind: StatefulSet\n    apiVersion: apps/v1\n    metadata:\n      name: env\n      \
                annotations: {claude-manager.io/display-name: Late}\n";
    let before = tree.text(OVERLAY) + late;
    tree.write(OVERLAY, &before);
    let wish = ProjectChange { name: Some("Mine".into()), ..ProjectChange::default() };
    tree.make(&change("checkout", wish), None).unwrap();
    assert_eq!(tree.text(OVERLAY), before.replace("Late", "Mine"));
}

#[test]
fn a_base_that_a_new_project_does_not_fit_is_a_conflict() {
    let mut tree = Tree::seeded();
    let set = tree.text("base/statefulset.yaml").replace("image: claude-dev-env", "image: pinned:1");
    tree.write("base/statefulset.yaml", &set);
    let error = tree.make(&create(new("checkout")), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().ends_with("with this base, a new project would not get its image"), "{error}");
}

#[test]
fn a_place_that_cannot_be_found_is_a_conflict_and_nothing_changes() {
    let mut tree = Tree::with(&["checkout"]);
    // The image is patched to another name, so that `images` has no say.
    let odd = "- target:\n    kind: StatefulSet\n  patch: |-\n    - op: replace\n      path: \
               /spec/template/spec/containers/0/image\n      value: fixed:1\n";
    tree.write(OVERLAY, &(tree.text(OVERLAY) + odd));
    let wish = ProjectChange { image: Some(Image::parse("x:2").unwrap()), ..ProjectChange::default() };
    let error = tree.make(&change("checkout", wish), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.to_string(),
        "projects/checkout/kustomization.yaml: the place that decides image was not found in this overlay; change it \
         in the file and push it"
    );

    for broken in ["kind: [", "a: 1\n---\nb: 2\n", "kind: Kustomization\nresources: [../../nowhere]\n"] {
        tree.write(OVERLAY, broken);
        assert_eq!(tree.make(&Intent::Stop(name("checkout")), None).unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[test]
fn what_a_component_says_is_left_alone() {
    let mut tree = Tree::with(&["checkout", "other"]);
    let shared = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: workspace\nspec:\n  resources:\n    \
                  requests:\n      storage: 50Gi\n";
    tree.write("components/big/workspace.yaml", shared);
    tree.write(
        "components/big/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- path: workspace.yaml\n",
    );
    tree.write(OVERLAY, &(tree.text(OVERLAY) + "components:\n- ../../components/big\n"));
    let size = |size| ProjectChange { workspace_size: Some(quantity(size)), ..ProjectChange::default() };
    assert_eq!(tree.spec("checkout").storage.size, Some(quantity("20Gi")));
    tree.make(&change("checkout", size("60Gi")), None).unwrap();
    assert_eq!(tree.text("components/big/workspace.yaml"), shared);
    assert_eq!(tree.spec("checkout").storage.size, Some(quantity("60Gi")));
}

/// Words that YAML, kustomize or a template could take for something else.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "yes",
            "No",
            "null",
            "~",
            "1e3",
            "1.20",
            "0x1F",
            "2026-11-24",
            ": ",
            "a: b",
            "a #b",
            "# x",
            " lead",
            "trail ",
            "{{ .x }}",
            "[a]",
            "*x",
            "&x",
            "!x",
            "|",
            ">",
            "'",
            "\"",
            "\\",
            "it's \"both\"",
            "\u{1F600}",
            "Größe \u{2028} x",
            "$(VAR)",
            "%YAML",
            "---",
            "- a",
            "a\u{a0}b",
            "\u{feff}x",
            "=",
            "<<",
            "@a",
            "`",
        ])
        .prop_map(str::to_owned),
        "\\PC{1,100}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_goes_into_an_overlay_comes_out_of_it(first in hostile(), second in hostile(), ticket in hostile()) {
        let mut tree = Tree::seeded();
        let project = NewProject { name: first.clone(), jira_issue: Some(ticket.clone()), ..new("p") };
        tree.make(&create(project), None).unwrap();
        let spec = tree.spec("p");
        prop_assert_eq!((spec.name, spec.jira_issue), (first, Some(ticket)));

        let wish = ProjectChange { name: Some(second.clone()), ..ProjectChange::default() };
        tree.make(&change("p", wish), None).unwrap();
        prop_assert_eq!(tree.spec("p").name, second);
    }
}

#[test]
fn a_managers_key_is_added_once_and_keeps_what_is_there() {
    let key = |kid: &str| {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{kid}\n-----END PUBLIC KEY-----\n");
        Intent::TrustAgentKey(AgentKey { kid: kid.to_owned(), pem })
    };
    let mut tree = Tree::with(&["checkout"]);
    let file = RepoPath::parse("agent-keys.yaml").unwrap();
    tree.make(&key("aa00"), None).unwrap();
    let text = read_text(&tree.0, &file).unwrap();
    tree.0.insert(file.clone(), text.replace("data:", "data: # by hand").into_bytes());

    tree.make(&key("bb11"), None).unwrap();

    let text = read_text(&tree.0, &file).unwrap();
    assert!(text.contains("data: # by hand") && text.starts_with("# Public keys"), "{text}");
    let object = &kustomize::build(&tree.0, &RepoPath::root()).unwrap().objects;
    let keys = object.iter().find(|object| object.key.name == "claude-manager-agent-keys").unwrap();
    assert_eq!(keys.value["data"]["aa00.pem"], "-----BEGIN PUBLIC KEY-----\naa00\n-----END PUBLIC KEY-----\n");
    assert_eq!(keys.value["data"].as_object().unwrap().len(), 2);
    assert!(apply(&tree.0, &key("bb11"), None).unwrap().is_empty(), "it is there");
}

#[test]
fn a_repository_from_before_there_were_agents_gets_the_file_and_its_line() {
    let mut tree = Tree::with(&["checkout"]);
    let (file, root) = (RepoPath::parse("agent-keys.yaml").unwrap(), RepoPath::parse("kustomization.yaml").unwrap());
    let text = read_text(&tree.0, &root).unwrap();
    let mut old = ChangeSet::default();
    old.remove(file.clone());
    old.write(root.clone(), text.replace("- agent-keys.yaml\n", ""));
    tree.commit(&old);

    tree.make(&Intent::TrustAgentKey(AgentKey { kid: "aa00".to_owned(), pem: "x\n".to_owned() }), None).unwrap();

    let text = read_text(&tree.0, &root).unwrap();
    assert!(text.contains("resources:\n- agent-keys.yaml\n- projects/checkout\n"), "{text}");
    assert!(read_text(&tree.0, &file).unwrap().contains("aa00.pem"));
}
