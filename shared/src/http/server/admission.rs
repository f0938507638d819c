//! Admission of connections, within a maximum in total and per address. At a maximum, the
//! connection that has been unused for longest is evicted.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::connection_state::ConnectionState;

/// Limits, and the connections admitted within them.
#[derive(Debug)]
pub(super) struct Admission {
    max: usize,
    max_per_address: usize,
    /// Time after which a connection whose client takes nothing of its response may be evicted.
    patience: Duration,
    admitted: Mutex<Admitted>,
}

#[derive(Debug, Default)]
struct Admitted {
    connections: HashMap<u64, Arc<ConnectionState>>,
    by_address: HashMap<IpAddr, usize>,
    last_number: u64,
}

/// Place of an admitted connection, which its drop releases.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Arc<Admission>,
    pub(super) state: Arc<ConnectionState>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.admitted.lock().remove(self.state.number);
        metrics::gauge!("passbook_http_connections").decrement(1);
    }
}

impl Admission {
    pub(super) fn new(max: usize, max_per_address: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, patience, admitted: Mutex::default() })
    }

    /// Admits a connection, unless every connection that it could replace is in use.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let address = network(address);
        let mut admitted = self.admitted.lock();
        let of_address = admitted.by_address.get(&address).copied().unwrap_or_default();
        // First, so that a client at its own maximum evicts no connection of another.
        if of_address >= self.max_per_address && !admitted.evict_one(Some(address), self.patience) {
            return None;
        }
        if admitted.connections.len() >= self.max && !admitted.evict_one(None, self.patience) {
            return None;
        }
        admitted.last_number += 1;
        let state = Arc::new(ConnectionState::new(admitted.last_number, address));
        admitted.connections.insert(state.number, Arc::clone(&state));
        *admitted.by_address.entry(address).or_default() += 1;
        metrics::gauge!("passbook_http_connections").increment(1);
        Some(Slot { admission: Arc::clone(self), state })
    }

    /// Evicts the connection that has been unused for longest.
    pub(super) fn evict_one(&self) {
        self.admitted.lock().evict_one(None, self.patience);
    }
}

impl Admitted {
    /// Evicts the connection, of one address or of all, that has been unused for longest. Returns
    /// true if there was one.
    fn evict_one(&mut self, address: Option<IpAddr>, patience: Duration) -> bool {
        let mut unused: Vec<(u64, u64)> = self
            .connections
            .values()
            .filter(|state| address.is_none_or(|address| state.address == address))
            .filter_map(|state| state.unused_since(patience).map(|since| (since, state.number)))
            .collect();
        // The first candidate can receive its next request at this moment; then another is tried.
        while let Some(index) = (0..unused.len()).min_by_key(|index| unused[*index]) {
            let (_, number) = unused.swap_remove(index);
            if self.connections.get(&number).is_some_and(|state| state.evict(patience)) {
                self.remove(number);
                metrics::counter!("passbook_http_connections_closed_for_others_total").increment(1);
                return true;
            }
        }
        false
    }

    fn remove(&mut self, number: u64) {
        let Some(state) = self.connections.remove(&number) else { return };
        if let Some(count) = self.by_address.get_mut(&state.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&state.address);
            }
        }
    }
}

/// Returns the address that identifies a client: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection_state::Phase;
    use super::*;

    fn address(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    #[test]
    fn the_longest_unused_connection_is_evicted_and_a_busy_one_stays() {
        let admission = Admission::new(3, 2, Duration::ZERO);
        let busy = admission.admit(address(1)).unwrap();
        assert!(busy.state.begin_response());
        let idle = admission.admit(address(1)).unwrap();
        // The address is at its maximum: its own idle connection is evicted, not another's.
        let other = admission.admit(address(2)).unwrap();
        let again = admission.admit(address(1)).unwrap();
        assert_eq!(
            [&busy, &idle, &other, &again].map(|slot| slot.state.phase()),
            [Phase::Busy, Phase::Evicted, Phase::Idle, Phase::Idle]
        );
        assert!(!idle.state.begin_response(), "an evicted connection executes no request");
        assert!(
            again.state.begin_response() && admission.admit(address(1)).is_none(),
            "all connections of the address are busy"
        );
        // The total is at its maximum: a connection of any address is evicted.
        let third = admission.admit(address(3)).unwrap();
        assert_eq!(other.state.phase(), Phase::Evicted);
        assert!(third.state.begin_response() && admission.admit(address(4)).is_none());
        drop(busy);
        let fourth = admission.admit(address(4)).unwrap();
        assert!(fourth.state.begin_response() && admission.admit(address(5)).is_none());
        // A connection whose client takes nothing of its response is unused after a while.
        third.state.wrote(false);
        std::thread::sleep(Duration::from_millis(5));
        assert!(admission.admit(address(5)).is_some() && third.state.phase() == Phase::Evicted);
        drop((idle, other, again, third, fourth));
        let admitted = admission.admitted.lock();
        assert!(admitted.connections.is_empty() && admitted.by_address.is_empty());
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_a_64_of_ipv6() {
        let parsed = |text: &str| network(text.parse().unwrap());
        assert_eq!(parsed("2001:db8:1:2::1"), parsed("2001:db8:1:2:ffff::9"));
        assert_ne!(parsed("2001:db8:1:2::1"), parsed("2001:db8:1:3::1"));
        assert_eq!(parsed("::ffff:127.0.0.1"), parsed("127.0.0.1"));
        assert_ne!(parsed("127.0.0.2"), parsed("127.0.0.1"));
    }
}
