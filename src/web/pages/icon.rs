//! Drawn signs: the glyph of a state, and the icon of a place or a verb. All are decoration beside a word.

use maud::{Markup, html};

/// The shape of a state. Each is told from the others without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyph {
    /// A filled circle: it runs.
    Running,
    /// A dot in a ring: Claude works.
    Working,
    /// A half circle: it is on the way from one state to another.
    Changing,
    /// A dashed ring: it waits.
    Pending,
    /// A diamond: a person is waited for.
    Needs,
    /// A triangle: it failed.
    Failed,
    /// A square: it is stopped.
    Stopped,
    /// Two bars: it is suspended.
    Suspended,
    /// A check mark: it is done.
    Done,
    /// A cross: it is deleted or cut off.
    Cancelled,
}

/// The sign of a state.
pub(super) fn glyph(glyph: Glyph) -> Markup {
    html! {
        svg.glyph viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" {
            @match glyph {
                Glyph::Running => circle cx="6" cy="6" r="4.5" fill="currentColor" {},
                Glyph::Working => {
                    circle.halo cx="6" cy="6" r="5" fill="none" stroke="currentColor" stroke-width="1.4" {}
                    circle cx="6" cy="6" r="2.4" fill="currentColor" {}
                }
                Glyph::Changing => {
                    circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.4" {}
                    path d="M6 1.4a4.6 4.6 0 0 1 0 9.2z" fill="currentColor" {}
                }
                Glyph::Pending => circle cx="6" cy="6" r="4.4" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2 1.7" {},
                Glyph::Needs => path d="M6 .6 11.4 6 6 11.4.6 6z" fill="currentColor" {},
                Glyph::Failed => path d="M6 1 11.5 10.800H.5z" fill="currentColor" {},
                Glyph::Stopped => rect x="1.9" y="1.9" width="8.2" height="8.2" rx="1" fill="none" stroke="currentColor" stroke-width="1.5" {},
                Glyph::Suspended => path d="M4 2v8M8 2v8" stroke="currentColor" stroke-width="1.8" {},
                Glyph::Done => path d="m1.5 6.5 3 3 6-7" fill="none" stroke="currentColor" stroke-width="1.9" {},
                Glyph::Cancelled => path d="m2.5 2.5 7 7m0-7-7 7" stroke="currentColor" stroke-width="1.7" {},
            }
        }
    }
}

/// What an icon stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Icon {
    Dashboard,
    Projects,
    Chat,
    Plan,
    Tickets,
    Backups,
    Logs,
    Settings,
    Base,
    Menu,
    /// A node on a line: a commit.
    Commit,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Dashboard => {
                "M2.5 2.500h4.500v5h-4.500zM9 2.500h4.500v3H9zM9 8h4.500v5.500H9zM2.5 10H7v3.500h-4.500z"
            }
            Self::Projects => "M8 2l5.5 3v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6",
            Self::Chat => "M2.5 3.500h11V11h-6l-3 2.500V11h-2z",
            Self::Plan => "M3 3.500h10M3 8h6M3 12.500h8M12 6.5 13.5 8 12 9.5",
            Self::Tickets => "M2 4h12v2.500a1.5 1.5 0 0 0 0 3V12H2V9.500a1.5 1.5 0 0 0 0-3zM6 6.500h4M6 9.500h4",
            Self::Backups => "M2 3h12v3H2zM3 6v7h10V6M6.5 9h3",
            Self::Logs => "M3 2.500h10v11H3zM5.5 5.500h5M5.5 8h5M5.5 10.500h3",
            Self::Settings => {
                "M2 4.500h7M12.5 4.500H14M2 11.500h1.500M7 11.500h7M9 4.500a1.7 1.7 0 1 0 3.4 0 1.7 1.7 0 1 0-3.4 0M3.6 11.500a1.7 1.7 0 1 0 3.4 0 1.7 1.7 0 1 0-3.4 0"
            }
            Self::Base => "M8 2l6 3.2-6 3.2-6-3.200zM2.5 8.3 8 11.200l5.5-2.900M2.5 11.1 8 14l5.5-2.9",
            Self::Menu => "M2 4h12M2 8h12M2 12h12",
            Self::Commit => "M1 8h4.400M10.6 8H15M5.4 8a2.6 2.6 0 1 0 5.2 0 2.6 2.6 0 1 0-5.2 0",
        }
    }
}

/// An icon.
pub(super) fn icon(icon: Icon) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { path d=(icon.path()) {} }
    }
}

/// The mark of the product: a node on a line.
pub(super) fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            rect.tile width="24" height="24" rx="6" {}
            path.line d="M6 12h4M14 12h4" {}
            circle.node cx="12" cy="12" r="2.6" {}
            circle.dot cx="6" cy="12" r="1.3" {}
            circle.dot cx="18" cy="12" r="1.3" {}
        }
    }
}
