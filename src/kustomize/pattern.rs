//! Regular expressions of kustomizations: what they may cost.
//!
//! Matching is linear in the text whatever the expression; what an expression may grow to when it is compiled is limited
//! here, since a few letters with counts can ask for much, and a tree may hold many.

use regex::{Regex, RegexBuilder};

/// How much memory one compiled expression may take, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// Compiles an expression.
///
/// # Errors
/// A sentence that shows it, when it is none or too large.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MAX_SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("{pattern:?} is too large a regular expression; use smaller counts"),
        _ => format!("{pattern:?} is no regular expression"),
    })
}
