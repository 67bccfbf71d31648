//! The encrypted file of a project, with an intent's secrets in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::ChangeError;
use crate::project::{
    Entry, ErrorKind, Files, Intent, PROJECT_LABEL, ProjectName, RepoPath, SecretChange, Unit, layout,
};
use crate::sops::{self, Identity, Merged, Recipient, Secret, SopsError};

/// The manager's own keys: it has to be able to read what it writes.
pub(super) struct Keys {
    identities: Arc<Vec<Identity>>,
}

impl Keys {
    pub(super) const fn new(identities: Arc<Vec<Identity>>) -> Self {
        Self { identities }
    }

    /// The new content of the project's secrets file: `None` leaves it as it is, no bytes remove it.
    pub(super) fn updated(&self, files: &dyn Files, intent: &Intent) -> Result<Option<Vec<u8>>, ChangeError> {
        let (name, change) = match intent {
            Intent::Create(new) => (&new.short_name, &new.secrets),
            Intent::Change(name, change) => (name, &change.secrets),
            Intent::Delete(..) | Intent::Start(_) | Intent::Wake(_) | Intent::Stop(_) | Intent::TrustAgentKey(_) => {
                return Ok(None);
            }
        };
        if change.is_empty() {
            return Ok(None);
        }
        // What the edit will refuse anyway is refused by it, with its own words.
        let exists = matches!(files.entry(&layout::overlay_path(name)), Ok(Entry::File));
        if exists == matches!(intent, Intent::Create(_)) {
            return Ok(None);
        }
        let path = layout::secrets_path(&Unit::Project(name.clone()));
        self.merged(files, &path, name, change).map_err(|problem| match problem {
            Problem::Sops(error) => ChangeError::new(error.kind(), format!("{path}: {error}")),
            Problem::File(message) => ChangeError::new(ErrorKind::Conflict, message),
        })
    }

    fn merged(
        &self,
        files: &dyn Files,
        path: &RepoPath,
        name: &ProjectName,
        change: &SecretChange,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let existing = match files.entry(path) {
            Ok(Entry::Missing) => None,
            Ok(_) => Some(text(files, path)?),
            Err(error) => return Err(Problem::File(error.to_string())),
        };
        let new = Secret {
            name: layout::secret_name(&Unit::Project(name.clone())),
            labels: BTreeMap::from([(PROJECT_LABEL.to_owned(), name.to_string())]),
            ..Secret::default()
        };
        // An existing file keeps its own recipients; only a new one asks who is to read it.
        let recipients = if existing.is_some() { Vec::new() } else { self.recipients(files, path)? };
        let merged = sops::merge(existing.as_deref(), &new, change, &self.identities, &recipients, Timestamp::now());
        Ok(match merged.map_err(Problem::Sops)? {
            Merged::Unchanged => None,
            Merged::Written(text) => Some(text.into_bytes()),
            Merged::Removed => Some(Vec::new()),
        })
    }

    /// Those that `.sops.yaml` names, and the manager where it is not among them: what it cannot read it cannot apply.
    fn recipients(&self, files: &dyn Files, path: &RepoPath) -> Result<Vec<Recipient>, Problem> {
        let config = RepoPath::parse(layout::SOPS_CONFIG).unwrap_or_default();
        let mut recipients = match files.entry(&config) {
            Ok(Entry::File) => sops::recipients_for(&text(files, &config)?, path.as_str()).map_err(Problem::Sops)?,
            _ => Vec::new(),
        };
        let own: Vec<Recipient> = self.identities.iter().map(Identity::recipient).collect();
        let included = own.iter().any(|own| recipients.iter().any(|there| there.to_string() == own.to_string()));
        if !included {
            recipients.extend(own.into_iter().next());
        }
        Ok(recipients)
    }
}

/// Why there is no new content.
enum Problem {
    Sops(SopsError),
    File(String),
}

fn text(files: &dyn Files, path: &RepoPath) -> Result<String, Problem> {
    let bytes = files.read(path).map_err(|error| Problem::File(error.to_string()))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Problem::File(format!("{path} is no UTF-8 text")))
}
