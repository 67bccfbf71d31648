//! Which types of objects hold in a build: those that are built in, or those of the file that `openapi` names.

use std::sync::Arc;

use super::build::Run;
use super::kustomization::{Kustomization, OpenApi};
use super::resource::Resource;
use super::schema::Schema;
use super::{BuildError, definitions, tables};
use crate::RepoPath;

/// The types of Kubernetes that are built in.
const VERSION: &str = "v1.21.2";

impl Run<'_> {
    /// Settles which types hold from here on. The first kustomization that says something about them counts; those that
    /// are built in hold until then. What is in a file is looked at now and counts when somebody asks for the types.
    pub(super) fn read_types(&mut self, directory: &RepoPath, kustomization: &Kustomization) -> Result<(), BuildError> {
        let Some(OpenApi { path, version }) = &kustomization.openapi else { return Ok(()) };
        let file = match path {
            Some((text, place)) => Some((self.loader.file(directory, text, place)?, place)),
            None => None,
        };
        if self.types.is_some() {
            return Ok(());
        }
        let Some((path, place)) = file else {
            if let Some((text, place)) = version.as_ref().filter(|(text, _)| !text.is_empty()) {
                if text != VERSION {
                    let hint = format!("use {VERSION}, or leave it out");
                    return Err(place.error_with_hint(format!("{text} is no version that is built in"), &hint));
                }
                self.types = Some(tables::shared_schema());
            }
            return Ok(());
        };
        if let Some((_, place)) = version {
            return Err(place.error_with_hint("stands beside a path", "remove one of them"));
        }
        let used = self.types_used || self.types_used_before;
        let mut types = if used { tables::schema().clone() } else { Schema::default() };
        let bytes = self.loader.bytes(&path, place)?;
        let added = definitions::read(&bytes).and_then(|document| types.add_document(&document));
        self.types = Some(Arc::new(match added {
            Ok(()) => types,
            Err(error) => {
                let error = place.error(format!("{path} {error}"));
                self.warnings.push(format!("{error}; the build goes on as long as nothing needs its types"));
                Schema::broken(error)
            }
        }));
        Ok(())
    }

    /// Asks for the type of an object. That of a kind which is not built in is looked for in all types.
    pub(super) fn ask_for_type(&mut self, resource: &Resource) -> Result<(), BuildError> {
        if tables::schema().kind(resource.api_version(), resource.kind()).is_none() {
            self.types_used = true;
            self.types.as_ref().map_or(Ok(()), |types| types.asked())?;
        }
        Ok(())
    }
}
