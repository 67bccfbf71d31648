//! What can go wrong between us and the API server, in words that say what to do.

use std::error::Error as StdError;
use std::io;

use crate::project::ErrorKind;

/// Why the cluster could not be asked, or what it answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {path}: {reason}")]
    Kubeconfig {
        /// The file, or the list of files.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// In-cluster access was asked for and there is none.
    #[error("not inside a cluster: {0}")]
    NotInCluster(String),
    /// Nobody answers.
    #[error("the Kubernetes API server does not answer: {0}")]
    Unreachable(String),
    /// Somebody answers whose certificate is not trusted.
    #[error("the certificate of the Kubernetes API server is not trusted: {0}")]
    Certificate(String),
    /// Credentials could not be obtained, before anything was sent.
    #[error("no credentials for the Kubernetes API server: {0}")]
    Credentials(String),
    /// The API server says no.
    #[error("{message}")]
    Api {
        /// The HTTP status.
        code: u16,
        /// The API server's word for it, as in `Invalid`; may be empty.
        reason: String,
        /// The API server's sentence.
        message: String,
        /// After how many seconds it wants to be asked again.
        retry_after: Option<u64>,
    },
    /// The object has fields that its kind does not have, or values of another type.
    #[error("{0}")]
    Fields(String),
    /// What is to be made is there already, unseen as it has no label of ours, and these field managers have made it.
    #[error("it is in the cluster already and belongs to {0}")]
    Taken(String),
    /// The API server does not know the kind.
    #[error("the cluster knows no kind {kind} in {group}: install its CustomResourceDefinition, or remove the object")]
    UnknownKind {
        /// The API group; `the core group` when empty.
        group: String,
        /// The kind.
        kind: String,
    },
    /// The answer is not what the API promises.
    #[error("the API server's answer cannot be read: {0}")]
    Answer(String),
    /// A newer plan took over before this was done.
    #[error("not done: a newer plan took over")]
    Cancelled,
}

impl Error {
    /// What the error means to whoever caused it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kubeconfig { .. } | Self::NotInCluster(_) | Self::Fields(_) | Self::UnknownKind { .. } => {
                ErrorKind::Invalid
            }
            Self::Unreachable(_) | Self::Certificate(_) | Self::Cancelled => ErrorKind::Unavailable,
            Self::Credentials(_) => ErrorKind::Unauthenticated,
            Self::Answer(_) => ErrorKind::Internal,
            Self::Taken(_) => ErrorKind::Conflict,
            Self::Api { code, .. } => match code {
                400 | 413 | 415 | 422 => ErrorKind::Invalid,
                401 => ErrorKind::Unauthenticated,
                403 => ErrorKind::Forbidden,
                404 | 410 => ErrorKind::NotFound,
                409 => ErrorKind::Conflict,
                412 => ErrorKind::PreconditionFailed,
                429 | 500..=599 => ErrorKind::Unavailable,
                _ => ErrorKind::Internal,
            },
        }
    }

    /// The HTTP status, where the API server answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => Some(*code),
            Self::Kubeconfig { .. }
            | Self::NotInCluster(_)
            | Self::Unreachable(_)
            | Self::Certificate(_)
            | Self::Credentials(_)
            | Self::Fields(_)
            | Self::Taken(_)
            | Self::UnknownKind { .. }
            | Self::Answer(_)
            | Self::Cancelled => None,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Kubeconfig { .. } => {
                Some("check --kubeconfig or KUBECONFIG; `kubectl config view` reads the same file")
            }
            Self::NotInCluster(_) => {
                Some("give --kubeconfig or KUBECONFIG, or start without either for the embedded cluster")
            }
            Self::Unreachable(_) => {
                Some("check the server's address in the kubeconfig, and that it is up and not behind a firewall")
            }
            Self::Certificate(_) => {
                Some("check certificate-authority-data in the kubeconfig, and that the address is the server's own")
            }
            Self::Credentials(_) => {
                Some("check the user section of the kubeconfig, and that its credential plugin works")
            }
            Self::Api { code: 401, .. } => Some("the credentials are wrong or have expired"),
            Self::Api { code: 403 | 422, message, .. } if message.contains("must support resize") => Some(
                "the volume's storage class does not let volumes grow (allowVolumeExpansion): undo the change in Git",
            ),
            Self::Api { code: 403, .. } => {
                Some("the account lacks this right: see kubernetes/rbac.yaml for what is needed")
            }
            Self::Api { code: 422, message, .. } if is_about_immutability(message) => Some(
                "the field can only be set when the object is made: undo the change in Git, or delete the object by hand and let it be made again",
            ),
            Self::Taken(_) => Some(
                "give it another name in the overlay, or delete the one that is there; one that has the project's label \
                 claude-manager.io/project is taken over",
            ),
            Self::Fields(_) => Some("check the spelling of the field and the indentation around it"),
            Self::Api { .. } | Self::UnknownKind { .. } | Self::Answer(_) | Self::Cancelled => None,
        }
    }

    /// Whether an apply without force would have taken fields from others.
    pub(super) fn is_about_owners(&self) -> bool {
        matches!(self, Self::Api { code: 409, message, .. } if message.starts_with("Apply failed with"))
    }

    /// Whether the very same request may succeed in a moment.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Api { code, .. } => matches!(code, 409 | 429 | 500 | 502 | 503 | 504),
            Self::Kubeconfig { .. }
            | Self::NotInCluster(_)
            | Self::Certificate(_)
            | Self::Credentials(_)
            | Self::Fields(_)
            | Self::Taken(_)
            | Self::UnknownKind { .. }
            | Self::Answer(_)
            | Self::Cancelled => false,
        }
    }

    /// Reads an answer that is no success.
    pub(super) fn from_answer(code: u16, reason: String, message: String, retry_after: Option<u64>) -> Self {
        // An object that does not fit its schema is answered with 500, although trying again never helps.
        let schema =
            message.strip_prefix("failed to create typed patch object (").and_then(|rest| rest.split_once("): "));
        match schema {
            Some((_, fields)) => {
                let lines = fields.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "errors:");
                Self::Fields(lines.collect::<Vec<_>>().join("; "))
            }
            None => Self::Api { code, reason, message, retry_after },
        }
    }

    /// Reads the cause out of the client's error, whose own text repeats itself and names internals.
    pub(super) fn from_client(error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::Api {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
                retry_after: None,
            };
        }
        if matches!(error, kube::Error::Auth(_)) {
            return Self::Credentials(innermost(error));
        }
        let mut cause: Option<&dyn StdError> = Some(error);
        while let Some(current) = cause {
            let text = current.to_string();
            if text.contains("invalid peer certificate") || text.contains("certificate") {
                return Self::Certificate(innermost(error));
            }
            if let Some(io) = current.downcast_ref::<io::Error>() {
                match io.kind() {
                    io::ErrorKind::ConnectionRefused => return Self::Unreachable("connection refused".to_owned()),
                    io::ErrorKind::TimedOut => return Self::Unreachable("connecting took too long".to_owned()),
                    _ => {}
                }
            }
            cause = current.source();
        }
        Self::Unreachable(innermost(error))
    }
}

/// The sentence at the end of the chain of causes: the one that says what happened.
fn innermost(error: &dyn StdError) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

fn is_about_immutability(message: &str) -> bool {
    ["immutable", "Forbidden: updates to", "can not be less than"].iter().any(|part| message.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, message: &str) -> Error {
        Error::Api { code, reason: String::new(), message: message.to_owned(), retry_after: None }
    }

    #[test]
    fn a_refused_change_of_an_immutable_field_is_never_tried_again_and_says_what_to_do() {
        let error = api(422, "spec.selector: Invalid value: …: field is immutable");
        assert!(!error.is_transient());
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.hint().is_some_and(|hint| hint.contains("undo the change in Git")));
    }

    #[test]
    fn a_volume_that_cannot_grow_is_told_apart_from_a_missing_right() {
        let words = "persistentvolumeclaims \"a\" is forbidden: only dynamically provisioned pvc can be resized and the \
                     storageclass that provisions the pvc must support resize";
        for code in [403, 422] {
            assert!(api(code, words).hint().is_some_and(|hint| hint.contains("allowVolumeExpansion")), "{code}");
        }
        assert!(api(403, "is forbidden: User \"x\" cannot patch").hint().is_some_and(|hint| hint.contains("right")));
    }

    #[test]
    fn fields_that_do_not_fit_the_schema_are_named_and_not_tried_again() {
        let say = |text: &str| {
            Error::from_answer(
                500,
                String::new(),
                format!("failed to create typed patch object (n/x; /v1, Kind=ConfigMap): {text}"),
                None,
            )
        };
        let one = say(".dato: field not declared in schema");
        assert_eq!(one.to_string(), ".dato: field not declared in schema");
        assert_eq!((one.kind(), one.is_transient()), (ErrorKind::Invalid, false));
        assert_eq!(say("errors:\n  .a: x\n  .b: y").to_string(), ".a: x; .b: y");
    }

    #[test]
    fn overload_and_races_are_tried_again() {
        for code in [409, 429, 500, 503] {
            assert!(api(code, "").is_transient(), "{code}");
        }
        for code in [400, 401, 403, 404] {
            assert!(!api(code, "").is_transient(), "{code}");
        }
    }
}
