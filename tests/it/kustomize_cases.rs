//! The folders of `tests/kustomize/`: one for each transformer or field, with files and what the real kustomize makes of
//! them. `tests/kustomize/expect.sh` writes the expectations anew.

use std::fs;
use std::path::{Path, PathBuf};

use claude_manager::project::{MemoryFiles, RepoPath};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kustomize").join(name)
}

fn load(directory: &Path, below: &str, files: &mut MemoryFiles) {
    for entry in fs::read_dir(directory).expect("the folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            load(&entry.path(), &path, files);
        } else {
            files.insert(RepoPath::parse(&path).expect("a path"), fs::read(entry.path()).expect("a file"));
        }
    }
}

/// Holds one folder against its expectation, and gives the warnings.
fn case(name: &str) -> Vec<String> {
    let mut files = MemoryFiles::default();
    load(&folder(name).join("in"), "", &mut files);
    let expected = fs::read_to_string(folder(name).join("expected.yaml")).expect("expected.yaml");
    match kustomize::build(&files, &RepoPath::parse("top").expect("a path")) {
        Ok(build) => {
            assert_eq!(kustomize::to_yaml(&build.objects), expected, "{name}");
            build.warnings
        }
        Err(error) => panic!("{name}: {error} ({:?})", error.hint),
    }
}

#[test]
fn configurations_of_a_base_hold_for_all_that_build_on_it() {
    case("configurations");
}

#[test]
fn definitions_under_crds_say_which_fields_are_names() {
    case("crds");
}

#[test]
fn replacements_reach_parts_of_texts_lists_and_structured_values() {
    case("replacements");
}

#[test]
fn variables_keep_their_type_where_they_stand_alone() {
    let warnings = case("vars");
    assert!(warnings.iter().any(|warning| warning.contains("'vars' is deprecated")), "{warnings:?}");
}

#[test]
fn plugin_documents_are_the_fields_with_settings_of_their_own() {
    case("transformers");
}

#[test]
fn lists_of_custom_types_merge_by_the_keys_of_a_given_schema() {
    case("openapi");
}

#[test]
fn origins_and_transformations_are_noted_where_that_is_asked_for() {
    case("build-metadata");
}

#[test]
fn a_label_that_was_put_into_a_selector_changes_with_the_label() {
    case("shared-labels");
}

#[test]
fn what_stock_kustomize_passes_over_is_told() {
    let warnings = case("lenient-file").join("\n");
    for part in [
        "the key \"namePrefix\" stands here a second time, which counts",
        "only the first document counts here",
        "configMapGenerator[0].behavior: is not create, replace or merge",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
}

#[test]
fn cluster_scoped_kinds_get_no_namespace() {
    case("cluster-scope");
}

#[test]
fn json_patches_see_the_notes_of_the_build_and_make_floats_of_numbers() {
    let warnings = case("json-patches").join("\n");
    assert!(warnings.contains("operation 2: comment has no effect"), "{warnings}");
}

#[test]
fn strategic_merges_keep_what_looks_odd_in_the_original() {
    case("strategic-merges");
}

#[test]
fn scalars_of_every_style_are_written_as_the_original_reads_them_again() {
    case("scalars");
}

#[test]
fn generators_lay_their_content_over_renamed_objects_and_over_null() {
    case("generated-again");
}

#[test]
fn a_label_says_which_kustomize_is_meant() {
    case("managed-by");
}

#[test]
fn values_in_structured_texts_keep_comments_anchors_and_types() {
    case("structured-values");
}

/// What the original refuses is refused, with an error that names a file; `expect.sh` sees it fail there.
#[test]
fn what_stock_kustomize_refuses_is_refused() {
    let mut seen = 0;
    for entry in fs::read_dir(folder("refused")).expect("the folders").flatten() {
        let mut files = MemoryFiles::default();
        load(&entry.path().join("in"), "", &mut files);
        let told = kustomize::build(&files, &RepoPath::parse("top").expect("a path"));
        let told = told.expect_err(&entry.path().display().to_string());
        assert!(told.file.as_str().contains('.') && told.line.is_some(), "{told}");
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}

#[test]
fn every_folder_has_a_test() {
    let text = include_str!("kustomize_cases.rs");
    for entry in fs::read_dir(folder("")).expect("the folders").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        assert!(!entry.path().is_dir() || name == "refused" || text.contains(&format!("case(\"{name}\")")), "{name}");
    }
}

/// What two short files may ask for, and no build may do.
#[test]
fn values_that_grow_by_themselves_are_errors() {
    let build = |kustomization: &str, object: &str| {
        let mut files = MemoryFiles::default();
        files.insert(RepoPath::parse("kustomization.yaml").expect("a path"), kustomization);
        files.insert(RepoPath::parse("a.yaml").expect("a path"), object);
        kustomize::build(&files, &RepoPath::root()).map(|build| build.objects.len())
    };
    let object = "apiVersion: example.com/v1\nkind: A\nmetadata: {name: a}\nspec: {a: {x: y}, text: \"a.b\"}\n";
    let head = "resources: [a.yaml]\nreplacements:\n";
    let nest = "- source: {kind: A, fieldPath: spec.a}\n  targets: [{select: {kind: A}, fieldPaths: [spec.a.b, spec.a.c], \
                options: {create: true}}]\n";
    let told = build(&format!("{head}{}", nest.repeat(40)), object).expect_err("a value inside itself").to_string();
    assert!(told.contains("more than 1000000 values"), "{told}");
    let long = "- source: {kind: A, fieldPath: spec.text}\n  targets: [{select: {kind: A}, fieldPaths: [spec.text], options: \
                {delimiter: \".\", index: 99}}]\n";
    let told = build(&format!("{head}{}", long.repeat(60)), object).expect_err("a text that doubles").to_string();
    assert!(told.contains("longer than"), "{told}");
    let deep = format!(
        "{head}- sourceValue: x\n  targets: [{{select: {{kind: A}}, fieldPaths: [\"spec{}\"], options: {{create: true}}}}]\n",
        ".a".repeat(100_000)
    );
    assert!(build(&deep, object).expect_err("a deep path").to_string().contains("parts"));
    let many = format!("{{{}}}", (0..400).map(|at| format!("k{at}: $(V)$(V)$(V)$(V)")).collect::<Vec<_>>().join(", "));
    let object = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, annotations: {many}}}\ndata: {{v: \"{}\"}}\n",
        "x".repeat(100_000)
    );
    let vars = "resources: [a.yaml]\nvars:\n- name: V\n  objref: {apiVersion: v1, kind: ConfigMap, name: a}\n  fieldref: \
                {fieldPath: data.v}\n";
    let told = build(vars, &object).expect_err("variables without end").to_string();
    assert!(told.contains("variables write more than"), "{told}");
}

#[test]
fn what_was_made_a_string_stays_one_when_it_looks_like_a_number() {
    case("kept-strings");
}

#[test]
fn tabs_are_blanks_where_the_original_takes_them_for_such() {
    case("tabs");
}

#[test]
fn what_says_nothing_does_nothing_and_is_told() {
    let warnings = case("nothing-said").join("\n");
    for part in [
        "kustomization.yaml:24: only the first document counts here; this is not read",
        "generators[0]: holds nothing, so it does nothing",
        "broken.json begins with a brace, but is no JSON",
        "openapi.other: has no effect",
        "fields.yaml:4: only the first document counts here",
        "patches[0]: the key \"path\" stands here a second time, which counts",
        "patches[0]: only the first document counts here",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
}

#[test]
fn the_word_for_nothing_is_text_where_text_is_put_before_it() {
    case("nothing-as-text");
}

#[test]
fn a_replacement_reads_its_source_where_it_stands() {
    case("live-replacements");
}

#[test]
fn annotations_as_a_value_hold_what_the_build_knows() {
    case("notes-as-values");
}

#[test]
fn a_comment_behind_a_block_at_the_end_is_a_line_more() {
    case("comment-behind-a-block");
}

#[test]
fn what_is_deleted_needs_no_name_and_no_kind() {
    case("name-away");
}

#[test]
fn what_a_transformer_has_written_has_no_type_until_it_is_printed() {
    case("texts-without-a-type");
}

#[test]
fn texts_that_need_quotes_have_them_behind_a_json_patch() {
    case("styles-behind-a-json-patch");
}

#[test]
fn a_merge_keeps_the_kind_of_what_it_changes() {
    case("kind-kept");
}

#[test]
fn the_items_of_a_list_are_read_as_json() {
    case("lists-as-json");
}

#[test]
fn text_in_the_place_of_annotations_goes_where_something_is_noted() {
    case("annotations-that-are-text");
}

#[test]
fn two_objects_may_have_one_identity_for_a_while() {
    case("one-name-for-a-while");
}

#[test]
fn what_a_patch_may_change_is_a_note() {
    case("notes-of-a-patch");
}
