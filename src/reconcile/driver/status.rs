//! How a unit is doing, in words; who is asked when the watches alone cannot say; and the end of a unit that is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::ProjectState;
use super::super::events::{announce, announcement};
use super::super::inventory;
use super::super::store_writer::Entry;
use super::super::unit::PATIENCE;
use super::Driver;
use super::ask::{ask_agent, ask_last_words};
use crate::cluster;
use crate::plan::{self, Awaited, Content, Live, Observation, UnitPlan};
use crate::project::{ObjectKey, Phase, ProjectName, Reason, Unit};

/// After these times a project that still starts is looked at again: some reasons only count when they last (a moment for
/// a pod that is not made, 15 s for one that no node takes, 120 s for a volume).
const SECOND_LOOKS: [Duration; 3] = [PATIENCE, Duration::from_secs(16), Duration::from_secs(121)];

impl Driver {
    /// A text from an environment without the values of the Secrets that Git gives it.
    pub(super) fn without_secrets(&self, project: &ProjectName, text: &str) -> String {
        let units = [Unit::Base, Unit::Project(project.clone())];
        let desired = units.iter().filter_map(|unit| self.units.get(unit)?.desired.as_ref()?.objects.as_ref().ok());
        let secrets: Vec<Content> =
            desired.flat_map(|objects| objects.secrets()).map(|secret| secret.content).collect();
        plan::without_secrets(text, secrets.iter().map(|secret| &**secret))
    }

    /// Puts into words how a unit is doing, and tidies up behind a unit that is gone.
    pub(super) fn describe(&mut self, unit: &Unit, plan: UnitPlan, observation: &Observation) {
        let Some(state) = self.units.get_mut(unit) else { return };
        let resting = plan.actions.is_empty() && !state.is_running();
        let gone =
            state.desired.is_none() && state.deletion_held.is_none() && resting && plan::is_gone(&plan, observation);
        // Of a deleted unit everything is remembered until the last of it is gone.
        if resting && self.next.synced && state.is_plannable() && (state.desired.is_some() || gone) {
            let inventory = inventory::at_rest(&state.inventory, state.desired.as_deref(), &plan, observation);
            self.remember(unit, inventory, None);
        }
        let Some(state) = self.units.get_mut(unit) else { return };
        self.publishing.changed();
        let Unit::Project(name) = unit else {
            // What is there already is remembered once, or a restart would not know what somebody deletes afterwards.
            if let Some(attempt) = &mut state.attempt
                && resting
                && self.next.synced
                && !state.applied_before
                && attempt.is_there()
            {
                let _ = self.ledger.send(Entry::History(attempt.passage(unit)));
            }
            let error = state.desired.as_ref().and_then(|desired| desired.objects.as_ref().err());
            self.base_error = match error {
                Some(error) => Some(error.message.clone()),
                None => state.failures.first().map(|(key, message)| format!("{key}: {message}")),
            };
            return;
        };
        if gone || state.is_strange() {
            self.next.projects.remove(name);
            self.crashes.forget(name);
            self.dirty.extend(self.turns.done(unit));
            if observation.objects.is_empty() {
                self.units.remove(unit);
            }
            return;
        }
        let error = state.desired.as_ref().and_then(|desired| desired.objects.as_ref().err());
        let because = |reason: Reason| error.filter(|error| error.reason == reason).map(|error| error.message.as_str());
        let violations: Vec<String> = because(Reason::PolicyViolation).map(str::to_owned).into_iter().collect();
        let contested = state.contested(Instant::now());
        let answer = if state.desired.is_some() { self.agents.answer(name) } else { None };
        let complaint = state.complaint(Instant::now(), |awaited| complaint(&self.observer, awaited, observation));
        let input = plan::StatusInput {
            agent: answer.map(|answer| (answer.reason, answer.message.as_str())),
            spec: state.desired.as_ref().and_then(|desired| desired.spec.as_ref()),
            deleted: state.desired.is_none(),
            render_error: because(Reason::RenderFailed),
            violations: &violations,
            secrets_error: because(Reason::SecretsUnreadable),
            cluster_error: self.next.cluster.as_deref(),
            apply_errors: &state.failures,
            untouched: state.untouched,
            contested: &contested,
            suspended: state.suspended(&self.policy),
            deletion_held: state.deletion_held.as_deref(),
            waits_for_turn: self.turns.waits(unit).then_some(self.policy.rollout.restarts).flatten(),
            busy_for: self.turns.is_busy(unit).then_some(self.policy.rollout.busy),
            complaint: complaint.as_ref().map(|(awaited, said)| (*awaited, said.as_str())),
            last_words: self.crashes.words(name),
            plan: &plan,
            observation,
            applied_revision: state.applied_revision,
            head: self.next.head,
            now: Timestamp::now(),
        };
        let status = plan::status(unit, &input);
        let awaited = match status.reason {
            Reason::WaitingForPod | Reason::PodRefused => Some(Awaited::Pod),
            Reason::WaitingForVolume => Some(Awaited::Volume),
            // A commit that waits has made it forget what it waited for.
            Reason::WaitingForApply => None,
            _ => observation.objects.iter().any(grows).then_some(Awaited::Growth),
        };
        let comes_up = matches!(status.phase, Phase::Pending | Phase::Starting | Phase::Failed | Phase::Suspended);
        if matches!(status.phase, Phase::Running | Phase::Stopped)
            && let Some(attempt) = &mut state.attempt
            && let Some(took) = attempt.is_healthy()
        {
            self.parts.metrics.reconciled("healthy", took);
            let _ = self.ledger.send(Entry::History(attempt.passage(unit)));
        }
        let is_first = !self.next.projects.contains_key(name);
        if let Some(news) = announcement(name, &mut state.announced, is_first, &status, observation) {
            announce(&self.parts.client, news);
        }
        if !comes_up && plan.actions.is_empty() && !state.is_running() {
            self.dirty.extend(self.turns.done(unit));
        }
        state.waits_for(awaited, Instant::now());
        if let Some(crash) = self.crashes.step(name, observation) {
            ask_last_words(&self.parts, self.back.clone(), name.clone(), crash);
        }
        ask_agent(&self.parts, &self.back, &mut self.timers, &mut self.agents, name, observation);
        if status.phase == Phase::Starting {
            // Only when it began to: the look itself must not wake the loop for ever.
            let before = self.next.projects.get(name).map(|project| &project.status);
            if before.is_none_or(|before| before != &status) {
                for after in SECOND_LOOKS {
                    self.timers.entry(Instant::now() + after).or_default().insert(unit.clone());
                }
            }
        }
        // What is about to be done is soon done: a fleet's worth of objects is not kept for the moment in between.
        let plan = if state.is_running() || self.queue.contains(unit) { plan.without_objects() } else { plan };
        let desired = state.desired.as_ref();
        let change = self.last_changes.get(name);
        let project = ProjectState {
            spec: desired.and_then(|desired| desired.spec.clone()),
            status,
            overlay_id: desired.and_then(|desired| desired.overlay_id.clone()),
            revision: change.map(|change| change.revision),
            updated_at: change.map(|change| change.time.to_string()),
            plan: Arc::new(plan),
            objects: desired.map_or(0, |desired| desired.objects.iter().flat_map(|all| all.iter()).count()),
        };
        self.next.projects.insert(name.clone(), Arc::new(project));
    }
}

/// Whether it is a volume that is smaller than Git says.
fn grows((key, live): (&ObjectKey, &Live)) -> bool {
    key.kind == "PersistentVolumeClaim" && plan::is_growing(&live.object)
}

/// What a controller complained of last about what a project waits for.
fn complaint(observer: &cluster::Observer, awaited: Awaited, observation: &Observation) -> Option<cluster::Complaint> {
    let mut concerned = observation.objects.iter().filter(|(key, live)| match awaited {
        Awaited::Pod => key.kind == "StatefulSet",
        Awaited::Volume => key.kind == "PersistentVolumeClaim" && live.object["status"]["phase"] == "Pending",
        Awaited::Growth => grows((key, live)),
    });
    concerned.find_map(|(key, _)| observer.complaint(key))
}
