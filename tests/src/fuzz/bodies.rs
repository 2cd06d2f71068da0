//! Typed bodies: what is read can be written, and is then read as the same.

use hyperty_model::message::{
    BackedUpBody, BackupBody, BackupEntry, ChildBody, CreateObject, DeleteBody, ForwardBody, ReadBody,
    ResponseBody, RoutesBody, SubscribeBody, UnsubscribeBody, UpdateBody,
};
use hyperty_model::{Identity, Snapshot};
use hyperty_registry::RegistrationRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads the bytes as a body of each type.
pub fn work(data: &[u8]) {
    each(data, &mut Reads);
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    each(data, &mut RoundTrips);
}

trait Visit {
    fn body<T: Serialize + DeserializeOwned>(&mut self, data: &[u8], name: &str);
}

struct Reads;

impl Visit for Reads {
    fn body<T: Serialize + DeserializeOwned>(&mut self, data: &[u8], _: &str) {
        let _ = serde_json::from_slice::<T>(data);
    }
}

struct RoundTrips;

impl Visit for RoundTrips {
    fn body<T: Serialize + DeserializeOwned>(&mut self, data: &[u8], name: &str) {
        let Ok(read) = serde_json::from_slice::<T>(data) else { return };
        let written =
            serde_json::to_vec(&read).unwrap_or_else(|error| panic!("{name} cannot be written: {error}"));
        let text = String::from_utf8_lossy(&written);
        let again = serde_json::from_slice::<T>(&written)
            .unwrap_or_else(|error| panic!("{name} cannot be read as it was written, {error}: {text}"));
        let rewritten = serde_json::to_vec(&again).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&rewritten), text, "{name} is another once it was written");
    }
}

fn each(data: &[u8], visit: &mut impl Visit) {
    visit.body::<CreateObject>(data, "create");
    visit.body::<ChildBody>(data, "child");
    visit.body::<SubscribeBody>(data, "subscribe");
    visit.body::<UnsubscribeBody>(data, "unsubscribe");
    visit.body::<ReadBody>(data, "read");
    visit.body::<DeleteBody>(data, "delete");
    visit.body::<ForwardBody>(data, "forward");
    visit.body::<ResponseBody>(data, "response");
    visit.body::<RoutesBody>(data, "routes");
    visit.body::<UpdateBody>(data, "update");
    visit.body::<BackupBody>(data, "backup");
    visit.body::<BackupEntry>(data, "entry of a backup");
    visit.body::<BackedUpBody>(data, "backed up");
    visit.body::<Snapshot>(data, "snapshot");
    visit.body::<Identity>(data, "identity");
    visit.body::<RegistrationRecord>(data, "registration");
}
