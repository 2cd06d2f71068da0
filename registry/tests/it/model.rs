//! INV-REG-1 to 5: the registry against a model without indexes, deadlines or storage.

use std::collections::{BTreeMap, BTreeSet};

use hyperty_model::{MessageType, StatusCode, Url};
use hyperty_registry::{RegistrationStatus, RegistryLimits};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::node::{Node, object, runtime};

const EXPIRES: u64 = 100;
const KEPT: u64 = 230;
const URLS: [&str; 4] =
    ["comm://example.com/0", "comm://example.com/1", "context://example.com/x/2", "hyperty://example.com/3"];

#[derive(Debug, Clone)]
enum Op {
    Create { from: u8, url: usize, user: u8, epoch: u64 },
    SetLive { from: u8, url: usize, user: Option<u8>, epoch: Option<u64> },
    KeepAlive { from: u8, url: usize, refresh: bool },
    Unregister { from: u8, url: usize, short: bool },
    Delete { from: u8, url: usize },
    SessionEnds { of: u8 },
    Wait { seconds: u64 },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let (from, url, user) = (0..3_u8, 0..URLS.len(), 0..3_u8);
    let epoch = 0..4_u64;
    prop_oneof![
        4 => (from.clone(), url.clone(), user.clone(), epoch.clone())
            .prop_map(|(from, url, user, epoch)| Op::Create { from, url, user, epoch }),
        3 => (from.clone(), url.clone(), proptest::option::of(user), proptest::option::of(epoch))
            .prop_map(|(from, url, user, epoch)| Op::SetLive { from, url, user, epoch }),
        4 => (from.clone(), url.clone(), any::<bool>())
            .prop_map(|(from, url, refresh)| Op::KeepAlive { from, url, refresh }),
        3 => (from.clone(), url.clone(), any::<bool>())
            .prop_map(|(from, url, short)| Op::Unregister { from, url, short }),
        1 => (from.clone(), url).prop_map(|(from, url)| Op::Delete { from, url }),
        1 => from.prop_map(|of| Op::SessionEnds { of }),
        5 => (1..60_u64).prop_map(|seconds| Op::Wait { seconds }),
        1 => Just(Op::Restart),
    ]
}

#[derive(Debug, Clone)]
struct Entry {
    owner: u8,
    user: u8,
    epoch: u64,
    /// When it was registered, set live or kept alive; `None` once it was unregistered or its session ended.
    alive: Option<u64>,
    /// When that was.
    ended: u64,
    deleted: bool,
}

#[derive(Default)]
struct Model {
    now: u64,
    entries: BTreeMap<usize, Entry>,
}

impl Model {
    /// INV-REG-1, word by word.
    fn status(&self, url: usize) -> Option<RegistrationStatus> {
        let entry = self.entries.get(&url)?;
        let ended = match entry.alive {
            Some(alive) if !entry.deleted && self.now - alive < EXPIRES => {
                return Some(RegistrationStatus::Live);
            }
            Some(alive) if !entry.deleted => alive + EXPIRES,
            _ => entry.ended,
        };
        match self.now - ended {
            past if past >= KEPT => None,
            _ if entry.deleted => Some(RegistrationStatus::Deleted),
            _ => Some(RegistrationStatus::Disconnected),
        }
    }

    fn statuses(&self) -> Vec<Option<RegistrationStatus>> {
        (0..URLS.len()).map(|url| self.status(url)).collect()
    }

    fn end(&mut self, url: usize) {
        if self.status(url) == Some(RegistrationStatus::Live) {
            let now = self.now;
            self.entries.entry(url).and_modify(|entry| (entry.alive, entry.ended) = (None, now));
        }
    }

    /// The rule of 5.13.1 and INV-REG-5.
    fn may_take(&self, url: usize, from: u8, user: Option<u8>, epoch: u64) -> StatusCode {
        let (Some(status), Some(entry)) = (self.status(url), self.entries.get(&url)) else {
            return StatusCode::OK;
        };
        match status {
            RegistrationStatus::Deleted => StatusCode::GONE,
            _ if epoch < entry.epoch => StatusCode::CONFLICT,
            RegistrationStatus::Live if entry.owner != from && epoch == entry.epoch => StatusCode::CONFLICT,
            _ if entry.owner != from && user != Some(entry.user) => StatusCode::FORBIDDEN,
            _ => StatusCode::OK,
        }
    }

    fn apply(&mut self, op: &Op) -> StatusCode {
        let now = self.now;
        let fresh =
            |owner, user, epoch| Entry { owner, user, epoch, alive: Some(now), ended: 0, deleted: false };
        match *op {
            Op::Create { from, url, user, epoch } => {
                let code = self.may_take(url, from, Some(user), epoch);
                if code == StatusCode::OK {
                    self.entries.insert(url, fresh(from, user, epoch));
                }
                code
            }
            Op::SetLive { from, url, user, epoch } => {
                if self.status(url).is_none() {
                    return StatusCode::NOT_FOUND;
                }
                let entry = self.entries[&url].clone();
                let epoch = epoch.unwrap_or(if entry.owner == from { entry.epoch } else { 0 });
                let code = self.may_take(url, from, user, epoch);
                if code == StatusCode::OK {
                    self.entries.insert(url, fresh(from, user.unwrap_or(entry.user), epoch));
                }
                code
            }
            Op::KeepAlive { from, url, .. } => match self.status(url) {
                None => StatusCode::NOT_FOUND,
                Some(RegistrationStatus::Deleted) => StatusCode::GONE,
                Some(_) if self.entries[&url].owner != from => StatusCode::CONFLICT,
                Some(RegistrationStatus::Live) => {
                    self.entries.entry(url).and_modify(|entry| entry.alive = Some(now));
                    StatusCode::OK
                }
                Some(RegistrationStatus::Disconnected) => StatusCode::OK,
            },
            Op::Unregister { from, url, .. } => match self.status(url) {
                None => StatusCode::NOT_FOUND,
                Some(RegistrationStatus::Deleted) => StatusCode::GONE,
                Some(_) if self.entries[&url].owner != from => StatusCode::FORBIDDEN,
                Some(_) => {
                    self.end(url);
                    StatusCode::OK
                }
            },
            Op::Delete { from, url } => match self.status(url) {
                None => StatusCode::NOT_FOUND,
                Some(_) if self.entries[&url].owner != from => StatusCode::FORBIDDEN,
                Some(RegistrationStatus::Deleted) => StatusCode::OK,
                Some(_) if URLS[url].starts_with("hyperty:") => {
                    self.entries.remove(&url);
                    StatusCode::OK
                }
                Some(_) => {
                    self.entries.entry(url).and_modify(|entry| (entry.deleted, entry.ended) = (true, now));
                    StatusCode::OK
                }
            },
            Op::SessionEnds { of } => {
                let own: Vec<usize> =
                    self.entries.iter().filter(|(_, entry)| entry.owner == of).map(|(url, _)| *url).collect();
                own.into_iter().for_each(|url| self.end(url));
                StatusCode::OK
            }
            Op::Wait { seconds } => {
                self.now += seconds;
                let forgotten: Vec<usize> =
                    self.entries.keys().copied().filter(|&url| self.status(url).is_none()).collect();
                forgotten.iter().for_each(|url| {
                    self.entries.remove(url);
                });
                StatusCode::OK
            }
            Op::Restart => StatusCode::OK,
        }
    }
}

/// One event per change of a status, and none else (INV-REG-2).
fn expected_event(
    before: Option<RegistrationStatus>,
    after: Option<RegistrationStatus>,
) -> Option<RegistrationStatus> {
    match (before, after) {
        (Some(RegistrationStatus::Live), None) => Some(RegistrationStatus::Disconnected),
        (before, after) if before != after => after,
        _ => None,
    }
}

fn user(number: u8) -> String {
    format!("user://example.com/{number}")
}

fn record(url: usize, owner: u8, epoch: u64) -> Value {
    let over = json!({"user": user(owner), "epoch": epoch, "expires": EXPIRES, "descriptor": "d"});
    object(URLS[url], over)
}

fn perform(node: &mut Node, op: &Op) -> StatusCode {
    let name = |runtime: u8| runtime.to_string();
    match *op {
        Op::Create { from, url, user, epoch } => {
            node.send(&name(from), MessageType::Create, json!({"value": record(url, user, epoch)})).code
        }
        Op::SetLive { from, url, user: of, epoch } => {
            let value = json!({"status": "live", "user": of.map(user), "epoch": epoch});
            node.send(&name(from), MessageType::Update, json!({"resource": URLS[url], "value": value})).code
        }
        Op::KeepAlive { from, url, refresh } => {
            let body = match refresh {
                true => json!({"resource": URLS[url], "value": {"status": "live"}, "method": "refresh"}),
                false => json!({"resource": URLS[url]}),
            };
            node.send(&name(from), MessageType::Update, body).code
        }
        Op::Unregister { from, url, short } => {
            let value = if short { json!("disconnected") } else { json!({"status": "disconnected"}) };
            let body = json!({"resource": URLS[url], "value": value, "attribute": "status"});
            node.send(&name(from), MessageType::Update, body).code
        }
        Op::Delete { from, url } => {
            node.send(&name(from), MessageType::Delete, json!({"resource": URLS[url]})).code
        }
        Op::SessionEnds { of } => {
            node.end_session(&name(of));
            StatusCode::OK
        }
        Op::Wait { seconds } => {
            node.advance(seconds);
            StatusCode::OK
        }
        Op::Restart => {
            node.restart();
            StatusCode::OK
        }
    }
}

proptest! {
    #[test]
    fn the_registry_is_the_model_inv_reg_1_to_5(ops in proptest::collection::vec(op(), 1..60)) {
        let kept = std::time::Duration::from_secs(KEPT);
        let mut node = Node::with(RegistryLimits { kept, ..RegistryLimits::default() });
        let mut model = Model::default();
        for op in &ops {
            let (before, epochs) = (model.statuses(), epochs(&node));
            let expected = model.apply(op);
            prop_assert_eq!(perform(&mut node, op), expected, "{:?}", op);

            let after = model.statuses();
            for (at, url) in URLS.iter().enumerate() {
                prop_assert_eq!(node.table.status(&Url::parse(url).unwrap()), after[at], "{} after {:?}", url, op);
            }
            let mut events = node.take_events();
            events.sort_unstable();
            let changes = URLS.iter().zip(before.iter().zip(&after));
            let mut wanted: Vec<_> = changes
                .filter_map(|(url, (before, after))| {
                    expected_event(*before, *after).map(|status| ((*url).to_owned(), status.as_str()))
                })
                .collect();
            wanted.sort_unstable();
            prop_assert_eq!(events, wanted, "{:?}", op);

            // INV-REG-5, without the model.
            for (was, is) in epochs.iter().zip(self::epochs(&node)) {
                prop_assert!(was.is_none() || is.is_none() || *was <= is, "{:?}: {:?} then {:?}", op, was, is);
            }
            check_users(&mut node, &model)?;
        }
    }
}

fn epochs(node: &Node) -> Vec<Option<u64>> {
    let epoch = |url: &&str| node.table.owner(&Url::parse(url).unwrap()).map(|(_, epoch)| epoch);
    URLS.iter().map(epoch).collect()
}

/// INV-REG-4, and whose session would end what.
fn check_users(node: &mut Node, model: &Model) -> Result<(), TestCaseError> {
    for number in 0..3 {
        let answer = node.read(&user(number), json!(null));
        let found: BTreeSet<String> =
            answer.value.iter().flat_map(|value| value.as_object().unwrap().keys().cloned()).collect();
        let of_user = |url: &usize| {
            model.entries[url].user == number && model.status(*url) != Some(RegistrationStatus::Deleted)
        };
        let wanted: Vec<usize> = model.entries.keys().copied().filter(of_user).collect();
        prop_assert_eq!(found, wanted.iter().map(|&url| URLS[url].to_owned()).collect::<BTreeSet<_>>());
        let live = wanted.iter().any(|&url| model.status(url) == Some(RegistrationStatus::Live));
        let code = if wanted.is_empty() {
            StatusCode::NOT_FOUND
        } else if live {
            StatusCode::OK
        } else {
            StatusCode::TIMEOUT
        };
        prop_assert_eq!(answer.code, code);
    }
    let owners: BTreeSet<_> = model.entries.values().map(|entry| runtime(&entry.owner.to_string())).collect();
    prop_assert_eq!(node.table.runtimes(), owners.into_iter().collect::<Vec<_>>());
    Ok(())
}
