//! The places that connections have, and who is asked to leave.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Limits;
use crate::metrics::Metrics;

/// The longest head of a connection in the reserve.
const RESERVE_HEAD: Duration = Duration::from_secs(2);
/// So much has to be written for a blocked reader to count as one that reads.
const PROGRESS: u64 = 32 * 1024;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing.
    Idle,
    /// A request's head arrives.
    Head,
    /// A request is being answered.
    Busy,
    /// It is a WebSocket, whose handler looks after it.
    Upgraded,
}

/// What a connection is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    None,
    /// Give up the state of the protocol, if it is still idle.
    Park,
    /// End.
    Close,
}

/// All connections.
pub(super) struct Places {
    taken: Mutex<Taken>,
    metrics: Metrics,
    begun: Instant,
}

#[derive(Default)]
struct Taken {
    next: u64,
    places: BTreeMap<u64, Arc<Seat>>,
    /// Those that were not asked to leave, and are not in the reserve.
    served: usize,
    reserve: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// One connection's place; free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    pub(super) seat: Arc<Seat>,
}

/// What is known of one connection.
pub(super) struct Seat {
    address: IpAddr,
    /// Whether only probes are answered.
    pub(super) is_reserve: bool,
    begun: Instant,
    phase: AtomicU8,
    /// When the phase began, in milliseconds after `begun`.
    since: AtomicU64,
    /// When the client stopped to read, in milliseconds after `begun` and one; 0 while it reads.
    blocked: AtomicU64,
    /// What was written since.
    written: AtomicU64,
    /// The last four bytes that were read.
    tail: AtomicU32,
    parked: AtomicBool,
    wish: AtomicU8,
    wake: Notify,
}

impl Places {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { taken: Mutex::default(), metrics, begun: Instant::now() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection a place: a free one, that of an idle connection, or one of the reserve. `None` when there is none.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Place> {
        let mut taken = self.taken();
        let is_full = taken.served >= limits.connections;
        let is_reserve = is_full && !self.evict_from(&mut taken);
        if is_reserve && taken.reserve >= limits.reserve {
            self.metrics.connection_closed("refused");
            return None;
        }
        let seat = Arc::new(Seat {
            address,
            is_reserve,
            begun: self.begun,
            phase: AtomicU8::new(Phase::Head as u8),
            since: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            written: AtomicU64::new(0),
            tail: AtomicU32::new(0),
            parked: AtomicBool::new(true),
            wish: AtomicU8::new(Wish::None as u8),
            wake: Notify::new(),
        });
        seat.set(Phase::Head);
        let id = taken.next;
        taken.next += 1;
        taken.places.insert(id, Arc::clone(&seat));
        match is_reserve {
            true => taken.reserve += 1,
            false => taken.served += 1,
        }
        *taken.by_address.entry(address).or_default() += 1;
        Some(Place { places: Arc::clone(self), id, seat })
    }

    /// Closes the connection that has been idle longest, first at the address that has most; whether there was one.
    pub(super) fn evict(&self) -> bool {
        self.evict_from(&mut self.taken())
    }

    fn evict_from(&self, taken: &mut Taken) -> bool {
        let most = taken.by_address.values().max().copied().unwrap_or_default();
        let idle = taken.places.values().filter(|seat| !seat.is_reserve && seat.is_evictable());
        let victim = idle.min_by_key(|seat| {
            let is_of_the_largest = taken.by_address.get(&seat.address) == Some(&most);
            (!is_of_the_largest, seat.since.load(Ordering::Relaxed))
        });
        let Some(victim) = victim.cloned() else { return false };
        self.close(taken, &victim, "evicted");
        true
    }

    /// Ends what takes too long, and parks what is idle.
    pub(super) fn look(&self, limits: &Limits) {
        let mut taken = self.taken();
        let seats: Vec<(Arc<Seat>, Wish, &'static str)> = taken
            .places
            .values()
            .filter_map(|seat| {
                let (wish, reason) = seat.due(limits)?;
                Some((Arc::clone(seat), wish, reason))
            })
            .collect();
        for (seat, wish, reason) in seats {
            match wish {
                Wish::Close => self.close(&mut taken, &seat, reason),
                Wish::Park => seat.wish(Wish::Park),
                Wish::None => {}
            }
        }
    }

    fn close(&self, taken: &mut Taken, seat: &Seat, reason: &'static str) {
        if seat.wished() == Wish::Close {
            return;
        }
        seat.wish(Wish::Close);
        self.metrics.connection_closed(reason);
        taken.leave(seat);
    }
}

impl Taken {
    /// A connection that goes, or is asked to, has its place no longer.
    fn leave(&mut self, seat: &Seat) {
        match seat.is_reserve {
            true => self.reserve = self.reserve.saturating_sub(1),
            false => self.served = self.served.saturating_sub(1),
        }
        if let Some(count) = self.by_address.get_mut(&seat.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&seat.address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.places.remove(&self.id);
        if self.seat.wished() != Wish::Close {
            taken.leave(&self.seat);
        }
    }
}

impl Seat {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes what the connection is doing from now on.
    pub(super) fn set(&self, phase: Phase) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Upgraded,
        }
    }

    /// Notes bytes that came from the client.
    pub(super) fn read(&self, bytes: &[u8]) {
        for byte in bytes.iter().rev().take(4).rev() {
            let tail = self.tail.load(Ordering::Relaxed);
            self.tail.store(tail << 8 | u32::from(*byte), Ordering::Relaxed);
        }
        if self.phase() == Phase::Idle {
            self.set(Phase::Head);
        }
    }

    /// Notes that the client takes no more for now.
    pub(super) fn write_blocked(&self) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            self.written.store(0, Ordering::Relaxed);
            self.blocked.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// Notes bytes that went to the client.
    pub(super) fn wrote(&self, count: usize) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            return;
        }
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if self.written.fetch_add(count, Ordering::Relaxed).saturating_add(count) >= PROGRESS {
            self.blocked.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that everything has been written.
    pub(super) fn flushed(&self) {
        self.blocked.store(0, Ordering::Relaxed);
    }

    /// Whether the protocol's state may be given up: the connection is idle, and what was read last is the end of a head, so
    /// that no bytes of a next request wait in the buffers of the protocol.
    pub(super) fn may_park(&self) -> bool {
        self.phase() == Phase::Idle
            && self.blocked.load(Ordering::Relaxed) == 0
            && self.tail.load(Ordering::Relaxed) == u32::from_be_bytes(*b"\r\n\r\n")
    }

    pub(super) fn set_parked(&self, parked: bool) {
        self.parked.store(parked, Ordering::Relaxed);
    }

    fn wish(&self, wish: Wish) {
        self.wish.store(wish as u8, Ordering::Release);
        self.wake.notify_one();
    }

    /// What the connection was asked to do last.
    pub(super) fn wished(&self) -> Wish {
        match self.wish.load(Ordering::Acquire) {
            0 => Wish::None,
            1 => Wish::Park,
            _ => Wish::Close,
        }
    }

    /// Waits for a wish.
    pub(super) async fn woken(&self) -> Wish {
        self.wake.notified().await;
        self.wished()
    }

    fn is_evictable(&self) -> bool {
        matches!(self.phase(), Phase::Idle | Phase::Head)
            && self.blocked.load(Ordering::Relaxed) == 0
            && self.wished() != Wish::Close
    }

    /// What has to be done about the connection, and why.
    fn due(&self, limits: &Limits) -> Option<(Wish, &'static str)> {
        if self.wished() == Wish::Close {
            return None;
        }
        let now = self.now();
        let took = Duration::from_millis(now.saturating_sub(self.since.load(Ordering::Relaxed)));
        let blocked = self.blocked.load(Ordering::Relaxed);
        let phase = self.phase();
        if phase != Phase::Upgraded && blocked > 0 && Duration::from_millis(now.saturating_sub(blocked)) >= limits.stall
        {
            return Some((Wish::Close, "stalled"));
        }
        let head = if self.is_reserve { limits.head.min(RESERVE_HEAD) } else { limits.head };
        match phase {
            Phase::Head if took >= head => Some((Wish::Close, "slow-head")),
            Phase::Idle if took >= limits.idle => Some((Wish::Close, "idle")),
            Phase::Idle if took >= limits.park && !self.parked.load(Ordering::Relaxed) && self.may_park() => {
                Some((Wish::Park, ""))
            }
            Phase::Idle | Phase::Head | Phase::Busy | Phase::Upgraded => None,
        }
    }
}
