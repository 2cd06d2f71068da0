//! Addresses for data objects and hyperties that no domain ever gives out twice.
//!
//! A domain's message node allocates (protocol 5.12). A runtime asks it through a [`NodeAllocator`], which fetches
//! blocks and so seldom needs a round trip for a creation; a runtime without a node makes addresses of its own with
//! a [`LocalAllocator`]. [`AllocationTable`] is the node's side: who holds which address, kept over restarts.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_address_allocation::{AddressAllocator, LocalAllocator};
//! use hyperty_model::{ObjectUrl, SystemIds};
//!
//! # let run = async {
//! let allocator = LocalAllocator::new(Arc::new(SystemIds));
//! let first = allocator.allocate("example.com", "comm").await.unwrap();
//! let second = allocator.allocate("example.com", "comm").await.unwrap();
//! assert_ne!(first, second);
//! assert_eq!(ObjectUrl::try_from(first).unwrap().home(), "example.com");
//! # };
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run);
//! ```

mod check;
mod error;
mod local;
mod node;
mod refusal;
mod table;
mod wire;

pub use error::AllocateError;
pub use local::LocalAllocator;
pub use node::{NodeAllocator, POOL_BLOCK_FIRST, POOL_BLOCK_MAX, POOLS_MAX};
pub use table::{
    ALLOCATIONS_CHECK, ALLOCATIONS_MAX, ALLOCATIONS_PER_RUNTIME_MAX, AllocationLimits, AllocationTable,
    KEY_BYTES_MAX,
};

use futures_core::future::BoxFuture;
use hyperty_model::Url;

/// Most addresses of one request (protocol 5.12).
pub const BLOCK_MAX: usize = 1000;

/// Gives out addresses and takes them back.
pub trait AddressAllocator: Send + Sync {
    /// A fresh address `<scheme>://<domain>/<id>`: a hyperty's for the scheme `hyperty`, a data object's for every
    /// object scheme. It belongs to the caller until it is released; no address is ever given to two callers.
    fn allocate<'a>(&'a self, domain: &'a str, scheme: &'a str) -> BoxFuture<'a, Result<Url, AllocateError>>;

    /// Gives addresses back; they are not given out again. Releasing twice is releasing once.
    ///
    /// All are tried; the first failure is returned, and what it concerns stays allocated.
    fn release(&self, addresses: Vec<Url>) -> BoxFuture<'_, Result<(), AllocateError>>;
}
