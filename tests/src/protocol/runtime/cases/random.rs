//! Random sequences against a pure model of one copy, and of one Reporter: legal and illegal messages, lost, doubled,
//! reordered, with reconnects between. The shortest sequence that fails is shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching};
use crate::protocol::runtime::line::{code, expect_code, is_change};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Failure, Stop, Verdict};
use crate::{ensure, ensure_eq, level};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-DOM-1/random-stream", ["INV-DOM-1", "INV-DOM-2", "INV-EXT-2"], [], random_stream),
        case!("INV-UPD-1/random-reporter", ["INV-UPD-1", "M2", "INV-SUB-1"], [], random_reporter),
    ]
}

/// Steps of one sequence.
const STEPS: usize = 40;

/// A small generator, the same for the same seed everywhere (splitmix64).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// How many sequences: a hundredth of the model's cases, each far cheaper.
fn sequences() -> u32 {
    (level::of(level::Work::ModelCases) / 16).clamp(2, 200)
}

/// What an author's side does to its observers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// A change that arrives.
    Told,
    /// A change that is lost.
    Lost,
    /// A change that arrives twice.
    Doubled,
    /// Two changes that arrive in the wrong order.
    Swapped,
    /// An old change once more.
    Stale,
    /// A change in the name of somebody else.
    Forged,
    /// What is no change.
    Nonsense,
    /// The position.
    Beat,
    /// The log forgets: the next repair is a snapshot.
    Forget,
    /// A new epoch.
    Epoch,
    /// The connection of the runtime is lost and found.
    Reconnect,
}

fn steps(dice: &mut Dice) -> Vec<Step> {
    use Step as S;
    let kinds = [
        S::Told,
        S::Told,
        S::Told,
        S::Lost,
        S::Doubled,
        S::Swapped,
        S::Stale,
        S::Forged,
        S::Nonsense,
        S::Beat,
        S::Forget,
        S::Epoch,
        S::Reconnect,
    ];
    (0..STEPS).map(|_| kinds[dice.roll(kinds.len() as u64) as usize]).collect()
}

async fn random_stream(scene: &mut Scene) -> Verdict {
    let mut dice = Dice(scene.stage.seed);
    for round in 0..sequences() {
        let all = steps(&mut dice);
        let mut sequel = Sequel { scene, round, tries: 0 };
        let Err(stop) = sequel.play(&all).await else { continue };
        // Shorter while it fails: halves, then single steps.
        let mut shortest = all;
        let mut last = stop;
        let mut width = shortest.len() / 2;
        while width > 0 {
            let mut at = 0;
            while at + width <= shortest.len() {
                let mut shorter = shortest.clone();
                shorter.drain(at..at + width);
                match sequel.play(&shorter).await {
                    Err(stop) => (shortest, last) = (shorter, stop),
                    Ok(()) => at += width,
                }
            }
            width /= 2;
        }
        return Err(with_sequence(last, &format!("{shortest:?}")));
    }
    Ok(())
}

fn with_sequence(stop: Stop, sequence: &str) -> Stop {
    match stop {
        Stop::Fail(Failure { invariant, detail }) => {
            Failure::new(invariant, format!("{detail}\nthe shortest sequence: {sequence}")).into()
        }
        Stop::Broken(text) => Stop::Broken(format!("{text}\nthe shortest sequence: {sequence}")),
        skip @ Stop::Skip(_) => skip,
    }
}

/// One sequence after the other in one runtime, each with an object and an observer of its own.
struct Sequel<'a> {
    scene: &'a Scene,
    round: u32,
    tries: u32,
}

impl Sequel<'_> {
    async fn play(&mut self, steps: &[Step]) -> Verdict {
        self.tries += 1;
        let name = format!("{}-{}", self.round, self.tries);
        let mut author = Author::announce(self.scene, &format!("author-{name}")).await?;
        let mut following = Following::join(
            self.scene,
            &format!("observer-{name}"),
            &mut author,
            self.round.is_multiple_of(2),
        )
        .await?;
        let mut told: Option<Value> = None;
        for (n, step) in steps.iter().enumerate() {
            self.step(*step, n, &mut author, &mut told).await;
        }
        // Once messages flow again the copy is the author's, without anybody's action (INV-EXT-2).
        author.beat();
        author.publish("end", json!(true));
        let end = author.version;
        following.reach_served(self.scene, &mut author, ("INV-EXT-2", end)).await?;
        following.read(self.scene).await?;
        ensure_eq!("INV-DOM-1", following.data, author.data, "the copy at {end}");
        ensure_eq!("INV-DOM-1", following.version, end, "its version");
        let leave = following.leave(self.scene);
        let serve = async {
            loop {
                let to = format!("{}/subscription", author.object);
                let asked =
                    |message: &Value| message["to"] == to.as_str() && message["type"] == "unsubscribe";
                if let Some(request) = author.line.maybe(asked).await {
                    author.line.answer(&request, json!({"code": 200}));
                }
            }
        };
        let answer = tokio::select! {
            biased;
            answer = leave => answer?,
            () = serve => return Ok(()),
        };
        self.scene.leave(following.line);
        expect_code("INV-UNS-1", &answer, &[200], "leaving")
    }

    async fn step(&self, step: Step, n: usize, author: &mut Author, told: &mut Option<Value>) {
        let attribute = ["n", "m", "topic"][n % 3];
        let value = if attribute == "topic" { json!(n.to_string()) } else { json!(n) };
        match step {
            Step::Told => {
                let message = author.commit(attribute, value);
                author.line.send_message(&message);
                *told = Some(message);
            }
            Step::Lost => drop(author.commit(attribute, value)),
            Step::Doubled => {
                let message = author.commit(attribute, value);
                author.line.send_message(&message);
                author.line.send_message(&message);
            }
            Step::Swapped => {
                let first = author.commit(attribute, value.clone());
                let second = author.commit(attribute, value);
                author.line.send_message(&second);
                author.line.send_message(&first);
            }
            Step::Stale => {
                if let Some(message) = told {
                    author.line.send_message(message);
                }
            }
            Step::Forged => {
                let body = json!({"version": author.version + 1, "attribute": "topic", "value": "forged"});
                let from = format!("{}-forger", author.hyperty);
                author.line.send("update", &from, &format!("{}/changes", author.object), body);
            }
            Step::Nonsense => {
                let body = json!({"attribute": ["x"], "operation": n});
                author.line.send("update", &author.object, &format!("{}/subscription", author.object), body);
            }
            Step::Beat => author.beat(),
            Step::Forget => author.log.clear(),
            Step::Epoch => {
                let mut data = author.data.clone();
                data["epoch"] = json!(author.epoch + 1);
                author.new_epoch(data);
                *told = None;
            }
            Step::Reconnect => {
                self.scene.cut();
                self.scene.settle().await;
                self.scene.heal();
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

/// Changes that fit and that do not, many in flight, with an observer that comes and goes: what is acknowledged is
/// what the model has, and what every observer ends with.
async fn random_reporter(scene: &mut Scene) -> Verdict {
    let mut dice = Dice(scene.stage.seed);
    let mut reporting = Reporting::open(scene, true).await?;
    let (mut steady, _) = Watching::join(scene, "steady", &reporting.object, false).await?;
    let mut model = json!({"topic": "a"});
    let (mut version, mut seen) = (0_u64, 0_u64);
    let mut copy = model.clone();
    for round in 0..u64::from(sequences()) {
        // A batch in flight, up to the first that cannot be: that one and all behind it are refused.
        let mut asked: Vec<(Value, Option<(&str, Value)>)> = Vec::new();
        let mut broken = false;
        for n in 0..1 + dice.roll(12) {
            let attribute = ["n", "m", "topic"][dice.roll(3) as usize];
            let good = if attribute == "topic" { json!(format!("{round}.{n}")) } else { json!([round, n]) };
            broken |= dice.roll(12) == 0;
            reporting.version = version + asked.len() as u64 + u64::from(broken && dice.roll(2) == 0);
            let value = if broken { json!({"topic": 7}) } else { good.clone() };
            let id = reporting.put(if broken { "topic" } else { attribute }, value);
            asked.push((id, (!broken).then_some((attribute, good))));
        }
        for (id, change) in asked {
            let answer = reporting.line.final_answer(&id).await?;
            match change {
                Some((attribute, value)) => {
                    expect_code("M2", &answer, &[200], "a change that fits")?;
                    version += 1;
                    model[attribute] = value;
                }
                None => ensure!("M2", code(&answer) >= 400, "a change that does not fit was taken: {answer}"),
            }
        }
        while seen < version {
            let told = steady.update().await?;
            seen += 1;
            ensure_eq!("INV-SUB-1", told["version"], json!(seen), "the next version");
            copy[told["attribute"].as_str().unwrap_or_default()] = told["value"].clone();
        }
        ensure_eq!("INV-UPD-1", copy, model, "what the changes make, at {version}");
        if round.is_multiple_of(8) {
            let name = format!("visitor-{round}");
            let (mut visitor, answer) = Watching::join(scene, &name, &reporting.object, false).await?;
            ensure_eq!("INV-SUB-1", answer["value"]["data"], model, "the state a visitor gets");
            let from = version.saturating_sub(dice.roll(30));
            let answer = visitor.read(Some((0, from))).await?;
            expect_code("INV-EXT-1", &answer, &[200], "a repair")?;
            expect_code("INV-UNS-2", &visitor.leave().await?, &[200], "leaving")?;
        }
    }
    let object = reporting.object.clone();
    steady.line.never("INV-UPD-4", "one more change", |message| is_change(message, &object)).await
}
