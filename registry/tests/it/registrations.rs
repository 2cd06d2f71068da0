//! What a runtime keeps alive: when it sends, when it stops, and how it comes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_bus::{BusConfig, MessageBus, Replay};
use hyperty_model::{HypertyUrl, MessageType, ObjectUrl, SeededIds, Url};
use hyperty_registry::{
    DomainRegistry, Query, QueryError, REGISTRATION_EXPIRES, RegisterError, RegistrationRecord,
    Registrations, UpdateError,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use crate::node::runtime;

const PERIOD: Duration = Duration::from_millis(3600 * 10_000 / 22);

/// A registry that notes what it is asked, takes its time, and says what it was told to.
struct Scripted {
    started: Instant,
    calls: Mutex<Vec<(Duration, &'static str, String)>>,
    takes: Mutex<Duration>,
    /// What to say to a call, by operation and domain.
    says: Mutex<HashMap<(&'static str, String), UpdateError>>,
}

impl Scripted {
    async fn call(&self, operation: &'static str, url: &Url) -> Result<(), UpdateError> {
        self.calls.lock().push((self.started.elapsed(), operation, url.path().to_owned()));
        let takes = *self.takes.lock();
        tokio::time::sleep(takes).await;
        let domain = url.domain().unwrap().to_owned();
        self.says.lock().get(&(operation, domain)).cloned().map_or(Ok(()), Err)
    }

    fn say(&self, operation: &'static str, domain: &str, error: Option<UpdateError>) {
        let key = (operation, domain.to_owned());
        match error {
            Some(error) => self.says.lock().insert(key, error),
            None => self.says.lock().remove(&key),
        };
    }

    fn take_calls(&self) -> Vec<(&'static str, String)> {
        let calls = std::mem::take(&mut *self.calls.lock());
        calls.into_iter().map(|(_, operation, path)| (operation, path)).collect()
    }
}

impl DomainRegistry for Scripted {
    fn register<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), RegisterError>> {
        Box::pin(async move { self.call("register", &record.url).await.map_err(RegisterError::from) })
    }
    fn set_live<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(self.call("set live", &record.url))
    }
    fn keep_alive<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(self.call("keep alive", url))
    }
    fn unregister<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(self.call("unregister", url))
    }
    fn delete<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(self.call("delete", url))
    }
    fn read<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<RegistrationRecord, QueryError>> {
        Box::pin(std::future::ready(Err(QueryError::NotFound)))
    }
    fn find<'a>(
        &'a self,
        _domain: &'a str,
        _query: &'a Query,
    ) -> BoxFuture<'a, Result<Vec<RegistrationRecord>, QueryError>> {
        Box::pin(std::future::ready(Err(QueryError::NotFound)))
    }
}

struct World {
    registry: Arc<Scripted>,
    registrations: Registrations,
    driver: tokio::task::JoinHandle<()>,
}

impl World {
    fn new() -> World {
        let registry = Arc::new(Scripted {
            started: Instant::now(),
            calls: Mutex::default(),
            takes: Mutex::new(Duration::from_millis(10)),
            says: Mutex::default(),
        });
        let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(1));
        let registrations = Registrations::new(registry.clone(), bus, &runtime("a"));
        let driving = registrations.clone();
        let driver = tokio::spawn(async move { driving.drive().await });
        World { registry, registrations, driver }
    }

    async fn register(&self, url: &str) {
        self.registrations.register(record(url)).await.unwrap();
    }

    fn holds(&self, url: &str) -> bool {
        self.registrations.holds(&Url::parse(url).unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn record(url: &str) -> RegistrationRecord {
    RegistrationRecord::of_object(
        &ObjectUrl::parse(url).unwrap(),
        runtime("a"),
        Url::parse("https://example.com/.well-known/dataschema/Chat").unwrap(),
        "standup",
        HypertyUrl::parse("hyperty://example.com/1").unwrap(),
    )
}

fn pairs(calls: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    calls.iter().map(|(operation, path)| (*operation, (*path).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn keep_alives_come_a_little_more_than_twice_per_lifetime() {
    let world = World::new();
    world.register("comm://a/1").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.register("comm://a/2").await;
    tokio::time::sleep(5 * REGISTRATION_EXPIRES).await;
    let calls = std::mem::take(&mut *world.registry.calls.lock());
    let times: Vec<_> =
        calls.iter().filter(|call| call.1 == "keep alive" && call.2 == "1").map(|call| call.0).collect();
    assert_eq!(times.len(), 11);
    for pair in times.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(
            pause >= PERIOD - Duration::from_secs(1) && pause <= PERIOD + Duration::from_secs(1),
            "{pause:?}"
        );
    }
    // Due close together, sent together.
    let second: Vec<_> =
        calls.iter().filter(|call| call.1 == "keep alive" && call.2 == "2").map(|call| call.0).collect();
    assert_eq!(second, times);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_an_unregistration_inv_reg_3() {
    let world = World::new();
    world.register("comm://a/1").await;
    tokio::time::sleep(2 * REGISTRATION_EXPIRES).await;
    world.registrations.unregister(&Url::parse("comm://a/1").unwrap()).await.unwrap();
    assert!(!world.holds("comm://a/1"));
    world.registry.take_calls();
    tokio::time::sleep(10 * REGISTRATION_EXPIRES).await;
    assert_eq!(world.registry.take_calls(), []);
    assert!(world.registrations.replay("a").is_empty());
}

/// The keep-alive is under way, and would be followed by a registration, when the object is unregistered.
#[tokio::test(start_paused = true)]
async fn an_unregistration_comes_last_whatever_it_overtakes_inv_reg_3() {
    let world = World::new();
    world.register("comm://a/1").await;
    *world.registry.takes.lock() = Duration::from_secs(5);
    world.registry.say("keep alive", "a", Some(UpdateError::Unknown));
    world.registry.say("set live", "a", Some(UpdateError::Unknown));
    world.registry.take_calls();
    tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
    let url = Url::parse("comm://a/1").unwrap();
    world.registrations.unregister(&url).await.unwrap();
    tokio::time::sleep(10 * REGISTRATION_EXPIRES).await;
    assert_eq!(world.registry.take_calls(), pairs(&[("keep alive", "1"), ("unregister", "1")]));

    // The same with the registration itself under way.
    world.register("comm://a/2").await;
    world.registry.take_calls();
    tokio::time::sleep(PERIOD + Duration::from_secs(6)).await;
    let url = Url::parse("comm://a/2").unwrap();
    world.registrations.delete(&url).await.unwrap();
    tokio::time::sleep(10 * REGISTRATION_EXPIRES).await;
    let calls =
        [("keep alive", "2"), ("set live", "2"), ("register", "2"), ("unregister", "2"), ("delete", "2")];
    assert_eq!(world.registry.take_calls(), pairs(&calls));
}

/// Also what was asked for before the registration was answered.
#[tokio::test(start_paused = true)]
async fn an_unregistration_waits_for_the_registration_before_it() {
    let world = World::new();
    let url = Url::parse("comm://a/1").unwrap();
    let (registered, unregistered) = tokio::join!(
        world.registrations.register(record("comm://a/1")),
        world.registrations.unregister(&url)
    );
    registered.unwrap();
    unregistered.unwrap();
    assert!(!world.holds("comm://a/1"));
    assert_eq!(world.registry.take_calls(), pairs(&[("register", "1"), ("unregister", "1")]));
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_forgot_is_registered_again() {
    let world = World::new();
    world.register("comm://a/1").await;
    world.registry.say("keep alive", "a", Some(UpdateError::Unknown));
    world.registry.say("set live", "a", Some(UpdateError::Unknown));
    world.registry.take_calls();
    tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
    let calls = [("keep alive", "1"), ("set live", "1"), ("register", "1")];
    assert_eq!(world.registry.take_calls(), pairs(&calls));
    assert!(world.holds("comm://a/1"));
}

#[tokio::test(start_paused = true)]
async fn what_became_anothers_is_let_go() {
    for error in [UpdateError::Conflict("another".to_owned()), UpdateError::Gone] {
        let world = World::new();
        world.register("comm://a/1").await;
        world.registry.say("keep alive", "a", Some(error));
        tokio::time::sleep(10 * REGISTRATION_EXPIRES).await;
        assert_eq!(world.registry.take_calls(), pairs(&[("register", "1"), ("keep alive", "1")]));
        assert!(!world.holds("comm://a/1"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_domain_does_not_delay_another() {
    let world = World::new();
    for n in 0..200 {
        world.register(&format!("comm://dead/{n}")).await;
    }
    world.register("comm://alive/1").await;
    let silent = Some(UpdateError::Unreachable("no route".to_owned()));
    world.registry.say("keep alive", "dead", silent);
    *world.registry.takes.lock() = Duration::from_secs(75);
    world.registry.take_calls();
    tokio::time::sleep(PERIOD + Duration::from_secs(80)).await;
    let calls = world.registry.take_calls();
    assert!(calls.contains(&("keep alive", "1".to_owned())));
    // After the first failures the others are not even tried: 64 at once.
    assert_eq!(calls.len(), 64 + 1);

    // Back within the lifetime: everything goes on.
    world.registry.say("keep alive", "dead", None);
    *world.registry.takes.lock() = Duration::from_millis(10);
    tokio::time::sleep(Duration::from_secs(200)).await;
    let calls = world.registry.take_calls();
    assert_eq!(calls.iter().filter(|(operation, _)| *operation == "keep alive").count(), 200);
}

#[tokio::test(start_paused = true)]
async fn after_a_silence_longer_than_its_lifetime_an_entry_is_revived() {
    let world = World::new();
    world.register("comm://a/1").await;
    world.registry.say("keep alive", "a", Some(UpdateError::Unreachable("no route".to_owned())));
    world.registry.say("set live", "a", Some(UpdateError::Unreachable("no route".to_owned())));
    tokio::time::sleep(2 * REGISTRATION_EXPIRES).await;
    world.registry.take_calls();
    world.registry.say("keep alive", "a", None);
    world.registry.say("set live", "a", None);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(world.registry.take_calls(), pairs(&[("set live", "1")]));
    tokio::time::sleep(PERIOD).await;
    assert_eq!(world.registry.take_calls(), pairs(&[("keep alive", "1")]));
}

#[tokio::test(start_paused = true)]
async fn resuming_sets_live_and_registers_only_what_is_unknown() {
    let world = World::new();
    world.registrations.resume(record("comm://a/1")).await.unwrap();
    assert_eq!(world.registry.take_calls(), pairs(&[("set live", "1")]));
    world.registry.say("set live", "a", Some(UpdateError::Unknown));
    world.registrations.resume(record("comm://a/2")).await.unwrap();
    assert_eq!(world.registry.take_calls(), pairs(&[("set live", "2"), ("register", "2")]));
    world.registry.say("set live", "a", Some(UpdateError::Conflict("another".to_owned())));
    let refused = world.registrations.resume(record("comm://a/3")).await;
    assert_eq!(refused, Err(RegisterError::Conflict("another".to_owned())));
    assert!(!world.holds("comm://a/3"));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_registered_is_not_kept_and_removing_the_unknown_is_no_error() {
    let world = World::new();
    world.registry.say("register", "a", Some(UpdateError::Unreachable("no route".to_owned())));
    assert!(world.registrations.register(record("comm://a/1")).await.is_err());
    assert!(!world.holds("comm://a/1"));
    world.registry.say("unregister", "a", Some(UpdateError::Unknown));
    let url = Url::parse("comm://a/1").unwrap();
    world.registrations.unregister(&url).await.unwrap();
    world.registrations.delete(&url).await.unwrap();
    // A registry that knows no deletion has at least the disconnection.
    world.registry.say("unregister", "a", None);
    let code = hyperty_model::StatusCode::BAD_REQUEST;
    world.registry.say("delete", "a", Some(UpdateError::Refused { code, reason: "delete?".to_owned() }));
    world.registrations.delete(&url).await.unwrap();
    world.registry.say("delete", "a", Some(UpdateError::Unreachable("no route".to_owned())));
    assert!(world.registrations.delete(&url).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_fresh_session_registers_everything_of_its_domain() {
    let world = World::new();
    for url in ["comm://a/1", "comm://b/2", "comm://A/3"] {
        world.register(url).await;
    }
    let messages = world.registrations.replay("a");
    let bodies: Vec<Value> =
        messages.iter().map(|message| serde_json::from_slice(message.body().raw()).unwrap()).collect();
    let urls: Vec<_> = bodies.iter().map(|body| body["value"]["url"].as_str().unwrap()).collect();
    assert_eq!(urls, ["comm://a/1", "comm://A/3"]);
    assert!(bodies.iter().all(|body| body["value"]["status"] == "live"));
    for message in &messages {
        assert_eq!((message.kind(), message.to().as_str()), (MessageType::Create, "domain://registry.a"));
        assert_eq!(*message.from(), runtime("a").registry());
    }
    assert_ne!(messages[0].id(), messages[1].id());
    assert!(world.registrations.replay("c").is_empty());
    assert!(world.registrations.replay("no domain").is_empty());
}
