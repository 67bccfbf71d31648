//! The loop that compares and applies: one state machine for each unit, woken by commits, by what was observed and by
//! its own timers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::agents::{self, Agents};
use super::announce::{announce, announcement};
use super::breaker;
use super::execute::{Applied, apply, not_begun};
use super::follow::Look;
use super::ledger::{self, Entry};
use super::rollout::Turns;
use super::unit::{Awaited, PATIENCE, Step, UnitState};
use super::{Deletion, Parts, ProjectState, Snapshot};
use crate::agent;
use crate::cluster;
use crate::git;
use crate::plan::{self, Desired, Observation, Policy, UnitPlan};
use crate::project::{ObjectKey, Phase, ProjectName, Reason, Revision, Unit};

/// Units that are applied at the same time; how many requests they send together is for [`cluster::Pace`] to say.
const PARALLEL_UNITS: usize = 32;
/// Snapshots that nobody waits for are this far apart: each is a copy of the list of all projects.
const BETWEEN_SNAPSHOTS: Duration = Duration::from_millis(20);
/// After these times a project that still starts is looked at again: some reasons only count when they last (a moment for
/// a pod that is not made, 15 s for one that no node takes, 120 s for a volume).
const SECOND_LOOKS: [Duration; 3] = [PATIENCE, Duration::from_secs(16), Duration::from_secs(121)];

/// What wakes the loop.
#[derive(Debug)]
pub(super) enum Message {
    /// The head moved.
    Looked(Box<Look>, Vec<oneshot::Sender<()>>),
    /// The head is where it was.
    Unmoved(Vec<oneshot::Sender<()>>),
    /// The repository could not be read.
    Unreadable(String, Vec<oneshot::Sender<()>>),
    /// An apply ended.
    Applied(Unit, u64, Applied),
    /// What the events say of a project that has no pod.
    Refusal(Unit, Option<String>),
    /// What the agent in the pod with this uid says.
    Agent(ProjectName, String, Box<Result<agent::Status, agent::ClientError>>),
    /// Which of the projects that are gone at this head somebody has deleted knowingly.
    Meant(Revision, BTreeSet<ProjectName>),
    /// Somebody wants to see it done.
    Refresh(Option<ProjectName>, oneshot::Sender<()>),
    /// Somebody asks what deleting a project would do.
    Deletion(ProjectName, oneshot::Sender<Option<Deletion>>),
}

/// Runs until every handle is gone.
pub(super) async fn run(
    parts: Parts,
    mut messages: mpsc::Receiver<Message>,
    back: mpsc::WeakSender<Message>,
    publish: watch::Sender<Arc<Snapshot>>,
) {
    let inventory = match parts.store.inventory().await {
        Ok(inventory) => inventory,
        Err(error) => {
            // Nothing is lost without it: what carries our label and our field manager is still known to be ours.
            tracing::error!(%error, "the inventory could not be read");
            BTreeMap::new()
        }
    };
    let kinds = inventory.values().flatten().map(kind_of).collect::<BTreeSet<_>>();
    let observer = cluster::Observer::start(parts.client.clone(), &parts.namespace, kinds);
    let mut changes = observer.changes();
    let mut connection = observer.connection();
    let mut driver = Driver::new(parts, observer, back, inventory);
    loop {
        let timer = driver.timers.first_key_value().map(|(at, _)| *at);
        let deadline = timer.into_iter().chain(driver.publish_at).min();
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { return };
                driver.take(message);
                while let Ok(message) = messages.try_recv() {
                    driver.take(message);
                }
            }
            changed = changes.next() => driver.observed(changed),
            _ = connection.changed() => {}
            () = sleep_until(deadline) => driver.timers_due(Instant::now()),
        }
        let now = connection.borrow_and_update().clone();
        driver.connected(now);
        driver.advance();
        driver.publish(&publish);
        driver.answer();
    }
}

fn kind_of(key: &ObjectKey) -> cluster::Kind {
    cluster::Kind::new(&key.group, &key.kind)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What is known of a unit in the cluster.
fn observe(observer: &cluster::Observer, unit: &Unit, state: &UnitState) -> Observation {
    let objects = observer.objects_for(unit, state.keys());
    Observation { objects, inventory: BTreeMap::from([(unit.clone(), state.inventory.clone())]) }
}

struct Driver {
    parts: Parts,
    observer: cluster::Observer,
    back: mpsc::WeakSender<Message>,
    slots: Arc<Semaphore>,
    pace: cluster::Pace,
    /// Where the inventory goes.
    ledger: mpsc::UnboundedSender<Entry>,
    units: BTreeMap<Unit, UnitState>,
    /// The units that have to be planned again.
    dirty: BTreeSet<Unit>,
    /// When to look at which units again.
    timers: BTreeMap<Instant, BTreeSet<Unit>>,
    runs: BTreeMap<Unit, cluster::Canceller>,
    last_changes: BTreeMap<ProjectName, git::LastChange>,
    agents: Agents,
    /// Whether it was ever read what Git wants.
    known: bool,
    /// What is wrong with the root.
    root_error: Option<String>,
    /// What is wrong with the base-wide objects.
    base_error: Option<String>,
    /// What the head gives to warn of.
    warnings: Vec<String>,
    /// The policy in force.
    policy: Arc<Policy>,
    /// Who may restart.
    turns: Turns,
    /// How many objects of each kind are managed.
    kinds: BTreeMap<String, i64>,
    /// Who waits for the next snapshot.
    loading: Vec<oneshot::Sender<()>>,
    /// Who waits until units are done.
    refreshing: Vec<(Option<ProjectName>, oneshot::Sender<()>)>,
    next: Snapshot,
    published: bool,
    published_at: Option<Instant>,
    /// When the next snapshot is due.
    publish_at: Option<Instant>,
}

impl Driver {
    fn new(
        parts: Parts,
        observer: cluster::Observer,
        back: mpsc::WeakSender<Message>,
        inventory: BTreeMap<Unit, BTreeSet<ObjectKey>>,
    ) -> Self {
        let mut kinds = BTreeMap::new();
        for key in inventory.values().flatten() {
            *kinds.entry(key.kind.clone()).or_default() += 1;
        }
        let units =
            inventory.into_iter().map(|(unit, inventory)| (unit, UnitState::with_inventory(inventory))).collect();
        let (ledger, entries) = mpsc::unbounded_channel();
        tokio::spawn(ledger::keep(parts.store.clone(), entries));
        Self {
            parts,
            observer,
            back,
            slots: Arc::new(Semaphore::new(PARALLEL_UNITS)),
            pace: cluster::Pace::default(),
            ledger,
            units,
            dirty: BTreeSet::new(),
            timers: BTreeMap::new(),
            runs: BTreeMap::new(),
            last_changes: BTreeMap::new(),
            agents: Agents::default(),
            known: false,
            root_error: None,
            base_error: None,
            warnings: Vec::new(),
            policy: Arc::default(),
            turns: Turns::default(),
            kinds,
            loading: Vec::new(),
            refreshing: Vec::new(),
            next: Snapshot::default(),
            published: false,
            published_at: None,
            publish_at: None,
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Looked(look, waiting) => {
                self.loading.extend(waiting);
                self.looked(*look);
            }
            Message::Unmoved(waiting) => {
                self.loading.extend(waiting);
            }
            Message::Unreadable(error, waiting) => {
                self.loading.extend(waiting);
                self.root_error = Some(format!("the state repository cannot be read: {error}"));
                self.published = false;
            }
            Message::Applied(unit, run, applied) => {
                self.runs.remove(&unit);
                if let Some(state) = self.units.get_mut(&unit) {
                    let outdated = state.pause() == Step::Preempt;
                    if let (Unit::Project(name), Some(attempt), false) = (&unit, &mut state.attempt, outdated) {
                        if let Some(took) = attempt.ended(&applied.failures, applied.complete) {
                            self.parts.metrics.reconciled("applied", took);
                        }
                        let _ = self.ledger.send(Entry::History(attempt.passage(name)));
                    }
                    state.ended(run, applied.failures, applied.complete, Instant::now());
                }
                self.dirty.insert(unit);
            }
            Message::Refusal(unit, refusal) => {
                if let (Some(state), Some(_)) = (self.units.get_mut(&unit), &refusal) {
                    state.refusal = refusal;
                    self.dirty.insert(unit);
                }
            }
            Message::Agent(project, uid, answer) => {
                self.agents.answered(&project, &uid, &answer, Instant::now());
                self.dirty.insert(Unit::Project(project));
            }
            Message::Meant(head, meant) => {
                if self.next.head == Some(head) {
                    self.judge_deletions(Some(&meant));
                }
            }
            Message::Refresh(project, done) => {
                for (unit, state) in &mut self.units {
                    if project.as_ref().is_none_or(|name| *unit == Unit::Project(name.clone())) {
                        state.forget_waits();
                        self.dirty.insert(unit.clone());
                    }
                }
                self.refreshing.push((project, done));
            }
            Message::Deletion(project, answer) => {
                let _ = answer.send(self.deletion(project));
            }
        }
    }

    /// What would be done for a project that Git wanted no more; nothing is known of that before the first look.
    fn deletion(&self, project: ProjectName) -> Option<Deletion> {
        let unit = Unit::Project(project);
        let state = self.units.get(&unit).filter(|_| self.next.synced)?;
        let observation = observe(&self.observer, &unit, state);
        let plan =
            |delete_volumes| plan::unit(&unit, &Desired::Absent { delete_volumes }, &observation, &self.policy.drift);
        Some(Deletion { keeping_volumes: plan(false), with_volumes: plan(true) })
    }

    /// Takes what a newer head wants.
    fn looked(&mut self, look: Look) {
        self.published = false;
        self.next.head = Some(look.head);
        self.last_changes = look.last_changes;
        self.root_error = look.error;
        // A root that does not build wants nothing new and gives nothing up.
        let Some(desired) = look.desired else { return };
        self.known = true;
        self.warnings = desired.warnings;
        if self.policy != desired.policy {
            self.policy = desired.policy;
            self.dirty.extend(self.units.keys().cloned());
        }
        self.turns.changed(&desired.rendered, self.policy.rollout.restarts);
        let observed = self.observer.units();
        let gone: Vec<Unit> = (self.units.iter())
            .filter(|(unit, state)| state.desired.is_some() && !desired.units.contains_key(*unit))
            .map(|(unit, _)| unit.clone())
            .collect();
        let unlisted = self.units.keys().cloned().collect::<BTreeSet<_>>();
        for unit in gone.into_iter().chain(observed).chain(unlisted).collect::<BTreeSet<_>>() {
            if !desired.units.contains_key(&unit) {
                let given_up = matches!(&unit, Unit::Project(name) if desired.volumes_given_up.contains(name));
                self.units.entry(unit.clone()).or_default().want(None, given_up);
                self.dirty.insert(unit);
            }
        }
        for (unit, wanted) in desired.units {
            let state = self.units.entry(unit.clone()).or_default();
            let known = state.desired.as_ref().is_some_and(|known| Arc::ptr_eq(known, &wanted));
            if !known {
                for object in wanted.objects.iter().flat_map(|objects| objects.iter()) {
                    self.observer.watch_kind(&kind_of(&object.key));
                }
                state.want(Some(wanted), false);
                self.dirty.insert(unit);
            }
        }
        self.judge_deletions(None);
    }

    /// Holds deletions back when there are too many at once, but for those that are `meant`; without that, asks the history
    /// which are.
    fn judge_deletions(&mut self, meant: Option<&BTreeSet<ProjectName>>) {
        let is_project = |unit: &&Unit| matches!(unit, Unit::Project(_));
        let all = self.units.iter().filter(|(unit, state)| is_project(unit) && state.desired.is_some()).count();
        let mut gone: BTreeSet<ProjectName> = BTreeSet::new();
        for (unit, state) in &self.units {
            if let Unit::Project(name) = unit
                && state.would_delete()
            {
                gone.insert(name.clone());
            }
        }
        let all = all + gone.len();
        let unconfirmed: BTreeSet<ProjectName> =
            gone.iter().filter(|name| meant.is_none_or(|meant| !meant.contains(*name))).cloned().collect();
        let exceeded = self.policy.prune.is_exceeded(unconfirmed.len(), all);
        for name in &gone {
            let held = exceeded && unconfirmed.contains(name);
            let unit = Unit::Project(name.clone());
            if let Some(state) = self.units.get_mut(&unit) {
                state.deletion_held = held.then(|| breaker::held(unconfirmed.len(), all, self.next.head));
                self.dirty.insert(unit);
            }
        }
        if let (true, None, Some(head)) = (exceeded, meant, self.next.head) {
            let (repository, back) = (self.parts.repository.clone(), self.back.clone());
            tokio::spawn(async move {
                let read = tokio::task::spawn_blocking(move || breaker::meant(&repository, head, &unconfirmed)).await;
                match (read, back.upgrade()) {
                    (Ok(Ok(meant)), Some(back)) => drop(back.send(Message::Meant(head, meant)).await),
                    (Ok(Err(error)), _) => tracing::error!(%error, "the deletions could not be judged; they stay held"),
                    _ => {}
                }
            });
        }
    }

    /// Takes what the watches saw.
    fn observed(&mut self, changed: BTreeSet<Unit>) {
        for unit in changed {
            // Something with a label of ours that Git knows nothing of.
            self.units.entry(unit.clone()).or_default();
            self.dirty.insert(unit);
        }
    }

    /// Takes how the watches are doing.
    fn connected(&mut self, connection: cluster::Connection) {
        if self.next.cluster != connection.unreachable || self.next.synced != connection.synced {
            self.next.cluster = connection.unreachable;
            self.next.synced = connection.synced;
            self.published = false;
            self.dirty.extend(self.units.keys().cloned());
            self.dirty.extend(self.observer.units());
            for unit in &self.dirty {
                self.units.entry(unit.clone()).or_default();
            }
        }
    }

    fn timers_due(&mut self, now: Instant) {
        let later = self.timers.split_off(&(now + Duration::from_millis(1)));
        for units in std::mem::replace(&mut self.timers, later).into_values() {
            self.dirty.extend(units);
        }
    }

    /// Plans every unit that something happened to, and starts what can start.
    fn advance(&mut self) {
        // Before Git was read nothing is missing from it; before the first lists nothing is missing from the cluster.
        if !self.known {
            return;
        }
        // What one does may concern others: a turn that becomes free is taken at once.
        while !self.dirty.is_empty() {
            for unit in std::mem::take(&mut self.dirty) {
                self.advance_unit(&unit);
            }
        }
    }

    fn advance_unit(&mut self, unit: &Unit) {
        let Some(state) = self.units.get_mut(unit) else { return };
        let is_described = matches!(unit, Unit::Project(name) if self.next.projects.contains_key(name));
        if state.is_running() && state.pause() == Step::Rest && is_described {
            // Every answer to a write of ours comes by here; the end of the run looks at all of them together.
            return;
        }
        let now = Instant::now();
        let mut observation = Observation::default();
        let mut plan = UnitPlan { unit: unit.clone(), actions: Vec::new(), held: Vec::new() };
        if self.next.synced {
            observation = observe(&self.observer, unit, state);
            let planned = state.planned();
            if let Some(desired) = &planned {
                plan = plan::unit(unit, desired, &observation, &self.policy.drift);
            }
            let mut rests = planned.is_none() || state.suspended(&self.policy).is_some();
            if !rests && plan::restarts(&plan, &observation) {
                rests = !self.turns.may_restart(unit, self.policy.rollout.restarts);
            }
            match if rests { state.pause() } else { state.step(&mut plan, now) } {
                Step::Rest => {}
                Step::Later(at) => {
                    self.timers.entry(at).or_default().insert(unit.clone());
                }
                Step::Preempt => {
                    if let Some(run) = self.runs.get(unit) {
                        run.cancel();
                    }
                }
                Step::Apply(run) => {
                    self.start(unit, run, plan.clone());
                }
            }
        }
        self.describe(unit, plan, &observation);
    }
}

impl Driver {
    /// Applies `plan` in a task of its own. What is about to exist is written to the inventory first, so that
    /// nothing that was applied can be forgotten.
    fn start(&mut self, unit: &Unit, run: u64, plan: UnitPlan) {
        if let Some(state) = self.units.get_mut(unit) {
            if state.is_drift() {
                plan.actions.iter().for_each(|action| self.parts.metrics.drift(plan::drifted_by(action)));
            }
            if let Some(attempt) = &mut state.attempt {
                attempt.begins(&plan);
            }
        }
        let known = self.units.get(unit).map(|state| state.inventory.clone()).unwrap_or_default();
        let more: BTreeSet<ObjectKey> = plan.actions.iter().map(|action| action.key.clone()).chain(known).collect();
        let written = self.remember(unit, more).map(|keys| {
            let (written, wait) = oneshot::channel();
            let _ = self.ledger.send(Entry::Inventory { unit: unit.clone(), keys, written: Some(written) });
            wait
        });
        let (parts, observer, slots) = (self.parts.clone(), self.observer.clone(), Arc::clone(&self.slots));
        let pace = self.pace.clone();
        let (canceller, cancel) = cluster::cancellation();
        self.runs.insert(unit.clone(), canceller);
        let (back, unit) = (self.back.clone(), unit.clone());
        tokio::spawn(async move {
            let Ok(_slot) = slots.acquire().await else { return };
            let applied = match written {
                Some(written) => match written.await {
                    Ok(Ok(())) => apply(&parts, &observer, &pace, &plan, &cancel).await,
                    Ok(Err(error)) => not_begun(&plan, &error),
                    Err(_) => not_begun(&plan, "the program is stopping"),
                },
                None => apply(&parts, &observer, &pace, &plan, &cancel).await,
            };
            if let Some(back) = back.upgrade() {
                let _ = back.send(Message::Applied(unit, run, applied)).await;
            }
        });
    }

    /// Takes what belongs to a unit; gives it back when that is news for the store.
    fn remember(&mut self, unit: &Unit, keys: BTreeSet<ObjectKey>) -> Option<BTreeSet<ObjectKey>> {
        let state = self.units.get_mut(unit)?;
        if state.inventory == keys {
            return None;
        }
        for key in &state.inventory {
            *self.kinds.entry(key.kind.clone()).or_default() -= 1;
        }
        for key in &keys {
            *self.kinds.entry(key.kind.clone()).or_default() += 1;
        }
        state.inventory.clone_from(&keys);
        self.parts.metrics.set_kubernetes_resources(self.kinds.iter().map(|(kind, count)| (kind.as_str(), *count)));
        Some(keys)
    }

    /// Puts into words how a unit is doing, and tidies up behind a unit that is gone.
    fn describe(&mut self, unit: &Unit, plan: UnitPlan, observation: &Observation) {
        let Some(state) = self.units.get_mut(unit) else { return };
        let resting = plan.actions.is_empty() && !state.is_running();
        let gone =
            state.desired.is_none() && state.deletion_held.is_none() && resting && plan::is_gone(&plan, observation);
        // Of a deleted unit everything is remembered until the last of it is gone.
        if resting && self.next.synced && state.planned().is_some() && (state.desired.is_some() || gone) {
            let keep: BTreeSet<ObjectKey> = (state.desired.iter())
                .flat_map(|desired| desired.objects.iter().flat_map(|objects| objects.iter()))
                .map(|object| object.key.clone())
                .chain(plan.held.iter().map(|held| held.key.clone()))
                .collect();
            if let Some(keys) = self.remember(unit, keep) {
                // Nobody waits for it: until it is written, more is known to be ours than there is.
                let _ = self.ledger.send(Entry::Inventory { unit: unit.clone(), keys, written: None });
            }
        }
        let Some(state) = self.units.get_mut(unit) else { return };
        self.published = false;
        let Unit::Project(name) = unit else {
            let error = state.desired.as_ref().and_then(|desired| desired.objects.as_ref().err());
            self.base_error = match error {
                Some(error) => Some(error.message.clone()),
                None => state.failures.first().map(|(key, message)| format!("{key}: {message}")),
            };
            return;
        };
        if gone || state.is_strange() {
            self.next.projects.remove(name);
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
        let input = plan::StatusInput {
            agent: answer.map(|answer| (answer.reason, answer.message.as_str())),
            spec: state.desired.as_ref().and_then(|desired| desired.spec.as_ref()),
            deleted: state.desired.is_none(),
            render_error: because(Reason::RenderFailed),
            violations: &violations,
            secrets_error: because(Reason::SecretsUnreadable),
            cluster_error: self.next.cluster.as_deref(),
            apply_errors: &state.failures,
            contested: &contested,
            suspended: state.suspended(&self.policy),
            deletion_held: state.deletion_held.as_deref(),
            waits_for_turn: self.turns.waits(unit).then_some(self.policy.rollout.restarts).flatten(),
            pod_refusal: state.refusal.as_deref(),
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
            _ => None,
        };
        let comes_up = matches!(status.phase, Phase::Pending | Phase::Starting | Phase::Failed | Phase::Suspended);
        if matches!(status.phase, Phase::Running | Phase::Stopped)
            && let Some(attempt) = &mut state.attempt
            && let Some(took) = attempt.is_healthy()
        {
            self.parts.metrics.reconciled("healthy", took);
            let _ = self.ledger.send(Entry::History(attempt.passage(name)));
        }
        let is_first = !self.next.projects.contains_key(name);
        if let Some(news) = announcement(name, &mut state.announced, is_first, &status, observation) {
            announce(&self.parts.client, news);
        }
        if !comes_up && plan.actions.is_empty() && !state.is_running() {
            self.dirty.extend(self.turns.done(unit));
        }
        if let (true, Some(awaited)) = (state.waits_for(awaited, Instant::now()), awaited) {
            ask_why(&self.parts, self.back.clone(), unit.clone(), awaited, observation);
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
        let desired = state.desired.as_ref();
        let change = self.last_changes.get(name);
        let project = ProjectState {
            spec: desired.and_then(|desired| desired.spec.clone()),
            status,
            overlay_id: desired.and_then(|desired| desired.overlay_id.clone()),
            revision: change.map(|change| change.revision),
            updated_at: change.map(|change| change.time.to_string()),
            plan: Arc::new(plan),
        };
        self.next.projects.insert(name.clone(), Arc::new(project));
    }

    fn publish(&mut self, publish: &watch::Sender<Arc<Snapshot>>) {
        if !self.published {
            let due = self.published_at.map(|at| at + BETWEEN_SNAPSHOTS);
            let is_wanted = !self.loading.is_empty() || !self.refreshing.is_empty();
            if let Some(due) = due.filter(|due| *due > Instant::now() && !is_wanted) {
                self.publish_at = Some(due);
                return;
            }
            self.published = true;
            self.publish_at = None;
            self.published_at = Some(Instant::now());
            let strange = self.units.iter().filter(|(unit, state)| **unit != Unit::Base && state.is_strange());
            let told = strange.map(|(unit, _)| {
                format!(
                    "the cluster has objects of {unit}, which is neither in Git nor known to this manager; they are left \
                     alone: add the project, or delete them by hand"
                )
            });
            self.next.base_error = self.root_error.clone().or_else(|| self.base_error.clone());
            self.next.warnings = self.warnings.iter().cloned().chain(told).collect();
            self.parts.metrics.set_projects(self.next.projects.values().map(|project| project.status.phase));
            publish.send_replace(Arc::new(self.next.clone()));
        }
    }

    /// Tells whoever waits for what is now so.
    fn answer(&mut self) {
        for done in self.loading.drain(..) {
            let _ = done.send(());
        }
        let (units, runs) = (&self.units, &self.runs);
        let busy = |unit: &Unit, state: &UnitState| runs.contains_key(unit) || state.is_running();
        for (project, done) in std::mem::take(&mut self.refreshing) {
            let still = match &project {
                Some(name) => {
                    let unit = Unit::Project(name.clone());
                    units.get(&unit).is_some_and(|state| busy(&unit, state))
                }
                None => units.iter().any(|(unit, state)| busy(unit, state)),
            };
            if still && !done.is_closed() {
                self.refreshing.push((project, done));
            } else {
                let _ = done.send(());
            }
        }
    }
}

/// Asks the agent of a pod that is not ready, in a task of its own, now or when it is time.
fn ask_agent(
    parts: &Parts,
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

/// Asks the events why a project has no pod or no volume, in a task of its own.
fn ask_why(parts: &Parts, back: mpsc::WeakSender<Message>, unit: Unit, awaited: Awaited, observation: &Observation) {
    let concerned = observation.objects.iter().find(|(key, live)| match awaited {
        Awaited::Pod => key.kind == "StatefulSet",
        Awaited::Volume => key.kind == "PersistentVolumeClaim" && live.object["status"]["phase"] == "Pending",
    });
    let Some((ObjectKey { namespace: Some(namespace), name, .. }, _)) = concerned else { return };
    let (client, namespace, name) = (parts.client.clone(), namespace.clone(), name.clone());
    tokio::spawn(async move {
        let refusal = match awaited {
            Awaited::Pod => cluster::pod_refusal(&client, &namespace, &name).await,
            Awaited::Volume => cluster::volume_refusal(&client, &namespace, &name).await,
        };
        match refusal {
            Ok(refusal) => {
                if let Some(back) = back.upgrade() {
                    let _ = back.send(Message::Refusal(unit, refusal)).await;
                }
            }
            Err(error) => tracing::debug!(%unit, %error, "the events could not be read"),
        }
    });
}
