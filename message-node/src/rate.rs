//! How many connections one network address may make: a token bucket for each, of which there is a bounded number.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Connections of one address in a second, on average: a household or an office behind one address that comes back.
pub const ATTACH_PER_SECOND: usize = 50;

/// Connections of one address at once.
pub const ATTACH_BURST: usize = 500;

/// Most addresses that are kept apart. Those beyond share one bucket: whoever has so many addresses is slowed down with
/// all others that come new, and nobody who was known before.
pub const ADDRESSES_MAX: usize = 16_384;

/// How fast one network address may connect. Callers on the same machine are not counted: that is a proxy, which has to
/// do this itself, or a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachRate {
    /// In a second, on average; 0 is no limit.
    pub per_second: usize,
    /// At once.
    pub burst: usize,
}

impl Default for AttachRate {
    fn default() -> AttachRate {
        AttachRate { per_second: ATTACH_PER_SECOND, burst: ATTACH_BURST }
    }
}

/// The buckets.
#[derive(Debug, Default)]
pub(crate) struct Attaching {
    buckets: Mutex<HashMap<Option<IpAddr>, Bucket, RandomState>>,
}

/// What is left of the burst, as it was then.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Attaching {
    /// Takes one connection of an address; how long to wait if it has made too many.
    pub(crate) fn take(&self, address: IpAddr, rate: AttachRate) -> Result<(), Duration> {
        if rate.per_second == 0 || address.is_loopback() {
            return Ok(());
        }
        let (now, per_second) = (Instant::now(), rate.per_second as f64);
        let burst = rate.burst.max(1) as f64;
        let mut buckets = self.buckets.lock();
        let mut key = Some(network(address));
        if !buckets.contains_key(&key) && buckets.len() >= ADDRESSES_MAX {
            // Full buckets say nothing that an absent one does not.
            buckets.retain(|_, bucket| bucket.filled(now, per_second, burst) < burst);
            if buckets.len() >= ADDRESSES_MAX {
                key = None;
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: burst, at: now });
        let left = bucket.filled(now, per_second, burst);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / per_second));
        }
        *bucket = Bucket { left: left - 1.0, at: now };
        Ok(())
    }
}

impl Bucket {
    fn filled(&self, now: Instant, per_second: f64, burst: f64) -> f64 {
        (self.left + now.duration_since(self.at).as_secs_f64() * per_second).min(burst)
    }
}

/// What one party is given: an address, or in the sixth version the 64 bits that are handed out together.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const RATE: AttachRate = AttachRate { per_second: 10, burst: 20 };

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_a_burst_and_then_a_rate() {
        let attaching = Attaching::default();
        let taken = (0..200).take_while(|_| attaching.take(v4(1), RATE).is_ok()).count();
        assert_eq!(taken, 20);
        let wait = attaching.take(v4(1), RATE).unwrap_err();
        assert!(attaching.take(v4(2), RATE).is_ok(), "another address is not slowed down");
        tokio::time::advance(wait).await;
        assert!(attaching.take(v4(1), RATE).is_ok());
        assert!(attaching.take(v4(1), RATE).is_err());
        tokio::time::advance(Duration::from_secs(60)).await;
        let taken = (0..200).take_while(|_| attaching.take(v4(1), RATE).is_ok()).count();
        assert_eq!(taken, 20, "it saves up no more than a burst");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_network_has_one_bucket_and_who_is_here_none() {
        let attaching = Attaching::default();
        let v6 = |low: u64| IpAddr::V6(Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(low)));
        let taken = (0..200).take_while(|&low| attaching.take(v6(low), RATE).is_ok()).count();
        assert_eq!(taken, 20);
        let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        assert!((0..1000).all(|n| attaching.take(here[n % 2], RATE).is_ok()));
        let unlimited = AttachRate { per_second: 0, burst: 0 };
        assert!((0..1000).all(|_| attaching.take(v4(1), unlimited).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_forgets_who_is_quiet() {
        let attaching = Attaching::default();
        for number in 0..ADDRESSES_MAX as u32 {
            assert!(attaching.take(v4(number), RATE).is_ok());
        }
        let taken = (0..200_u32).take_while(|n| attaching.take(v4(0x10_0000 + n), RATE).is_ok()).count();
        assert_eq!(taken, 20, "those beyond share one");
        assert_eq!(attaching.buckets.lock().len(), ADDRESSES_MAX + 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(attaching.take(v4(0x20_0000), RATE).is_ok());
        assert_eq!(attaching.buckets.lock().len(), 1);
    }
}
