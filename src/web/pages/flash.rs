//! What was just done, told once on the next page. It travels in a cookie of a minute that names a word and a commit, so
//! that no address and no foreign page can make a page tell anything.

use axum::http::{HeaderMap, HeaderValue};
use maud::{Markup, html};

use super::format::{commit, commit_of};
use crate::config::ServerSettings;
use crate::project::{ProjectName, Revision};
use crate::web::same_origin::{cookie, set_cookie};

const NAME: &str = "claude-manager-told";

/// Something that was done.
pub(super) struct Told {
    deed: Deed,
    /// `None`: all of them.
    project: Option<ProjectName>,
    commit: Revision,
    /// Whether there was anything to do.
    changed: bool,
}

/// What can be told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Created,
    Started,
    Stopped,
    Suspended,
    Resumed,
    Changed,
    Deleted,
    Applied,
    BackedUp,
    Restored,
}

impl Deed {
    const ALL: [Self; 10] = [
        Self::Created,
        Self::Started,
        Self::Stopped,
        Self::Suspended,
        Self::Resumed,
        Self::Changed,
        Self::Deleted,
        Self::Applied,
        Self::BackedUp,
        Self::Restored,
    ];
    /// What may be told of everything at once.
    const OF_ALL: [Self; 3] = [Self::Applied, Self::BackedUp, Self::Restored];

    const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Applied => "applied",
            Self::BackedUp => "backed-up",
            Self::Restored => "restored",
        }
    }
}

impl Told {
    /// `deed` was committed for `project`.
    pub(super) const fn new(deed: Deed, project: ProjectName, commit: Revision, changed: bool) -> Self {
        Self { deed, project: Some(project), commit, changed }
    }

    /// The plan of a commit was applied as somebody had seen it, for one project or for all.
    pub(super) const fn applied(project: Option<ProjectName>, commit: Revision) -> Self {
        Self { deed: Deed::Applied, project, commit, changed: true }
    }

    /// `deed` was done with one project, or with all.
    pub(super) const fn of(deed: Deed, project: Option<ProjectName>, commit: Revision, changed: bool) -> Self {
        Self { deed, project, commit, changed }
    }

    /// The header that carries it to the next page.
    pub(super) fn header(&self, server: &ServerSettings) -> Option<HeaderValue> {
        let changed = if self.changed { "1" } else { "0" };
        let project = self.project.as_ref().map(ProjectName::as_str).unwrap_or_default();
        set_cookie(server, NAME, &format!("{}.{project}.{}.{changed}", self.deed.word(), self.commit), 60)
    }

    /// What a person reads.
    pub(super) fn notice(&self, base: &str) -> Markup {
        let link = html! {
            @match &self.project {
                Some(project) => a href=(format!("{base}/projects/{project}")) { (project) },
                None => "Everything",
            }
        };
        let name = self.project.as_ref().map(ProjectName::as_str).unwrap_or_default();
        html! {
            div.notice.good role="status" { p {
                @match (self.changed, self.deed) {
                    (false, _) => { (link) " was as wanted already; nothing had to be committed." }
                    (true, Deed::Created) => { (link) " is made" }
                    (true, Deed::Started) => { (link) " is to start" }
                    (true, Deed::Stopped) => { (link) " is to stop" }
                    (true, Deed::Suspended) => { (link) " is left alone from now on" }
                    (true, Deed::Resumed) => { (link) " is looked after again" }
                    (true, Deed::Changed) => { (link) " is changed" }
                    (true, Deed::Deleted) => { (name) " is to be deleted" }
                    (true, Deed::Applied) => { (link) " is as its plan was" }
                    (true, Deed::BackedUp) => { (link) " is backed up" }
                    (true, Deed::Restored) => { (link) " is restored" }
                }
                @if self.changed {
                    ": commit "
                    @match &self.project {
                        Some(project) => (commit_of(base, project, &self.commit)),
                        None => (commit(base, &self.commit)),
                    }
                }
            } }
        }
    }
}

/// What the page before has done, if it did.
pub(super) fn read(headers: &HeaderMap) -> Option<Told> {
    let mut parts = cookie(headers, NAME)?.split('.');
    let word = parts.next()?;
    let deed = Deed::ALL.into_iter().find(|deed| deed.word() == word)?;
    let project = match parts.next()? {
        "" if Deed::OF_ALL.contains(&deed) => None,
        name => Some(ProjectName::parse(name).ok()?),
    };
    let commit = Revision::parse(parts.next()?).ok()?;
    Some(Told { deed, project, commit, changed: parts.next()? == "1" })
}

/// The header that takes it away, as it has been told.
pub(super) fn take_away(server: &ServerSettings) -> Option<HeaderValue> {
    set_cookie(server, NAME, "", 0)
}
