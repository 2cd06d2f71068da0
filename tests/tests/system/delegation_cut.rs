//! The connection of either side is lost at each message of a delegation or of its way back, for a while: cut, half open,
//! or with nobody who reads at the other end; and each message by itself is lost (INV-DLG-1 to INV-DLG-5, INV-DLG-7).
//! Nobody crashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyperty_conformance::level::Level;
use hyperty_conformance::world::{Link, World};
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::{DerivedTail, Message, MessageType};
use tokio::time::sleep;

use crate::hand_over::{Countdown, Course, HandOver, Side};

/// More messages than either side sees of a delegation, or of its way back.
const MESSAGES: u64 = 30;

const LINKS: [Link; 3] = [Link::Cut, Link::Silent, Link::Stalled];

/// At a message of its runtime, the connection is lost; this message is the first that does not get through.
struct Break {
    left: Countdown,
    hit: AtomicBool,
    world: World,
    name: &'static str,
    link: Link,
    outage: Duration,
}

impl Interceptor for Break {
    fn inspect(&self, message: Message, _: Direction) -> Verdict {
        if self.left.is_over() && !self.hit.swap(true, Ordering::SeqCst) {
            self.world.set_link(self.name, self.link);
            let (world, name, outage) = (self.world.clone(), self.name, self.outage);
            tokio::spawn(async move {
                sleep(outage).await;
                world.heal(name);
            });
        }
        Verdict::Pass(message)
    }
}

async fn broken(course: Course, side: Side, link: Link, after: u64, outage: Duration) -> bool {
    let what = format!("{course:?}: {link:?} of {side:?} after {after} for {outage:?}");
    let mut trial = HandOver::prepared(course, 8_000 + after, what).await;
    let party = trial.party(side);
    let (left, hit, world) = (trial.countdown(after), AtomicBool::new(false), trial.world.clone());
    let breaking = Arc::new(Break { left, hit, world, name: party.name, link, outage });
    party.runtime.bus().add_interceptor(Arc::clone(&breaking) as _);
    trial.begin();
    trial.judged().await;
    breaking.hit.load(Ordering::SeqCst)
}

/// Each message is lost in one way for each change, and in all of them at night; shortly, and for longer than the other
/// side waits.
async fn everywhere(course: Course, side: Side) {
    let mut hit = 0;
    for after in 0..MESSAGES {
        for (at, link) in (0_u64..).zip(LINKS) {
            let turn = (after + at) % 3 == 0;
            if turn || Level::of_run() == Level::Nightly {
                let outage = if (after / 3 + at).is_multiple_of(2) { 90 } else { 8 };
                hit += u64::from(broken(course, side, link, after, Duration::from_secs(outage)).await);
            }
        }
    }
    assert!(hit > 10, "the connection was lost {hit} times only");
}

#[tokio::test(start_paused = true)]
async fn the_giving_side_is_cut_off_at_each_message_inv_dlg_1_inv_dlg_5() {
    everywhere(Course::Given, Side::Giving).await;
}

#[tokio::test(start_paused = true)]
async fn the_taking_side_is_cut_off_at_each_message_inv_dlg_1_inv_dlg_5() {
    everywhere(Course::Given, Side::Taking).await;
}

#[tokio::test(start_paused = true)]
async fn the_giving_side_is_cut_off_at_each_message_of_the_way_back_inv_dlg_1_inv_dlg_5() {
    everywhere(Course::Returned, Side::Giving).await;
}

#[tokio::test(start_paused = true)]
async fn the_taking_side_is_cut_off_at_each_message_of_the_way_back_inv_dlg_1_inv_dlg_5() {
    everywhere(Course::Returned, Side::Taking).await;
}

/// Loses one message of those that cross the connection of a runtime.
struct Lose {
    left: Countdown,
    hit: AtomicBool,
    own: String,
}

impl Lose {
    fn crosses(&self, message: &Message, direction: Direction) -> bool {
        let to = message.to().as_str();
        direction == Direction::Incoming
            || to.starts_with("domain://")
            || (to.starts_with("hyperty-runtime://") && !to.starts_with(&self.own))
            // A claim.
            || (message.kind() == MessageType::Forward
                && matches!(message.to().split_derived(), Some((_, Some(DerivedTail::Subscription)))))
    }
}

impl Interceptor for Lose {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let lost = self.crosses(&message, direction)
            && self.left.is_over()
            && !self.hit.swap(true, Ordering::SeqCst);
        if lost { Verdict::Drop } else { Verdict::Pass(message) }
    }
}

/// Whether it was lost before the end.
async fn lost(course: Course, side: Side, after: u64) -> bool {
    let what = format!("{course:?}: message {after} of {side:?} is lost");
    let mut trial = HandOver::prepared(course, 9_000 + after, what).await;
    let runtime = &trial.party(side).runtime;
    let own = runtime.url().to_string();
    let losing = Arc::new(Lose { left: trial.countdown(after), hit: AtomicBool::new(false), own });
    runtime.bus().add_interceptor(Arc::clone(&losing) as _);
    trial.begin();
    trial.judged().await;
    losing.hit.load(Ordering::SeqCst)
}

async fn each_is_lost(course: Course) {
    for side in [Side::Giving, Side::Taking] {
        let mut hit = 0;
        for after in 0..MESSAGES {
            hit += u64::from(lost(course, side, after).await);
        }
        assert!(hit > 5, "{side:?} lost {hit} messages only");
    }
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_delegation_may_be_lost_inv_dlg_1_inv_dlg_5_inv_dlg_7() {
    each_is_lost(Course::Given).await;
}

#[tokio::test(start_paused = true)]
async fn each_message_of_the_way_back_may_be_lost_inv_dlg_1_inv_dlg_5_inv_dlg_7() {
    each_is_lost(Course::Returned).await;
}
