//! The address of a repository, as people write it: whole, or a bare name that DEFAULT_GIT_ORG completes.

use super::ProjectDefaults;
use crate::project::GitUrl;

impl ProjectDefaults {
    /// Parses the address of a repository, or completes a bare name.
    ///
    /// # Errors
    /// What would be right, to continue the name of the field.
    pub fn repository(&self, text: &str) -> Result<GitUrl, String> {
        let address = match (Self::is_bare(text), self.git_prefix.as_deref()) {
            (false, _) => text.to_owned(),
            (true, Some(prefix)) => format!("{prefix}{}.git", text.strip_suffix(".git").unwrap_or(text)),
            (true, None) => {
                return Err("must be a whole address, as in https://host/path; \
                            DEFAULT_GIT_ORG, which would complete a bare name, is not set"
                    .to_owned());
            }
        };
        GitUrl::parse(&address).map_err(|error| error.to_string())
    }

    /// Whether a text is a bare name, without host and path.
    #[must_use]
    pub fn is_bare(text: &str) -> bool {
        !text.is_empty()
            && !text.starts_with(['.', '-'])
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    }
}
