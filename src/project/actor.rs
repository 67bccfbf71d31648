//! Who acts, what they may do, and how it is written into a commit.

use serde::{Deserialize, Serialize};

/// What a person or program may do, each role including the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything that is no secret.
    Viewer,
    /// Also starts, stops, creates and changes projects.
    Operator,
    /// Also deletes volumes, restores, and manages access.
    Administrator,
}

impl Role {
    /// All roles, from the least to the most.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Administrator];

    /// Returns the role that an action needs at least.
    #[must_use]
    pub fn needed_for(action: Action) -> Self {
        Self::ALL.into_iter().find(|role| allows(*role, action)).unwrap_or(Self::Administrator)
    }

    /// The word for it in tokens, errors and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Somebody who has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// A stable id, as in `admin-token` or `user:ana`; keys what is kept per principal.
    pub id: String,
    /// The name that commits carry.
    pub name: String,
    /// The address that commits carry.
    pub email: String,
    /// What they may do.
    pub role: Role,
}

impl Principal {
    /// Returns whether the policy lets this principal do `action`: pages offer only what it allows.
    #[must_use]
    pub const fn may(&self, action: Action) -> bool {
        allows(self.role, action)
    }
}

/// What is about to be done, as far as the policy distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read projects, plans, logs.
    Read,
    /// Reconcile a project again; changes nothing that is desired.
    Refresh,
    /// Have a plan done that was looked at; changes nothing that is desired.
    Apply,
    /// Make a project.
    Create,
    /// Change a project's fields or secrets.
    Change,
    /// Start or stop a project.
    Scale,
    /// Send prompts, answer requests, interrupt turns.
    Chat,
    /// Delete a project and keep its volumes.
    Delete,
    /// Delete a project and its volumes.
    DeleteVolumes,
    /// Say which managers environments let in.
    ManageKeys,
    /// Renew the base that all environments stand on.
    Upgrade,
    /// Make a backup now.
    BackUp,
    /// Download the whole tree, with its encrypted secrets.
    Export,
    /// Bring a backup back.
    Restore,
}

/// Whether the policy lets `role` do `action`. Pure, so that pages and answers can ask beforehand.
#[must_use]
pub const fn allows(role: Role, action: Action) -> bool {
    match action {
        Action::Read => true,
        Action::Refresh
        | Action::Apply
        | Action::Create
        | Action::Change
        | Action::Scale
        | Action::Delete
        | Action::BackUp
        | Action::Chat => {
            matches!(role, Role::Operator | Role::Administrator)
        }
        Action::DeleteVolumes | Action::ManageKeys | Action::Upgrade | Action::Export | Action::Restore => {
            matches!(role, Role::Administrator)
        }
    }
}

/// Where a change came from; the `Source:` trailer of its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The REST API.
    Api,
    /// The web interface.
    Ui,
    /// A JIRA ticket.
    Jira,
    /// A restore or rollback.
    Restore,
    /// The manager itself, at its start.
    Manager,
    /// A prompt on the chat's socket.
    Chat,
    /// A webhook.
    Webhook,
}

impl Source {
    /// The word in the trailer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Ui => "ui",
            Self::Jira => "jira",
            Self::Restore => "restore",
            Self::Manager => "manager",
            Self::Chat => "chat",
            Self::Webhook => "webhook",
        }
    }
}

/// A principal in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub principal: Principal,
    /// By which way.
    pub source: Source,
    /// The id of the request, the `Request-Id:` trailer.
    pub request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_this_table() {
        use Action::{
            Apply, BackUp, Change, Chat, Create, Delete, DeleteVolumes, Export, ManageKeys, Read, Refresh, Restore,
            Scale, Upgrade,
        };
        let table = [
            (Read, [true, true, true]),
            (Refresh, [false, true, true]),
            (Apply, [false, true, true]),
            (Create, [false, true, true]),
            (Change, [false, true, true]),
            (Scale, [false, true, true]),
            (Chat, [false, true, true]),
            (Delete, [false, true, true]),
            (DeleteVolumes, [false, false, true]),
            (ManageKeys, [false, false, true]),
            (Upgrade, [false, false, true]),
            (BackUp, [false, true, true]),
            (Export, [false, false, true]),
            (Restore, [false, false, true]),
        ];
        for (action, expected) in table {
            let roles = [Role::Viewer, Role::Operator, Role::Administrator];
            assert_eq!(roles.map(|role| allows(role, action)), expected, "{action:?}");
            let least = roles.into_iter().zip(expected).find(|(_, allowed)| *allowed).map(|(role, _)| role);
            assert_eq!(Some(Role::needed_for(action)), least, "{action:?}");
        }
    }
}
