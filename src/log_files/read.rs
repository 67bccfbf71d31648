//! Reading the files from their ends, newest line first, with bounded work.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::{Map, Value};

use super::{File, OLDER_FILES, Service};

/// The most bytes that one question reads; what is older is not found.
const MOST_READ: u64 = 16 * 1024 * 1024;
const BLOCK: u64 = 64 * 1024;

/// Which lines are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Only lines of this service.
    pub service: Option<Service>,
    /// Only lines of this level or a worse one.
    pub level: tracing::Level,
    /// How many at most.
    pub limit: usize,
}

/// The newest lines in `directory` that the filter lets through, newest first. Each has its fields and `service`.
///
/// # Errors
/// When a file is there and cannot be read; a missing one has no lines.
pub fn read(directory: &Path, filter: &Filter) -> io::Result<Vec<Map<String, Value>>> {
    let file = match (filter.level, filter.service) {
        (tracing::Level::ERROR, _) => File::Error,
        (_, Some(Service::Webhook | Service::Jira)) => File::Webhooks,
        (_, Some(Service::Git | Service::Kubernetes)) => File::Operations,
        _ => File::Combined,
    };
    let mut found = Vec::new();
    let mut budget = MOST_READ;
    for older in 0..=OLDER_FILES {
        match fs::File::open(file.path(directory, older)) {
            Ok(mut opened) => backwards(&mut opened, &mut budget, |line| {
                found.extend(parsed(line, filter));
                found.len() < filter.limit
            })?,
            // Put aside in this moment, or never made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if found.len() >= filter.limit || budget == 0 {
            break;
        }
    }
    Ok(found)
}

/// Calls `each` for every line from the last to the first, until it says no.
fn backwards(file: &mut fs::File, budget: &mut u64, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut at = file.metadata()?.len();
    // The beginning of a line whose end has been read.
    let mut rest: Vec<u8> = Vec::new();
    while at > 0 && *budget > 0 {
        let length = at.min(BLOCK).min(*budget);
        at -= length;
        *budget -= length;
        let mut block = vec![0; usize::try_from(length).unwrap_or_default()];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut block)?;
        block.append(&mut rest);
        let mut end = block.len();
        while let Some(newline) = block[..end].iter().rposition(|byte| *byte == b'\n') {
            if newline + 1 < end && !each(&block[newline + 1..end]) {
                return Ok(());
            }
            end = newline;
        }
        block.truncate(end);
        rest = block;
    }
    if at == 0 && !rest.is_empty() {
        each(&rest);
    }
    Ok(())
}

fn parsed(line: &[u8], filter: &Filter) -> Option<Map<String, Value>> {
    let Value::Object(mut fields) = serde_json::from_slice(line).ok()? else { return None };
    let level: tracing::Level = fields.get("level")?.as_str()?.parse().ok()?;
    let service = Service::of_target(fields.get("target").and_then(Value::as_str).unwrap_or_default());
    // A level is greater the less severe it is.
    let is_wanted = level <= filter.level && filter.service.is_none_or(|wanted| wanted == service);
    fields.insert("service".to_owned(), service.as_str().into());
    is_wanted.then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize, level: &str, target: &str) -> String {
        format!(
            "{{\"level\":\"{level}\",\"target\":\"{target}\",\"message\":\"{number}\",\"pad\":\"{}\"}}\n",
            "ü".repeat(number % 700)
        )
    }

    #[test]
    fn lines_come_newest_first_over_blocks_and_files() {
        let directory = tempfile::tempdir().unwrap();
        let text = |numbers: std::ops::Range<usize>| -> String {
            numbers.map(|n| line(n, if n % 3 == 0 { "WARN" } else { "INFO" }, "claude_manager::web")).collect()
        };
        fs::write(directory.path().join("combined.log.1"), text(0..500)).unwrap();
        fs::write(directory.path().join("combined.log"), text(500..1000) + "torn {\n\n").unwrap();
        let ask = |level, service, limit| -> Vec<usize> {
            let lines = read(directory.path(), &Filter { service, level, limit }).unwrap();
            lines.iter().map(|line| line["message"].as_str().unwrap().parse().unwrap()).collect()
        };
        assert_eq!(ask(tracing::Level::INFO, None, 3), [999, 998, 997]);
        assert_eq!(ask(tracing::Level::INFO, Some(Service::Api), 2000), (0..1000).rev().collect::<Vec<_>>());
        assert_eq!(ask(tracing::Level::WARN, None, 2), [999, 996]);
        assert!(ask(tracing::Level::INFO, Some(Service::Chat), 5).is_empty());
        assert!(ask(tracing::Level::ERROR, None, 5).is_empty());
    }
}
