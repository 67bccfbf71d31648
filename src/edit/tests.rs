use super::*;
use crate::project::{
    AgentKey, GitUrl, Image, MemoryFiles, NewProject, Overlaid, ProjectChange, Quantity, Resources, Volumes,
};

mod changes;
mod keys;
mod words;

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
        let changes = apply(&self.0, intent, secrets.map(|text| text.as_bytes().to_vec()), &Memo::default())?;
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
        current(&self.0, &name(short), &Memo::default()).unwrap()
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
