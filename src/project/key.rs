//! What is applied as one, and under which field manager.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FIELD_MANAGER, ProjectName};

/// What is rendered, planned and applied as one: a project, or the objects that belong to none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Objects of the root that belong to no project.
    Base,
    /// One project's objects.
    Project(ProjectName),
}

impl Unit {
    /// The field manager of this unit's applies: what the cluster says of a field names the project that set it.
    #[must_use]
    pub fn field_manager(&self) -> Cow<'static, str> {
        match self {
            Self::Base => FIELD_MANAGER.into(),
            Self::Project(name) => format!("{FIELD_MANAGER}/{name}").into(),
        }
    }

    /// Returns the unit whose field manager has exactly this name; `None` for every other program's.
    #[must_use]
    pub fn of_field_manager(name: &str) -> Option<Self> {
        match name.strip_prefix(FIELD_MANAGER)? {
            "" => Some(Self::Base),
            rest => ProjectName::parse(rest.strip_prefix('/')?).ok().map(Self::Project),
        }
    }
}

/// Whether a field manager is that of some unit.
#[must_use]
pub fn is_field_manager(name: &str) -> bool {
    name.strip_prefix(FIELD_MANAGER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a field manager is a person with kubectl, or stands for whoever wrote before server-side apply.
#[must_use]
pub fn is_kubectl(name: &str) -> bool {
    name.starts_with("kubectl") || name == "before-first-apply"
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("(base)"),
            Self::Project(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_manager_names_its_unit_exactly() {
        let project = |name: &str| Unit::Project(ProjectName::parse(name).unwrap());
        for unit in [Unit::Base, project("shop"), project("shop-2")] {
            assert_eq!(Unit::of_field_manager(&unit.field_manager()), Some(unit));
        }
        for name in
            ["", "kubectl", "claude-manager/", "claude-manager/Shop", "claude-manager-plugin", "claude-manager/a/b"]
        {
            assert_eq!(Unit::of_field_manager(name), None, "{name}");
        }
    }
}
