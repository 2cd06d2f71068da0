use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_message_bus::MessageBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{MessageType, RuntimeUrl, StatusCode, Url};
use parking_lot::Mutex;
use serde_json::Value;

use crate::wire::{AllocateBody, ReleaseBody};
use crate::{AddressAllocator, AllocateError, BLOCK_MAX, check};

/// The first block of a pool. Small, because what a killed process did not use stays allocated at the node.
pub const POOL_BLOCK_FIRST: usize = 8;

/// The blocks of a pool double up to this size: with a round trip of a millisecond it feeds 250,000 creations a
/// second.
pub const POOL_BLOCK_MAX: usize = 256;

/// Most pools (domain and scheme) with free addresses; beyond it the pools without any are forgotten first, then
/// further ones get single addresses. Far above the number of schemas that one process works with.
pub const POOLS_MAX: usize = 1024;

/// Allocates at the message node of the address's domain, through the runtime's bus.
///
/// Addresses are fetched in blocks and kept in a pool per domain and scheme; concurrent callers of an empty pool
/// share one request. At shutdown [`NodeAllocator::release_pool`] gives back what was not used.
#[derive(Clone)]
pub struct NodeAllocator {
    inner: Arc<Inner>,
}

struct Inner {
    bus: MessageBus,
    /// The key of everything this runtime allocates, as the protocol suggests.
    runtime: RuntimeUrl,
    from: Url,
    pools: Mutex<HashMap<PoolId, Pool>>,
}

/// Domain (in lower case) and scheme of a pool.
type PoolId = (String, String);

struct Pool {
    free: Vec<Url>,
    next_block: usize,
    /// Callers that found no free address and have none yet: the next block is at least as large.
    waiting: usize,
    /// The request that is under way for this pool, shared by all who wait for it.
    refill: Option<Arc<Refill>>,
}

/// Whoever holds the lock and finds no outcome makes the request; the others find its outcome. A caller that is
/// cancelled in between leaves the request to the next.
type Refill = tokio::sync::Mutex<Option<Result<(), AllocateError>>>;

impl NodeAllocator {
    /// An allocator for `runtime`, which sends from `<RuntimeURL>/address-allocation` on its bus.
    pub fn new(bus: MessageBus, runtime: RuntimeUrl) -> NodeAllocator {
        let from = runtime.address_allocation();
        NodeAllocator { inner: Arc::new(Inner { bus, runtime, from, pools: Mutex::default() }) }
    }

    /// Gives back all pooled addresses that nobody was given.
    ///
    /// # Errors
    /// The first failure; what it concerns stays allocated at the node.
    pub async fn release_pool(&self) -> Result<(), AllocateError> {
        let unused = {
            let mut pools = self.inner.pools.lock();
            pools.values_mut().flat_map(|pool| std::mem::take(&mut pool.free)).collect()
        };
        self.inner.release(unused).await
    }
}

impl std::fmt::Debug for NodeAllocator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeAllocator").field("runtime", &self.inner.runtime).finish_non_exhaustive()
    }
}

impl AddressAllocator for NodeAllocator {
    fn allocate<'a>(&'a self, domain: &'a str, scheme: &'a str) -> BoxFuture<'a, Result<Url, AllocateError>> {
        Box::pin(self.inner.allocate(domain, scheme))
    }

    fn release(&self, addresses: Vec<Url>) -> BoxFuture<'_, Result<(), AllocateError>> {
        Box::pin(self.inner.release(addresses))
    }
}

impl Inner {
    async fn allocate(&self, domain: &str, scheme: &str) -> Result<Url, AllocateError> {
        // Refused here rather than by the node: a bad schema must fail in the same way with and without one.
        check::address(scheme, domain, "0").map_err(|reason| AllocateError::Invalid {
            scheme: scheme.to_owned(),
            domain: domain.to_owned(),
            reason,
        })?;
        let id = (domain.to_ascii_lowercase(), scheme.to_owned());
        let mut waiting = None;
        loop {
            let refill = match self.take(&id, waiting.is_none()) {
                Ok(address) => return Ok(address),
                Err(refill) => refill,
            };
            waiting.get_or_insert_with(|| Waiting { inner: self, id: &id });
            let mut outcome = refill.lock().await;
            match &*outcome {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(error.clone()),
                None => {
                    let fetched = self.refill(&id).await;
                    *outcome = Some(fetched.as_ref().map(|_| ()).map_err(Clone::clone));
                    return fetched;
                }
            }
        }
    }

    /// A free address, or the request to wait for; `first` if the caller is not counted as waiting yet.
    fn take(&self, id: &PoolId, first: bool) -> Result<Url, Arc<Refill>> {
        let mut pools = self.pools.lock();
        if pools.len() >= POOLS_MAX && !pools.contains_key(id) {
            pools.retain(|_, pool| pool.waiting > 0 || !pool.free.is_empty());
        }
        let pool = pools.entry(id.clone()).or_insert_with(|| Pool {
            free: Vec::new(),
            next_block: POOL_BLOCK_FIRST,
            waiting: 0,
            refill: None,
        });
        match pool.free.pop() {
            Some(address) => Ok(address),
            None => {
                pool.waiting += usize::from(first);
                Err(Arc::clone(pool.refill.get_or_insert_default()))
            }
        }
    }

    /// Fetches a block: one address for the caller, the others for the pool.
    async fn refill(&self, id: &PoolId) -> Result<Url, AllocateError> {
        let number = {
            let pools = self.pools.lock();
            let (block, waiting) = pools.get(id).map_or((1, 1), |pool| (pool.next_block, pool.waiting));
            let block = if pools.len() > POOLS_MAX { 1 } else { block };
            block.max(waiting).clamp(1, BLOCK_MAX)
        };
        let fetched = self.fetch(&id.0, &id.1, number).await;
        let mut pools = self.pools.lock();
        let Some(pool) = pools.get_mut(id) else { return fetched.map(|(first, _)| first) };
        pool.refill = None;
        fetched.map(|(first, rest)| {
            pool.next_block = (pool.next_block * 2).min(POOL_BLOCK_MAX);
            pool.free.extend(rest);
            first
        })
    }

    async fn fetch(
        &self,
        domain: &str,
        scheme: &str,
        number: usize,
    ) -> Result<(Url, Vec<Url>), AllocateError> {
        let body = AllocateBody::new(scheme, number, self.runtime.as_str());
        let answer = self.request(MessageType::Create, domain, body).await?;
        let unusable = |reason: String| AllocateError::Unusable { domain: domain.to_owned(), reason };
        let mut block = read_block(&answer, domain, scheme, number).map_err(unusable)?;
        tracing::debug!(domain, scheme, number, "allocated a block of addresses");
        let first = block.pop().ok_or_else(|| unusable("no addresses".to_owned()))?;
        Ok((first, block))
    }

    async fn release(&self, addresses: Vec<Url>) -> Result<(), AllocateError> {
        let mut by_domain: BTreeMap<String, Vec<Url>> = BTreeMap::new();
        for address in addresses {
            if let Some(domain) = address.domain() {
                by_domain.entry(domain.to_ascii_lowercase()).or_default().push(address);
            }
        }
        let mut outcome = Ok(());
        for (domain, addresses) in by_domain {
            for block in addresses.chunks(BLOCK_MAX) {
                let released = self.request(MessageType::Delete, &domain, ReleaseBody::of(block)).await;
                outcome = outcome.and(released.map(|_| ()));
            }
        }
        outcome
    }

    async fn request(
        &self,
        kind: MessageType,
        domain: &str,
        body: impl Into<hyperty_model::Body>,
    ) -> Result<Arc<ResponseBody>, AllocateError> {
        let to = node::address_allocation(domain).map_err(|error| AllocateError::Invalid {
            scheme: String::new(),
            domain: domain.to_owned(),
            reason: error.to_string(),
        })?;
        let answer = self.bus.request(self.bus.new_message(kind, &self.from, &to, body)).await;
        let domain = domain.to_owned();
        let body = answer
            .decode::<ResponseBody>()
            .map_err(|error| AllocateError::Unusable { domain: domain.clone(), reason: error.to_string() })?;
        if body.code.is_success() {
            return Ok(body);
        }
        let reason = body.why().to_owned();
        let unreachable = body.reason.as_deref() == Some("no-route")
            || matches!(
                body.code,
                StatusCode::TIMEOUT | StatusCode::NOT_FOUND | StatusCode::BACKEND_UNREACHABLE
            );
        if unreachable {
            return Err(AllocateError::Unreachable { domain, reason });
        }
        Err(AllocateError::Refused { domain, code: body.code, reason })
    }
}

/// Counts a caller among those that wait for addresses of a pool, until it leaves in whatever way.
struct Waiting<'a> {
    inner: &'a Inner,
    id: &'a PoolId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(pool) = self.inner.pools.lock().get_mut(self.id) {
            pool.waiting = pool.waiting.saturating_sub(1);
        }
    }
}

/// The addresses of an answer, if they are what was asked for: nothing else may become an object's URL.
fn read_block(answer: &ResponseBody, domain: &str, scheme: &str, number: usize) -> Result<Vec<Url>, String> {
    let listed = answer.value.as_ref().and_then(|value| value.get("allocated")).and_then(Value::as_array);
    let listed = listed.ok_or("value.allocated is missing")?;
    if listed.len() != number {
        return Err(format!("{} addresses instead of {number}", listed.len()));
    }
    let mut seen = HashSet::new();
    let mut block = Vec::with_capacity(number);
    for item in listed {
        let text = item.as_str().ok_or("an address is no string")?;
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let as_asked = url.scheme().eq_ignore_ascii_case(scheme)
            && url.domain().is_some_and(|found| found.eq_ignore_ascii_case(domain));
        if !as_asked {
            return Err(format!("{url} is no address of the form {scheme}://{domain}/…"));
        }
        let address = check::allocatable(url)?;
        if !seen.insert(address.clone()) {
            return Err(format!("{text} twice"));
        }
        block.push(address);
    }
    // Taken from the end: given out in the order in which they came.
    block.reverse();
    Ok(block)
}
