//! Differential fuzzing: trees made by chance, built here and by the real kustomize, have to give the same bytes or fail
//! both.
//!
//! ```text
//! go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
//! cargo bench --bench differential -- --kustomize "$(go env GOPATH)/bin/kustomize" --seconds 3600 --seed 1
//! ```
//! A difference is printed with its seed and kept under `--keep DIRECTORY`; `--seed N --count 1` shows it again. One that
//! is a fault here becomes a case under `tests/kustomize/`.

#![allow(clippy::print_stdout, reason = "what it measures is all that it prints")]

#[path = "differential/dice.rs"]
mod dice;
#[path = "differential/fields.rs"]
mod fields;
#[path = "differential/hostile.rs"]
mod hostile;
#[path = "differential/objects.rs"]
mod objects;
#[path = "differential/parts.rs"]
mod parts;
#[path = "differential/plugins.rs"]
mod plugins;
#[path = "differential/styles.rs"]
mod styles;
#[path = "differential/tree.rs"]
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use claude_manager::project::{MemoryFiles, RepoPath};

/// What is refused here on purpose although the original builds something: its own readers disagree about it, or the
/// result rests on where a comment stands.
const REFUSED: [&str; 7] = [
    "has a line separator of Unicode",
    "has something behind ---",
    "is behind ..., where",
    "has the anchor &",
    "has no hash; only generated",
    "is read in several ways between brackets",
    "stands here a second time",
];

struct Arguments {
    kustomize: PathBuf,
    seconds: u64,
    count: u64,
    seed: u64,
    keep: Option<PathBuf>,
    /// Whether trees that build nowhere are told too.
    errors: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        println!(
            "usage: --kustomize PATH [--seconds N] [--count N] [--seed N] [--keep DIRECTORY] [--errors]; without PATH nothing runs"
        );
        return ExitCode::SUCCESS;
    };
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let (mut trees, mut built, mut different, mut explained) = (0_u64, 0_u64, 0_u64, 0_u64);
    while trees < arguments.count && Instant::now() < end {
        let seed = arguments.seed + trees;
        let files = tree::tree(&mut dice::Dice::new(seed));
        let (ours, theirs) = (ours(&files), theirs(&arguments.kustomize, &files));
        trees += 1;
        built += u64::from(theirs.is_ok());
        if let (true, Err(here), Err(there)) = (arguments.errors, &ours, &theirs) {
            println!("seed {seed}: here: {here}; there: {}", last(there).replace('\n', " "));
        }
        if ours.as_ref().is_err_and(|error| REFUSED.iter().any(|part| error.contains(part))) {
            explained += u64::from(theirs.is_ok());
        } else if let Some(what) = difference(&ours, &theirs) {
            different += 1;
            println!("seed {seed}: {what}");
            if let Some(keep) = &arguments.keep {
                let directory = keep.join(seed.to_string());
                write(&directory, &files);
                let text = |result: &Result<String, String>| match result {
                    Ok(text) => text.clone(),
                    Err(error) => format!("error: {error}\n"),
                };
                let _ = std::fs::write(directory.join("ours"), text(&ours));
                let _ = std::fs::write(directory.join("theirs"), text(&theirs));
            }
        }
    }
    println!("{trees} trees, {built} of them build, {explained} refused on purpose, {different} differences");
    if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments() -> Option<Arguments> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned();
    let number = |name: &str, otherwise: u64| value(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    Some(Arguments {
        kustomize: value("--kustomize")?.into(),
        seconds: number("--seconds", 60),
        count: number("--count", u64::MAX),
        seed: number("--seed", 1),
        keep: value("--keep").map(PathBuf::from),
        errors: words.iter().any(|word| word == "--errors"),
    })
}

fn ours(files: &tree::Tree) -> Result<String, String> {
    let mut memory = MemoryFiles::default();
    for (path, text) in files {
        memory.insert(RepoPath::parse(path).map_err(|error| error.to_string())?, text.clone());
    }
    let top = RepoPath::parse("top").map_err(|error| error.to_string())?;
    let build = kustomize::build(&memory, &top).map_err(|error| error.to_string())?;
    Ok(kustomize::to_yaml(&build.objects))
}

fn theirs(program: &Path, files: &tree::Tree) -> Result<String, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    write(directory.path(), files);
    let output = Command::new(program)
        .arg("build")
        .arg(directory.path().join("top"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn write(directory: &Path, files: &tree::Tree) {
    for (path, text) in files {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            let _ = std::fs::create_dir_all(parent);
        }
        let _ = std::fs::write(path, text);
    }
}

/// One line about what is not the same.
fn difference(ours: &Result<String, String>, theirs: &Result<String, String>) -> Option<String> {
    match (ours, theirs) {
        (Ok(a), Ok(b)) if a == b => None,
        (Err(_), Err(_)) => None,
        (Ok(a), Ok(b)) => {
            let at = a.lines().zip(b.lines()).position(|(a, b)| a != b);
            let line = |text: &str| at.and_then(|at| text.lines().nth(at)).unwrap_or("(the end)").to_owned();
            Some(format!("{:?} here, {:?} there, in line {}", line(a), line(b), at.map_or(0, |at| at + 1)))
        }
        (Ok(_), Err(error)) => Some(format!("builds here, fails there: {}", last(error))),
        (Err(error), Ok(_)) => Some(format!("fails here: {error}")),
    }
}

fn last(text: &str) -> String {
    let text = text.trim();
    text.chars().skip(text.chars().count().saturating_sub(300)).collect()
}
