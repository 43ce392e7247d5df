//! How often somebody may be wrong: after a few failures each further one costs a pause, twice as long as the last, up to a
//! cap. Of an address against one who guesses, of a user against many who guess together.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::{places::customer, stats::Counter};

/// Five typing mistakes are free. An hour of guessing is then some 20 guesses.
const OF_ADDRESS: Rule = Rule { free: 5, cap: Duration::from_secs(300) };
/// This machine may be a reverse proxy with everybody behind it, who would all have to pause: failures come once a second at
/// last, which bounds what checks take.
const OF_PROXY: Rule = Rule { free: 100, cap: FIRST };
/// Whoever can make others pause may lock them out: the cap is short, and who is logged in is not asked again.
const OF_USER: Rule = Rule { free: 10, cap: Duration::from_secs(30) };
/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// Failures are forgotten so long after the last one.
const FORGET: Duration = Duration::from_secs(900);
/// Addresses and names that are remembered, each. Beyond, those that failed long ago are forgotten.
const MAX_ENTRIES: usize = 10_000;

struct Rule {
    free: u32,
    cap: Duration,
}

/// Who has failed lately.
pub(super) struct Throttle {
    addresses: Book<IpAddr>,
    proxies: Book<IpAddr>,
    users: Book<String>,
    /// Apart from the others: whoever guesses at links locks out nobody with a password.
    links: Book<IpAddr>,
    link_proxies: Book<IpAddr>,
    failures: Counter,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            addresses: Book::new(OF_ADDRESS),
            proxies: Book::new(OF_PROXY),
            users: Book::new(OF_USER),
            links: Book::new(OF_ADDRESS),
            link_proxies: Book::new(OF_PROXY),
            failures: Counter::default(),
        }
    }

    /// # Errors
    /// How long this address has to pause.
    pub(super) fn check_address(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let customer = customer(address);
        self.book(customer).check(&customer, now)
    }

    /// # Errors
    /// How long nobody is to be taken for this user, who need not exist.
    pub(super) fn check_user(&self, name: &str, now: Instant) -> Result<(), Duration> {
        self.users.check(&name.to_owned(), now)
    }

    /// Notes a failure of an address, and with the name of a user if it gave one.
    pub(super) fn failed(&self, address: IpAddr, name: Option<&str>, now: Instant) {
        self.count();
        let customer = customer(address);
        self.book(customer).failed(customer, now);
        if let Some(name) = name {
            self.users.failed(name.to_owned(), now);
        }
    }

    /// Notes a link that we have not made.
    ///
    /// # Errors
    /// How long this address has to pause, without which it is not noted.
    pub(super) fn link_failed(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let customer = customer(address);
        let book = if customer.is_loopback() { &self.link_proxies } else { &self.links };
        book.check(&customer, now)?;
        self.count();
        book.failed(customer, now);
        Ok(())
    }

    fn book(&self, customer: IpAddr) -> &Book<IpAddr> {
        if customer.is_loopback() { &self.proxies } else { &self.addresses }
    }

    /// Notes a failure that costs nobody a pause.
    pub(super) fn count(&self) {
        self.failures.add(1);
    }

    /// How many there were.
    pub(super) fn failures(&self) -> u64 {
        self.failures.total()
    }
}

struct Entry {
    failures: u32,
    last: Instant,
    until: Instant,
}

struct Book<K> {
    rule: Rule,
    entries: Mutex<HashMap<K, Entry>>,
}

impl<K: Hash + Eq + Clone> Book<K> {
    fn new(rule: Rule) -> Self {
        Self { rule, entries: Mutex::default() }
    }

    fn check(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let wait = self.lock().get(key).map(|entry| entry.until.saturating_duration_since(now));
        wait.filter(|wait| !wait.is_zero()).map_or(Ok(()), Err)
    }

    fn failed(&self, key: K, now: Instant) {
        let mut entries = self.lock();
        if entries.len() >= MAX_ENTRIES && !entries.contains_key(&key) {
            entries.retain(|_, entry| now.saturating_duration_since(entry.last) < FORGET);
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest.filter(|_| entries.len() >= MAX_ENTRIES) {
                entries.remove(&oldest);
            }
        }
        let entry = entries.entry(key).or_insert(Entry { failures: 0, last: now, until: now });
        if now.saturating_duration_since(entry.last) >= FORGET {
            entry.failures = 0;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        entry.until = now + self.rule.pause(entry.failures);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Entry>> {
        self.entries.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Rule {
    fn pause(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None | Some(0) => Duration::ZERO,
            Some(over) => FIRST.saturating_mul(1 << (over - 1).min(30)).min(self.cap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Guesses that are let through in an hour to somebody who never rests.
    fn guesses(throttle: &Throttle, address: impl Fn(u32) -> IpAddr, name: impl Fn(u32) -> String) -> u32 {
        let start = Instant::now();
        let mut let_through = 0;
        for second in 0..3_600u64 {
            let now = start + Duration::from_secs(second);
            for _ in 0..20 {
                let (address, name) = (address(let_through), name(let_through));
                if throttle.check_address(address, now).is_ok() && throttle.check_user(&name, now).is_ok() {
                    throttle.failed(address, Some(&name), now);
                    let_through += 1;
                }
            }
        }
        let_through
    }

    #[test]
    fn who_guesses_has_a_few_guesses_an_hour() {
        let one = guesses(&Throttle::new(), |_| address("192.0.2.1"), |number| format!("user{number}"));
        assert!((15..=30).contains(&one), "{one} from one address");
        let network = |number: u32| address(&format!("2001:db8::{number:x}"));
        let one = guesses(&Throttle::new(), network, |number| format!("user{number}"));
        assert!((15..=30).contains(&one), "{one} from one IPv6 network");
        let many = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        let all = guesses(&Throttle::new(), many, |_| "anna".to_owned());
        assert!((100..=150).contains(&all), "{all} for one user");
    }

    #[test]
    fn a_few_mistakes_are_free_and_pauses_end() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let home = address("192.0.2.1");
        for _ in 0..5 {
            throttle.failed(home, None, now);
            assert_eq!(throttle.check_address(home, now), Ok(()));
        }
        throttle.failed(home, None, now);
        assert_eq!(throttle.check_address(home, now), Err(FIRST));
        assert_eq!(throttle.check_address(address("::ffff:192.0.2.1"), now), Err(FIRST), "the same in IPv6 notation");
        assert_eq!(throttle.check_address(address("192.0.2.2"), now), Ok(()));
        assert_eq!(throttle.check_address(home, now + FIRST), Ok(()));
        throttle.failed(home, None, now + FORGET);
        assert_eq!(throttle.check_address(home, now + FORGET), Ok(()), "forgotten");
        for _ in 0..1_000 {
            throttle.failed(home, None, now + FORGET);
        }
        assert_eq!(throttle.check_address(home, now + FORGET), Err(OF_ADDRESS.cap), "never longer");
    }

    #[test]
    fn a_reverse_proxy_on_this_machine_is_held_responsible_for_a_second_at_most() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for _ in 0..100 {
            throttle.failed(address("127.0.0.1"), Some("anna"), now);
        }
        assert_eq!(throttle.check_address(address("127.0.0.1"), now), Ok(()));
        assert_eq!(throttle.check_user("anna", now), Err(OF_USER.cap));
        let all = guesses(&Throttle::new(), |_| address("127.0.0.1"), |number| format!("user{number}"));
        assert!((3_600..=3_800).contains(&all), "{all} behind a proxy");
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for number in 0..MAX_ENTRIES as u32 + 500 {
            throttle.failed(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), None, now);
        }
        assert_eq!(throttle.addresses.lock().len(), MAX_ENTRIES);
    }
}
