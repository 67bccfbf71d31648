//! The operations of commands that run and end, without the loops of a running manager. The person at the terminal owns
//! the data directory, so that no role is asked for.

use super::OperationError;
use super::plans::{Planned, resolve};
use crate::reconcile::{self, Dependencies, OnceReport};

/// Plans `revision`, or the head, against the cluster as it is now; with `server`, asks the API server to check the plan
/// (a dry run). Writes nothing.
///
/// # Errors
/// [`OperationError`] when there can be no plan at all; a unit that cannot be planned is an entry of the report.
pub async fn plan_once(parts: &Dependencies, revision: Option<&str>, server: bool) -> Result<Planned, OperationError> {
    let revision = resolve(parts, revision)?;
    let mut report = reconcile::plan_at(parts, revision).await?;
    if server {
        reconcile::ask_server(parts, &mut report).await;
    }
    Ok(Planned { revision, report })
}

/// Brings the cluster to the head and waits for the end. With a hash, applies the plan with this hash or nothing.
///
/// # Errors
/// [`OperationError`] when nothing was done.
pub async fn reconcile_once(parts: Dependencies, hash: Option<&str>) -> Result<OnceReport, OperationError> {
    Ok(match hash {
        Some(hash) => reconcile::reconcile_planned(&parts, hash).await?,
        None => reconcile::reconcile_once(parts).await?,
    })
}
