//! Room for so many connections, and for so many of one address. Where there is none, the longest
//! unused one leaves.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::guest::Guest;

/// Room for connections.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    most_of_address: usize,
    /// Time after which a client that takes nothing of its answer may have to leave.
    patience: Duration,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    guests: HashMap<u64, Arc<Guest>>,
    of_address: HashMap<IpAddr, usize>,
    next: u64,
}

/// A connection's place in a room; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    room: Arc<Room>,
    pub(super) guest: Arc<Guest>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.inside().remove(self.guest.number);
    }
}

impl Room {
    pub(super) fn new(most: usize, most_of_address: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { most, most_of_address, patience, inside: Mutex::default() })
    }

    /// A seat for a new connection; nothing if all that would have to leave for it are at work.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = network(address);
        let mut inside = self.inside();
        let of_address = inside.of_address.get(&address).copied().unwrap_or_default();
        if of_address >= self.most_of_address && !inside.make_room(Some(address), self.patience) {
            return None;
        }
        if inside.guests.len() >= self.most && !inside.make_room(None, self.patience) {
            return None;
        }
        inside.next += 1;
        let guest = Arc::new(Guest::new(inside.next, address));
        inside.guests.insert(guest.number, Arc::clone(&guest));
        *inside.of_address.entry(address).or_default() += 1;
        Some(Seat { room: Arc::clone(self), guest })
    }

    /// Has the longest unused connection leave.
    pub(super) fn make_room(&self) {
        self.inside().make_room(None, self.patience);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock()
    }
}

impl Inside {
    /// Has the longest unused connection leave, of one address or of all. Returns whether there was
    /// one.
    fn make_room(&mut self, address: Option<IpAddr>, patience: Duration) -> bool {
        let mut unused: Vec<(u64, u64)> = self
            .guests
            .values()
            .filter(|guest| address.is_none_or(|address| guest.address == address))
            .filter_map(|guest| guest.unused_since(patience).map(|since| (since, guest.number)))
            .collect();
        // Nearly always the first; another, if that one's next request comes at this moment.
        while let Some(place) = (0..unused.len()).min_by_key(|place| unused[*place]) {
            let (_, number) = unused.swap_remove(place);
            if self.guests.get(&number).is_some_and(|guest| guest.ask_to_leave(patience)) {
                self.remove(number);
                metrics::counter!("passbook_http_connections_closed_for_others_total").increment(1);
                return true;
            }
        }
        false
    }

    fn remove(&mut self, number: u64) {
        let Some(guest) = self.guests.remove(&number) else { return };
        if let Some(count) = self.of_address.get_mut(&guest.address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&guest.address);
            }
        }
    }
}

/// The address as one client has it: of IPv6, a client has a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::guest::Phase;
    use super::*;

    fn address(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    #[test]
    fn who_is_unused_for_longest_leaves_and_who_is_at_work_stays() {
        let room = Room::new(3, 2, Duration::ZERO);
        let working = room.admit(address(1)).unwrap();
        assert!(working.guest.begin_answer());
        let idle = room.admit(address(1)).unwrap();
        // Its address is full: its own idle connection leaves, not another's.
        let other = room.admit(address(2)).unwrap();
        let again = room.admit(address(1)).unwrap();
        assert_eq!(
            [&working, &idle, &other, &again].map(|seat| seat.guest.phase()),
            [Phase::Busy, Phase::Leaving, Phase::Idle, Phase::Idle]
        );
        assert!(!idle.guest.begin_answer(), "nothing is executed for who was asked to leave");
        assert!(
            again.guest.begin_answer() && room.admit(address(1)).is_none(),
            "all of its own are at work"
        );
        // The house is full: anybody's.
        let third = room.admit(address(3)).unwrap();
        assert_eq!(other.guest.phase(), Phase::Leaving);
        assert!(third.guest.begin_answer() && room.admit(address(4)).is_none());
        drop(working);
        let fourth = room.admit(address(4)).unwrap();
        assert!(fourth.guest.begin_answer() && room.admit(address(5)).is_none());
        // Who takes nothing of an answer for long is not at work.
        third.guest.wrote(false);
        std::thread::sleep(Duration::from_millis(5));
        assert!(room.admit(address(5)).is_some() && third.guest.phase() == Phase::Leaving);
        drop((idle, other, again, third, fourth));
        assert!(room.inside().guests.is_empty() && room.inside().of_address.is_empty());
    }

    #[test]
    fn a_client_has_one_ipv4_address_or_a_64_of_ipv6() {
        let parsed = |text: &str| network(text.parse().unwrap());
        assert_eq!(parsed("2001:db8:1:2::1"), parsed("2001:db8:1:2:ffff::9"));
        assert_ne!(parsed("2001:db8:1:2::1"), parsed("2001:db8:1:3::1"));
        assert_eq!(parsed("::ffff:127.0.0.1"), parsed("127.0.0.1"));
        assert_ne!(parsed("127.0.0.2"), parsed("127.0.0.1"));
    }
}
