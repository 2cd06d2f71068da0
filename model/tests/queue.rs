//! The conflating queue against a plain model: protocol 10.3, M15; INV-EXT-4.

use hyperty_model::queue::{ConflatingQueue, ConflationKey, Pushed, QueueLimits, Queued};
use hyperty_model::{Message, MessageType, Url};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    number: usize,
    bytes: usize,
    key: Option<u8>,
}

impl Queued for Item {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn conflation_key(&self) -> Option<ConflationKey> {
        self.key.map(|key| ConflationKey::stream(Url::parse(&format!("comm://a/{key}/changes")).unwrap()))
    }
}

/// The same rules, written for clarity and not for speed.
struct Model {
    limits: QueueLimits,
    items: Vec<Item>,
}

impl Model {
    /// Whether `item` fits behind these: the largest of it and of what may not be dropped does not count.
    fn leave_room(&self, items: &[Item], item: Item) -> bool {
        let kept = items.iter().filter(|item| item.key.is_none());
        let largest = kept.chain([&item]).map(|item| item.bytes).max().unwrap_or(0);
        let bytes: usize = items.iter().chain([&item]).map(|item| item.bytes).sum();
        items.len() < self.limits.count && bytes - largest < self.limits.bytes
    }

    fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.bytes).sum()
    }

    fn push(&mut self, item: Item) -> Pushed<Item> {
        let kept: Vec<_> = self.items.iter().filter(|item| item.key.is_none()).copied().collect();
        if !self.leave_room(&kept, item) {
            return Pushed::Refused(item);
        }
        let (mut superseded, mut evicted) = (0, 0);
        while !self.leave_room(&self.items, item) {
            let newer =
                |at: usize| self.items[at + 1..].iter().chain([&item]).any(|i| i.key == self.items[at].key);
            let keyed = |at: &usize| self.items[*at].key.is_some();
            let places = 0..self.items.len();
            if let Some(at) = places.clone().filter(keyed).find(|&at| newer(at)) {
                self.items.remove(at);
                superseded += 1;
            } else {
                let at = places.clone().find(keyed).expect("something can go");
                self.items.remove(at);
                evicted += 1;
            }
        }
        self.items.push(item);
        if superseded + evicted == 0 { Pushed::Queued } else { Pushed::Conflated { superseded, evicted } }
    }
}

const ITEM_BYTES_MAX: usize = 100;

#[derive(Debug, Clone)]
enum Step {
    Push { bytes: usize, key: Option<u8> },
    Pop,
    PopReady(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop_oneof![1 => Just(None), 4 => (0..6_u8).prop_map(Some)];
    let step = prop_oneof![
        6 => (1..ITEM_BYTES_MAX, key).prop_map(|(bytes, key)| Step::Push { bytes, key }),
        1 => Just(Step::Pop),
        1 => (0..120_usize).prop_map(Step::PopReady),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn the_queue_is_its_model_and_never_exceeds_its_limits_inv_ext_4(
        steps in steps(), count in 1..24_usize, bytes in 40..400_usize,
    ) {
        let limits = QueueLimits { count, bytes };
        let (mut queue, mut model) = (ConflatingQueue::new(limits), Model { limits, items: Vec::new() });
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { bytes, key } => {
                    let item = Item { number, bytes, key };
                    prop_assert_eq!(queue.push(item), model.push(item));
                }
                Step::Pop => {
                    let expected = (!model.items.is_empty()).then(|| model.items.remove(0));
                    prop_assert_eq!(queue.pop(), expected);
                }
                Step::PopReady(max_bytes) => {
                    let mut taken = Vec::new();
                    queue.pop_ready(max_bytes, &mut taken);
                    let expected: Vec<_> = model.items.drain(..taken.len()).collect();
                    prop_assert_eq!(&taken, &expected);
                    let before_last: usize = taken.iter().rev().skip(1).map(|item| item.bytes).sum();
                    prop_assert!(taken.len() < 2 || before_last < max_bytes, "took more than asked for");
                    let all: usize = taken.iter().map(|item| item.bytes).sum();
                    prop_assert!(queue.is_empty() || all >= max_bytes, "left what could go");
                }
            }
            prop_assert_eq!((queue.len(), queue.bytes()), (model.items.len(), model.bytes()));
            prop_assert!(queue.len() <= count && queue.bytes() < bytes + ITEM_BYTES_MAX);
        }
    }

    #[test]
    fn one_control_message_of_any_size_leaves_room_for_what_fits_without_it(
        large in 1..1_000_usize,
        before in proptest::collection::vec(1..ITEM_BYTES_MAX, 0..8),
        after in proptest::collection::vec((1..ITEM_BYTES_MAX, proptest::option::of(0..6_u8)), 0..40),
    ) {
        let limits = QueueLimits { count: 100, bytes: 400 };
        let mut queue = ConflatingQueue::new(limits);
        let large_at = before.len();
        let items = before.into_iter().map(|bytes| (bytes, None)).chain([(large, None)]).chain(after);
        let mut others = 0;
        for (number, (bytes, key)) in items.enumerate() {
            others += if number == large_at { 0 } else { bytes };
            if others >= limits.bytes {
                break;
            }
            prop_assert_eq!(queue.push(Item { number, bytes, key }), Pushed::Queued);
        }
    }

    #[test]
    fn control_comes_out_whole_and_in_order_whatever_is_dropped(steps in steps(), count in 1..24_usize) {
        let mut queue = ConflatingQueue::new(QueueLimits { count, bytes: 300 });
        let (mut accepted, mut taken) = (Vec::new(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { bytes, key } => {
                    if !matches!(queue.push(Item { number, bytes, key }), Pushed::Refused(_)) && key.is_none() {
                        accepted.push(number);
                    }
                }
                Step::Pop => taken.extend(queue.pop()),
                Step::PopReady(max_bytes) => queue.pop_ready(max_bytes, &mut taken),
            }
        }
        queue.pop_ready(usize::MAX, &mut taken);
        prop_assert!(taken.is_sorted_by_key(|item| item.number));
        let control: Vec<_> = taken.iter().filter(|item| item.key.is_none()).map(|item| item.number).collect();
        prop_assert_eq!(control, accepted);
    }
}

#[test]
fn a_flood_of_updates_of_one_object_behind_a_stuck_control_message_cost_bounded_memory() {
    let mut queue = ConflatingQueue::new(QueueLimits { count: 4, bytes: 1_000 });
    let _ = queue.push(Item { number: 0, bytes: 1, key: None });
    for number in 1..100_000 {
        let _ = queue.push(Item { number, bytes: 1, key: Some(1) });
    }
    let mut taken = Vec::new();
    queue.pop_ready(usize::MAX, &mut taken);
    let numbers: Vec<_> = taken.iter().map(|item| item.number).collect();
    assert_eq!(numbers, [0, 99_997, 99_998, 99_999]);
}

#[test]
fn only_updates_of_objects_and_of_single_children_collapse() {
    let key = |kind, to: &str, body: serde_json::Value| {
        let from = Url::parse("comm://a/1").unwrap();
        Message::new(1, kind, from, Url::parse(to).unwrap(), body).conflation_key()
    };
    let child = |id: &str| serde_json::json!({ "resource": id, "value": {} });
    let channel = "comm://a/1/children/notes";
    let changes = key(MessageType::Update, "comm://a/1/changes", child("x"));
    assert!(changes.is_some());
    assert_eq!(changes, key(MessageType::Update, "comm://a/1/changes", child("y")));
    assert_ne!(key(MessageType::Update, channel, child("x")), key(MessageType::Update, channel, child("y")));
    assert_eq!(key(MessageType::Update, channel, child("x")), key(MessageType::Update, channel, child("x")));
    assert_ne!(key(MessageType::Update, channel, child("x")), changes);
    for (kind, to) in [
        (MessageType::Delete, "comm://a/1/changes"),
        (MessageType::Create, channel),
        (MessageType::Update, "comm://a/1/subscription"),
        (MessageType::Update, "comm://a/1"),
        (MessageType::Update, "hyperty://a/1"),
        (MessageType::Response, "comm://a/1/changes"),
    ] {
        assert_eq!(key(kind, to, child("x")), None, "{kind} to {to}");
    }
    assert_eq!(key(MessageType::Update, channel, serde_json::json!({})), None);
}
