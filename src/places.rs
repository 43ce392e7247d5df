//! Places for connections that stay: so many in all, and so many of them for one customer. Every port that strangers reach
//! counts its connections by them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// Whom an address belongs to, as far as can be told: an IPv4 address, or an IPv6 network (RFC 6177: at least 64 bits of it
/// are one customer's to choose). This machine is itself.
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// A number of places; clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    all: usize,
    each: usize,
    /// This machine may have all: it may be a reverse proxy with many viewers behind it.
    proxied: bool,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    refused: Arc<AtomicU64>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    customer: IpAddr,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All of so many are taken.
    Full(usize),
    /// This customer has so many, which is enough.
    Enough(usize),
}

impl Places {
    /// `all` places, at most `each` of them for one [`customer`].
    pub fn new(all: usize, each: usize) -> Self {
        Self { all, each, proxied: false, taken: Arc::default(), refused: Arc::default() }
    }

    /// The same, where this machine may have all: it may be a reverse proxy with many viewers behind it.
    pub fn behind_proxy(all: usize, each: usize) -> Self {
        Self { proxied: true, ..Self::new(all, each) }
    }

    /// Takes a place for a connection from `address`.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        self.find(customer(address)).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.lock().values().sum()
    }

    /// How often there was no place.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn find(&self, customer: IpAddr) -> Result<Place, NoPlace> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= self.all {
            return Err(NoPlace::Full(self.all));
        }
        let count = taken.get(&customer).copied().unwrap_or_default();
        if count >= self.each && !(self.proxied && customer.is_loopback()) {
            return Err(NoPlace::Enough(self.each));
        }
        taken.insert(customer, count + 1);
        Ok(Place { places: self.clone(), customer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.customer) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.customer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn nobody_takes_everything() {
        let places = Places::new(4, 2);
        let (one, other) = (address("192.0.2.1"), address("2001:db8::1"));
        let first = places.take(one).expect("a place");
        let _second = places.take(one).expect("a place");
        assert_eq!(places.take(one).unwrap_err(), NoPlace::Enough(2));
        drop(first);
        let _third = places.take(one).expect("the one that became free");
        let _fourth = places.take(other).expect("a place");
        let _fifth = places.take(address("2001:db8::2")).expect("a place");
        assert_eq!(places.take(address("198.51.100.1")).unwrap_err(), NoPlace::Full(4));
    }

    #[test]
    fn an_ipv6_network_is_one_customer() {
        let places = Places::new(100, 2);
        let _held = ["2001:db8::1", "2001:db8::2"].map(|text| places.take(address(text)).expect("a place"));
        assert_eq!(places.take(address("2001:db8::3")).unwrap_err(), NoPlace::Enough(2));
        assert!(places.take(address("2001:db8:0:1::3")).is_ok());
    }

    #[test]
    fn a_proxy_on_this_machine_may_have_all() {
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "::1"] {
            let places = Places::behind_proxy(3, 1);
            let taken: Vec<_> = (0..4).map(|_| places.take(address(text))).collect();
            assert_eq!(taken.iter().filter(|place| place.is_ok()).count(), 3, "{text}");
            assert_eq!((places.taken(), places.refused()), (3, 1));
            drop(taken);
            assert!(places.lock().is_empty(), "nothing is kept of who left");
            let direct = Places::new(3, 1);
            let _held = direct.take(address(text)).expect("a place");
            assert_eq!(direct.take(address(text)).unwrap_err(), NoPlace::Enough(1), "{text}");
        }
    }
}
