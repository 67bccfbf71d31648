//! Who may use which address: the rules that `router` declares beside each handler, and the check of a request by them.
//!
//! A route cannot be declared without a rule: [`Routes::route`] takes [`Methods`] only, and each of their functions asks for
//! one. The rule is the coarse bound. What depends on the content of a request (deleting volumes) is judged by
//! [`crate::operations`] and `change` as well.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

use super::AppState;
use super::problem::Problem;
use crate::config::Settings;
use crate::project::{ErrorKind, Role};

/// Who may use an address.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Everybody, signed in or not.
    Open,
    /// Everybody where the settings say so, else this role and those above it. A caller who is signed in needs the role in
    /// any case.
    OpenIf(fn(&Settings) -> bool, Role),
    /// This role and those above it.
    Needs(Role),
}

impl From<Role> for Access {
    fn from(role: Role) -> Self {
        Self::Needs(role)
    }
}

impl Access {
    /// Whether a request without a caller is answered.
    pub(super) fn is_open(self, settings: &Settings) -> bool {
        match self {
            Self::Open => true,
            Self::OpenIf(says, _) => says(settings),
            Self::Needs(_) => false,
        }
    }

    /// The least role of a caller.
    pub(super) const fn role(self) -> Option<Role> {
        match self {
            Self::Open => None,
            Self::OpenIf(_, role) | Self::Needs(role) => Some(role),
        }
    }

    /// Refuses a caller whose role is not enough.
    pub(super) fn check(self, role: Role) -> Result<(), Problem> {
        match self.role() {
            Some(needed) if role < needed => {
                let detail = format!(
                    "this needs the role {needed}, and you have the role {role}; an administrator makes a token by \
                     `claude-manager token create --role {needed}`"
                );
                Err(Problem::of_kind(ErrorKind::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }
}

/// The rules of all addresses: path template, then method.
#[derive(Clone, Default)]
pub(super) struct Rules(BTreeMap<String, Vec<(Method, Access)>>);

impl Rules {
    /// The rule of a path template and a method; `None` when the address does not know the method.
    pub(super) fn of(&self, route: &str, method: &Method) -> Option<Access> {
        // A HEAD is answered as the GET without its body.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.0.get(route)?.iter().find(|(known, _)| known == method).map(|(_, access)| *access)
    }

    /// Every rule, in the order of the paths.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Method, Access)> {
        self.0
            .iter()
            .flat_map(|(path, methods)| methods.iter().map(move |(method, access)| (path.as_str(), method, *access)))
    }
}

/// Routes with their rules.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) router: Router<AppState>,
    pub(super) rules: Rules,
}

impl Routes {
    /// Adds an address.
    pub(super) fn route(mut self, path: &str, methods: Methods) -> Self {
        self.rules.0.entry(path.to_owned()).or_default().extend(methods.rules);
        Self { router: self.router.route(path, methods.router), ..self }
    }

    /// Adds the addresses of `other`.
    pub(super) fn merge(mut self, other: Self) -> Self {
        for (path, methods) in other.rules.0 {
            self.rules.0.entry(path).or_default().extend(methods);
        }
        Self { router: self.router.merge(other.router), ..self }
    }
}

/// The methods of one address, each with its rule.
pub(super) struct Methods {
    router: MethodRouter<AppState>,
    rules: Vec<(Method, Access)>,
}

/// Declares one method, as a function that begins and one that goes on.
macro_rules! method {
    ($name:ident, $method:ident) => {
        /// Begins with this method.
        #[allow(dead_code, reason = "not every method comes first")]
        pub(super) fn $name<H, T>(access: impl Into<Access>, handler: H) -> Methods
        where
            H: Handler<T, AppState>,
            T: 'static,
        {
            Methods { router: routing::$name(handler), rules: vec![(Method::$method, access.into())] }
        }

        impl Methods {
            /// Adds this method.
            #[allow(dead_code, reason = "not every method follows another one")]
            pub(super) fn $name<H, T>(mut self, access: impl Into<Access>, handler: H) -> Self
            where
                H: Handler<T, AppState>,
                T: 'static,
            {
                self.rules.push((Method::$method, access.into()));
                Self { router: self.router.$name(handler), ..self }
            }
        }
    };
}

method!(get, GET);
method!(post, POST);
method!(put, PUT);
method!(delete, DELETE);
