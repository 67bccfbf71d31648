//! How many writes are on their way to the API server at once, over all plans: as many as it takes well.
//!
//! *Flow.* Every write takes a place before it is sent and says afterwards how it went. While all places are taken and all
//! goes well the number grows: by one for each answer until the server says for the first time that it has too much to do,
//! and by one for each round of answers afterwards. When the server says that it has too much to do (429, or a
//! time-out) the number is halved, once for what was on its way together, and nobody sends before the time that the server
//! asked for is over. Priority and fairness on the server then give others their share.
//!
//! *Guarantees.* Never fewer than [`LEAST`] at once, never more than [`MOST`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Error;

/// With how many it begins: hides the way there and back to a server nearby, and holds its own beside the controllers, which
/// go over what is made while it is made, with as many requests as they like.
const FIRST: usize = 32;
/// The fewest, so that a slow server still gets on.
const LEAST: usize = 2;
/// The most: half of what accounts of workloads have of a server's 600 requests at once, by default, before priority and
/// fairness lets them wait.
const MOST: usize = 128;
/// The longest time that a server's wish holds all writes up.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// How long all rest when the server does not say.
const REST: Duration = Duration::from_millis(200);

/// The pace; cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    under_way: usize,
    /// Answers since the limit last changed.
    well: usize,
    /// How many wait for a place.
    waiting: usize,
    rest_until: Option<Instant>,
    /// What was sent before this says nothing about the present limit.
    cut_at: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self { limit: FIRST, under_way: 0, well: 0, waiting: 0, rest_until: None, cut_at: None }
    }
}

/// A place; given back when it is dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    taken: Instant,
}

impl Pace {
    /// How many may be on their way now.
    #[must_use]
    pub fn limit(&self) -> usize {
        lock(&self.shared).limit
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Place {
        loop {
            // A place that becomes free before this one waits for it leaves its notice behind.
            let freed = self.shared.freed.notified();
            let rest = {
                let mut state = lock(&self.shared);
                let rest = state.rest_until.filter(|until| *until > Instant::now());
                if rest.is_none() {
                    if state.under_way < state.limit {
                        state.under_way += 1;
                        return Place { shared: Arc::clone(&self.shared), taken: Instant::now() };
                    }
                    state.waiting += 1;
                }
                rest
            };
            match rest {
                Some(until) => {
                    // The place that woke this one is free all the same.
                    self.shared.freed.notify_one();
                    tokio::time::sleep_until(until).await;
                }
                None => {
                    let _waits = Waits(&self.shared);
                    freed.await;
                }
            }
        }
    }
}

impl Place {
    /// Takes how the write went.
    pub(super) fn went<T>(self, result: &Result<T, Error>) {
        let mut state = lock(&self.shared);
        match result {
            Err(Error::Api { code: 429, retry_after, .. }) => state.cut(self.taken, *retry_after),
            Err(Error::Unreachable(_)) => state.cut(self.taken, None),
            _ if state.went_well() => self.shared.freed.notify_one(),
            _ => {}
        }
    }
}

impl State {
    /// Answers whether there is a place more.
    fn went_well(&mut self) -> bool {
        self.well += 1;
        if self.well < self.limit && self.cut_at.is_some() {
            return false;
        }
        self.well = 0;
        let grows = self.waiting > 0 && self.limit < MOST;
        self.limit += usize::from(grows);
        grows
    }

    fn cut(&mut self, sent: Instant, retry_after: Option<u64>) {
        let now = Instant::now();
        let rest = retry_after.map_or(REST, Duration::from_secs).min(LONGEST_REST);
        self.rest_until = Some(self.rest_until.map_or(now + rest, |until| until.max(now + rest)));
        // What was sent together fails together, and counts once.
        if self.cut_at.is_none_or(|cut| sent > cut) {
            self.limit = (self.limit / 2).max(LEAST);
            self.cut_at = Some(now);
            self.well = 0;
        }
    }
}

/// Somebody who waits, as long as that lasts.
struct Waits<'a>(&'a Shared);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        lock(self.0).waiting -= 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.shared).under_way -= 1;
        // One place, one who waits: hundreds may.
        self.shared.freed.notify_one();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(seconds: u64) -> Result<(), Error> {
        Err(Error::Api { code: 429, reason: String::new(), message: String::new(), retry_after: Some(seconds) })
    }

    async fn places(pace: &Pace, count: usize) -> Vec<Place> {
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(pace.place().await);
        }
        places
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_are_on_their_way_and_a_place_that_is_given_back_is_taken() {
        let pace = Pace::default();
        let mut all = places(&pace, FIRST).await;
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { drop(pace.place().await) }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished());
        all.pop();
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_though_others_give_up() {
        let pace = Pace::default();
        let all = places(&pace, FIRST).await;
        let waits = |patience| {
            let pace = pace.clone();
            tokio::spawn(
                async move { tokio::time::timeout(patience, async { drop(pace.place().await) }).await.is_ok() },
            )
        };
        // Those who are woken first give up while the server wants to be left alone.
        let hasty: Vec<_> = (0..FIRST + 4).map(|_| waits(Duration::from_secs(1))).collect();
        let patient: Vec<_> = (0..40).map(|_| waits(Duration::from_secs(60))).collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        all.into_iter().for_each(|place| place.went(&busy(3)));
        for waiting in hasty {
            assert!(!waiting.await.unwrap());
        }
        for waiting in patient {
            assert!(waiting.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_well_and_is_sought_grows_and_what_nobody_seeks_does_not() {
        let pace = Pace::default();
        for _ in 0..10 {
            for place in places(&pace, FIRST).await {
                place.went(&Ok(()));
            }
        }
        assert_eq!(pace.limit(), FIRST, "nobody had to wait");
        for _ in 0..100_000 {
            let all = places(&pace, pace.limit()).await;
            let waiting = tokio::spawn({
                let pace = pace.clone();
                async move { drop(pace.place().await) }
            });
            tokio::time::sleep(Duration::from_millis(1)).await;
            all.into_iter().for_each(|place| place.went(&Ok(())));
            waiting.await.unwrap();
            if pace.limit() == MOST {
                return;
            }
        }
        panic!("never grew to the most");
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_fast_until_the_server_says_for_the_first_time_that_it_has_too_much_to_do() {
        let pace = Pace::default();
        let round = async || {
            let all = places(&pace, pace.limit()).await;
            let before = pace.limit();
            let waiting = tokio::spawn({
                let pace = pace.clone();
                async move { drop(places(&pace, 1).await) }
            });
            tokio::time::sleep(Duration::from_millis(1)).await;
            all.into_iter().for_each(|place| place.went(&Ok(())));
            waiting.await.unwrap();
            pace.limit() - before
        };
        assert_eq!(round().await, FIRST, "twice as many");
        pace.place().await.went(&busy(0));
        tokio::time::sleep(REST).await;
        assert_eq!((round().await, round().await), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_says() {
        let pace = Pace::default();
        let all = places(&pace, FIRST).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        all.into_iter().for_each(|place| place.went(&busy(3)));
        assert_eq!(pace.limit(), FIRST / 2, "many answers to one burst are one sign");
        let began = Instant::now();
        let place = pace.place().await;
        assert!(began.elapsed() >= Duration::from_secs(3));
        place.went(&busy(3600));
        let began = Instant::now();
        let place = pace.place().await;
        assert!(began.elapsed() <= LONGEST_REST + Duration::from_millis(10));
        place.went(&Ok(()));
        for _ in 0..20 {
            pace.place().await.went(&busy(0));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(pace.limit(), LEAST);
    }
}
