//! One piece of work for each of many items, on several threads, with the results in the order of the items.

use std::sync::{Mutex, PoisonError};

/// How many items a thread takes at a time: few, so that all end together, but not so few that they wait for one another.
const AT_ONCE: usize = 16;

/// Does `work` for each item. One thread is this one.
pub(super) fn map<T: Send, R: Send>(threads: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads < 2 || items.len() <= AT_ONCE {
        return items.into_iter().map(work).collect();
    }
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let run = || {
        let mut done = Vec::with_capacity(count / threads);
        loop {
            let taken: Vec<(usize, T)> =
                queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref().take(AT_ONCE).collect();
            if taken.is_empty() {
                return done;
            }
            done.extend(taken.into_iter().map(|(at, item)| (at, work(item))));
        }
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut results = run();
        for other in others {
            match other.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for threads in [0, 1, 2, 5] {
            let doubled = map(threads, (0..1_000).collect(), |number: usize| number * 2);
            assert_eq!(doubled, (0..1_000).map(|number| number * 2).collect::<Vec<_>>(), "{threads}");
        }
    }
}
