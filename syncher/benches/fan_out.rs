//! One Reporter and N Observers in one runtime: changes applied in every copy and events read, per second. Beside it,
//! in the same rounds, the least that any such program does: applying the same changes to N documents.
//!
//! `cargo bench -p hyperty-syncher --bench fan_out`

use std::hint::black_box;
use std::time::{Duration, Instant};

use hyperty_message_bus::{BusConfig, Listener, MessageBus, MiniBus};
use hyperty_model::change::{Change, ChangeOp, apply};
use hyperty_model::message::{ResponseBody, UpdateBody};
use hyperty_model::{Message, MessageType, ObjectUrl, SeededIds, Timestamp, Url};
use hyperty_syncher::{Observer, ObserverEvent, Reporter, Syncher, SyncherConfig};
use serde_json::{Value, json};

const ROUNDS: usize = 9;
const BATCH: u64 = 500;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a tokio runtime");
    println!("{:>9} {:>16} {:>18} {:>7}", "observers", "applied/s", "plain apply/s", "ratio");
    for observers in [1, 10, 100, 1000] {
        let (ours, plain) = runtime.block_on(measure(observers));
        println!("{observers:>9} {ours:>16.0} {plain:>18.0} {:>7.3}", ours / plain);
    }
}

async fn measure(count: usize) -> (f64, f64) {
    let system = System::new(count).await;
    let System { reporter, mut observers, .. } = system;
    let mut documents = vec![data(); count];
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    let batch = if count >= 1000 { BATCH / 10 } else { BATCH };
    for round in 0..=ROUNDS as u64 {
        let values: Vec<Value> = (0..batch).map(|n| json!(format!("{:0>100}", round * batch + n))).collect();
        let changes: Vec<Change> =
            values.iter().map(|v| Change::new("current.station", ChangeOp::Set(v.clone()))).collect();

        let start = Instant::now();
        for change in &changes {
            documents.iter_mut().for_each(|document| apply(document, black_box(change)).expect("it fits"));
        }
        plain.push(start.elapsed());

        let start = Instant::now();
        for change in changes {
            drop(reporter.change(change));
        }
        for observer in &mut observers {
            for _ in 0..batch {
                let event = observer.next_event().await;
                assert!(matches!(event, Some(ObserverEvent::Change(_))), "{event:?}");
            }
        }
        ours.push(start.elapsed());
    }
    let per_second = |times: Vec<Duration>| batch as f64 * count as f64 / median(times).as_secs_f64();
    assert!(observers.iter().all(|observer| observer.version() == reporter.version()));
    (per_second(ours), per_second(plain))
}

/// Without the first, which warms up.
fn median(mut times: Vec<Duration>) -> Duration {
    times.remove(0);
    times.sort_unstable();
    times[times.len() / 2]
}

fn data() -> Value {
    json!({"current": {"station": "", "wind": 4.5, "rain": null}, "year": {"2015": {"days": 365}}, "last": [1, 2, 3]})
}

/// A runtime whose Sync Manager commits and releases every change where it arrives.
struct System {
    reporter: Reporter,
    observers: Vec<Observer>,
    _synchers: Vec<Syncher>,
    _routes: Vec<Listener>,
}

impl System {
    async fn new(count: usize) -> System {
        let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(1));
        let config = SyncherConfig::new("hyperty-runtime://example.com/laptop".parse().expect("a URL"));
        let object: ObjectUrl = "comm://example.com/1".parse().expect("a URL");
        let schema: Url = "hyperty-catalogue://example.com/schema".parse().expect("a URL");
        let manager = config.runtime.sync_manager();
        let mut routes = vec![
            bus.listen(&manager, answers(&bus, &object)).expect("a listener"),
            bus.sequence(&object.changes(), commits(&bus, &manager)).expect("a sequencer"),
        ];
        let mut synchers = Vec::new();
        for number in 0..=count {
            let url = format!("hyperty://example.com/{number}").parse().expect("a URL");
            let minibus = MiniBus::new(&bus, url).expect("a MiniBus");
            let address = if number == 0 { object.as_url().clone() } else { object.changes() };
            routes.push(bus.forward(&address, minibus.url()).expect("a route"));
            let (syncher, driver) = Syncher::new(minibus, config.clone()).expect("a Syncher");
            tokio::spawn(driver.run());
            synchers.push(syncher);
        }
        let reporter = synchers[0].create(schema).data(data()).await.expect("a reporter");
        let mut observers = Vec::new();
        for syncher in &synchers[1..] {
            observers.push(syncher.subscribe(&object).await.expect("an observer"));
        }
        System { reporter, observers, _synchers: synchers, _routes: routes }
    }
}

/// Accepts every creation and subscription.
fn answers(bus: &MessageBus, object: &ObjectUrl) -> impl Fn(&Message) + Send + Sync + 'static {
    let (bus, object) = (bus.clone(), object.clone());
    let snapshot = json!({
        "url": object, "reporter": "hyperty://example.com/0", "runtime": "hyperty-runtime://example.com/laptop",
        "schema": "hyperty-catalogue://example.com/schema", "name": "weather", "version": 0, "data": data(),
        "created": Timestamp::default(), "lastModified": Timestamp::default(),
    });
    move |request| {
        let body = ResponseBody { resource: Some(object.to_string()), ..ResponseBody::ok() };
        bus.post(request.reply(body.with_value(snapshot.clone())));
    }
}

/// Answers every change and releases it.
fn commits(bus: &MessageBus, manager: &Url) -> impl Fn(&Message) + Send + Sync + 'static {
    let (bus, manager) = (bus.clone(), manager.clone());
    move |update| {
        let body = update.decode::<UpdateBody>().expect("an update");
        let released = UpdateBody { receipt: false, ..(*body).clone() };
        bus.release(&update.clone().with_body(released));
        let body = ResponseBody { version: body.version, ..ResponseBody::ok() };
        let (id, to) = (update.id().clone(), update.from().clone());
        bus.post(Message::new(id, MessageType::Response, manager.clone(), to, body));
    }
}
