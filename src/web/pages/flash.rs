//! What was just done, told once on the next page. It travels in a cookie of a minute that names a word and a commit, so
//! that no address and no foreign page can make a page tell anything.

use axum::http::{HeaderMap, HeaderValue};
use maud::{Markup, html};

use crate::app::config::ServerSettings;
use crate::project::{ProjectName, Revision};
use crate::web::caller::{cookie, set_cookie};

const NAME: &str = "claude-manager-told";

/// Something that was done.
pub(super) struct Told {
    deed: Deed,
    project: ProjectName,
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
    Deleted,
}

impl Deed {
    const ALL: [Self; 6] = [Self::Created, Self::Started, Self::Stopped, Self::Suspended, Self::Resumed, Self::Deleted];

    const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Deleted => "deleted",
        }
    }
}

impl Told {
    /// `deed` was committed for `project`.
    pub(super) const fn new(deed: Deed, project: ProjectName, commit: Revision, changed: bool) -> Self {
        Self { deed, project, commit, changed }
    }

    /// The header that carries it to the next page.
    pub(super) fn header(&self, server: &ServerSettings) -> Option<HeaderValue> {
        let changed = if self.changed { "1" } else { "0" };
        set_cookie(server, NAME, &format!("{}.{}.{}.{changed}", self.deed.word(), self.project, self.commit), 60)
    }

    /// What a person reads.
    pub(super) fn notice(&self, base: &str) -> Markup {
        let link = html! {
            a href=(format!("{base}/projects/{}", self.project)) { (self.project) }
        };
        html! {
            div.notice.good role="status" {
                @match (self.changed, self.deed) {
                    (false, _) => { (link) " was as wanted already; nothing had to be committed." }
                    (true, Deed::Created) => { (link) " is made" }
                    (true, Deed::Started) => { (link) " is to start" }
                    (true, Deed::Stopped) => { (link) " is to stop" }
                    (true, Deed::Suspended) => { (link) " is left alone from now on" }
                    (true, Deed::Resumed) => { (link) " is looked after again" }
                    (true, Deed::Deleted) => { (self.project) " is to be deleted" }
                }
                @if self.changed {
                    ": commit " code title=(self.commit) { (self.commit.short()) } "."
                }
            }
        }
    }
}

/// What the page before has done, if it did.
pub(super) fn read(headers: &HeaderMap) -> Option<Told> {
    let mut parts = cookie(headers, NAME)?.split('.');
    let word = parts.next()?;
    let deed = Deed::ALL.into_iter().find(|deed| deed.word() == word)?;
    let project = ProjectName::parse(parts.next()?).ok()?;
    let commit = Revision::parse(parts.next()?).ok()?;
    Some(Told { deed, project, commit, changed: parts.next()? == "1" })
}

/// The header that takes it away, as it has been told.
pub(super) fn take_away(server: &ServerSettings) -> Option<HeaderValue> {
    set_cookie(server, NAME, "", 0)
}
