//! Places for connections that stay: so many in all, and so many of them for one customer.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use super::rate::Client;

/// A number of places; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    all: usize,
    each: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    refused: Arc<AtomicU64>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    customer: IpAddr,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All are taken.
    Full,
    /// This customer has enough.
    Enough,
}

impl Places {
    /// `all` places, at most `each` of them for one IPv4 address or IPv6 network of 64 bits. This machine may have all: it
    /// may be a reverse proxy with many viewers behind it.
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self { all, each, taken: Arc::default(), refused: Arc::default() }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub(super) fn take(&self, client: Client) -> Result<Place, NoPlace> {
        self.find(client.customer()).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.lock().values().sum()
    }

    /// How often there was no place.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn find(&self, customer: IpAddr) -> Result<Place, NoPlace> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= self.all {
            return Err(NoPlace::Full);
        }
        let count = taken.entry(customer).or_default();
        if *count >= self.each && !customer.is_loopback() {
            return Err(NoPlace::Enough);
        }
        *count += 1;
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

    fn client(address: &str) -> Client {
        Client(address.parse().expect("an address"))
    }

    #[test]
    fn nobody_takes_everything() {
        let places = Places::new(4, 2);
        let (one, other) = (client("192.0.2.1"), client("2001:db8::1"));
        let first = places.take(one).expect("a place");
        let _second = places.take(one).expect("a place");
        assert_eq!(places.take(one).unwrap_err(), NoPlace::Enough);
        drop(first);
        let _third = places.take(one).expect("the one that became free");
        let _fourth = places.take(other).expect("a place");
        let _fifth = places.take(client("2001:db8::2")).expect("a place");
        assert_eq!(places.take(client("198.51.100.1")).unwrap_err(), NoPlace::Full);
    }

    #[test]
    fn a_proxy_on_this_machine_may_have_all() {
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "::1"] {
            let places = Places::new(3, 1);
            let taken: Vec<_> = (0..4).map(|_| places.take(client(address))).collect();
            assert_eq!(taken.iter().filter(|place| place.is_ok()).count(), 3, "{address}");
            assert_eq!((places.taken(), places.refused()), (3, 1));
            drop(taken);
            assert!(places.lock().is_empty(), "nothing is kept of who left");
        }
    }
}
