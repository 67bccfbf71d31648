//! Loopback addresses, one for each pod.
//!
//! An address follows from the pod's name, so that a pod has the same one after each restart and nearly always after a
//! replacement; and from the data directory, so that two managers on one machine do not meet. Who else has it already is
//! found out by trying.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::pod_state::Problem;

/// Where agents listen.
pub(super) const PORT: u16 = 7780;
/// How many addresses are tried.
const TRIES: u32 = 64;

/// Who has which address. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    seed: String,
    taken: Arc<Mutex<BTreeMap<Ipv4Addr, String>>>,
}

impl Addresses {
    /// Nobody has one yet.
    pub(super) fn new(data: &Path) -> Self {
        Self { seed: data.display().to_string(), taken: Arc::default() }
    }

    /// Keeps the address of a pod that has one from before. False when another pod has it.
    pub(super) fn keep(&self, address: Ipv4Addr, uid: &str) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        is_ours(address) && taken.entry(address).or_insert_with(|| uid.to_owned()) == uid
    }

    /// An address for a pod.
    pub(super) fn take(&self, namespace: &str, name: &str, uid: &str) -> Result<Ipv4Addr, Problem> {
        let mut last = None;
        for number in 0..TRIES {
            let address = candidate(&self.seed, namespace, name, number);
            match TcpListener::bind((address, PORT)) {
                Ok(_) if self.keep(address, uid) => return Ok(address),
                Ok(_) => {}
                Err(error) => last = Some((address, error)),
            }
        }
        let said = last.map(|(address, error)| format!(" ({address}: {error})")).unwrap_or_default();
        Err(Problem::run(format!(
            "no loopback address is free on port {PORT}{said}; stop what listens on that port of all addresses; where only \
             127.0.0.1 is there, add others to the loopback interface"
        )))
    }

    /// Gives back what a pod has.
    pub(super) fn give_back(&self, uid: &str) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, owner| owner != uid);
    }
}

/// Not `127.0.x.y`: resolvers and host names live there.
fn candidate(seed: &str, namespace: &str, name: &str, number: u32) -> Ipv4Addr {
    let digest = Sha256::digest(format!("{seed}\n{namespace}\n{name}\n{number}"));
    let outer = |byte: u8| 1 + byte % 254;
    Ipv4Addr::new(127, outer(digest[0]), digest[1], outer(digest[2]))
}

fn is_ours(address: Ipv4Addr) -> bool {
    address.octets()[0] == 127 && address.octets()[1] != 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_pod_has_an_address_of_its_own_and_the_same_one_again() {
        let addresses = Addresses::new(Path::new("/data"));
        let all: BTreeSet<Ipv4Addr> =
            (0..300).map(|number| addresses.take("n", &format!("p{number}"), &format!("u{number}")).unwrap()).collect();
        assert_eq!(all.len(), 300);
        assert!(all.iter().all(|address| address.is_loopback() && address.octets()[1] != 0), "{all:?}");
        let first = candidate("/data", "n", "p7", 0);
        assert!(!addresses.keep(first, "somebody else"));
        assert!(addresses.keep(first, "u7"));
        addresses.give_back("u7");
        assert_eq!(addresses.take("n", "p7", "the next").unwrap(), first);
    }

    #[test]
    fn an_address_that_somebody_listens_on_is_passed_over() {
        let first = candidate("/elsewhere", "n", "p", 0);
        let _listener = TcpListener::bind((first, PORT)).unwrap();
        let addresses = Addresses::new(Path::new("/elsewhere"));
        assert_ne!(addresses.take("n", "p", "u").unwrap(), first);
        assert!(!addresses.keep(Ipv4Addr::LOCALHOST, "u"));
        assert!(!addresses.keep(Ipv4Addr::new(10, 1, 2, 3), "u"));
    }
}
