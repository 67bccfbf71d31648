//! The places of the web interface. A page that belongs into the navigation is one line of [`PLACES`].

use maud::{Markup, html};

use super::icon::{Icon, icon};
use crate::project::{Action, Principal, allows};

/// A place in the navigation.
struct Place {
    group: Group,
    label: &'static str,
    /// The address below BASE_PATH. The place is the current one there and below.
    path: &'static str,
    icon: Icon,
    /// A visitor who may not do this is not offered the place.
    action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Operate,
    Configure,
}

const fn place(group: Group, label: &'static str, path: &'static str, icon: Icon, action: Action) -> Place {
    Place { group, label, path, icon, action }
}

/// All places, in their order.
const PLACES: &[Place] = &[
    place(Group::Operate, "Dashboard", "/", Icon::Dashboard, Action::Read),
    place(Group::Operate, "Projects", "/projects", Icon::Projects, Action::Read),
    place(Group::Operate, "Chat", "/chat", Icon::Chat, Action::Read),
    place(Group::Operate, "Plan", "/plan", Icon::Plan, Action::Read),
    place(Group::Operate, "Tickets", "/tickets", Icon::Tickets, Action::Read),
    place(Group::Operate, "Backups", "/backups", Icon::Backups, Action::Read),
    place(Group::Operate, "Logs", "/logs", Icon::Logs, Action::Read),
    place(Group::Configure, "Base", "/upgrade", Icon::Base, Action::Upgrade),
    place(Group::Configure, "Settings", "/settings", Icon::Settings, Action::Read),
];

/// The lists of places for `principal`, who looks at `here`, an address below BASE_PATH.
pub(super) fn places(base: &str, here: &str, principal: &Principal) -> Markup {
    let current = current(here);
    html! {
        @for (group, title) in [(Group::Operate, "Operate"), (Group::Configure, "Configure")] {
            @let offered: Vec<&Place> = (PLACES.iter())
                .filter(|place| place.group == group && allows(principal.role, place.action))
                .collect();
            @if !offered.is_empty() {
                p.group-name { (title) }
                ul {
                    @for place in offered {
                        @let is_current = current.is_some_and(|path| path == place.path);
                        li {
                            a href=(format!("{base}{}", place.path)) aria-current=[is_current.then_some("page")] {
                                (icon(place.icon)) span { (place.label) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The path of the place that an address is in: the longest that it begins with.
fn current(here: &str) -> Option<&'static str> {
    let here = if here == "/new" { "/projects" } else { here };
    let is_in = |path: &str| match path {
        "/" => here == "/" || here.is_empty(),
        path => here.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    };
    PLACES.iter().map(|place| place.path).filter(|path| is_in(path)).max_by_key(|path| path.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_place_that_it_begins_with() {
        for (here, expected) in [
            ("/", Some("/")),
            ("", Some("/")),
            ("/projects/shop/logs", Some("/projects")),
            ("/new", Some("/projects")),
            ("/projectsx", None),
            ("/backups/restore", Some("/backups")),
            ("/nothing", None),
        ] {
            assert_eq!(current(here), expected, "{here}");
        }
    }
}
