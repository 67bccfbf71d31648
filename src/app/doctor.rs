//! `doctor`: looks at everything that the manager needs, says what it finds, and what to do about it. Changes nothing.
//!
//! Each check gives [`Finding`]s; one that cannot be made because of an earlier one is left out, not guessed.

mod claude;
mod cluster;
mod jira;
mod machine;
mod repository;

use std::io::Write;
use std::process::ExitCode;

use super::past::Past;
use super::wiring;
use crate::config::Settings;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// What was looked at, in a word or two.
    subject: &'static str,
    verdict: Verdict,
    message: String,
    /// What to do, unless everything is well.
    hint: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Fine,
    /// The manager works, with less.
    Warning,
    /// The manager does not work like this.
    Failure,
}

impl Finding {
    fn fine(subject: &'static str, message: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Fine, message: message.into(), hint: None }
    }

    fn warning(subject: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Warning, message: message.into(), hint: Some(hint.into()) }
    }

    fn failure(subject: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Failure, message: message.into(), hint: Some(hint.into()) }
    }
}

/// Prints every finding as it comes. 0 when nothing failed, else 1.
pub(super) async fn doctor(settings: anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let settings = match settings {
        Ok(settings) => {
            report.tell(Finding::fine("settings", "read from the environment and .env"));
            settings
        }
        Err(error) => {
            report.tell(Finding::failure("settings", format!("{error:#}"), "correct them; .env.example explains each"));
            return Ok(report.end());
        }
    };
    report.tell(machine::data_directory(&settings));
    report.tell(machine::address(&settings));
    report.tell(machine::tokens(&settings));
    report.tell(machine::files(&settings));
    report.tell(machine::git());
    report.tell(machine::kubectl());
    report.tell(machine::database(&settings).await);
    let identities = match wiring::existing_identities(&settings) {
        Ok(identities) => {
            if let Some(refusal) = identities.is_empty().then(|| Past::of_files(&settings).key_missing(None)).flatten()
            {
                let text = refusal.to_string();
                let (message, hint) = text.split_once('\n').unwrap_or((&text, "put the key back"));
                report.tell(Finding::failure("age key", message, hint));
            }
            identities
        }
        Err(error) => {
            report.tell(Finding::failure(
                "age key",
                format!("{error:#}"),
                "give the key that the secrets are encrypted for",
            ));
            Vec::new()
        }
    };
    report.tell_all(repository::check(&settings, identities));
    report.tell(repository::backup(&settings));
    report.tell_all(claude::check(&settings).await);
    report.tell(jira::check(&settings).await);
    report.tell_all(cluster::check(&settings).await);
    Ok(report.end())
}

#[derive(Default)]
struct Report {
    warnings: usize,
    failures: usize,
}

impl Report {
    fn tell(&mut self, finding: Finding) {
        let word = match finding.verdict {
            Verdict::Fine => "ok",
            Verdict::Warning => "WARN",
            Verdict::Failure => "FAIL",
        };
        self.warnings += usize::from(finding.verdict == Verdict::Warning);
        self.failures += usize::from(finding.verdict == Verdict::Failure);
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{word:<4}  {:<17} {}", finding.subject, indented(&finding.message));
        if let Some(hint) = finding.hint {
            let _ = writeln!(out, "{:<24}-> {}", "", indented(&hint));
        }
    }

    fn tell_all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.tell(finding));
    }

    fn end(&self) -> ExitCode {
        let sum = match (self.failures, self.warnings) {
            (0, 0) => "Everything is well.".to_owned(),
            (0, warnings) => format!("It works; {warnings} to look at."),
            (failures, warnings) => format!("{failures} to mend, {warnings} to look at."),
        };
        let _ = writeln!(std::io::stdout(), "{sum}");
        if self.failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Further lines under the first.
fn indented(text: &str) -> String {
    text.replace('\n', &format!("\n{:<24}", ""))
}
