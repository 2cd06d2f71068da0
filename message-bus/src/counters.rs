use std::sync::atomic::{AtomicU64, Ordering};

/// What a bus has dropped or refused since it was made. Nothing is dropped without being counted here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BusCounters {
    /// Copies not sent or taken because they had been there before, or had made too many hops (protocol 2.6).
    pub looped: u64,
    /// Messages for which there was neither listener nor route.
    pub undeliverable: u64,
    /// Copies that a stub did not take because it was full or closed.
    pub stub_refused: u64,
    /// Messages that an interceptor rejected or dropped.
    pub rejected: u64,
    /// Messages that a hyperty posted in a name that is not its own (protocol 4.1).
    pub not_its_name: u64,
    /// Messages whose delivery would have nested too deep.
    pub too_deep: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Requests that wait at this moment, those of MiniBuses not included.
    pub pending: usize,
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) looped: Counter,
    pub(crate) undeliverable: Counter,
    pub(crate) stub_refused: Counter,
    pub(crate) rejected: Counter,
    pub(crate) not_its_name: Counter,
    pub(crate) too_deep: Counter,
    pub(crate) panicked: Counter,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    pub(crate) fn read(&self, pending: usize) -> BusCounters {
        BusCounters {
            looped: self.looped.get(),
            undeliverable: self.undeliverable.get(),
            stub_refused: self.stub_refused.get(),
            rejected: self.rejected.get(),
            not_its_name: self.not_its_name.get(),
            too_deep: self.too_deep.get(),
            panicked: self.panicked.get(),
            pending,
        }
    }
}
