//! The map in `src/lib.rs`, held: which module may name which, and what the pure core never names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with the modules that it may name.
const MAP: &[(&str, &[&str])] = &[
    // The pure core.
    ("project", &["kustomize"]),
    ("plan", &["project", "kustomize"]),
    ("edit", &["project", "kustomize"]),
    ("desired", &["project", "kustomize", "edit", "plan"]),
    // Settings; counters; files with keys, for all but the pure core.
    ("config", &["project"]),
    ("metrics", &["project"]),
    ("private_file", &[]),
    ("log_files", &[]),
    ("jwt_crypto", &[]),
    // Adapters never name one another.
    ("git", &["project", "metrics"]),
    ("cluster", &["project", "plan", "kustomize", "metrics"]),
    ("store", &["project", "metrics"]),
    ("sops", &["project", "kustomize", "desired"]),
    ("agent", &["project", "metrics", "private_file", "jwt_crypto"]),
    ("jira", &[]),
    // Services.
    ("change", &["project", "kustomize", "edit", "plan", "desired", "git", "sops", "store", "metrics"]),
    (
        "reconcile",
        &["project", "kustomize", "edit", "plan", "desired", "git", "cluster", "sops", "store", "agent", "metrics"],
    ),
    ("backup", &["project", "git", "change", "metrics"]),
    (
        "operations",
        &["project", "plan", "git", "cluster", "store", "agent", "metrics", "change", "reconcile", "backup"],
    ),
    ("chat", &["project", "store", "agent", "metrics", "operations"]),
    ("tickets", &["project", "config", "store", "jira", "metrics", "operations", "chat"]),
    // Edges.
    ("embedded", &["project", "kustomize", "plan", "agent"]),
    ("auth", &["project", "store", "metrics", "private_file", "jwt_crypto"]),
    ("web", &["project", "config", "log_files", "plan", "store", "metrics", "auth", "operations", "chat", "tickets"]),
    (
        "app",
        &[
            "project",
            "config",
            "kustomize",
            "edit",
            "plan",
            "git",
            "cluster",
            "store",
            "sops",
            "agent",
            "jira",
            "metrics",
            "log_files",
            "change",
            "reconcile",
            "backup",
            "operations",
            "chat",
            "tickets",
            "auth",
            "web",
            "embedded",
        ],
    ),
];

const PURE: &[&str] = &["project", "kustomize", "edit", "plan", "desired"];

/// The kustomize engine: a crate of its own, below every module.
const KUSTOMIZE: &str = "kustomize";

/// What a pure module never names: input, output, time and chance.
const IMPURE: &[&str] =
    &["tokio", "kube::", "std::fs", "std::env", "std::net", "std::process", "SystemTime", "Instant::now", "rand::"];

#[test]
fn modules_name_only_the_modules_below_them() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        MAP.iter().map(|(module, below)| (*module, below.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for (module, file, code) in sources() {
        if module == KUSTOMIZE {
            // A crate of its own: the compiler holds that border.
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            wrong.push(format!("{}: module `{module}` is not on the map", file.display()));
            continue;
        };
        for named in modules_named(&code) {
            if named != module && !allowed.contains(named.as_str()) {
                wrong.push(format!("{}: `{module}` names `{named}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_core_knows_no_input_output_time_or_chance() {
    let mut wrong = Vec::new();
    for (module, file, code) in sources() {
        if PURE.contains(&module.as_str()) {
            let named = IMPURE.iter().filter(|word| code.contains(**word));
            wrong.extend(named.map(|word| format!("{}: names {word}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_one_place_writes_to_the_cluster_and_one_to_git() {
    let mut wrong = Vec::new();
    for (module, file, code) in sources() {
        let writes_cluster = ["Patch::Apply", ".delete(&", "Patch::Json", ".patch(&", ".replace(&", ".create(&"];
        let touches_kube = code.contains("kube::");
        if touches_kube
            && module != "embedded"
            && !file.ends_with("cluster/apply.rs")
            && !is_below(&file, "cluster/apply")
        {
            let found = writes_cluster.iter().filter(|call| code.contains(**call));
            wrong.extend(found.map(|call| format!("{}: {call}", file.display())));
        }
        let commits = ["commit_many(", ".commit("];
        if !["git", "change", "store"].contains(&module.as_str()) {
            let found = commits.iter().filter(|call| code.contains(**call));
            wrong.extend(found.map(|call| format!("{}: {call}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn operations_know_no_http() {
    let http = ["axum", "http::", "StatusCode", "HeaderMap"];
    let operations = sources().into_iter().filter(|(module, ..)| module == "operations");
    let wrong: Vec<String> = operations
        .flat_map(|(_, file, code)| {
            let found = http.into_iter().filter(move |word| code.contains(word));
            found.map(move |word| format!("{}: names {word}", file.display()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_address_of_the_manager_stands_in_one_file() {
    let in_web = sources().into_iter().filter(|(module, _, code)| module == "web" && code.contains(".route("));
    // `access` adds what `router` declares.
    let files: Vec<PathBuf> = in_web.map(|(_, file, _)| file).filter(|file| !file.ends_with("web/access.rs")).collect();
    assert!(files.len() == 1 && files[0].ends_with("web/router.rs"), "{files:?}");
}

fn is_below(file: &Path, folder: &str) -> bool {
    file.to_string_lossy().contains(&format!("src/{folder}/"))
}

/// Every source file below a module, with the code outside its tests and comments.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 20, "the walk found too little to mean anything: {files:?}");
    files
        .into_iter()
        .filter_map(|file| {
            let below = file.strip_prefix(&src).expect("below src").to_owned();
            let first = below.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
            (first != "lib" && first != "main").then(|| {
                let text = fs::read_to_string(&file).expect("readable source");
                (first, file, code_of(&text))
            })
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("entry").path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        } else if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Returns the text without comments, the contents of literals, and the items below `#[cfg(test)]`.
fn code_of(text: &str) -> String {
    let mut code = without_comments_and_literals(text);
    while let Some(start) = code.find("#[cfg(test)]") {
        let end = start + end_of_item(&code[start..]);
        code.replace_range(start..end, "");
    }
    code
}

/// Returns the length of the item at the start of `code`: up to its `;`, or the end of its block.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            // The last field, arm or statement of a block.
            ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            'r' if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') => raw_string(rest),
            '"' => string(rest),
            // A lifetime has no closing quote where a character has one.
            '\'' if rest.starts_with("'\\") => rest[3..].find('\'').map_or(1, |at| at + 4),
            '\'' => match rest.char_indices().nth(2) {
                Some((at, '\'')) => at + 1,
                _ => 0,
            },
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            rest = &rest[skipped..];
        }
    }
    code
}

/// Returns the length of the string literal at the start.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of the raw string literal at the start; 0 when there is none.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let content = 2 + hashes;
    text[content..].find(&end).map_or(text.len(), |at| content + at + end.len())
}

#[test]
fn code_after_a_test_item_is_still_read() {
    let text = "#[cfg(test)]\npub(crate) use a::{B, C};\nuse crate::git; // crate::web\n#[cfg(test)]\nmod tests { fn f() { let x = '{'; let y = \"}\"; } }\nfn g() { crate::store::h(r#\"crate::sops\"#) }\n";
    assert_eq!(modules_named(&code_of(text)), BTreeSet::from(["git".to_owned(), "store".to_owned()]));
}

fn modules_named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut named = BTreeSet::new();
    for (at, matched) in code.match_indices("crate::") {
        let rest = &code[at + matched.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // `use crate::{a, b::{c, d}}`: the first word of each part at the outer level.
            let mut depth = 0;
            let mut start = 0;
            for (index, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => {
                        named.insert(word(group[start..index].trim_start()));
                        break;
                    }
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        named.insert(word(group[start..index].trim_start()));
                        start = index + 1;
                    }
                    _ => {}
                }
            }
        } else {
            named.insert(word(rest));
        }
    }
    if code.contains("kustomize::") {
        named.insert(KUSTOMIZE.to_owned());
    }
    named.retain(|name| !name.is_empty() && name != "self");
    named
}
