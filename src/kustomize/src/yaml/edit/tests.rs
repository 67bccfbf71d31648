use proptest::prelude::*;

use super::*;

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn yaml(value: &str) -> Value {
    serde_yaml::from_str(value).unwrap()
}

const FILE: &str = "\
# top
kind: Kustomization   # kind
resources:
- ../../base      # the base
# below

images:
  - name: 'dev'
    newTag:   \"1.2\"   # pinned

  - {name: other, newTag: '3'}
replicas: [{name: env, count: 1}] # one
empty:
none: [] # nothing yet
patches:
- patch: |-
    # inner comment
    metadata:
      name:  env   # spaces
      annotations:

        a: \"b\"
  target: {kind: StatefulSet}

# end
";

#[test]
fn a_changed_value_leaves_every_other_byte() {
    for (at, value, before, after) in [
        (&path!["images", 0, "newTag"][..], text("1.3"), "\"1.2\"", "\"1.3\""),
        (&path!["images", 0, "name"][..], text("it's"), "'dev'", "'it''s'"),
        (&path!["images", 1, "newTag"][..], text("4"), "'3'", "'4'"),
        (&path!["images", 1, "name"][..], text("x, y"), "name: other", "name: \"x, y\""),
        (&path!["replicas", 0, "count"][..], yaml("0"), "count: 1", "count: 0"),
        (&path!["kind"][..], text("yes"), "kind: Kustomization ", "kind: \"yes\" "),
        (&path!["empty"][..], text("full"), "empty:\n", "empty: full\n"),
        (&path!["none"][..], yaml("[a]"), "none: [] # nothing yet\n", "none: # nothing yet\n- a\n"),
        (&path!["empty"][..], yaml("{a: {b: 1}, c: []}"), "empty:\n", "empty:\n  a:\n    b: 1\n  c: []\n"),
    ] {
        assert_eq!(set(FILE, at, &value).unwrap(), FILE.replacen(before, after, 1), "{at:?}");
    }
}

#[test]
fn a_missing_value_is_put_below_its_neighbours() {
    for (at, value, before, after) in [
        (&path!["images", 0, "digest"][..], text("sha256:1"), "# pinned\n", "# pinned\n    digest: sha256:1\n"),
        (&path!["images", 1, "digest"][..], text("x"), "newTag: '3'}", "newTag: '3', digest: x}"),
        (
            &path!["patches", 0, "options", "a"][..],
            yaml("true"),
            "StatefulSet}\n",
            "StatefulSet}\n  options:\n    a: true\n",
        ),
        (&path!["namePrefix"][..], text("x-"), "StatefulSet}\n", "StatefulSet}\nnamePrefix: x-\n"),
        (&path!["empty", "a", "b"][..], text("c"), "empty:\n", "empty:\n  a:\n    b: c\n"),
    ] {
        assert_eq!(set(FILE, at, &value).unwrap(), FILE.replacen(before, after, 1), "{at:?}");
    }
}

#[test]
fn items_come_and_go_by_whole_lines() {
    for (at, index, item, before, after) in [
        (&path!["resources"][..], 1, text("x"), "# the base\n", "# the base\n- x\n"),
        (&path!["resources"][..], 0, text("x"), "- ../../base", "- x\n- ../../base"),
        (&path!["images"][..], 1, yaml("{name: m, newTag: t}"), "# pinned\n", "# pinned\n  - name: m\n    newTag: t\n"),
        (&path!["images"][..], 2, text("x"), "newTag: '3'}\n", "newTag: '3'}\n  - x\n"),
        (&path!["replicas"][..], 1, yaml("{name: b}"), "count: 1}]", "count: 1}, {name: b}]"),
        (&path!["replicas"][..], 0, text("b"), "[{name", "[b, {name"),
        (&path!["empty"][..], 0, text("b"), "empty:\n", "empty:\n- b\n"),
        (&path!["none"][..], 0, text("b"), "none: [] # nothing yet\n", "none: # nothing yet\n- b\n"),
        (&path!["new"][..], 0, text("b"), "StatefulSet}\n", "StatefulSet}\nnew:\n- b\n"),
    ] {
        assert_eq!(insert(FILE, at, index, &item).unwrap(), FILE.replacen(before, after, 1), "{at:?}");
    }
    for (at, before, after) in [
        (&path!["kind"][..], "kind: Kustomization   # kind\n", ""),
        (&path!["resources", 0][..], "resources:\n- ../../base      # the base\n", "resources: []\n"),
        (&path!["images", 0][..], "  - name: 'dev'\n    newTag:   \"1.2\"   # pinned\n", ""),
        (&path!["images", 0, "name"][..], "  - name: 'dev'\n    newTag", "  - newTag"),
        (&path!["images", 1, "name"][..], "{name: other, newTag: '3'}", "{newTag: '3'}"),
        (&path!["images", 1, "newTag"][..], "{name: other, newTag: '3'}", "{name: other}"),
        (&path!["replicas", 0][..], "[{name: env, count: 1}]", "[]"),
        (&path!["patches", 0, "target"][..], "  target: {kind: StatefulSet}\n", ""),
    ] {
        assert_eq!(remove(FILE, at).unwrap(), FILE.replacen(before, after, 1), "{at:?}");
    }
}

#[test]
fn a_patch_inside_the_file_is_edited_in_place() {
    let place = path!["patches", 0, "patch"];
    for (at, value, before, after) in [
        (&path!["metadata", "annotations", "a"][..], text("c"), "a: \"b\"", "a: \"c\""),
        (&path!["metadata", "annotations", "d"][..], text("null"), "a: \"b\"\n", "a: \"b\"\n        d: \"null\"\n"),
        (&path!["metadata", "name"][..], text("x"), "name:  env ", "name:  x "),
        (&path!["spec", "replicas"][..], yaml("1"), "a: \"b\"\n", "a: \"b\"\n    spec:\n      replicas: 1\n"),
    ] {
        let edited = within(FILE, &place, |inner| set(inner, at, &value)).unwrap();
        assert_eq!(edited, FILE.replacen(before, after, 1), "{at:?}");
    }
    let removed = within(FILE, &place, |inner| remove(inner, &path!["metadata", "annotations", "a"])).unwrap();
    let expected = FILE.replacen("annotations:\n\n        a: \"b\"\n", "annotations: {}\n\n", 1);
    assert_eq!(removed.replace("\n\n", "\n"), expected.replace("\n\n", "\n"));
    let removed = within(FILE, &place, |inner| remove(inner, &path!["metadata", "name"])).unwrap();
    assert_eq!(removed, FILE.replacen("      name:  env   # spaces\n", "", 1));
}

#[test]
fn windows_line_breaks_and_a_missing_last_one_stay() {
    let file = FILE.replace('\n', "\r\n");
    let edited = set(&file, &path!["images", 0, "digest"], &text("d")).unwrap();
    assert_eq!(edited, FILE.replacen("# pinned\n", "# pinned\n    digest: d\n", 1).replace('\n', "\r\n"));
    let inner = |inner: &str| set(inner, &path!["metadata", "x"], &text("d"));
    let edited = within(&file, &path!["patches", 0, "patch"], inner).unwrap();
    assert_eq!(edited, FILE.replacen("a: \"b\"\n", "a: \"b\"\n      x: d\n", 1).replace('\n', "\r\n"));
    let edited = remove(&file, &path!["kind"]).unwrap();
    assert_eq!(edited, FILE.replacen("kind: Kustomization   # kind\n", "", 1).replace('\n', "\r\n"));

    assert_eq!(set("a: 1", &path!["b"], &text("x")).unwrap(), "a: 1\nb: x");
    assert_eq!(remove("a: 1\nb: 2", &path!["b"]).unwrap(), "a: 1");
    assert!(insert("- a\n- |\n  b", &[], 2, &text("c")).unwrap_err().to_string().contains("cannot place"));
    assert_eq!(set("\u{feff}a: 1\n", &path!["a"], &text("x")).unwrap(), "\u{feff}a: x\n");
    assert_eq!(set("\u{feff}a: 1\n", &path!["b"], &text("x")).unwrap(), "\u{feff}a: 1\nb: x\n");
    assert_eq!(set("---\na: 1\n...\n", &path!["b"], &text("x")).unwrap(), "---\na: 1\nb: x\n...\n");
}

#[test]
fn a_place_that_is_not_clear_is_refused() {
    for (file, at) in [
        ("a: &x 1\nb: *x\n", &path!["a"][..]),
        ("a: &x {k: 1}\nb: *x\n", &path!["b", "k"][..]),
        ("a: &x 1\nb: *x\n", &path!["b"][..]),
        ("x: &x {k: 1}\na:\n  <<: *x\n  c: 1\n", &path!["a", "k"][..]),
        ("a: 1\n---\na: 2\n", &path!["a"][..]),
        ("a: {b: 1}\n", &path!["a"][..]),
        ("a: |\n  text\n", &path!["a"][..]),
        ("a: !!int 1\n", &path!["a"][..]),
        ("a: 1\n", &path!["a", "b"][..]),
        ("- 1\n", &path!["a"][..]),
        ("", &path!["a"][..]),
        ("a: 1\na: 2\n", &path!["a"][..]),
        ("a: [\n", &path!["a"][..]),
        ("a: >\n  k: 1\n", &path!["a"][..]),
    ] {
        let edited = set(file, at, &text("v"));
        assert!(edited.is_err(), "{file:?} {edited:?}");
    }
    for (file, index) in [("a: &x v\nb: *x\n", "a"), ("a: 1\n", "b")] {
        assert!(remove(file, &path![index]).is_err(), "{file:?}");
    }
    for file in ["p: >\n  a: 1\n", "p: \"a: 1\\nb: 2\"\n", "p: 'a: 1'\n"] {
        assert!(within(file, &path!["p"], |inner| set(inner, &path!["a"], &yaml("2"))).is_err(), "{file:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(set(&deep, &path!["a"], &text("v")).is_err());
    assert!(set(&"a: 1\n".repeat(1 << 20), &path!["a"], &text("v")).is_err());
}

#[test]
fn lists_in_every_layout_take_an_item() {
    for (file, after) in [
        ("r:\n  - a\n  -   b # x\n", "r:\n  - a\n  -   b # x\n  - z\n"),
        ("r: [a,\n  b, # x\n]\n", "r: [a,\n  b,\n  z, # x\n]\n"),
        ("r: [a, b]\nx: 1\n", "r: [a, b, z]\nx: 1\n"),
        ("r: # c\n# d\n- a\n- b\n\n\nx: 1\n", "r: # c\n# d\n- a\n- b\n- z\n\n\nx: 1\n"),
        ("r:\n- &b b\n- *b\n", "r:\n- &b b\n- *b\n- z\n"),
        ("r:\n- |+\n  a\n\n- b\n", "r:\n- |+\n  a\n\n- b\n- z\n"),
        ("r:\n- a\n- |+\n  b\n\nx: 1\n", "r:\n- a\n- |+\n  b\n\n- z\nx: 1\n"),
        ("r:\n- a\n-\nx: 1\n", "r:\n- a\n-\n- z\nx: 1\n"),
    ] {
        assert_eq!(insert(file, &path!["r"], 2, &text("z")).unwrap(), after);
    }
}

/// Any value, in keys and strings that YAML could trip over.
fn values() -> impl Strategy<Value = Value> {
    let scalars = prop_oneof![
        "[ -~\n\t\u{e9}#:'\"-]{0,12}".prop_map(Value::String),
        any::<String>().prop_map(Value::String),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    scalars.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Sequence),
            prop::collection::vec(("[a-z:#' -]{1,6}", inner), 0..4).prop_map(|entries| Value::Mapping(
                entries.into_iter().map(|(key, value)| (Value::String(key), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_can_be_put_anywhere_a_key_can(value in values(), key in "[a-z]{1,4}") {
        for file in ["a:\n  b: 1\n", "- {x: 1}\n", FILE, "p:\n  - q: # c\n      r: 1 # d\n\n# e\n"] {
            let at = if file.starts_with('-') { path![0, key.as_str()].to_vec() } else { path!["new", key.as_str()].to_vec() };
            if model_at(&mut yaml(file), &at).is_ok_and(|there| *there != Value::Null) { continue; }
            let edited = set(file, &at, &value).unwrap();
            prop_assert_eq!({ let mut read = yaml(&edited); model_at(&mut read, &at).unwrap().clone() }, value.clone());
        }
    }

    #[test]
    fn no_text_makes_an_edit_panic(file in "([a-c]|: |:|- |-|\n|\r\n| |  |#|'|\"|[|]|\\{|\\}|,|&x |\\*x|\\||>|!t |\\?|---\n|\u{e9}){0,24}") {
        for at in [&path!["a"][..], &path![0][..], &path!["a", "b"][..], &path!["a", 0][..]] {
            let _ = set(&file, at, &text("v"));
            let _ = set(&file, at, &yaml("{k: [1]}"));
            let _ = insert(&file, at, 0, &text("v"));
            let _ = insert(&file, at, 1, &text("v"));
            let _ = remove(&file, at);
            let _ = within(&file, at, |inner| Ok(format!("{inner}\nx")));
        }
    }
}
