//! Where generated data comes from: env files, literals and files.

use std::collections::BTreeMap;

use crate::BuildError;
use crate::RepoPath;
use crate::field::Place;
use crate::load::Loader;

use super::Generator;

/// All pairs of a generator.
///
/// # Errors
/// For entries that cannot be read, and keys that come twice.
pub(super) fn load(
    loader: &Loader<'_>,
    directory: &RepoPath,
    generator: &Generator,
) -> Result<BTreeMap<String, Vec<u8>>, BuildError> {
    let mut pairs = BTreeMap::new();
    let mut add = |key: String, value: Vec<u8>, place: &Place| match pairs.insert(key.clone(), value) {
        None => Ok(()),
        Some(_) => Err(place.error(format!("gives the key {key} a second time"))),
    };
    for (text, place) in &generator.envs {
        let path = loader.file(directory, text, place)?;
        let bytes = loader.bytes(&path, place)?;
        for (key, value) in env_lines(&path, &bytes)? {
            add(key, value.into_bytes(), place)?;
        }
    }
    for (text, place) in &generator.literals {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => add(key.to_owned(), unquoted(value).into(), place)?,
            // The text may hold a secret, so it is not shown.
            _ => return Err(place.error("must be key=value")),
        }
    }
    for (text, place) in &generator.files {
        let (key, file) = match text.split_once('=') {
            None => (text.rsplit('/').next().unwrap_or(text), text.as_str()),
            Some((key, file)) if !key.is_empty() && !file.is_empty() && !file.contains('=') => (key, file),
            Some(_) => return Err(place.error(format!("{text:?} must be a path or key=path"))),
        };
        let path = loader.file(directory, file, place)?;
        add(key.to_owned(), loader.bytes(&path, place)?.to_vec(), place)?;
    }
    Ok(pairs)
}

/// Lines of `KEY=value`; a key alone has an empty value; lines with `#` in front are comments.
fn env_lines(path: &RepoPath, bytes: &[u8]) -> Result<Vec<(String, String)>, BuildError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(Place { file: path.clone(), ..Place::default() }.error("is not UTF-8"));
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).trim_start());
    let pairs = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    });
    Ok(pairs.filter(|(key, _)| !key.is_empty()).collect())
}

/// Without one pair of quotes around it.
fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)))
        .unwrap_or(text)
}
