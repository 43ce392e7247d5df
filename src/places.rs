//! Places for connections that stay: so many in all, and so many of them for one customer. Every port that strangers reach
//! counts its connections by them. Where there are users, they can be counted too.

mod shortage;

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

pub use self::shortage::Shortage;

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
    bounds: Arc<Bounds>,
    /// This machine may have all: it may be a reverse proxy with many viewers behind it.
    proxied: bool,
    taken: Arc<Mutex<Taken>>,
    refused: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Bounds {
    all: AtomicUsize,
    each: AtomicUsize,
    each_user: AtomicUsize,
}

#[derive(Debug, Default)]
struct Taken {
    customers: HashMap<IpAddr, usize>,
    users: HashMap<String, usize>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    customer: IpAddr,
    user: Option<String>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All of so many are taken.
    Full(usize),
    /// This customer has so many, which is enough.
    Enough(usize),
    /// This user has so many, which is enough.
    EnoughOfUser(usize),
}

impl Places {
    /// `all` places, at most `each` of them for one [`customer`].
    pub fn new(all: usize, each: usize) -> Self {
        let bounds = [all, each, all].map(AtomicUsize::new);
        let [all, each, each_user] = bounds;
        let bounds = Arc::new(Bounds { all, each, each_user });
        Self { bounds, proxied: false, taken: Arc::default(), refused: Arc::default() }
    }

    /// The same, where this machine may have all: it may be a reverse proxy with many viewers behind it.
    pub fn behind_proxy(all: usize, each: usize) -> Self {
        Self { proxied: true, ..Self::new(all, each) }
    }

    /// The same, with at most `each` of them for one user.
    pub fn for_users(self, each: usize) -> Self {
        self.bounds.each_user.store(each, Ordering::Relaxed);
        self
    }

    /// Other numbers, for all clones. Nobody loses a place that is taken.
    pub fn set(&self, all: usize, each: usize, each_user: usize) {
        self.bounds.all.store(all, Ordering::Relaxed);
        self.bounds.each.store(each, Ordering::Relaxed);
        self.bounds.each_user.store(each_user, Ordering::Relaxed);
    }

    /// Takes a place for a connection from `address`.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        self.take_for(address, None)
    }

    /// Takes a place for something that `user`, if it is one, opens from `address`.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn take_for(&self, address: IpAddr, user: Option<&str>) -> Result<Place, NoPlace> {
        self.find(customer(address), user).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.lock().customers.values().sum()
    }

    /// How often there was no place.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn find(&self, customer: IpAddr, user: Option<&str>) -> Result<Place, NoPlace> {
        let taken = &mut *self.lock();
        let bound = |bound: &AtomicUsize| bound.load(Ordering::Relaxed);
        let (all, each, each_user) = (bound(&self.bounds.all), bound(&self.bounds.each), bound(&self.bounds.each_user));
        if taken.customers.values().sum::<usize>() >= all {
            return Err(NoPlace::Full(all));
        }
        let count = taken.customers.get(&customer).copied().unwrap_or_default();
        if count >= each && !(self.proxied && customer.is_loopback()) {
            return Err(NoPlace::Enough(each));
        }
        if user.is_some_and(|user| taken.users.get(user).is_some_and(|count| *count >= each_user)) {
            return Err(NoPlace::EnoughOfUser(each_user));
        }
        taken.customers.insert(customer, count + 1);
        let user = user.map(str::to_owned);
        if let Some(user) = &user {
            *taken.users.entry(user.clone()).or_default() += 1;
        }
        Ok(Place { places: self.clone(), customer, user })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &mut *self.places.lock();
        give_back(&mut taken.customers, &self.customer);
        if let Some(user) = &self.user {
            give_back(&mut taken.users, user);
        }
    }
}

fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, usize>, whose: &K) {
    if let Some(count) = counts.get_mut(whose) {
        *count -= 1;
        if *count == 0 {
            counts.remove(whose);
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
    fn a_user_has_so_many_wherever() {
        let places = Places::behind_proxy(10, 5).for_users(2);
        let take = |text: &str, user| places.take_for(address(text), user);
        let first = take("192.0.2.1", Some("anna")).expect("a place");
        let _second = take("127.0.0.1", Some("anna")).expect("a place");
        assert_eq!(take("192.0.2.2", Some("anna")).unwrap_err(), NoPlace::EnoughOfUser(2));
        let _others = [take("192.0.2.2", Some("bert")), take("192.0.2.2", None)].map(|place| place.expect("a place"));
        drop(first);
        assert!(take("192.0.2.2", Some("anna")).is_ok());
        assert_eq!(places.lock().users["anna"], 1);
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
            assert!(places.lock().customers.is_empty(), "nothing is kept of who left");
            let direct = Places::new(3, 1);
            let _held = direct.take(address(text)).expect("a place");
            assert_eq!(direct.take(address(text)).unwrap_err(), NoPlace::Enough(1), "{text}");
        }
    }
}
