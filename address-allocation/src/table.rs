use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hyperty_model::message::ResponseBody;
use hyperty_model::{Ids, Message, MessageType, RuntimeUrl, Url};
use hyperty_storage::operations::TableCheck;
use hyperty_storage::{Batch, StorageError, Tables, Ticket};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::refusal::Refusal;
use crate::wire::{AllocateBody, Release, ReleaseBody};
use crate::{BLOCK_MAX, check};

/// Most addresses that one runtime may hold at a node: ten times what a large application needs, and at about
/// 200 bytes each no runtime can take a node's memory alone.
pub const ALLOCATIONS_PER_RUNTIME_MAX: usize = 200_000;

/// Most addresses of a whole node, for the same reason: about 1 GB.
pub const ALLOCATIONS_MAX: usize = 5_000_000;

/// Longest allocation key, in bytes: that of a URL.
pub const KEY_BYTES_MAX: usize = hyperty_model::url::URL_BYTES_MAX;

const TABLE: &str = "allocations/v1";

/// How an operator's check looks at stored allocations.
pub const ALLOCATIONS_CHECK: TableCheck = TableCheck { table: TABLE, row: check_row };

fn check_row(key: &[u8], value: &[u8]) -> Result<(), String> {
    let (address, _) = read_row(value)?;
    if address.key().as_bytes() == key { Ok(()) } else { Err(format!("it holds {address}")) }
}

/// How much a node allocates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocationLimits {
    /// Most addresses held by one runtime.
    pub per_runtime: usize,
    /// Most addresses held by all.
    pub total: usize,
}

impl Default for AllocationLimits {
    fn default() -> AllocationLimits {
        AllocationLimits { per_runtime: ALLOCATIONS_PER_RUNTIME_MAX, total: ALLOCATIONS_MAX }
    }
}

/// Which runtime holds which address of a domain: the message node's side of allocation (protocol 5.12).
///
/// Allocations belong to a runtime, not to its connection, and survive restarts of the node. No operation looks at
/// more than the addresses it is about.
pub struct AllocationTable {
    domain: String,
    limits: AllocationLimits,
    tables: Arc<dyn Tables>,
    ids: Arc<dyn Ids>,
    state: RwLock<State>,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Set<K> = HashSet<K, foldhash::fast::RandomState>;

#[derive(Default)]
struct State {
    by_address: Map<Url, Allocation>,
    by_key: Map<Arc<str>, Set<Url>>,
    per_runtime: Map<RuntimeUrl, usize>,
}

#[derive(Clone)]
struct Allocation {
    runtime: RuntimeUrl,
    key: Option<Arc<str>>,
}

/// An allocation as it is stored, under the key of its address.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    /// The address as it was given out: the row's key is in lower case.
    #[serde(borrow)]
    address: std::borrow::Cow<'a, str>,
    runtime: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<std::borrow::Cow<'a, str>>,
}

impl AllocationTable {
    /// Loads the allocations of `domain` from `tables`.
    ///
    /// # Errors
    /// [`StorageError`] when the table cannot be read; [`StorageError::Corrupt`] names a row that is not one.
    pub fn open(
        domain: &str,
        tables: Arc<dyn Tables>,
        ids: Arc<dyn Ids>,
        limits: AllocationLimits,
    ) -> Result<AllocationTable, StorageError> {
        let mut state = State::default();
        for (key, value) in tables.scan(TABLE, b"")? {
            let (address, allocation) = read_row(&value).map_err(|detail| StorageError::Corrupt {
                table: TABLE,
                key: String::from_utf8_lossy(&key).into_owned(),
                detail,
            })?;
            state.insert(address, allocation);
        }
        Ok(AllocationTable { domain: domain.to_owned(), limits, tables, ids, state: RwLock::new(state) })
    }

    /// Answers a message to the node's address allocation that came in by the session of `runtime`.
    ///
    /// The answer must not be sent before the ticket is durable: an address that was given out and forgotten in a
    /// crash could be given out again. If the store fails instead, answer [`StatusCode::INTERNAL`](hyperty_model::StatusCode::INTERNAL).
    pub fn handle(&self, message: &Message, runtime: &RuntimeUrl) -> (ResponseBody, Ticket) {
        let outcome = match message.kind() {
            MessageType::Create => self.allocate(message, runtime),
            MessageType::Delete => self.release(message, runtime),
            other => {
                Err(Refusal::bad_request(format!("address allocation takes create and delete, not {other}")))
            }
        };
        outcome.unwrap_or_else(|refusal| (refusal.into(), Ticket::default()))
    }

    /// Who holds an address.
    pub fn owner(&self, address: &Url) -> Option<RuntimeUrl> {
        self.state.read().by_address.get(address).map(|allocation| allocation.runtime.clone())
    }

    /// Gives addresses to another runtime, whoever held them; nothing happens to what is not held. Whoever knew the key
    /// of one can release it no longer. Good only when the ticket is durable.
    pub fn give(&self, addresses: &[Url], to: &RuntimeUrl) -> Ticket {
        let mut state = self.state.write();
        let mut batch = Batch::new();
        let mut given = false;
        for address in addresses {
            if state.by_address.get(address).is_none_or(|allocation| allocation.runtime == *to) {
                continue;
            }
            given = true;
            state.remove(address);
            let allocation = Allocation { runtime: state.interned(to), key: None };
            batch = batch.put(TABLE, address.key(), write_row(address, &allocation));
            state.insert(address.clone(), allocation);
        }
        if given { self.tables.commit(batch) } else { Ticket::default() }
    }

    /// How many addresses are held.
    pub fn len(&self) -> usize {
        self.state.read().by_address.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn allocate(&self, message: &Message, runtime: &RuntimeUrl) -> Result<(ResponseBody, Ticket), Refusal> {
        let body =
            message.decode::<AllocateBody>().map_err(|error| Refusal::bad_request(error.to_string()))?;
        let scheme = body.scheme.as_deref().unwrap_or_else(|| default_scheme(message.to()));
        let block = body.value.as_ref();
        let number = match block.and_then(|block| block.number.as_ref()) {
            None => 1,
            Some(number) => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=BLOCK_MAX).contains(number))
                .ok_or_else(|| {
                    Refusal::bad_request(format!("number is {number}, not one of 1 to {BLOCK_MAX}"))
                })?,
        };
        let key = block.and_then(|block| block.allocation_key.as_deref());
        if key.is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return Err(Refusal::bad_request(format!("allocationKey is longer than {KEY_BYTES_MAX} bytes")));
        }
        check::address(scheme, &self.domain, "0").map_err(Refusal::bad_request)?;

        let mut state = self.state.write();
        let held = state.per_runtime.get(runtime).copied().unwrap_or_default();
        if held + number > self.limits.per_runtime {
            return Err(Refusal::limit(format!(
                "{held} addresses held, at most {}",
                self.limits.per_runtime
            )));
        }
        if state.by_address.len() + number > self.limits.total {
            return Err(Refusal::limit("the node has no more addresses to give"));
        }
        let allocation =
            Allocation { runtime: state.interned(runtime), key: key.map(|key| state.interned_key(key)) };
        let mut batch = Batch::new();
        let mut allocated = Vec::with_capacity(number);
        while allocated.len() < number {
            let address =
                check::address(scheme, &self.domain, &self.ids.uuid()).map_err(Refusal::bad_request)?;
            if state.by_address.contains_key(&address) {
                continue;
            }
            batch = batch.put(TABLE, address.key(), write_row(&address, &allocation));
            allocated.push(json!(address.as_str()));
            state.insert(address, allocation.clone());
        }
        let ticket = self.tables.commit(batch);
        Ok((ResponseBody::ok().with_value(json!({ "allocated": allocated })), ticket))
    }

    fn release(&self, message: &Message, runtime: &RuntimeUrl) -> Result<(ResponseBody, Ticket), Refusal> {
        let body =
            message.decode::<ReleaseBody>().map_err(|error| Refusal::bad_request(error.to_string()))?;
        let release = body.read().ok_or_else(|| Refusal::bad_request("Bad Request: Missing resource"))?;

        let mut state = self.state.write();
        let addresses = state.select(&release, runtime);
        let addresses = addresses.ok_or_else(|| Refusal::forbidden("allocated to another runtime"))?;
        if addresses.is_empty() {
            return Ok((ResponseBody::ok(), Ticket::default()));
        }
        let mut batch = Batch::new();
        for address in &addresses {
            batch = batch.delete(TABLE, address.key());
            state.remove(address);
        }
        Ok((ResponseBody::ok(), self.tables.commit(batch)))
    }
}

impl std::fmt::Debug for AllocationTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AllocationTable").field("domain", &self.domain).field("len", &self.len()).finish()
    }
}

impl State {
    fn insert(&mut self, address: Url, allocation: Allocation) {
        if let Some(key) = &allocation.key {
            self.by_key.entry(Arc::clone(key)).or_default().insert(address.clone());
        }
        *self.per_runtime.entry(allocation.runtime.clone()).or_default() += 1;
        self.by_address.insert(address, allocation);
    }

    fn remove(&mut self, address: &Url) {
        let Some(allocation) = self.by_address.remove(address) else { return };
        if let Some(held) = self.per_runtime.get_mut(&allocation.runtime) {
            *held -= 1;
            if *held == 0 {
                self.per_runtime.remove(&allocation.runtime);
            }
        }
        let Some(key) = allocation.key else { return };
        if let Some(addresses) = self.by_key.get_mut(&key) {
            addresses.remove(address);
            if addresses.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }

    /// The held addresses that a release is about, each once; `None` if one of them may not be released.
    fn select(&self, release: &Release, runtime: &RuntimeUrl) -> Option<Set<Url>> {
        let mut selected = Set::default();
        let mut keys = Vec::new();
        let either = release.either.iter();
        for text in release.addresses.iter().chain(either.clone()) {
            // What is no address was never allocated: released already.
            if let Ok(address) = Url::parse(text) {
                selected.extend(self.by_address.get_key_value(&address).map(|(address, _)| address.clone()));
            }
        }
        keys.extend(either.map(String::as_str));
        let only_a_key = release.addresses.is_empty() && release.either.is_empty();
        keys.extend(release.key.as_deref().filter(|_| only_a_key));
        for key in &keys {
            selected.extend(self.by_key.get(*key).into_iter().flatten().cloned());
        }
        keys.extend(release.key.as_deref());
        let may_release = |address: &Url| {
            self.by_address
                .get(address)
                .is_none_or(|allocation| allocation.may_be_released_by(runtime, &keys))
        };
        selected.iter().all(may_release).then_some(selected)
    }

    /// The same URL, in the allocation that is there already.
    fn interned(&self, runtime: &RuntimeUrl) -> RuntimeUrl {
        self.per_runtime.get_key_value(runtime).map_or_else(|| runtime.clone(), |(known, _)| known.clone())
    }

    fn interned_key(&self, key: &str) -> Arc<str> {
        self.by_key.get_key_value(key).map_or_else(|| key.into(), |(known, _)| Arc::clone(known))
    }
}

impl Allocation {
    /// The runtime itself, or whoever knows the key; but a key that anybody can guess, the suggested URL of the
    /// runtime, proves nothing.
    fn may_be_released_by(&self, runtime: &RuntimeUrl, keys: &[&str]) -> bool {
        let guessable = |key: &str| Url::parse(key).is_ok_and(|url| url.is_at_or_below(&self.runtime));
        self.runtime == *runtime
            || self.key.as_deref().is_some_and(|key| keys.contains(&key) && !guessable(key))
    }
}

/// What a request without `scheme` means, by the address it went to.
fn default_scheme(to: &Url) -> &'static str {
    if to.path() == "object-address-allocation" { "resource" } else { "hyperty" }
}

fn write_row(address: &Url, allocation: &Allocation) -> Vec<u8> {
    let row = Row {
        address: address.as_str().into(),
        runtime: allocation.runtime.as_str().into(),
        key: allocation.key.as_deref().map(Into::into),
    };
    serde_json::to_vec(&row).unwrap_or_else(|error| unreachable!("three strings serialise: {error}"))
}

fn read_row(value: &[u8]) -> Result<(Url, Allocation), String> {
    let row: Row<'_> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let address = Url::parse(&row.address).map_err(|error| error.to_string())?;
    let runtime = RuntimeUrl::parse(&row.runtime).map_err(|error| error.to_string())?;
    Ok((address, Allocation { runtime, key: row.key.map(|key| key.as_ref().into()) }))
}
