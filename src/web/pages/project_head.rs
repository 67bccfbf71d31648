//! The head of a project's pages: its name, and the tabs with their addresses.

use maud::{Markup, html};

use crate::project::ProjectName;

/// The pages of one project.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Chat,
    Logs,
    Config,
}

const TABS: [(Tab, &str, &str); 4] = [
    (Tab::Overview, "Overview", ""),
    (Tab::Chat, "Chat", "/chat"),
    (Tab::Logs, "Logs", "/logs"),
    (Tab::Config, "Config and history", "/config"),
];

/// The head of the page `tab`, with `heading` as the page's `h1`, and what stands beside it.
pub(super) fn head(base: &str, name: &ProjectName, tab: Tab, heading: &Markup, beside: &Markup) -> Markup {
    html! {
        div.project-head {
            div.head { h1 { (heading) } (beside) }
            (tabs(base, name, tab))
        }
    }
}

/// The tabs alone.
pub(super) fn tabs(base: &str, name: &ProjectName, current: Tab) -> Markup {
    html! {
        nav.tabs aria-label="Project" {
            @for (tab, label, path) in TABS {
                a href=(format!("{base}/projects/{name}{path}")) aria-current=[(tab == current).then_some("page")] { (label) }
            }
        }
    }
}
