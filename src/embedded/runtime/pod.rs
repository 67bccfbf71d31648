//! One pod: does what the state machine says, and tells it what happens.

use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::paths::PodPaths;
use super::pod_state::{Command, Event, Machine, Now, Problem, Question, State};
use super::process::{self, Launch, Process};
use super::record::{self, Record};
use super::spec::PodSpec;
use super::{Shared, environment, lock, probe, root, status};
use crate::embedded::log::LogFiles;

/// What a pod's task is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    /// A Secret or ConfigMap that it uses changed.
    Changed,
    /// It is to go within this time.
    Delete(Duration),
    /// The manager ends: as [`Event::Shutdown`].
    Shutdown(Duration),
    /// No more time.
    Kill,
}

/// Runs a pod until it is gone or the manager ends.
pub(super) async fn run(shared: Arc<Shared>, spec: PodSpec, mut inbox: mpsc::UnboundedReceiver<Message>) {
    let mut pod = Pod::new(shared, spec);
    let mut volumes = pod.shared.volumes.changes();
    pod.take(Event::Tick).await;
    while !matches!(pod.machine.state, State::Ended) {
        pod.publish();
        let waits = matches!(pod.machine.state, State::Waiting { .. });
        let wake = pod.machine.wake().map(|wake| pod.shared.epoch + wake);
        let event = tokio::select! {
            message = inbox.recv() => match message {
                Some(Message::Changed) => {
                    pod.renew();
                    Event::Changed
                }
                Some(Message::Delete(grace)) => Event::Delete(grace),
                Some(Message::Shutdown(grace)) => Event::Shutdown(grace),
                Some(Message::Kill) => Event::Kill,
                // Whoever started this task is gone without a word: the process is left for the next start.
                None => return,
            },
            exit = wait(&mut pod.process) => {
                pod.process = None;
                tracing::info!(pod = %pod.spec.name, code = exit.code, known = exit.known, "the agent has ended");
                Event::Exited(exit)
            }
            (question, good) = answer(&mut pod.asking) => {
                pod.asking = None;
                if let Err(error) = pod.logs().bound() {
                    tracing::warn!(pod = %pod.spec.name, %error, "a log cannot be cut and grows");
                }
                Event::Answered(question, good)
            }
            Ok(()) = volumes.changed(), if waits => Event::Changed,
            () = sleep_until(wake) => Event::Tick,
        };
        pod.take(event).await;
    }
}

async fn wait(process: &mut Option<Process>) -> super::pod_state::Exit {
    match process {
        Some(process) => process.wait().await,
        None => pending().await,
    }
}

async fn answer(asking: &mut Option<(Question, JoinHandle<bool>)>) -> (Question, bool) {
    match asking {
        Some((question, task)) => (*question, task.await.unwrap_or(false)),
        None => pending().await,
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => pending().await,
    }
}

struct Pod {
    shared: Arc<Shared>,
    spec: PodSpec,
    paths: Result<PodPaths, Problem>,
    machine: Machine,
    process: Option<Process>,
    asking: Option<(Question, JoinHandle<bool>)>,
    address: Option<Ipv4Addr>,
    status: Value,
    record: Option<Record>,
}

impl Pod {
    fn new(shared: Arc<Shared>, spec: PodSpec) -> Self {
        let paths = shared.layout.pod(&spec.namespace, &spec.name);
        let mut machine = Machine::new(spec.probes.clone(), spec.grace);
        let mut address = None;
        let mut record = None;
        if let Ok(paths) = &paths {
            record = record::read(&paths.directory).filter(|record| record.uid == spec.uid);
            match &record {
                Some(record) => {
                    machine.restarts = record.restarts;
                    machine.ran = record.ran;
                    machine.last.clone_from(&record.last);
                    address = Some(record.address).filter(|address| shared.addresses.keep(*address, &spec.uid));
                }
                // Of an earlier pod with the same name.
                None => {
                    if let Err(error) = root::remove_tree(&paths.directory) {
                        tracing::warn!(pod = %spec.name, %error, "the directory of an earlier pod cannot be removed");
                    }
                }
            }
        }
        let paths = paths.map_err(|error| Problem::config(error.to_string()));
        let status = spec.object["status"].clone();
        Self { shared, spec, paths, machine, process: None, asking: None, address, status, record }
    }

    /// Takes an event and does what follows from it.
    async fn take(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for command in self.machine.step(event, self.now()) {
                match command {
                    Command::Start => events.push(self.start().unwrap_or_else(Event::Failed)),
                    Command::Terminate(pid) => process::terminate(pid),
                    Command::Kill(pid) => process::kill(pid),
                    Command::Ask(question) => self.ask(question),
                    Command::Remove => self.remove().await,
                    Command::Leave => {
                        self.publish();
                        self.let_go();
                    }
                }
            }
        }
    }

    /// Makes everything that the agent needs and starts it; or takes over the one that runs already.
    fn start(&mut self) -> Result<Event, Problem> {
        let paths = self.paths.clone()?;
        if self.spec.agent().is_none() {
            return Err(Problem::config("there is no container named agent, and no other is run on this machine"));
        }
        let Shared { volumes, objects, layout, addresses, .. } = &*self.shared;
        volumes.lease(&self.spec.namespace, &self.spec.claims(), &self.spec.uid, &self.spec.name)?;
        if let Some(holder) = lock::holder(&paths.root) {
            if holder.pod_uid.as_deref() != Some(&self.spec.uid) {
                return Err(Problem::creating(format!("waits until process {} leaves the workspace", holder.pid)));
            }
            return self.adopt(&holder);
        }
        let writable = root::make(layout, &paths, &self.spec, objects)?;
        let address = match self.address {
            Some(address) => address,
            None => addresses.take(&self.spec.namespace, &self.spec.name, &self.spec.uid)?,
        };
        self.address = Some(address);
        let values = |reference: &super::spec::Reference| objects.values(reference);
        let mut variables = environment::of_pod(&self.spec, &address.to_string(), &values).map_err(Problem::config)?;
        if let Some(path) = &self.shared.claude {
            variables.entry("CLAUDE_BIN".to_owned()).or_insert_with(|| path.display().to_string());
        }
        let log = self.logs().begin().map_err(|error| Problem::run(format!("its log cannot be written: {error}")))?;
        let launch = Launch {
            program: &self.shared.program,
            directory: &paths.directory,
            root: &paths.root,
            writable: &writable,
            hide: layout.data(),
            address,
            pod: &self.spec,
            variables: &variables,
            log,
        };
        let process = Process::start(launch)
            .map_err(|error| Problem::run(format!("{} cannot be started: {error}", self.shared.program.display())))?;
        let pid = process.pid();
        tracing::info!(pod = %self.spec.name, pid, %address, "started the agent");
        self.process = Some(process);
        Ok(Event::Started { pid, started: Timestamp::now(), adopted: false, ready: false })
    }

    fn adopt(&mut self, holder: &lock::Holder) -> Result<Event, Problem> {
        let process = Process::adopt(holder.pid)
            .map_err(|error| Problem::run(format!("process {} cannot be watched: {error}", holder.pid)))?;
        if self.address.is_none() {
            let told = holder.address.as_deref().and_then(|address| address.parse::<std::net::SocketAddrV4>().ok());
            self.address = told.map(|address| *address.ip());
        }
        if let Ok(paths) = &self.paths {
            root::renew(paths, &self.spec, &self.shared.objects);
        }
        tracing::info!(pod = %self.spec.name, pid = holder.pid, "the agent runs since before; it is kept");
        self.process = Some(process);
        Ok(Event::Started {
            pid: holder.pid,
            started: holder.started_at.unwrap_or_else(Timestamp::now),
            adopted: true,
            ready: self.record.as_ref().is_some_and(|record| record.ready),
        })
    }

    fn ask(&mut self, question: Question) {
        let Some(address) = self.address else { return };
        let probe = match question {
            Question::Startup => self.spec.probes.startup.as_ref().unwrap_or(&self.spec.probes.live),
            Question::Live => &self.spec.probes.live,
            Question::Ready => &self.spec.probes.ready,
        };
        let task = tokio::spawn(probe::ask(address, probe.path.clone(), probe.timeout));
        self.asking = Some((question, task));
    }

    fn renew(&self) {
        if let (Ok(paths), Some(_)) = (&self.paths, &self.process) {
            root::renew(paths, &self.spec, &self.shared.objects);
        }
    }

    /// The pod is gone: nothing of it stays but its volumes.
    async fn remove(&mut self) {
        if let Ok(paths) = &self.paths {
            let (directory, uid) = (paths.directory.clone(), self.spec.uid.clone());
            let removed = tokio::task::spawn_blocking(move || {
                // Where somebody took the pod away under this task, its successor may have moved in.
                let is_anothers = record::read(&directory).is_some_and(|record| record.uid != uid);
                if is_anothers { Ok(()) } else { root::remove_tree(&directory) }
            });
            let removed = removed.await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(pod = %self.spec.name, %error, "the directory of a pod that is gone cannot be removed");
            }
        }
        self.let_go();
        match self.shared.handle.removed(&self.spec.namespace, &self.spec.name, &self.spec.uid) {
            Ok(()) | Err(super::super::Error::NoPod { .. }) => {}
            Err(error) => tracing::error!(pod = %self.spec.name, %error, "the end of a pod cannot be told"),
        }
    }

    fn let_go(&self) {
        self.shared.volumes.release(&self.spec.uid);
        self.shared.addresses.give_back(&self.spec.uid);
    }

    /// Tells the cluster how the pod is doing, and writes down what the next run of the manager has to know.
    fn publish(&mut self) {
        let address = self.address.map(|address| address.to_string());
        let status = status::status(&self.spec, &self.machine, address.as_deref(), &self.status, Timestamp::now());
        if status != self.status {
            let PodSpec { namespace, name, uid, .. } = &self.spec;
            match self.shared.handle.set_status(namespace, name, uid, status.clone()) {
                Ok(()) => self.status = status,
                Err(super::super::Error::NoPod { .. }) => {}
                Err(error) => tracing::warn!(pod = %self.spec.name, %error, "a pod's status cannot be told"),
            }
        }
        let (Ok(paths), Some(address)) = (&self.paths, self.address) else { return };
        let record = Record {
            uid: self.spec.uid.clone(),
            address,
            restarts: self.machine.restarts,
            ready: self.machine.is_ready(),
            ran: self.machine.ran,
            last: self.machine.last.clone(),
        };
        if self.record.as_ref() != Some(&record) {
            match record::write(&paths.directory, &record) {
                Ok(()) => self.record = Some(record),
                Err(error) => tracing::warn!(pod = %self.spec.name, %error, "a pod's record cannot be written"),
            }
        }
    }

    fn logs(&self) -> LogFiles {
        // Without a directory no process is started, and nothing is logged.
        LogFiles::new(self.paths.as_ref().map_or_else(|_| self.shared.layout.data(), |paths| &paths.directory))
    }

    fn now(&self) -> Now {
        Now { clock: self.shared.epoch.elapsed(), wall: Timestamp::now() }
    }
}
