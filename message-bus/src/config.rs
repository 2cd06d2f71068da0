use std::time::Duration;

use hyperty_model::RuntimeUrl;

/// How long a request waits for a response, by default; the T_RESP of protocol 0.2.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// Most requests that may wait at once, by default. Far above what 15 s of a busy runtime leave open, and some
/// 30 MB at most.
pub const PENDING_MAX: usize = 65_536;

/// Most listeners of one address, by default: more hyperties than one runtime holds.
pub const LISTENERS_PER_ADDRESS_MAX: usize = 16_384;

/// Most addresses with a listener, by default. 100,000 objects with all their channels use a tenth of it; what runs
/// into it leaks listeners.
pub const ADDRESSES_MAX: usize = 1 << 22;

/// Limits and timers of a [`MessageBus`](crate::MessageBus).
///
/// ```
/// use hyperty_message_bus::BusConfig;
/// let config = BusConfig { pending_max: 1_000, ..BusConfig::default() };
/// assert_eq!(config.response_timeout.as_secs(), 15);
/// ```
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// The runtime that owns the bus; the `source` of the errors that the bus itself answers with.
    pub runtime: Option<RuntimeUrl>,
    /// How long a request waits for a response; a provisional response starts it anew.
    pub response_timeout: Duration,
    /// Most requests that may wait at once, on the bus and again on each MiniBus. One more is answered 500.
    pub pending_max: usize,
    /// Most listeners of one address.
    pub listeners_per_address_max: usize,
    /// Most addresses with a listener, on the bus and again on each MiniBus.
    pub addresses_max: usize,
}

impl Default for BusConfig {
    fn default() -> BusConfig {
        BusConfig {
            runtime: None,
            response_timeout: RESPONSE_TIMEOUT,
            pending_max: PENDING_MAX,
            listeners_per_address_max: LISTENERS_PER_ADDRESS_MAX,
            addresses_max: ADDRESSES_MAX,
        }
    }
}
