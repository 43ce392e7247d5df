//! How often one address may ask for work (WHEP section 5): a session costs a key exchange, and a place for 20 seconds even
//! if nobody comes for it.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::{config::RateLimit, problem::Problem};
use crate::places::customer;

/// This machine, that is a reverse proxy with all its viewers behind it, is allowed so many times what others are.
const LOOPBACK_FACTOR: u32 = 100;
/// Addresses remembered at one time. Beyond, those that asked long ago are forgotten, and if none did, newcomers share one
/// allowance.
const MAX_ADDRESSES: usize = 10_000;

/// Who sent a request, as an extension of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) IpAddr);

/// Counts requests by address.
pub(super) struct Limits {
    clock: DefaultClock,
    books: RwLock<Books>,
    refused: AtomicU64,
}

struct Books {
    limit: RateLimit,
    others: DefaultKeyedRateLimiter<IpAddr>,
    loopback: DefaultKeyedRateLimiter<IpAddr>,
}

impl Books {
    fn new(limit: RateLimit) -> Self {
        let quota = |factor: u32| {
            let times = |count: NonZeroU32| count.saturating_mul(NonZeroU32::new(factor).unwrap_or(NonZeroU32::MIN));
            Quota::per_second(times(limit.per_second)).allow_burst(times(limit.burst))
        };
        Self { limit, others: RateLimiter::keyed(quota(1)), loopback: RateLimiter::keyed(quota(LOOPBACK_FACTOR)) }
    }

    fn known(&self, address: IpAddr) -> IpAddr {
        if self.others.len() < MAX_ADDRESSES {
            return address;
        }
        self.others.retain_recent();
        if self.others.len() < MAX_ADDRESSES { address } else { Ipv6Addr::UNSPECIFIED.into() }
    }
}

impl Limits {
    pub(super) fn new(limit: RateLimit) -> Self {
        let books = RwLock::new(Books::new(limit));
        Self { clock: DefaultClock::default(), books, refused: AtomicU64::new(0) }
    }

    /// Counts by another limit, from the beginning if it is another.
    pub(super) fn set(&self, limit: RateLimit) {
        let mut books = self.books.write().unwrap_or_else(|e| e.into_inner());
        if books.limit != limit {
            *books = Books::new(limit);
        }
    }

    /// # Errors
    /// How long to wait.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let customer = customer(address);
        let books = self.books.read().unwrap_or_else(|e| e.into_inner());
        let (limiter, key) =
            if customer.is_loopback() { (&books.loopback, customer) } else { (&books.others, books.known(customer)) };
        limiter.check_key(&key).map_err(|not_until| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            not_until.wait_time_from(self.clock.now())
        })
    }

    /// Requests that came too soon.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Refuses POST, PATCH and DELETE of somebody who sends too many.
pub(super) async fn limit(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let costs = matches!(*request.method(), Method::POST | Method::PATCH | Method::DELETE);
    let client = request.extensions().get::<Client>().copied();
    if costs
        && let Some(Client(address)) = client
        && let Err(wait) = limits.check(address)
    {
        return Problem::too_many_requests(wait).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_second: u32, burst: u32) -> Limits {
        let count = |count| NonZeroU32::new(count).expect("not zero");
        Limits::new(RateLimit { per_second: count(per_second), burst: count(burst) })
    }

    fn allowed(limits: &Limits, address: &str, tries: usize) -> usize {
        (0..tries).filter(|_| limits.check(address.parse().expect("an address")).is_ok()).count()
    }

    #[test]
    fn each_address_has_its_own_allowance() {
        let limits = limits(1, 3);
        assert_eq!(allowed(&limits, "192.0.2.1", 10), 3);
        assert_eq!(allowed(&limits, "192.0.2.2", 10), 3);
        assert_eq!(allowed(&limits, "::ffff:192.0.2.2", 10), 0, "the same in IPv6 notation");
        let wait = limits.check([192, 0, 2, 1].into()).expect_err("too many");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn a_customer_with_a_whole_network_is_one() {
        let limits = limits(1, 3);
        assert_eq!(allowed(&limits, "2001:db8::1", 10), 3);
        assert_eq!(allowed(&limits, "2001:db8::2", 10), 0);
        assert_eq!(allowed(&limits, "2001:db8:0:1::2", 10), 3);
    }

    #[test]
    fn this_machine_may_ask_more_often() {
        assert!(allowed(&limits(1, 3), "127.0.0.1", 300) == 300);
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let limits = limits(1, 3);
        for number in 0..MAX_ADDRESSES as u32 + 1_000 {
            let _ = limits.check(IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
        }
        let known = || limits.books.read().unwrap_or_else(|e| e.into_inner()).others.len();
        assert!(known() <= MAX_ADDRESSES + 1, "{}", known());
        assert_eq!(allowed(&limits, "192.0.2.1", 10), 0, "newcomers share what is left");
    }
}
