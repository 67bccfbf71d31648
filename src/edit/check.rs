//! Values that no overlay can hold, told by field.
//!
//! The API checks its input before; tickets, restores and later callers meet the same rules here.

use crate::project::{FieldError, Quantity, Resources};

use super::EditError;

/// Collects what is wrong.
#[derive(Default)]
pub(super) struct Checks(Vec<FieldError>);

impl Checks {
    pub(super) fn fail(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), message: message.into() });
    }

    pub(super) fn done(self) -> Result<(), EditError> {
        if self.0.is_empty() { Ok(()) } else { Err(EditError::Invalid(self.0)) }
    }

    /// A display name.
    pub(super) fn name(&mut self, name: &str) {
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            self.fail("name", "must have 1 to 100 characters and no control characters");
        }
    }

    /// A branch, by the rules of `git check-ref-format`, and without quotes: kustomize strips those from a literal.
    pub(super) fn branch(&mut self, branch: &str) {
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
        let fine = (1..=255).contains(&branch.len())
            && branch.split('/').all(part)
            && !branch.starts_with('-')
            && !branch.ends_with('.')
            && !branch.contains("..")
            && !branch.contains("@{")
            && branch != "@"
            && !branch.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\\"'".contains(c));
        if !fine {
            self.fail("gitBranch", "is no branch name that Git and Kustomize both take");
        }
    }

    /// Why a project is suspended; `false` would say that it is not.
    pub(super) fn suspended(&mut self, why: &str) {
        if why.trim().is_empty() || why == "false" || why.chars().count() > 200 || why.chars().any(char::is_control) {
            self.fail("suspended", "must be the reason, in 1 to 200 characters on one line");
        }
    }

    pub(super) fn ticket(&mut self, ticket: &str) {
        if ticket.is_empty() || ticket.chars().count() > 100 || ticket.chars().any(char::is_control) {
            self.fail("jiraIssue", "must have 1 to 100 characters and no control characters");
        }
    }

    /// A storage class: a DNS subdomain.
    pub(super) fn storage_class(&mut self, class: &str) {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fine = (1..=253).contains(&class.len())
            && class.split('.').all(|part| {
                part.starts_with(edge) && part.ends_with(edge) && part.chars().all(|c| edge(c) || c == '-')
            });
        if !fine {
            self.fail(
                "storage.storageClass",
                "must be the name of a StorageClass: lower-case letters, digits, '-' and '.'",
            );
        }
    }

    pub(super) fn size(&mut self, field: &str, size: &Quantity) {
        if !size.is_positive() {
            self.fail(field, "must be more than zero");
        }
    }

    pub(super) fn resources(&mut self, resources: &Resources) {
        for (field, quantity) in [("resources.cpu", &resources.cpu), ("resources.memory", &resources.memory)] {
            if let Some(quantity) = quantity {
                self.size(field, quantity);
            }
        }
    }
}
