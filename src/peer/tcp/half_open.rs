//! Bounds the connections that have not said yet whom they belong to.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
};

/// In all. One is half-open for a round trip, or until its deadline.
const MAX: usize = 128;
/// Of one address: a browser opens one to each of our addresses, several browsers may share a NAT.
const MAX_PER_ADDRESS: usize = 32;
/// What a provider gives to one customer at least (RFC 6177): they are counted together.
const IPV6_CUSTOMER: u32 = 64;

/// Who is half-open now.
#[derive(Debug, Default)]
pub(super) struct HalfOpen(Mutex<HashMap<IpAddr, usize>>);

/// A place among them; leaves it when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    all: &'a HalfOpen,
    customer: IpAddr,
}

impl HalfOpen {
    /// A place for a connection from `address`, unless there are too many.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place<'_>> {
        let customer = customer(address);
        let mut counts = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let all: usize = counts.values().sum();
        let own = counts.get(&customer).copied().unwrap_or_default();
        if all >= MAX || own >= MAX_PER_ADDRESS {
            return None;
        }
        counts.insert(customer, own + 1);
        Some(Place { all: self, customer })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(own) = counts.get_mut(&self.customer) {
            *own -= 1;
            if *own == 0 {
                counts.remove(&self.customer);
            }
        }
    }
}

/// Whom an address belongs to, as far as can be told.
pub(super) fn customer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & (u128::MAX << (128 - IPV6_CUSTOMER))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place() {
        let all = HalfOpen::default();
        let network = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let greedy: Vec<_> = (0..100).map_while(|host| all.enter(network(host))).collect();
        assert_eq!(greedy.len(), MAX_PER_ADDRESS);
        let others: Vec<_> = (0..200).map_while(|host| all.enter([192, 0, 2, host].into())).collect();
        assert_eq!(others.len(), MAX - MAX_PER_ADDRESS);
        drop(greedy);
        assert!(all.enter(network(1)).is_some());
        drop(others);
        assert!(all.0.lock().unwrap().is_empty(), "nothing is kept of those who left");
    }
}
