//! One's own operations on children: they lie over what is known until they are answered (protocol M18, M19).

use std::collections::{BTreeMap, VecDeque};

use hyperty_model::change::apply;
use hyperty_model::message::{ChildBody, DeleteBody, UpdateBody, UpdateKind};
use hyperty_model::object::{ChildEntry, ChildId, Children};
use hyperty_model::{ChildrenName, Message, MessageId, MessageType};

use super::ChildError;
use super::state::{ChildrenState, Key, Operation, Unanswered, What};

impl ChildrenState {
    /// Draws the id of a new child.
    pub(super) fn next_id(&mut self, name: &ChildrenName) -> ChildId {
        let free = self.known.next_number(name, &self.me);
        let next = self.next.entry(name.clone()).or_insert(1);
        let number = free.max(*next);
        *next = number.saturating_add(1);
        ChildId::of(&self.me, number)
    }

    /// Takes in what the Sync Manager says of a child of one's own: nobody else speaks of it in one's own name, and
    /// what one did is not told back. It found it by a repair, on its way before a hard stop and not in the store here:
    /// without it an id would be drawn twice, and the child could not be changed any more (INV-CHD-7). Or the
    /// Reporter's side has refused or lost what was done, and the child is gone or what it was before. Or it was done in a
    /// former session, and the Reporter's side, which is here by now, has taken it. Operations that are not answered yet
    /// lie over it still.
    ///
    /// Gives the child, if it fits.
    pub(super) fn recollect(&mut self, name: &ChildrenName, message: &Message) -> Option<ChildId> {
        let found = match message.kind() {
            MessageType::Create => message.decode::<ChildBody>().ok().and_then(|body| {
                let entry = ChildEntry { value: body.value.clone(), identity: body.identity.clone() };
                let id = entry.value.url.clone();
                let is_own = entry.value.reporter == self.me;
                is_own.then(|| self.put_back(name, &id, Some(entry)))?;
                Some(id)
            }),
            MessageType::Update => {
                let body = message.decode::<UpdateBody>().ok();
                body.and_then(|body| self.recollect_update(name, &body, message.id()))
            }
            _ => {
                let body = message.decode::<DeleteBody>().ok();
                let id = body.and_then(|body| ChildId::parse(body.child_id()?).ok());
                id.inspect(|id| self.put_back(name, id, None))
            }
        };
        if found.is_none() {
            tracing::debug!(?message, "what is said of an own child does not fit");
        }
        found
    }

    fn recollect_update(
        &mut self,
        name: &ChildrenName,
        body: &UpdateBody,
        operation: &MessageId,
    ) -> Option<ChildId> {
        let key = (name.clone(), ChildId::parse(body.resource.as_deref()?).ok()?);
        // A change that this session has made itself lies over it until it is answered.
        let mut unanswered = self.mine.get(&key).into_iter().flat_map(|mine| &mine.operations);
        if unanswered.any(|unanswered| unanswered.id == *operation) {
            return None;
        }
        self.known.update(name, key.1.as_str(), self.me.as_url(), body).ok()?;
        Some(key.1)
    }

    fn put_back(&mut self, name: &ChildrenName, id: &ChildId, entry: Option<ChildEntry>) {
        if let Some(mine) = self.mine.get_mut(&(name.clone(), id.clone())) {
            mine.taken_back = entry.is_none();
        }
        self.known.put_back(name, id, entry);
    }

    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// A child as one sees it oneself, one's own unanswered operations included.
    pub(super) fn get(&self, key: &Key) -> Option<&ChildEntry> {
        match self.mine.get(key) {
            Some(mine) => mine.entry.as_ref(),
            None => self.known.get(&key.0, key.1.as_str()),
        }
    }

    /// All children of a name as one sees them oneself, ordered by id.
    pub(super) fn list(&self, name: &ChildrenName) -> Vec<&ChildEntry> {
        let known = self.known.table(name).into_iter().flat_map(|table| table.iter());
        let mut all: BTreeMap<&ChildId, &ChildEntry> = known.collect();
        for ((of, id), mine) in &self.mine {
            match &mine.entry {
                Some(entry) if of == name => drop(all.insert(id, entry)),
                None if of == name => drop(all.remove(id)),
                _ => {}
            }
        }
        all.into_values().collect()
    }

    /// All children as one sees them oneself.
    pub(super) fn children(&self) -> Children {
        let mut all = self.known.clone();
        for ((name, id), mine) in &self.mine {
            let outcome = match &mine.entry {
                Some(entry) => {
                    let mut newer = Children::default();
                    let created = newer.create(name, entry.clone());
                    let keep = all.iter().map(|(name, id, _)| (name.clone(), id.clone())).collect();
                    all.merge(newer, &keep);
                    created
                }
                None => all.delete(name, id.as_str(), self.me.as_url()),
            };
            debug_assert!(outcome.is_ok(), "own operations fit what is known: {outcome:?}");
        }
        all
    }

    /// Why no own operation is possible, if so.
    pub(super) fn check_open(&self) -> Result<(), ChildError> {
        self.closed.clone().map_or(Ok(()), Err)
    }

    /// Carries out an own operation over what is known; the caller sends it.
    pub(super) fn perform(&mut self, key: &Key, operation: Operation) -> Result<(), ChildError> {
        let entry = self.with_operation(key, &operation.what)?;
        self.lay_over(key, entry, operation);
        Ok(())
    }

    /// What a child becomes with an operation; `None` if it is deleted.
    fn with_operation(&self, key: &Key, what: &What) -> Result<Option<ChildEntry>, ChildError> {
        Ok(match (what, self.get(key).cloned()) {
            (What::Create(entry), None) => Some((**entry).clone()),
            (What::Update(body), Some(mut entry)) => {
                if let UpdateKind::Change(change) = &body.kind {
                    apply(&mut entry.value.data, change)?;
                }
                entry.value.version = body.version.unwrap_or(entry.value.version);
                entry.value.last_modified = body.last_modified.or(entry.value.last_modified);
                Some(entry)
            }
            (What::Delete, Some(_)) => None,
            (What::Create(_), Some(_)) | (What::Update(_) | What::Delete, None) => {
                return Err(ChildError::Deleted);
            }
        })
    }

    fn lay_over(&mut self, key: &Key, entry: Option<ChildEntry>, operation: Operation) {
        let mine = self.mine.entry(key.clone()).or_insert_with(|| Unanswered {
            entry: None,
            operations: VecDeque::new(),
            taken_back: false,
        });
        mine.entry = entry;
        mine.operations.push_back(operation);
        self.unanswered += 1;
    }

    /// An own operation was accepted, and with it those before it. Returns who to tell and which ids are settled.
    pub(super) fn accepted(&mut self, key: &Key, id: &MessageId) -> Vec<Operation> {
        let Some(mine) = self.mine.get_mut(key) else { return Vec::new() };
        let Some(at) = mine.operations.iter().position(|operation| operation.id == *id) else {
            return Vec::new();
        };
        let settled: Vec<Operation> = mine.operations.drain(..=at).collect();
        let taken_back = mine.taken_back;
        if mine.operations.is_empty() {
            self.mine.remove(key);
        }
        self.unanswered -= settled.len();
        self.former.remove(key);
        for operation in &settled {
            let (name, child) = (&key.0, key.1.as_str());
            let outcome = match &operation.what {
                What::Create(_) | What::Update(_) if taken_back => continue,
                What::Create(entry) => self.known.create(name, (**entry).clone()),
                What::Update(body) => self.known.update(name, child, self.me.as_url(), body),
                What::Delete => self.known.delete(name, child, self.me.as_url()),
            };
            if let Err(refusal) = outcome {
                tracing::error!(child, %refusal, "an accepted operation does not fit what is known");
            }
        }
        settled
    }

    /// Whether an own operation is the first on its child that is not answered.
    pub(super) fn is_next(&self, key: &Key, id: &MessageId) -> bool {
        self.mine.get(key).and_then(|mine| mine.operations.front()).is_some_and(|first| first.id == *id)
    }

    /// An own operation was refused, and with it those after it on the same child that count on it: all after a
    /// creation, the changes after a change. A deletion counts on no change, and stays.
    pub(super) fn refused(&mut self, key: &Key, id: &MessageId) -> Vec<Operation> {
        let at = |mine: &Unanswered| mine.operations.iter().position(|operation| operation.id == *id);
        let Some(at) = self.mine.get(key).and_then(at) else { return Vec::new() };
        let Some(mut mine) = self.mine.remove(key) else { return Vec::new() };
        self.unanswered -= mine.operations.len();
        let later = mine.operations.split_off(at + 1);
        let refused = mine.operations.pop_back();
        let all = refused.as_ref().is_some_and(|refused| matches!(refused.what, What::Create(_)));
        let (stay, undone): (Vec<_>, Vec<_>) =
            later.into_iter().partition(|operation| !all && matches!(operation.what, What::Delete));
        // What was not refused lies over what is known again. Where the Sync Manager has taken the child back it changes
        // nothing here, and has its answer all the same.
        for operation in mine.operations.into_iter().chain(stay) {
            let entry = self.with_operation(key, &operation.what).unwrap_or_else(|error| {
                tracing::debug!(child = %key.1, %error, "an unanswered operation has nothing to lie over");
                self.get(key).cloned()
            });
            self.lay_over(key, entry, operation);
        }
        if let Some(left) = self.mine.get_mut(key) {
            left.taken_back = mine.taken_back;
        }
        refused.into_iter().chain(undone).collect()
    }

    /// Takes all own operations that are not answered; what is known stays.
    pub(super) fn give_up(&mut self) -> Vec<Operation> {
        self.unanswered = 0;
        std::mem::take(&mut self.mine).into_values().flat_map(|mine| mine.operations).collect()
    }
}
