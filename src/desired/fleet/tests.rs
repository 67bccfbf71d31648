use std::collections::BTreeMap;

use super::*;
use crate::plan::WantedObject;
use crate::project::{
    ChangeSet, GitUrl, Identified, Image, Intent, MemoryFiles, NewProject, Quantity, Reason, Resources, Volumes,
};

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

fn revision(number: u8) -> Revision {
    Revision::from_bytes([number; 20])
}

fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn unit(text: &str) -> Unit {
    Unit::Project(name(text))
}

/// A tree that is edited as the API edits it.
struct Tree(MemoryFiles);

impl Tree {
    fn with_projects(names: &[&str]) -> Self {
        let mut tree = Self(MemoryFiles::default());
        tree.change(crate::edit::seed::seed("team", "age1example"));
        for name in names {
            tree.create(name);
        }
        tree
    }

    fn change(&mut self, changes: ChangeSet) -> BTreeSet<RepoPath> {
        let mut files: BTreeMap<RepoPath, Vec<u8>> =
            self.0.iter().map(|(path, content)| (path.clone(), content.to_vec())).collect();
        let changed = changes.0.keys().cloned().collect();
        for (path, content) in changes.0 {
            match content {
                Some(content) => files.insert(path, content),
                None => files.remove(&path),
            };
        }
        self.0 = MemoryFiles::default();
        for (path, content) in files {
            self.0.insert(path, content);
        }
        changed
    }

    fn create(&mut self, text: &str) -> BTreeSet<RepoPath> {
        let new = NewProject {
            short_name: name(text),
            name: text.to_owned(),
            git_repository: GitUrl::parse("https://git.example/x").unwrap(),
            git_branch: None,
            image: Image::parse("dev:1").unwrap(),
            resources: Resources::default(),
            workspace_size: Quantity::parse("1Gi").unwrap(),
            config_size: Quantity::parse("1Gi").unwrap(),
            storage_class: None,
            jira_issue: None,
            created_at: "2026-11-24T00:00:00Z".to_owned(),
            secrets: BTreeMap::new(),
        };
        self.intend(Intent::Create(Box::new(new)))
    }

    fn intend(&mut self, intent: Intent) -> BTreeSet<RepoPath> {
        let changes = crate::edit::apply(&self.0, &intent, None, &Memo::default()).unwrap();
        self.change(changes)
    }

    fn replace(&mut self, file: &str, old: &str, new: &str) -> BTreeSet<RepoPath> {
        let text = String::from_utf8(self.0.read(&path(file)).unwrap().to_vec()).unwrap();
        assert!(text.contains(old), "{file} has no {old}");
        let mut changes = ChangeSet::default();
        changes.write(path(file), text.replace(old, new));
        self.change(changes)
    }
}

fn renderer() -> Renderer {
    Renderer::new(Arc::new(|_: &str| Err("there is no key".to_owned())), Arc::default())
}

fn rendered(tree: &DesiredTree) -> Vec<String> {
    tree.rendered.iter().map(ToString::to_string).collect()
}

#[test]
fn the_units_together_are_what_a_build_of_the_root_gives_object_for_object() {
    let mut tree = Tree::with_projects(&["one", "two", "three"]);
    // What a person may add at the root: an object of its own, a patch, an annotation for everything.
    let mut changes = ChangeSet::default();
    let shared =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: shared\n  labels:\n    claude-manager.io/scope: base\n";
    changes.write(path("shared.yaml"), shared);
    tree.change(changes);
    tree.replace(
        "kustomization.yaml",
        "resources:\n",
        "commonAnnotations:\n  example.org/fleet: x\nresources:\n- shared.yaml\n",
    );

    let whole = kustomize::build(&tree.0, &RepoPath::root()).unwrap();
    let desired = renderer().render(&tree.0, revision(1), None).unwrap();

    let mut parts: Vec<Object> = desired.units.values().flat_map(|unit| objects(unit)).collect();
    let mut whole = whole.objects;
    parts.sort_by(|a, b| a.key.cmp(&b.key));
    whole.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(parts, whole);
    assert_eq!(desired.units.len(), 4);
    // Seven for each project, and those of the root: what was added, and the agents' keys.
    assert_eq!(parts.len(), 3 * 7 + 2);
}

#[test]
fn a_commit_renders_only_what_it_touches() {
    let mut tree = Tree::with_projects(&["one", "two"]);
    let mut renderer = renderer();
    renderer.render(&tree.0, revision(1), None).unwrap();
    let mut look = |tree: &Tree, number, changed: &BTreeSet<RepoPath>| {
        rendered(&renderer.render(&tree.0, revision(number), Some(changed)).unwrap())
    };

    let changed = tree.intend(Intent::Stop(name("one")));
    assert_eq!(look(&tree, 2, &changed), ["one"]);
    let changed = tree.create("three");
    assert_eq!(look(&tree, 3, &changed), ["three"], "a line in the root is no reason to render the others");
    let changed = tree.replace("base/service.yaml", "port: 13337", "port: 13338");
    assert_eq!(
        look(&tree, 4, &changed),
        ["one", "two", "three"].map(str::to_owned).into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    let changed = tree.replace("kustomization.yaml", "namespace: team", "namespace: other");
    assert_eq!(look(&tree, 5, &changed).len(), 4, "what the root adds to everything changed");
    let mut changes = ChangeSet::default();
    changes.write(path("projects/two/notes.md"), "hello");
    let changed = tree.change(changes);
    assert_eq!(look(&tree, 6, &changed), ["two"]);
}

#[test]
fn a_broken_overlay_is_its_own_error_and_is_rendered_again_when_what_it_looked_at_changes() {
    let mut tree = Tree::with_projects(&["bad", "good"]);
    tree.replace("projects/bad/kustomization.yaml", "../../base", "../../basement");
    let mut renderer = renderer();
    let desired = renderer.render(&tree.0, revision(1), None).unwrap();
    let error = desired.units[&unit("bad")].objects.as_ref().unwrap_err();
    assert_eq!(error.reason, Reason::RenderFailed);
    assert!(error.message.contains("projects/bad/kustomization.yaml") && error.message.contains("basement"), "{error}");
    assert!(desired.units[&unit("good")].objects.is_ok());

    let good = "projects/good/kustomization.yaml";
    let changed = tree.replace(good, "\npatches:", "\n\npatches:");
    let desired = renderer.render(&tree.0, revision(2), Some(&changed)).unwrap();
    assert_eq!(rendered(&desired), ["good"], "a commit beside it costs it nothing");
    assert!(desired.units[&unit("bad")].objects.is_err());

    // What it missed comes into being, outside of its folder.
    let mut changes = ChangeSet::default();
    changes.write(path("basement/kustomization.yaml"), "resources: [../base]\n");
    let changed = tree.change(changes);
    let desired = renderer.render(&tree.0, revision(3), Some(&changed)).unwrap();
    assert_eq!(rendered(&desired), ["bad"]);
    assert!(desired.units[&unit("bad")].objects.is_ok());

    let changed = tree.replace("projects/bad/kustomization.yaml", "../../basement", "../../attic");
    let desired = renderer.render(&tree.0, revision(4), Some(&changed)).unwrap();
    assert!(desired.units[&unit("bad")].objects.is_err());
    let changed = tree.replace("projects/bad/kustomization.yaml", "../../attic", "../../base");
    let desired = renderer.render(&tree.0, revision(5), Some(&changed)).unwrap();
    assert!(desired.units[&unit("bad")].objects.is_ok());
    assert_eq!(rendered(&desired), ["bad"]);
}

#[test]
fn a_root_that_does_not_build_wants_nothing_new() {
    let mut tree = Tree::with_projects(&["one"]);
    let mut renderer = renderer();
    renderer.render(&tree.0, revision(1), None).unwrap();
    let changed = tree.replace("kustomization.yaml", "resources:", "resources: {");
    assert!(renderer.render(&tree.0, revision(2), Some(&changed)).is_err());
    let changed = tree.replace("kustomization.yaml", "resources: {", "resources:");
    let desired = renderer.render(&tree.0, revision(3), Some(&changed)).unwrap();
    assert_eq!(rendered(&desired), Vec::<String>::new(), "what was known before still holds");
}

#[test]
fn an_object_of_another_projects_label_or_outside_the_namespace_is_refused() {
    let mut tree = Tree::with_projects(&["one"]);
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: mine\n\
                roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: cluster-admin\n";
    let mut changes = ChangeSet::default();
    changes.write(path("projects/one/role.yaml"), role);
    tree.change(changes);
    tree.replace("projects/one/kustomization.yaml", "- ../../base", "- ../../base\n- role.yaml");
    let desired = renderer().render(&tree.0, revision(1), None).unwrap();
    let error = desired.units[&unit("one")].objects.as_ref().unwrap_err();
    assert_eq!(error.reason, Reason::PolicyViolation);
    assert!(error.message.contains("ClusterRoleBinding"), "{error}");
}

#[test]
fn two_projects_that_want_one_object_are_told_apart_by_its_name() {
    let mut tree = Tree::with_projects(&["a", "a-b"]);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b-note\n";
    let mut changes = ChangeSet::default();
    changes.write(path("projects/a/note.yaml"), map);
    changes.write(path("projects/a-b/note.yaml"), map.replace("b-note", "note"));
    tree.change(changes);
    for project in ["a", "a-b"] {
        let overlay = format!("projects/{project}/kustomization.yaml");
        tree.replace(&overlay, "- ../../base", "- ../../base\n- note.yaml");
    }
    let desired = renderer().render(&tree.0, revision(1), None).unwrap();
    let error = desired.units[&unit("a")].objects.as_ref().unwrap_err();
    assert!(error.message.contains("a-b-note"), "{error}");
    assert!(desired.units[&unit("a-b")].objects.is_ok());
}

#[test]
fn only_a_tombstone_gives_volumes_up_and_an_unlisted_folder_is_warned_of() {
    let mut tree = Tree::with_projects(&["keep", "drop", "lost"]);
    tree.intend(Intent::Delete(name("keep"), Volumes::Keep));
    tree.intend(Intent::Delete(name("drop"), Volumes::Delete));
    tree.replace("kustomization.yaml", "- projects/lost\n", "");
    let desired = renderer().render(&tree.0, revision(1), None).unwrap();
    assert_eq!(desired.volumes_given_up, BTreeSet::from([name("drop")]));
    assert_eq!(desired.warnings.len(), 1);
    assert!(desired.warnings[0].starts_with("projects/lost is not applied"), "{:?}", desired.warnings);
}

/// The units of a tree, and what one build of all of them gives.
fn both(tree: &Tree) -> (DesiredTree, Vec<Object>) {
    let whole = kustomize::build(&tree.0, &RepoPath::root()).unwrap();
    (renderer().render(&tree.0, revision(1), None).unwrap(), whole.objects)
}

fn sorted<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<Object> {
    let mut objects: Vec<Object> = objects.into_iter().cloned().collect();
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    objects
}

/// A unit's objects as they were built.
fn objects(unit: &DesiredUnit) -> Vec<Object> {
    let wanted = unit.objects.as_ref().unwrap().wanted().into_iter();
    wanted
        .map(|WantedObject { key, api_version, content }| Object { key, api_version, value: (*content).clone() })
        .collect()
}

fn all(tree: &DesiredTree) -> Vec<Object> {
    sorted(&tree.units.values().flat_map(|unit| objects(unit)).collect::<Vec<_>>())
}

const READS_AN_OBJECT: &str = "replacements:\n- source: {kind: Service, name: one-env}\n  targets:\n  - select: {kind: StatefulSet}\n    \
     fieldPaths: [spec.serviceName]\nresources:\n";

#[test]
fn a_root_that_reaches_over_its_projects_is_built_as_a_whole() {
    let mut tree = Tree::with_projects(&["one", "two"]);
    tree.replace("kustomization.yaml", "resources:\n", READS_AN_OBJECT);
    let (desired, whole) = both(&tree);
    assert_eq!(all(&desired), sorted(&whole));
    let two = objects(&desired.units[&unit("two")]);
    assert!(two.iter().any(|object| object.value["spec"]["serviceName"] == "one-env"), "taken from the other project");
}

#[test]
fn variables_of_one_project_reach_all_of_them() {
    let mut tree = Tree::with_projects(&["one", "two"]);
    let mut changes = ChangeSet::default();
    changes.write(path("projects/one/vars.yaml"), "");
    tree.change(changes);
    tree.replace(
        "projects/one/kustomization.yaml",
        "resources:\n- ../../base",
        "vars:\n- name: HOST\n  objref: {apiVersion: v1, kind: Service, name: env}\nresources:\n- ../../base",
    );
    tree.replace("base/statefulset.yaml", "        env:\n", "        env:\n        - {name: HOST, value: $(HOST)}\n");
    let mut renderer = renderer();
    let desired = renderer.render(&tree.0, revision(1), None).unwrap();
    let whole = kustomize::build(&tree.0, &RepoPath::root()).unwrap().objects;
    assert_eq!(all(&desired), sorted(&whole));

    // Nothing is rendered that came out as it was, and each for itself again when nothing reaches over them any more.
    let changed = tree.intend(Intent::Stop(name("two")));
    let desired = renderer.render(&tree.0, revision(2), Some(&changed)).unwrap();
    assert_eq!(rendered(&desired), ["two"]);
    let changed = tree.replace(
        "projects/one/kustomization.yaml",
        "vars:\n- name: HOST\n  objref: {apiVersion: v1, kind: Service, name: env}\n",
        "",
    );
    let desired = renderer.render(&tree.0, revision(3), Some(&changed)).unwrap();
    assert_eq!(all(&desired), sorted(&kustomize::build(&tree.0, &RepoPath::root()).unwrap().objects));
}

#[test]
fn a_project_that_names_an_object_which_the_root_generates_is_judged_by_the_generated_name() {
    let mut tree = Tree::with_projects(&["one", "two"]);
    let generator = "configMapGenerator:\n- name: fleet\n  literals: [A=B]\n  options: {labels: {claude-manager.io/scope: base}}\nresources:\n";
    tree.replace("kustomization.yaml", "resources:\n", generator);
    let (desired, whole) = both(&tree);
    assert_eq!(all(&desired), sorted(&whole));
    assert_eq!(rendered(&desired).len(), 3, "nobody names it, so each was built for itself");

    // Named for itself it would be `fleet`, which is nobody's; the name in the whole is what is judged.
    tree.replace("base/statefulset.yaml", "            name: env\n", "            name: fleet\n");
    let desired = renderer().render(&tree.0, revision(1), None).unwrap();
    let error = desired.units[&unit("two")].objects.as_ref().unwrap_err();
    assert!(error.reason == Reason::PolicyViolation && error.message.contains("ConfigMap fleet-"), "{error}");
}

#[test]
fn where_all_are_built_together_a_broken_project_still_costs_only_itself() {
    let mut tree = Tree::with_projects(&["bad", "one", "two"]);
    tree.replace("kustomization.yaml", "resources:\n", READS_AN_OBJECT);
    tree.replace("projects/bad/kustomization.yaml", "../../base", "../../basement");
    let desired = renderer().render(&tree.0, revision(1), None).unwrap();
    let error = desired.units[&unit("bad")].objects.as_ref().unwrap_err();
    assert!(error.message.contains("basement"), "{error}");
    assert!(desired.units[&unit("one")].objects.is_ok());
    assert!(desired.units[&unit("two")].objects.is_ok());
}

#[test]
fn without_a_list_of_changes_what_was_looked_at_is_compared() {
    let mut tree = Tree::with_projects(&["one", "two"]);
    let mut renderer = renderer();
    renderer.render(&Identified(tree.0.clone()), revision(1), None).unwrap();
    let desired = renderer.render(&Identified(tree.0.clone()), revision(2), None).unwrap();
    assert_eq!(rendered(&desired), Vec::<String>::new());
    tree.intend(Intent::Stop(name("one")));
    let desired = renderer.render(&Identified(tree.0.clone()), revision(3), None).unwrap();
    assert_eq!(rendered(&desired), ["one"]);
    // An absence counts: a second kustomization file makes the directory ambiguous.
    let mut changes = ChangeSet::default();
    changes.write(path("projects/two/kustomization.yml"), "resources: []\n");
    tree.change(changes);
    let desired = renderer.render(&Identified(tree.0.clone()), revision(4), None).unwrap();
    assert_eq!(rendered(&desired), ["two"]);
    assert!(desired.units[&unit("two")].objects.is_err());
}

#[test]
fn a_project_that_builds_on_anothers_folder_is_rendered_with_it() {
    let mut tree = Tree::with_projects(&["one", "two"]);
    let mut changes = ChangeSet::default();
    changes.write(path("projects/one/more/kustomization.yaml"), "resources: [note.yaml]\n");
    changes.write(
        path("projects/one/more/note.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: note\ndata: {a: b}\n",
    );
    tree.change(changes);
    tree.replace("projects/two/kustomization.yaml", "- ../../base\n", "- ../../base\n- ../one/more\n");
    let mut renderer = renderer();
    renderer.render(&tree.0, revision(1), None).unwrap();
    let changed = tree.replace("projects/one/more/note.yaml", "a: b", "a: c");
    let desired = renderer.render(&tree.0, revision(2), Some(&changed)).unwrap();
    assert_eq!(rendered(&desired), ["one", "two"]);
}
