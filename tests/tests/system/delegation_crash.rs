//! A crash of either side after each message of a delegation, and of its way back where the object cannot be hosted
//! (INV-DLG-1, INV-DLG-2, INV-DLG-7): then there is exactly one owner, nothing that was acknowledged is lost, and
//! observers follow it.

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::Message;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::hand_over::{Countdown, Course, HandOver, Side};

/// More messages than either side sees of a delegation, or of its way back.
const MESSAGES: u64 = 30;

/// Lets so many messages pass, and then none: as far as others can tell the runtime has stopped there.
struct Stop {
    left: Countdown,
    hit: Arc<Notify>,
}

impl Interceptor for Stop {
    fn inspect(&self, message: Message, _: Direction) -> Verdict {
        if self.left.is_over() {
            self.hit.notify_one();
            return Verdict::Drop;
        }
        Verdict::Pass(message)
    }
}

/// Has a runtime stop, as far as others can tell, after so many messages; tells when it does.
pub(crate) fn stop_after(runtime: &hyperty_runtime::Runtime, messages: u64) -> Arc<Notify> {
    stop_at(runtime, Countdown::of(messages))
}

fn stop_at(runtime: &hyperty_runtime::Runtime, left: Countdown) -> Arc<Notify> {
    let hit = Arc::new(Notify::new());
    runtime.bus().add_interceptor(Arc::new(Stop { left, hit: Arc::clone(&hit) }));
    hit
}

/// Whether the crash came before the end.
async fn crashed(course: Course, sides: &[Side], after: u64) -> bool {
    let what = format!("{course:?}: {sides:?} crashed after {after} messages");
    let mut trial = HandOver::prepared(course, 7_000 + after, what).await;
    let hit = stop_at(&trial.party(sides[0]).runtime, trial.countdown(after));
    trial.begin();
    // Longer than a node may refuse what was given.
    let before_the_end = tokio::select! {
        biased;
        () = hit.notified() => true,
        () = sleep(Duration::from_secs(20)) => false,
    };
    for side in sides {
        trial = trial.crash(*side).await;
    }
    trial.judged().await;
    before_the_end
}

async fn everywhere(course: Course, sides: &[Side]) {
    let mut before_the_end = 0;
    for after in 1..=MESSAGES {
        before_the_end += u64::from(crashed(course, sides, after).await);
    }
    assert!(before_the_end > 5, "the crash came before the end {before_the_end} times only");
}

#[tokio::test(start_paused = true)]
async fn the_giving_side_crashes_after_each_message_inv_dlg_7() {
    everywhere(Course::Given, &[Side::Giving]).await;
}

#[tokio::test(start_paused = true)]
async fn the_taking_side_crashes_after_each_message_inv_dlg_7() {
    everywhere(Course::Given, &[Side::Taking]).await;
}

#[tokio::test(start_paused = true)]
async fn both_sides_crash_after_each_message_inv_dlg_7() {
    everywhere(Course::Given, &[Side::Giving, Side::Taking]).await;
}

#[tokio::test(start_paused = true)]
async fn the_giving_side_crashes_after_each_message_of_the_way_back_inv_dlg_7() {
    everywhere(Course::Returned, &[Side::Giving]).await;
}

#[tokio::test(start_paused = true)]
async fn the_taking_side_crashes_after_each_message_of_the_way_back_inv_dlg_7() {
    everywhere(Course::Returned, &[Side::Taking]).await;
}

#[tokio::test(start_paused = true)]
async fn both_sides_crash_after_each_message_of_the_way_back_inv_dlg_7() {
    everywhere(Course::Returned, &[Side::Giving, Side::Taking]).await;
}
