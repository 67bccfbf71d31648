//! Changes of a project, in overlays as the API made them and as people left them.

use super::*;

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
