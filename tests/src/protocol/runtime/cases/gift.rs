//! Somebody else gives an object away, and the runtime under test takes it (protocol 5.11).

use serde_json::{Value, json};

use super::delegation_taker::HOSTING;
use crate::ensure_eq;
use crate::protocol::Verdict;
use crate::protocol::runtime::actors::{Author, NAMES, merge, stream};
use crate::protocol::runtime::line::{Line, expect_code, is, is_change};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene};

/// The giving side: a Reporter elsewhere and its Sync Manager, and the hyperty here that its object is offered to.
pub(super) struct Gift {
    pub(super) author: Author,
    pub(super) seat: Line,
    pub(super) name: String,
}

impl Gift {
    /// An object elsewhere, and somebody here who may be given it.
    pub(super) async fn prepare(scene: &Scene) -> Verdict<Gift> {
        let mut author = Author::announce(scene, "giver").await?;
        author.publish("n", json!(1));
        author.publish("n", json!(2));
        // As one that will observe.
        let (sm, source) = (author.line.sm(), author.line.url.clone());
        let body = json!({"resources": stream(&author.object), "source": source});
        let answer = author.line.request("subscribe", &sm, &scene.mn(), body).await?;
        expect_code("INV-MN-1", &answer, &[200], "listening at the node")?;
        Ok(Gift { author, seat: scene.seat("taker")?, name: "d-1".to_owned() })
    }

    /// The metadata of what is offered, without its state.
    pub(super) fn metadata(&self) -> Value {
        let mut value = self.author.snapshot();
        merge(&mut value, &json!({"data": null, "version": null, "epoch": null, "childrenObjects": null}));
        value
    }

    /// What the hyperty says to its Sync Manager when it accepts; `more` replaces or adds members.
    pub(super) fn accept(&self, scene: &Scene, more: &Value) -> Value {
        let mut body = json!({
            "resource": self.author.object, "schema": scene.schema, "value": self.metadata(),
            "delegate": self.seat.url, "delegation": self.name, "source": self.author.line.sm(), "store": true,
        });
        merge(&mut body, more);
        self.seat.send("create", &self.seat.url, &scene.sm(), body)
    }

    /// The next claim, at the address of the object or at the Sync Manager that offers it.
    pub(super) async fn claimed(&mut self, scene: &Scene) -> Verdict<Value> {
        let addresses = [format!("{}/subscription", self.author.object), self.author.line.sm()];
        let wanted = |m: &Value| addresses.iter().any(|to| is(m, "forward", to));
        let claim = self.author.line.until_within("INV-DLG-7", "a claim", HOSTING, wanted).await?;
        let body = &claim["body"];
        ensure_eq!("5.11", body["type"], json!("create"), "what is forwarded");
        ensure_eq!("5.11", body["delegation"], json!(self.name), "by which offer it is claimed");
        ensure_eq!("5.11", body["delegate"], json!(self.seat.url), "for whom it is claimed");
        ensure_eq!("INV-DLG-1", body["source"], json!(scene.sm()), "who claims");
        Ok(claim)
    }

    /// The answer that makes it the other's; it is the author's no more. `more` replaces or adds members.
    pub(super) fn grant(&self, claim: &Value, more: &Value) {
        let observers = [self.author.hyperty.clone()];
        let mut body = json!({
            "code": 200, "source": self.author.line.sm(), "resource": self.author.object, "delegation": self.name,
            "epoch": self.author.epoch + 1, "value": self.author.snapshot(), "childrenResources": NAMES,
            "subscriptions": observers, "authorise": [],
        });
        merge(&mut body, more);
        self.author.line.answer(claim, body);
    }

    /// Says in the domain whose it is from now on.
    pub(super) async fn hand_over(&mut self, scene: &Scene) -> Verdict {
        let (sm, object) = (self.author.line.sm(), self.author.object.clone());
        // The routes first: who gives them away may listen on, also where only accepted ones do (10.4).
        let mut routes = vec![object.clone(), format!("{object}/subscription")];
        routes.extend(NAMES.map(|name| format!("{object}/children/{name}")));
        let source = self.author.line.url.clone();
        let body = json!({"resources": routes, "source": source, "transfer": scene.url});
        let answer = self.author.line.request("subscribe", &sm, &scene.mn(), body).await?;
        expect_code("M17", &answer, &[200], "giving routes away")?;
        let value = json!({
            "reporter": self.seat.url, "runtime": scene.url, "epoch": self.author.epoch + 1, "status": "live",
        });
        let from = format!("{}/registry", self.author.line.url);
        let body = json!({"resource": object, "value": value});
        let answer = self.author.line.request("update", &from, &scene.reg(), body).await?;
        expect_code("INV-REG-5", &answer, &[200], "giving a registration away")
    }

    /// Everything from the acceptance to the moment at which the object is the hyperty's own; gives the answer to it.
    pub(super) async fn take(&mut self, scene: &Scene) -> Verdict<Value> {
        let accepted = self.accept(scene, &json!({}));
        let claim = self.claimed(scene).await?;
        self.grant(&claim, &json!({}));
        self.hand_over(scene).await?;
        let answer = self.seat.final_within(&accepted, RESPONSE_TIME).await?;
        expect_code("INV-DLG-6", &answer, &[200], "an acceptance that is granted")?;
        Ok(answer)
    }

    /// That nobody here acts as the owner.
    pub(super) async fn nobody_acts(&mut self, invariant: &'static str) -> Verdict {
        let object = self.author.object.clone();
        self.author.line.never(invariant, "a change of what was not given", |m| is_change(m, &object)).await
    }

    /// The hyperty writes the version that follows, and it is published in the new epoch.
    pub(super) async fn write(&mut self, version: u64) -> Verdict {
        let (own, object) = (self.seat.url.clone(), self.author.object.clone());
        let body = json!({
            "version": version, "attribute": "n", "value": version, "source": own, "receipt": true,
            "lastModified": "2023-11-14T22:13:22.000Z",
        });
        let id = self.seat.send("update", &object, &format!("{object}/changes"), body);
        let answer = self.seat.final_answer(&id).await?;
        expect_code("INV-DLG-6", &answer, &[200], "a change by the new Reporter")
    }

    /// The next change, as who listens gets it.
    pub(super) async fn heard(&mut self) -> Verdict<Value> {
        let object = self.author.object.clone();
        let wanted = |m: &Value| is_change(m, &object);
        let update = self.author.line.until_within("INV-DLG-3", "a change", RESPONSE_TIME, wanted).await?;
        ensure_eq!("INV-DLG-1", update["body"]["epoch"], json!(1), "the epoch of a change by the new owner");
        Ok(update["body"].clone())
    }

    /// The give-back, when it comes.
    pub(super) async fn returned(&mut self) -> Verdict<Value> {
        let sm = self.author.line.sm();
        let wanted = |m: &Value| is(m, "delete", &sm);
        let back =
            self.author.line.until_within("INV-DLG-7", "that it is given back", HOSTING, wanted).await?;
        ensure_eq!("INV-DLG-7", back["body"]["delegation"], json!(self.name), "what is given back");
        ensure_eq!("INV-DLG-7", back["body"]["epoch"], json!(1), "the epoch that is given back");
        Ok(back)
    }
}
