use std::time::Duration;

use hyperty_model::Ids;

/// How often and how soon an exchange is tried again (protocol 0.2, RETRY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How many attempts in all; at least one is made.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles from one to the next.
    pub first: Duration,
    /// The longest wait there is.
    pub max: Duration,
}

impl Default for Retry {
    /// 10 attempts, 100 ms to 5 s.
    fn default() -> Retry {
        Retry { attempts: 10, first: Duration::from_millis(100), max: Duration::from_secs(5) }
    }
}

impl Retry {
    /// The wait after `attempts` failed ones: between half of the longest and the whole, by chance, so that many who
    /// failed together do not come back together.
    ///
    /// ```
    /// use hyperty_message_bus::Retry;
    /// use hyperty_model::SeededIds;
    /// let wait = Retry::default().wait(2, &SeededIds::new(1)).as_millis();
    /// assert!((100..=200).contains(&wait));
    /// ```
    pub fn wait(&self, attempts: u32, ids: &dyn Ids) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        let longest = doubled.min(self.max);
        // 20 random bits: a millionth of the wait is finer than any timer.
        let share = (ids.random() & 0xf_ffff) as u32;
        longest / 2 + (longest / 2).mul_f64(f64::from(share) / f64::from(0xf_ffff_u32))
    }
}
