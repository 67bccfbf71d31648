//! Byte fuzzing: the files of `tests/kustomize/`, spoilt by chance, are read, written and built. Nothing may panic, take
//! seconds, or be written in a form that reads back as something else.
//!
//! Works on stable Rust; what it lacks against a fuzzer that watches coverage it makes up for with a corpus that reaches
//! every transformer. `cargo test` runs a few hundred inputs (`fuzz_bytes`), and for longer:
//!
//! ```text
//! cargo bench --bench bytes -- --seconds 3600 --seed 1
//! ```
//! An input that fails is printed with its seed; `--seed N --count 1` shows it again.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use claude_manager::project::{MemoryFiles, RepoPath};
use kustomize::yaml;

use super::dice::Dice;

/// The longest that one input may take, unoptimised and on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Bytes that mean something to a reader of YAML, and words that mean something to kustomize.
const TOKENS: [&str; 48] = [
    "\n",
    "\n---\n",
    "\n...\n",
    "- ",
    ": ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!!int ",
    "!!binary ",
    "!x ",
    "|",
    ">",
    "|+2\n",
    "'",
    "\"",
    "\\",
    "#",
    "%",
    "@",
    "`",
    "\t",
    "\r\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "\u{1F600}",
    "~",
    "0x",
    "1e999",
    "-9223372036854775809",
    "2020-01-01",
    "$patch: delete\n",
    "$(NAME)",
    "null",
    "..",
    "/",
    "[name=.*]",
    "*",
    "metadata: ",
];

/// A tree with a directory `top`.
pub(crate) type Tree = Vec<(String, Vec<u8>)>;

/// All case folders.
pub(crate) fn corpus() -> Vec<Tree> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kustomize");
    let mut inputs = Vec::new();
    for parent in [folder.clone(), folder.join("refused")] {
        let mut folders: Vec<_> =
            fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        folders.sort();
        for folder in folders {
            let mut tree = Tree::new();
            load(&folder.join("in"), "", &mut tree);
            if !tree.is_empty() {
                inputs.push(tree);
            }
        }
    }
    inputs
}

fn load(directory: &Path, below: &str, tree: &mut Tree) {
    let mut entries: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            load(&entry.path(), &path, tree);
        } else if let Ok(content) = fs::read(entry.path()) {
            tree.push((path, content));
        }
    }
}

/// Makes the input of `seed` and tries it; the error says what went wrong.
pub(crate) fn run(corpus: &[Tree], seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let mut tree = corpus[dice.below(corpus.len())].clone();
    let other = &corpus[dice.below(corpus.len())];
    for _ in 0..=dice.below(4) {
        let at = dice.below(tree.len());
        let from = &other[dice.below(other.len())].1;
        spoil(&mut dice, &mut tree[at].1, from);
    }
    let start = Instant::now();
    let tried = catch_unwind(AssertUnwindSafe(|| {
        for (path, content) in &tree {
            documents(content).map_err(|message| format!("{path}: {message}"))?;
        }
        build(&tree)
    }));
    let took = start.elapsed();
    match tried {
        Err(_) => Err("a panic".to_owned()),
        Ok(Err(message)) => Err(message),
        Ok(Ok(())) if took > LIMIT => Err(format!("took {took:?}")),
        Ok(Ok(())) => Ok(()),
    }
}

/// One change: bytes taken away, put in, doubled, moved here from another file.
fn spoil(dice: &mut Dice, content: &mut Vec<u8>, other: &[u8]) {
    let at = dice.below(content.len() + 1);
    let end = at + dice.below((content.len() - at).min(40) + 1);
    match dice.below(8) {
        0 => drop(content.drain(at..end)),
        1 => content.truncate(at),
        2..=4 => {
            let token = dice.pick(&TOKENS).as_bytes().to_vec();
            content.splice(at..at, token);
        }
        5 => {
            let piece = content[at..end].to_vec();
            let times = 1 + dice.below(6);
            content.splice(at..at, piece.repeat(times));
        }
        6 => {
            let from = dice.below(other.len() + 1);
            let until = from + dice.below((other.len() - from).min(200) + 1);
            content.splice(at..end, other[from..until].iter().copied());
        }
        _ => {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
}

/// Reads a text; what it holds is written and read again.
fn documents(content: &[u8]) -> Result<(), String> {
    let _ = yaml::read_first(content, yaml::Repeats::LastCounts);
    for node in yaml::read(content).unwrap_or_default() {
        let Ok(value) = node.to_json() else { continue };
        let text = yaml::emit(&value);
        // Written as the original writes them, and read in two ways by its readers.
        if text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            continue;
        }
        let back = yaml::read_one(text.as_bytes()).map_err(|error| format!("{error} in what was written:\n{text}"))?;
        let back = back.map(|node| node.to_json());
        if back != Some(Ok(value.clone())) && !value.is_null() {
            return Err(format!("reads back as something else:\n{text}"));
        }
    }
    Ok(())
}

/// Builds; where that gives objects, they are written, and an error says something.
fn build(tree: &Tree) -> Result<(), String> {
    let mut files = MemoryFiles::default();
    for (path, content) in tree {
        files.insert(RepoPath::parse(path).map_err(|error| error.to_string())?, content.clone());
    }
    let top = RepoPath::parse("top").map_err(|error| error.to_string())?;
    match kustomize::build(&files, &top) {
        Ok(build) => {
            let _ = kustomize::to_yaml(&build.objects);
            Ok(())
        }
        Err(error) if error.message.is_empty() => Err("an error without a message".to_owned()),
        Err(_) => Ok(()),
    }
}
