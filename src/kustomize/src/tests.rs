//! The texts of errors: callers show them to users as they are.

use crate::{MemoryFiles, RepoPath, build};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 1, ports: [{name: a}], text: \"a: 1\", empty: \"\", open: \"[\", holes: [null]}
";

/// The error of a directory with this kustomization over `object.yaml`, and `more.yaml` beside it.
fn told(kustomization: &str, object: &str, more: &str) -> String {
    let mut files = MemoryFiles::default();
    let mut write = |path: &str, text: &str| files.insert(RepoPath::parse(path).unwrap(), text);
    write("kustomization.yaml", &format!("resources: [object.yaml]\n{kustomization}\n"));
    write("object.yaml", object);
    write("more.yaml", more);
    match build(&files, &RepoPath::root()) {
        Ok(built) => panic!("{kustomization}\nwith\n{more}\nbuilds to {:?}", built.objects),
        Err(error) => error.to_string(),
    }
}

/// An object of no known kind with a field `x`.
fn object(x: &str) -> String {
    format!("apiVersion: v1\nkind: X\nmetadata: {{name: web}}\nx: {x}\n")
}

#[test]
fn a_field_that_no_name_can_be_put_before_is_told_with_its_path() {
    let long = ["a"; 201].join("/");
    for (path, x, fault) in [
        ("x", "{}", "x: a name must be plain text"),
        ("x/y", "[text]", "x/y: a mapping or a list is expected on the way there"),
        ("x//y", "{}", "x//y: the path has an empty part"),
        (long.as_str(), "{}", "a path has more than 200 parts"),
    ] {
        let more = format!("namePrefix: [{{path: {path}}}]");
        let told = told("configurations: [more.yaml]\nnamePrefix: a-", &object(x), &more);
        assert_eq!(told, format!("object.yaml:1: X v1 a-web: {fault}"));
    }
}

#[test]
fn a_field_of_another_shape_is_told_by_what_it_must_be() {
    for (kustomization, x, fault) in [
        ("labels: [{pairs: {a: b}, fields: [{path: x}]}]", "text", "x: a mapping is expected there"),
        ("images: [{name: a, newTag: b}]", "{containers: [text]}", "a container must be a mapping"),
        ("images: [{name: a, newTag: b}]", "{containers: [{image: [a]}]}", "an image must be plain text"),
    ] {
        assert_eq!(told(kustomization, &object(x), ""), format!("object.yaml:1: X v1 web: {fault}"));
    }
    let count = DEPLOYMENT.replace("replicas: 1", "replicas: [1]");
    let told = told("replicas: [{name: web, count: 2}]", &count, "");
    assert_eq!(told, "object.yaml:1: Deployment apps/v1 web: spec/replicas: a count must be plain text");
}

#[test]
fn a_subject_that_is_none_is_told() {
    for (kustomization, subject, fault) in [
        ("namespace: x", "{name: default, namespace: [a]}", "x/web: a namespace must be plain text"),
        ("namePrefix: x-", "text", "x-web: a subject is no mapping"),
        (
            "namePrefix: x-",
            "{kind: ServiceAccount, namespace: [a]}",
            "x-web: a subject has a namespace that is no text",
        ),
    ] {
        let api = "rbac.authorization.k8s.io/v1";
        let binding = format!("apiVersion: {api}\nkind: RoleBinding\nmetadata: {{name: web}}\nsubjects: [{subject}]\n");
        assert_eq!(told(kustomization, &binding, ""), format!("object.yaml:1: RoleBinding {api} {fault}"));
    }
}

#[test]
fn a_field_that_names_nothing_or_holds_no_variable_is_told() {
    let variable = "vars: [{name: A, objref: {apiVersion: v1, kind: X, name: web}}]";
    for (more, x, fault) in [
        ("nameReference: [{kind: ConfigMap, fieldSpecs: [{path: x}]}]", "{y: z}", "there is no name in it"),
        (
            "nameReference: [{kind: ConfigMap, fieldSpecs: [{path: x/y}]}]",
            "{y: [[a]]}",
            "a list inside a list names no object",
        ),
        ("varReference: [{path: x}]", "{1: a}", "the key 1 is no text"),
        ("varReference: [{path: x}]", "[1]", "an item of the list is no text"),
    ] {
        let told = told(&format!("configurations: [more.yaml]\n{variable}"), &object(x), more);
        let path = if more.contains("x/y") { "x/y" } else { "x" };
        assert_eq!(told, format!("object.yaml:1: X v1 web: {path}: {fault}"));
    }
}

#[test]
fn a_file_that_is_no_definitions_is_told_with_the_way_there() {
    let no = "more.yaml is no OpenAPI definition:";
    for (more, fault) in [
        ("", "more.yaml is empty".to_owned()),
        ("a: [", "more.yaml is no YAML in its line 1: unclosed bracket '['".to_owned()),
        ("{a: 5}", "more.yaml begins with a brace, but is no JSON: key must be a string at line 1 column 2".to_owned()),
        ("a: !!int b", "more.yaml \"b\" is no integer".to_owned()),
        ("a: 5", format!("{no} a must be a mapping")),
        ("a: {Schema: 5}", format!("{no} a.Schema. must be a schema, which is a mapping")),
        ("a: {schema: {items: {required: c}}}", format!("{no} a.schema.items.required must be a list of texts")),
        ("a: {dependencies: 5}", format!("{no} a.dependencies must be a list of texts")),
    ] {
        assert_eq!(told("crds: [more.yaml]", DEPLOYMENT, more), format!("kustomization.yaml:2: crds[0]: {fault}"));
    }
    let patch = "patches: [{target: {kind: Deployment}, patch: '{apiVersion: v1, kind: X, metadata: {name: a}}'}]";
    for (more, fault) in [
        ("[1]", "is no OpenAPI document"),
        ("paths: 5", "paths must be a mapping"),
        (
            "definitions: {a: {x-kubernetes-group-version-kind: [{kind: A}]}}",
            "definitions.a.x-kubernetes-group-version-kind needs a version",
        ),
    ] {
        let told = told(&format!("openapi: {{path: more.yaml}}\n{patch}"), DEPLOYMENT, more);
        assert_eq!(told, format!("kustomization.yaml:2: openapi.path: more.yaml {fault}"));
    }
}

#[test]
fn a_target_that_cannot_be_searched_for_is_told() {
    for (target, fault) in [
        ("labelSelector: a=b=c", "\"a=b=c\" is no selector"),
        ("name: a(", "\"^(?:a()$\" is no regular expression"),
        ("name: '(a{1000}){1000}'", "\"^(?:(a{1000}){1000})$\" is too large a regular expression; use smaller counts"),
    ] {
        let told = told(&format!("patches: [{{target: {{{target}}}, patch: '[{{}}]'}}]"), DEPLOYMENT, "");
        assert_eq!(told, format!("kustomization.yaml:2: patches[0].target: {fault}"));
    }
}

#[test]
fn an_operation_of_a_json_patch_that_does_not_apply_is_told() {
    let deep = format!("{{op: add, path: {}, value: 1}}", "/a".repeat(401));
    for (operation, fault) in [
        ("{path: /a}", "operation 0: has no op"),
        ("{op: 5}", "operation 0: op must be a string"),
        (
            "{op: put, path: /a}",
            "operation 0: \"put\" is no operation; there are add, remove, replace, move, copy and test",
        ),
        ("{op: add, path: a}", "operation 0: the path \"a\" must start with /"),
        ("{op: add, path: /a, value: {[b]: c}}", "operation 0: a key must be text"),
        ("{op: add, path: /a, value: {b: !!int c}}", "operation 0: \"c\" is no integer"),
        ("{op: remove, path: /spec/x}", "there is no /spec/x"),
        ("{op: add, path: /spec/ports/a, value: 1}", "\"a\" in /spec/ports/a is no index of a list"),
        ("{op: copy, from: '', path: /a}", "the whole object is no field"),
        ("{op: remove, path: ''}", "the whole object cannot be changed this way"),
        ("{op: test, path: /spec/replicas, value: 2}", "the test of /spec/replicas fails"),
        ("{op: add, path: /metadata/annotations, value: [a]}", "the annotations must be a mapping"),
        (deep.as_str(), "the object would be nested deeper than 400 levels"),
    ] {
        let patch = format!("patches:\n- target: {{kind: Deployment}}\n  patch: |\n    - {operation}\n");
        let told = told(&patch, DEPLOYMENT, "");
        assert_eq!(told, format!("kustomization.yaml:3: patches[0]: does not fit Deployment apps/v1 web: {fault}"));
    }
    let told = told("patches: [{target: {kind: Deployment}, patch: '- text'}]", DEPLOYMENT, "");
    assert_eq!(told, "kustomization.yaml:2: patches[0]: operation 0: must be a mapping with op and path");
}

#[test]
fn a_merge_that_has_no_meaning_is_told() {
    for (spec, fault) in [
        ("{ports: text}", "a mapping, a list or plain text is merged with something else"),
        ("{$patch: put}", "$patch: put is no directive; there are merge, replace and delete"),
        ("{\"\": a}", "a field without a name cannot be merged"),
    ] {
        let patch = format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {spec}}}");
        let told = told(&format!("patches: [{{patch: '{patch}'}}]"), DEPLOYMENT, "");
        assert!(told.ends_with(&format!(": {fault}")), "{told}");
    }
}

#[test]
fn a_field_that_a_replacement_cannot_write_is_told() {
    let long = ["a"; 201].join(".");
    for (path, options, fault) in [
        ("spec.x", "", "there is no such field"),
        ("spec.replicas.x.y", "", "a mapping is expected on the way there"),
        ("spec.5", "", "a list is expected on the way there"),
        ("spec.holes.0.0", "", "there is no item 0"),
        ("spec.ports.5", "", "there is no item 5; the list has 1"),
        ("spec.ports.[a]", "", "[a] must be [field=value]"),
        ("spec.ports.[name=(]", "", "\"(\" is no regular expression"),
        ("spec.ports.[name=^b$]", "create: true", "[name=^b$] does not match the item that it makes"),
        ("spec.empty.x", "", "there is nothing in the text on the way"),
        ("spec.open.x", "", "the text on the way is no YAML in its line 1: unclosed bracket '['"),
        ("spec.ports", "delimiter: ','", "a delimiter is for plain text only"),
        (long.as_str(), "", "a path has more than 200 parts"),
    ] {
        let target = format!("[{{select: {{kind: Deployment}}, fieldPaths: [\"{path}\"], options: {{{options}}}}}]");
        let told = told(&format!("replacements: [{{sourceValue: x, targets: {target}}}]"), DEPLOYMENT, "");
        let place = "kustomization.yaml:2: replacements[0].targets[0]";
        assert_eq!(told, format!("{place}: {path} of Deployment apps/v1 web: {fault}"));
    }
}

#[test]
fn a_source_of_a_replacement_that_is_none_is_told() {
    for (path, options, fault) in [
        ("spec.x", "", "there is nothing"),
        ("spec.ports.-1", "", "the index -1 is negative"),
        ("spec.ports.*", "", "* cannot stand here"),
        ("spec.text", "delimiter: ':', index: 7", "\"a: 1\" has no part 7"),
        ("spec.ports", "delimiter: ':'", "a delimiter is for plain text only"),
    ] {
        let source = format!("{{kind: Deployment, fieldPath: {path}, options: {{{options}}}}}");
        let target = "[{select: {kind: Deployment}, fieldPaths: [spec.text]}]";
        let told = told(&format!("replacements: [{{source: {source}, targets: {target}}}]"), DEPLOYMENT, "");
        assert_eq!(
            told,
            format!("kustomization.yaml:2: replacements[0].source: {path} of Deployment apps/v1 web: {fault}")
        );
    }
}

#[test]
fn a_field_that_a_value_cannot_be_added_to_is_told() {
    for (path, fault) in
        [("spec/ports", "spec/ports is no plain text"), ("spec/ports/x", "a mapping is expected on the way there")]
    {
        let more = format!(
            "{{apiVersion: builtin, kind: ValueAddTransformer, metadata: {{name: x}}, value: v, targets: [{{fieldPath: {path}}}]}}"
        );
        let told = told("transformers: [more.yaml]", DEPLOYMENT, &more);
        assert_eq!(told, format!("more.yaml:1: Deployment apps/v1 web: {fault}"));
    }
}

#[test]
fn a_value_that_json_does_not_have_is_told_with_its_line() {
    for (x, fault) in [
        (".inf", ".inf is a number that JSON does not have"),
        ("{[a]: b}", "the key a collection is no string; put it in quotes"),
        ("!!binary '%'", "\"%\" is no base64"),
        ("!!int b", "\"b\" is no integer"),
    ] {
        assert_eq!(told("", &object(x), ""), format!("object.yaml:4: {fault}"));
    }
}
