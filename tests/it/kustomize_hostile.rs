//! Trees that are made to take all time and memory, to leave the repository or to end the program: each is an error that
//! says where, within seconds.

use std::time::{Duration, Instant};

use claude_manager::project::{MemoryFiles, RepoPath};
use kustomize::{self, BuildError};

/// Far above what any of these takes, in an unoptimised build on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

const OBJECT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n";

/// Of a kind that is looked for in all types.
const WIDGET: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n";

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).expect("a path")
}

fn built(files: &[(&str, &[u8])]) -> Result<String, BuildError> {
    let mut tree = MemoryFiles::default();
    for (name, content) in files {
        tree.insert(path(name), *content);
    }
    let start = Instant::now();
    let result = kustomize::build(&tree, &path("top")).map(|build| kustomize::to_yaml(&build.objects));
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    result
}

/// The error of a kustomization and the files beside it.
fn refused(kustomization: &str, files: &[(&str, &[u8])]) -> String {
    let mut all: Vec<(&str, &[u8])> = vec![("top/kustomization.yaml", kustomization.as_bytes())];
    all.extend(files);
    let error = built(&all).map(|text| text.chars().take(200).collect::<String>()).expect_err("an error");
    assert!(error.file.as_str().starts_with("top"), "{error}");
    error.to_string()
}

/// Nine levels of ten aliases each.
fn laughs() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        text.push_str(&format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(10)));
    }
    text
}

#[test]
fn aliases_that_multiply_are_refused_wherever_a_text_is_read() {
    let laughs = laughs();
    let object = format!("{OBJECT}{laughs}");
    let indented: String = object.lines().map(|line| format!("    {line}\n")).collect();
    for (kustomization, extra) in [
        (laughs.clone(), ""),
        ("resources: [a.yaml]\n".to_owned(), object.as_str()),
        ("crds: [a.yaml]\n".to_owned(), laughs.as_str()),
        ("configurations: [a.yaml]\n".to_owned(), laughs.as_str()),
        ("openapi: {path: a.yaml}\nresources: [w.yaml]\n".to_owned(), laughs.as_str()),
        ("replacements: [{path: a.yaml}]\n".to_owned(), laughs.as_str()),
        ("transformers: [a.yaml]\n".to_owned(), object.as_str()),
        (format!("patches:\n- patch: |-\n{indented}"), ""),
    ] {
        let told = refused(&kustomization, &[("top/a.yaml", extra.as_bytes()), ("top/w.yaml", WIDGET.as_bytes())]);
        assert!(told.contains("expand to more than"), "{told}");
    }
}

#[test]
fn nesting_without_end_is_refused_wherever_it_comes_from() {
    let brackets = "[".repeat(200_000);
    let braces = "{a: ".repeat(200_000);
    let block: String = (0..3000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let dashes = "- ".repeat(100_000);
    for text in [&brackets, &braces, &block, &dashes] {
        let object = format!("{OBJECT}x: {text}");
        refused("resources: [a.yaml]\n", &[("top/a.yaml", object.as_bytes())]);
        refused("resources: [a.yaml]\n", &[("top/a.yaml", text.as_bytes())]);
    }
    // What is inside a text of its own is as deep as the text says.
    let inner = format!("{OBJECT}  inner: '{brackets}'\n").replace("data: {k: v}", "data:");
    let kustomization = "resources: [a.yaml]\nreplacements:\n- sourceValue: x\n  targets: [{select: {kind: ConfigMap}, fieldPaths: \
                         [data.inner.a]}]\n";
    refused(kustomization, &[("top/a.yaml", inner.as_bytes())]);
}

#[test]
fn a_path_never_leaves_the_tree() {
    for entry in
        ["../../outside.yaml", "../../../../../../etc/passwd", "/etc/passwd", "a/../../../b.yaml", "a\\0b", ".."]
    {
        let quoted = format!("'{entry}'");
        for field in [
            format!("resources: [{quoted}]\n"),
            format!("components: [{quoted}]\n"),
            format!("crds: [{quoted}]\n"),
            format!("configurations: [{quoted}]\n"),
            format!("openapi: {{path: {quoted}}}\n"),
            format!("patches: [{{path: {quoted}}}]\n"),
            format!("replacements: [{{path: {quoted}}}]\n"),
            format!("transformers: [{quoted}]\n"),
            format!("configMapGenerator: [{{name: a, files: [{quoted}]}}]\n"),
            format!("secretGenerator: [{{name: a, envs: [{quoted}]}}]\n"),
        ] {
            refused(&field, &[("top/a/b.yaml", OBJECT.as_bytes())]);
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let bad = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \xff}\n";
    for kustomization in ["resources: [a.yaml]\n", "patches: [{path: a.yaml}]\n", "transformers: [a.yaml]\n"] {
        let told = refused(kustomization, &[("top/a.yaml", bad)]);
        assert!(told.contains("top/a.yaml:3: is no YAML: is not UTF-8"), "{told}");
    }
    refused("configMapGenerator: [{name: a, envs: [a.yaml]}]\n", &[("top/a.yaml", bad)]);
    let error = built(&[("top/kustomization.yaml", b"resources:\n- \xfe\n")]).expect_err("an error");
    assert_eq!(error.line, Some(2), "{error}");
    // As data they are what they are.
    let kustomization = b"configMapGenerator: [{name: a, files: [a.yaml]}]\n";
    let text = built(&[("top/kustomization.yaml", kustomization), ("top/a.yaml", bad)]).expect("a build");
    assert!(text.contains("binaryData:"), "{text}");
}

#[test]
fn keys_that_come_twice_are_told() {
    let object = format!("{OBJECT}data: {{k: w}}\n");
    let told = refused("resources: [a.yaml]\n", &[("top/a.yaml", object.as_bytes())]);
    assert!(told.contains("\"data\" stands here a second time"), "{told}");
    let merges = format!("{OBJECT}x: {{<<: {{a: 1}}, <<: {{b: 2}}}}\n");
    refused("resources: [a.yaml]\n", &[("top/a.yaml", merges.as_bytes())]);
}

#[test]
fn large_files_take_time_in_proportion_and_no_more() {
    // One scalar; many keys; many documents; many values, of which there is a limit.
    let scalar = format!("{OBJECT}x: '{}'\n", "y".repeat(8 << 20));
    assert!(built(&[("top/kustomization.yaml", b"resources: [a.yaml]\n"), ("top/a.yaml", scalar.as_bytes())]).is_ok());
    let keys: String = (0..50_000).map(|at| format!("  k{at}: v\n")).collect();
    let keys = format!("{}{keys}", OBJECT.replace("data: {k: v}\n", "data:\n"));
    assert!(built(&[("top/kustomization.yaml", b"resources: [a.yaml]\n"), ("top/a.yaml", keys.as_bytes())]).is_ok());
    let values = format!("{OBJECT}x: [{}]\n", "a,".repeat(kustomize::yaml::MAX_VALUES + 1));
    let told = refused("resources: [a.yaml]\n", &[("top/a.yaml", values.as_bytes())]);
    assert!(told.contains("values"), "{told}");
    let dashes = format!("{OBJECT}x: [{}]\n", "-, ".repeat(100_000));
    refused("resources: [a.yaml]\n", &[("top/a.yaml", dashes.as_bytes())]);
}

#[test]
fn merge_keys_of_many_keys_do_not_compare_each_with_each() {
    let keys: String = (0..15_000).map(|at| format!("k{at}: v, ")).collect();
    let others: String = (0..15_000).map(|at| format!("l{at}: v, ")).collect();
    let object = format!("{OBJECT}x: &x {{{keys}}}\ny: {{{others} <<: [*x, *x, *x]}}\n");
    assert!(built(&[("top/kustomization.yaml", b"resources: [a.yaml]\n"), ("top/a.yaml", object.as_bytes())]).is_ok());
}

#[test]
fn lists_too_long_to_be_merged_by_their_keys_are_refused() {
    let ports = |count: usize| (0..count).map(|at| format!("  - port: {at}\n")).collect::<String>();
    let service = |count: usize| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec:\n  ports:\n{}", ports(count))
    };
    let kustomization = "resources: [a.yaml]\npatches: [{path: p.yaml}]\n";
    let few = service(300);
    let files = [("top/a.yaml", few.as_bytes()), ("top/p.yaml", few.as_bytes())];
    assert!(built(&[("top/kustomization.yaml", kustomization.as_bytes()), files[0], files[1]]).is_ok());
    let many = service(20_000);
    let told = refused(kustomization, &[("top/a.yaml", many.as_bytes()), ("top/p.yaml", many.as_bytes())]);
    assert!(told.contains("is not merged by their keys"), "{told}");
}

#[test]
fn expressions_that_compile_to_much_are_refused() {
    for pattern in ["(((a{100}){100}){100}){100}", "(\\pL{200}){200}", "("] {
        let patch = format!(
            "resources: [a.yaml]\npatches:\n- patch: '[{{\"op\": \"remove\", \"path\": \"/data\"}}]'\n  target: {{name: '{pattern}'}}\n"
        );
        let images = format!("resources: [a.yaml]\nimages: [{{name: '{pattern}'}}]\n");
        let fields = format!(
            "resources: [a.yaml]\nreplacements:\n- sourceValue: x\n  targets: [{{select: {{kind: ConfigMap}}, fieldPaths: ['x.[n={pattern}].y']}}]\n"
        );
        let object = format!("{OBJECT}x: [{{n: a}}]\n");
        for kustomization in [patch, images, fields] {
            let told = refused(&kustomization, &[("top/a.yaml", object.as_bytes())]);
            assert!(told.contains("regular expression"), "{told}");
        }
    }
    // Matching takes no longer for an expression that backtracking would never end.
    let object = OBJECT.replace("name: a", &format!("name: {}", "a".repeat(5000)));
    let kustomization = "resources: [a.yaml]\npatches:\n- patch: '[{\"op\": \"remove\", \"path\": \"/data\"}]'\n  target: {name: \
                         '(a+)+b'}\n";
    assert!(
        built(&[("top/kustomization.yaml", kustomization.as_bytes()), ("top/a.yaml", object.as_bytes())])
            .is_ok_and(|text| text.contains("data:"))
    );
}

#[test]
fn many_patches_on_many_objects_are_carried_out() {
    let objects: String =
        (0..300).map(|at| format!("---\n{}", OBJECT.replace("name: a", &format!("name: a{at}")))).collect();
    let patch =
        "- patch: '[{\"op\": \"add\", \"path\": \"/data/x\", \"value\": \"y\"}]'\n  target: {kind: ConfigMap}\n";
    let kustomization = format!("resources: [a.yaml]\npatches:\n{}", patch.repeat(60));
    let files = [("top/kustomization.yaml", kustomization.as_bytes()), ("top/a.yaml", objects.as_bytes())];
    let text = built(&files).expect("a build");
    assert_eq!(text.matches("x: \"y\"").count(), 300);
}
