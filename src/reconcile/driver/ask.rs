//! Questions that are asked in a task of their own, because the watches do not say it: the answer comes back as a message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tokio::sync::mpsc;

use super::super::Dependencies;
use super::super::agents::{self, Agents};
use super::Message;
use crate::cluster;
use crate::plan::{CrashLoop, Observation};
use crate::project::{ProjectName, Unit};

/// Asks the agent of a pod that is not ready, in a task of its own, now or when it is time.
pub(super) fn ask_agent(
    parts: &Dependencies,
    back: &mpsc::WeakSender<Message>,
    timers: &mut BTreeMap<Instant, BTreeSet<Unit>>,
    agents: &mut Agents,
    project: &ProjectName,
    observation: &Observation,
) {
    let Some(client) = parts.agents.clone() else { return };
    match agents.step(project, observation, Instant::now()) {
        agents::Step::Rest => {}
        agents::Step::Later(at) => {
            timers.entry(at).or_default().insert(Unit::Project(project.clone()));
        }
        agents::Step::Ask(pod) => {
            let (back, project) = (back.clone(), project.clone());
            tokio::spawn(async move {
                let answer = client.status(&pod.namespace, &pod.name, pod.ip, &project).await;
                if let Err(error) = &answer {
                    tracing::debug!(%project, %error, "the agent could not be asked");
                }
                if let Some(back) = back.upgrade() {
                    let _ = back.send(Message::Agent(project, pod.uid, Box::new(answer))).await;
                }
            });
        }
    }
}

/// Asks the agent of a project that is to restart whether a turn runs there, in a task of its own. Without an answer there
/// is none to wait for.
pub(super) fn ask_busy(parts: &Dependencies, back: mpsc::WeakSender<Message>, project: &ProjectName, pod: agents::Pod) {
    let (client, project) = (parts.agents.clone(), project.clone());
    tokio::spawn(async move {
        let is_busy = match client {
            Some(client) => match client.status(&pod.namespace, &pod.name, pod.ip, &project).await {
                Ok(status) => {
                    tracing::debug!(%project, busy = status.busy, "asked whether a turn runs");
                    status.busy
                }
                Err(error) => {
                    tracing::warn!(%project, %error, "its agent does not say whether a turn runs; it is restarted");
                    false
                }
            },
            None => false,
        };
        if let Some(back) = back.upgrade() {
            let _ = back.send(Message::Busy(project, is_busy)).await;
        }
    });
}

/// Asks for the end of the log of a container that has ended, in a task of its own.
pub(super) fn ask_last_words(
    parts: &Dependencies,
    back: mpsc::WeakSender<Message>,
    project: ProjectName,
    crash: CrashLoop,
) {
    let client = parts.client.clone();
    tokio::spawn(async move {
        let read =
            cluster::log_end(&client, &crash.namespace, &crash.pod, &crash.container, crash.is_earlier_run).await;
        match (read, back.upgrade()) {
            (Ok(log), Some(back)) => drop(back.send(Message::LastWords(project, crash, log)).await),
            (Err(error), _) => tracing::debug!(%project, %error, "the log of a crash could not be read"),
            _ => {}
        }
    });
}
