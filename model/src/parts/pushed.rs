//! The form in which older implementations give large objects: the children in slices, pushed one after the other
//! (protocol 5.5.2).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{JoinError, PARTS_MAX};
use crate::StatusCode;
use crate::change::approximate_size;
use crate::message::ResponseBody;

const CHILDREN: &str = "childrenObjects";

/// Cuts an answer into one with everything but the children, and as many as it takes with slices of these, of about so
/// many characters. The last one is the final answer, and has what stands beside the value. An answer without children
/// that are so large stays as it is.
pub fn split(mut whole: ResponseBody, characters: usize) -> Vec<ResponseBody> {
    let Some(children) = take_children(&mut whole) else { return vec![whole] };
    if approximate_size(&Value::Object(children.clone())) <= characters {
        put_back(&mut whole, children);
        return vec![whole];
    }
    let mut values = vec![whole.value.take().unwrap_or_default()];
    values.extend(slices(children, characters).into_iter().map(|slice| {
        let mut members = Map::new();
        members.insert(CHILDREN.to_owned(), Value::Object(slice));
        Value::Object(members)
    }));
    let count = values.len();
    let part = |(at, value): (usize, Value)| {
        let last = at + 1 == count;
        let base = match last {
            true => whole.clone(),
            false => ResponseBody::of(StatusCode::PROVISIONAL),
        };
        let mut part = base.with_value(value);
        part.extra.insert("responses".to_owned(), count.into());
        part.extra.insert("part".to_owned(), (at + 1).into());
        part
    };
    values.into_iter().enumerate().map(part).collect()
}

fn take_children(whole: &mut ResponseBody) -> Option<Map<String, Value>> {
    match whole.value.as_mut()?.as_object_mut()?.remove(CHILDREN)? {
        Value::Object(children) => Some(children),
        other => {
            whole.value.as_mut()?.as_object_mut()?.insert(CHILDREN.to_owned(), other);
            None
        }
    }
}

fn put_back(whole: &mut ResponseBody, children: Map<String, Value>) {
    if let Some(members) = whole.value.as_mut().and_then(Value::as_object_mut) {
        members.insert(CHILDREN.to_owned(), Value::Object(children));
    }
}

/// Children by name and id in groups of about so many characters; one that is larger is a group of its own.
fn slices(children: Map<String, Value>, characters: usize) -> Vec<Map<String, Value>> {
    let (mut slices, mut size) = (vec![Map::new()], 0);
    for (name, of_name) in children {
        let entries = match of_name {
            Value::Object(entries) if !entries.is_empty() => entries,
            // No child of that name. Or no name: in the flat form an entry stands there.
            other => {
                if let Some(slice) = slices.last_mut() {
                    slice.insert(name, other);
                }
                continue;
            }
        };
        for (id, entry) in entries {
            let more = id.len() + approximate_size(&entry);
            if size > 0 && size + more > characters {
                slices.push(Map::new());
                size = 0;
            }
            size += more;
            let slice = slices.last_mut().map(|slice| slice.entry(&name).or_insert_with(empty));
            if let Some(Value::Object(of_name)) = slice {
                of_name.insert(id, entry);
            }
        }
    }
    slices
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// Pushed parts as they come, in any order; all may be provisional.
#[derive(Debug)]
pub struct Pushed {
    bytes_max: usize,
    bytes: usize,
    count: usize,
    values: BTreeMap<usize, Value>,
    last: Option<ResponseBody>,
}

impl Pushed {
    /// Waits for parts that are no more than so many bytes together.
    pub fn new(bytes_max: usize) -> Pushed {
        Pushed { bytes_max, bytes: 0, count: 0, values: BTreeMap::new(), last: None }
    }

    /// Whether an answer is one of several parts.
    pub fn is_part(answer: &ResponseBody) -> bool {
        answer.extra.contains_key("responses") && answer.extra.contains_key("part")
    }

    /// Whether nothing has come.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Takes a part; whether it was the last that was missing. One that has come before changes nothing.
    ///
    /// # Errors
    /// [`JoinError::TooLarge`], [`JoinError::Foreign`], [`JoinError::NoValue`].
    pub fn take(&mut self, answer: &ResponseBody) -> Result<bool, JoinError> {
        let number =
            |name| answer.extra.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let (part, count) = (number("part").unwrap_or(0), number("responses").unwrap_or(0));
        let other = self.count > 0 && self.count != count;
        if part == 0 || part > count || other {
            return Err(JoinError::Foreign(part));
        }
        if self.values.contains_key(&part) {
            return Ok(false);
        }
        let value =
            answer.value.as_ref().filter(|value| value.is_object()).ok_or(JoinError::NoValue(part))?;
        self.count = count;
        self.bytes += approximate_size(value);
        if self.bytes > self.bytes_max || count > PARTS_MAX {
            return Err(JoinError::TooLarge { bytes: self.bytes, parts: count, max: self.bytes_max });
        }
        self.values.insert(part, value.clone());
        if answer.code.is_success() {
            self.last = Some(ResponseBody { value: None, ..answer.clone() });
        }
        Ok(self.values.len() == self.count)
    }

    /// The whole, as one answer would have told it.
    ///
    /// # Errors
    /// [`JoinError::Missing`].
    pub fn finish(self) -> Result<ResponseBody, JoinError> {
        if self.count == 0 || self.values.len() < self.count {
            return Err(JoinError::Missing(self.count.saturating_sub(self.values.len()).max(1)));
        }
        let mut values = self.values.into_values();
        let mut whole = values.next().unwrap_or_else(empty);
        for value in values {
            join_children(&mut whole, value);
        }
        let mut answer = self.last.unwrap_or_else(ResponseBody::ok).with_value(whole);
        answer.extra.remove("responses");
        answer.extra.remove("part");
        Ok(answer)
    }
}

/// Adds a slice of the children to a value.
fn join_children(whole: &mut Value, mut slice: Value) {
    let Some(Value::Object(children)) = slice.as_object_mut().and_then(|members| members.remove(CHILDREN))
    else {
        return;
    };
    let Some(members) = whole.as_object_mut() else { return };
    let all = members.entry(CHILDREN).or_insert_with(empty);
    let Some(all) = all.as_object_mut() else { return };
    for (name, of_name) in children {
        match (all.get_mut(&name), of_name) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
            (_, of_name) => {
                all.insert(name, of_name);
            }
        }
    }
}
