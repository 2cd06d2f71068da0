use hyperty_model::{HypertyUrl, Url};

/// Why a listener, a sequencer or a sandbox could not be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The address has as many listeners as [`BusConfig::listeners_per_address_max`] allows. Drop some, or share one.
    ///
    /// [`BusConfig::listeners_per_address_max`]: crate::BusConfig::listeners_per_address_max
    #[error("{url} has its {max} listeners already")]
    LimitReached {
        /// The address.
        url: Url,
        /// The limit.
        max: usize,
    },
    /// As many addresses have listeners as [`BusConfig::addresses_max`] allows: somebody keeps listeners for ever.
    ///
    /// [`BusConfig::addresses_max`]: crate::BusConfig::addresses_max
    #[error("{0} addresses have listeners already, no more are allowed")]
    TooManyAddresses(usize),
    /// The address has a sequencer; there is one at most. Drop the other first.
    #[error("{0} has a sequencer already")]
    AlreadySequenced(Url),
    /// The hyperty has a MiniBus already. Clone that one instead.
    #[error("{0} is attached already")]
    AlreadyAttached(HypertyUrl),
    /// No MiniBus of this hyperty is attached. Create it before anything is forwarded to it.
    #[error("{0} is not attached")]
    NotAttached(HypertyUrl),
}
