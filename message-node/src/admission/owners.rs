//! Whose a runtime is: the user's who opened a session for it first.
//!
//! Allocations, registrations and routes belong to runtimes, and the URL of a runtime is no secret. A token that does
//! not name its runtimes would therefore open another user's; so a node remembers who has which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{RuntimeUrl, Timestamp};
use hyperty_storage::operations::TableCheck;
use hyperty_storage::{Batch, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::pass::Who;
use super::refusal::TokenError;

/// Most runtimes whose user is remembered; each costs some 300 bytes.
pub const RUNTIME_OWNERS_MAX: usize = 500_000;

/// Most of them of one user; the one that was not seen for longest is forgotten for a new one.
const PER_USER_MAX: usize = 1_000;

/// How long the user of a runtime is remembered that does not come back.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How exactly is known when a runtime was seen: not every session is worth a write.
const SEEN_EVERY: Duration = Duration::from_secs(24 * 3600);

const TABLE: &str = "admission/v1";

/// How an operator's check looks at what is stored of them.
pub const OWNERS_CHECK: TableCheck = TableCheck { table: TABLE, row: check_row };

fn check_row(key: &[u8], value: &[u8]) -> Result<(), String> {
    std::str::from_utf8(key).map_err(|error| error.to_string())?;
    serde_json::from_slice::<Owner>(value).map(drop).map_err(|error| error.to_string())
}

/// Who has a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// The user's URL, as it is compared.
    user: String,
    /// When it was seen last, give or take a day.
    seen: Timestamp,
}

/// Whose the runtimes are, in memory and stored.
pub(crate) struct RuntimeOwners {
    tables: Arc<dyn Tables>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owners: BTreeMap<String, Owner>,
    /// The runtimes of each user, the one not seen for longest first.
    by_user: BTreeMap<String, BTreeSet<(Timestamp, String)>>,
}

impl RuntimeOwners {
    /// Reads what is stored.
    pub(crate) fn open(tables: Arc<dyn Tables>) -> Result<RuntimeOwners, StorageError> {
        let mut state = State::default();
        for (key, value) in tables.scan(TABLE, b"")? {
            let key = String::from_utf8_lossy(&key).into_owned();
            match serde_json::from_slice::<Owner>(&value) {
                Ok(owner) => state.insert(key, owner),
                Err(error) => {
                    return Err(StorageError::Corrupt { table: TABLE, key, detail: error.to_string() });
                }
            }
        }
        Ok(RuntimeOwners { tables, state: Mutex::new(state) })
    }

    /// Whether a runtime is known to be this user's.
    pub(crate) fn is_of(&self, runtime: &RuntimeUrl, who: &Who) -> bool {
        let state = self.state.lock();
        state.owners.get(runtime.key()).is_some_and(|owner| owner.user == who.user().key())
    }

    /// Lets `who` have `runtime`, unless somebody else has it. What is returned is on disk before this is promised.
    pub(crate) fn claim(
        &self,
        runtime: &RuntimeUrl,
        who: &Who,
        now: Timestamp,
    ) -> Result<Option<Ticket>, TokenError> {
        let mut state = self.state.lock();
        let key = runtime.key();
        let mut batch = Batch::default();
        match state.owners.get(key).filter(|owner| now.since(owner.seen) < KEPT) {
            Some(owner) if owner.user != who.user().key() => {
                return Err(TokenError::Owned(runtime.as_url().clone()));
            }
            Some(owner) if now.since(owner.seen) < SEEN_EVERY => return Ok(None),
            Some(_) => {}
            None => batch = state.make_room(who.user().key(), now, batch)?,
        }
        let owner = Owner { user: who.user().key().to_owned(), seen: now };
        let row = serde_json::to_vec(&owner).unwrap_or_else(|error| unreachable!("plain members: {error}"));
        state.insert(key.to_owned(), owner);
        // Under the lock: the store sees claims in the order in which they were made.
        Ok(Some(self.tables.commit(batch.put(TABLE, key.as_bytes(), row))))
    }
}

impl State {
    fn insert(&mut self, key: String, owner: Owner) {
        self.remove(&key);
        self.by_user.entry(owner.user.clone()).or_default().insert((owner.seen, key.clone()));
        self.owners.insert(key, owner);
    }

    fn remove(&mut self, key: &str) {
        let Some(owner) = self.owners.remove(key) else { return };
        if let Some(runtimes) = self.by_user.get_mut(&owner.user) {
            runtimes.remove(&(owner.seen, key.to_owned()));
            if runtimes.is_empty() {
                self.by_user.remove(&owner.user);
            }
        }
    }

    /// Forgets what has to be forgotten for one more of this user.
    fn make_room(&mut self, user: &str, now: Timestamp, mut batch: Batch) -> Result<Batch, TokenError> {
        let own = self.by_user.get(user).filter(|runtimes| runtimes.len() >= PER_USER_MAX);
        let oldest = own.and_then(|runtimes| runtimes.first()).map(|(_, key)| key.clone());
        let mut forgotten: Vec<String> = oldest.into_iter().collect();
        if forgotten.is_empty() && self.owners.len() >= RUNTIME_OWNERS_MAX {
            let old = self.owners.iter().filter(|(_, owner)| now.since(owner.seen) >= KEPT);
            forgotten = old.map(|(key, _)| key.clone()).collect();
            if forgotten.is_empty() {
                return Err(TokenError::Full);
            }
        }
        for key in forgotten {
            self.remove(&key);
            batch = batch.delete(TABLE, key.as_bytes());
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::Url;
    use hyperty_storage::MemoryTables;

    use super::*;

    fn runtime(name: &str) -> RuntimeUrl {
        RuntimeUrl::parse(&format!("hyperty-runtime://a/{name}")).unwrap()
    }

    fn who(name: &str) -> Who {
        Who::new(&Url::parse(&format!("user://a/{name}")).unwrap(), None)
    }

    #[test]
    fn a_runtime_is_its_first_users_also_after_a_restart_until_it_is_long_gone() {
        let tables: Arc<dyn Tables> = Arc::new(MemoryTables::new());
        let start = Timestamp::from_millis(1_000_000_000_000);
        let owners = RuntimeOwners::open(Arc::clone(&tables)).unwrap();
        assert!(owners.claim(&runtime("x"), &who("alice"), start).unwrap().is_some());
        assert_eq!(owners.claim(&runtime("x"), &who("alice"), start).unwrap(), None, "nothing new");
        let owners = RuntimeOwners::open(Arc::clone(&tables)).unwrap();
        let bob = |now| owners.claim(&runtime("x"), &who("bob"), now);
        assert_eq!(bob(start), Err(TokenError::Owned(runtime("x").as_url().clone())));
        assert!(bob(start + (KEPT - Duration::from_secs(1))).is_err());
        let later = start + KEPT / 2;
        assert!(owners.claim(&runtime("x"), &who("alice"), later).unwrap().is_some(), "it was seen");
        assert!(bob(start + KEPT).is_err());
        assert!(bob(later + KEPT).is_ok());
    }

    #[test]
    fn a_user_who_has_many_loses_the_oldest_and_nobody_elses() {
        let owners = RuntimeOwners::open(Arc::new(MemoryTables::new())).unwrap();
        let start = Timestamp::from_millis(1_000_000_000_000);
        owners.claim(&runtime("bobs"), &who("bob"), start).unwrap();
        for at in 0..=PER_USER_MAX as u64 {
            let now = start + Duration::from_secs(at);
            owners.claim(&runtime(&format!("r{at}")), &who("alice"), now).unwrap();
        }
        let now = start + Duration::from_secs(5_000);
        assert!(owners.claim(&runtime("bobs"), &who("alice"), now).is_err());
        assert!(owners.claim(&runtime("r1"), &who("bob"), now).is_err());
        assert!(owners.claim(&runtime("r0"), &who("bob"), now).is_ok());
    }
}
