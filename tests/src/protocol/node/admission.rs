//! Sessions are somebody (protocol 5.15.1): who is let in, for whom messages speak, and until when.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyperty_message_node::admission::{Audience, Claims, IssuerKey};
use hyperty_model::SeededIds;
use serde_json::{Value, json};

use super::stage::{NodeStage, node_cases};
use super::{NodeCase, refused_by_node};
use crate::protocol::client::{Client, SESSION, code};
use crate::protocol::{Stop, Verdict};
use crate::{ensure, ensure_eq};

/// More than any node's clock may differ from the issuers'.
const LEEWAY: Duration = Duration::from_secs(30);

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-ADM-1/without-a-token" checks ["INV-ADM-1"] needs [Admission] => without_a_token;
        "INV-ADM-1/not-signed" checks ["INV-ADM-1"] needs [Admission] => not_signed;
        "INV-ADM-1/changed" checks ["INV-ADM-1"] needs [Admission] => changed;
        "INV-ADM-1/of-nobody-known" checks ["INV-ADM-1"] needs [Admission] => of_nobody_known;
        "INV-ADM-1/out-of-its-time" checks ["INV-ADM-1"] needs [Admission] => out_of_its_time;
        "INV-ADM-1/for-another-domain" checks ["INV-ADM-1"] needs [Admission] => for_another_domain;
        "INV-ADM-1/for-another-runtime" checks ["INV-ADM-1"] needs [Admission] => for_another_runtime;
        "INV-ADM-1/re-open" checks ["INV-ADM-1", "INV-SES-2"] needs [Admission, Grace] => reopen;
        "INV-ADM-2/requests-speak-for-the-session" checks ["INV-ADM-2"] needs [Admission] => requests;
        "INV-ADM-2/also-inside-forward" checks ["INV-ADM-2"] needs [Admission] => inside_forward;
        "INV-ADM-3/an-expired-session-ends" checks ["INV-ADM-3"] needs [Admission] => expired;
        "INV-ADM-3/a-renewed-session-goes-on" checks ["INV-ADM-3"] needs [Admission] => renewed;
        "INV-ADM-4/a-runtime-is-its-first-users" checks ["INV-ADM-4"] needs [Admission] => first_user;
        "INV-ADM-5/hyperties-that-the-token-allows" checks ["INV-ADM-5", "INV-MN-5"] needs [Admission] => hyperties;
    }
}

impl NodeStage {
    /// The issuer that the node believes.
    fn issuer(&self) -> Verdict<&IssuerKey> {
        self.subject
            .issuer()
            .ok_or_else(|| Stop::Skip("the suite has no issuer that the node believes".to_owned()))
    }

    /// Claims of a user of this case, for an hour.
    fn claims(&self, user: &str) -> Claims {
        Claims::new(&self.user(user), &self.domain(), self.subject.now(), Duration::from_secs(3_600))
    }

    fn sign(&self, claims: &Claims) -> Verdict<String> {
        self.issuer()?.issue(claims).map_err(|error| Stop::Broken(error.to_string()))
    }

    /// A connection that brings this token.
    async fn bringing(&self, name: &str, token: &str) -> Verdict<Client> {
        let mut client = self.connect(name).await?;
        client.admission = json!({"accessToken": token});
        Ok(client)
    }

    /// A session of this user.
    async fn open_as(&self, name: &str, user: &str) -> Verdict<Client> {
        let mut client = self.bringing(name, &self.sign(&self.claims(user))?).await?;
        let answer = client.open().await?;
        ensure_eq!("INV-ADM-1", code(&answer), 200, "the code of the answer to open with a good token");
        Ok(client)
    }

    /// That a token opens no session: with this code, and the connection is closed.
    async fn turned_away(&self, token: Value, wanted: u64, what: &str) -> Verdict {
        let mut client = self.connect("stranger").await?;
        client.admission = if token.is_null() { Value::Null } else { json!({"accessToken": token}) };
        let answer = client.open().await?;
        refused_by_node(self, &answer, wanted, "INV-ADM-1", &format!("open with {what}"))?;
        ensure!("INV-ADM-1", answer["body"].get("runtimeToken").is_none(), "a refusal with a runtime token");
        client.closed().await.map(drop)
    }

    fn identity(&self, user: &str) -> Value {
        json!({"idp": self.domain(), "userProfile": {"userURL": self.user(user)}})
    }
}

/// A token whose parts are these, whoever signed.
fn assembled(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn as_json(claims: &Claims) -> Verdict<Value> {
    serde_json::to_value(claims).map_err(|error| Stop::Broken(error.to_string()))
}

async fn without_a_token(stage: NodeStage) -> Verdict {
    stage.turned_away(Value::Null, 401, "nothing").await?;
    for token in [json!(""), json!("x"), json!("a.b.c"), json!(17), json!({})] {
        stage.turned_away(token.clone(), 401, &format!("{token} as token")).await?;
    }
    Ok(())
}

async fn not_signed(stage: NodeStage) -> Verdict {
    let claims = as_json(&stage.claims("mallory"))?;
    let good = stage.sign(&stage.claims("alice"))?;
    let signature = good.rsplit('.').next().unwrap_or_default();
    for alg in ["none", "None", "HS256", "RS256", "ES256", "Ed448"] {
        for signature in ["", signature] {
            let header = json!({"alg": alg, "typ": "JWT", "kid": stage.issuer()?.id()});
            stage
                .turned_away(assembled(&header, &claims, signature).into(), 401, &format!("alg {alg}"))
                .await?;
        }
    }
    Ok(())
}

async fn changed(stage: NodeStage) -> Verdict {
    let good = stage.sign(&stage.claims("alice"))?;
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(as_json(&stage.claims("mallory"))?.to_string());
    stage.turned_away(parts.join(".").into(), 401, "other claims than were signed").await?;
    parts[2].clear();
    stage.turned_away(parts.join(".").into(), 401, "no signature").await
}

async fn of_nobody_known(stage: NodeStage) -> Verdict {
    let stranger = IssuerKey::generate(&SeededIds::new(stage.seed ^ 0x5eed));
    let token = stranger.issue(&stage.claims("alice")).map_err(|error| Stop::Broken(error.to_string()))?;
    stage.turned_away(token.clone().into(), 401, "a token of an unknown issuer").await?;
    // Under the name of one that is known.
    let parts: Vec<&str> = token.split('.').collect();
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": stage.issuer()?.id()});
    let renamed = assembled(&header, &as_json(&stage.claims("alice"))?, parts[2]);
    stage.turned_away(renamed.into(), 401, "a token of an impostor").await
}

async fn out_of_its_time(stage: NodeStage) -> Verdict {
    let now = stage.subject.now().as_millis() / 1000;
    let mut old = stage.claims("alice");
    (old.nbf, old.exp) = (Some(now - 7_200), now - LEEWAY.as_secs() - 1);
    stage.turned_away(stage.sign(&old)?.into(), 401, "an expired token").await?;
    let mut early = stage.claims("alice");
    early.nbf = Some(now + LEEWAY.as_secs() + 60);
    stage.turned_away(stage.sign(&early)?.into(), 401, "a token of tomorrow").await
}

async fn for_another_domain(stage: NodeStage) -> Verdict {
    for audience in [
        Audience::One("elsewhere.example".to_owned()),
        Audience::One(format!("sub.{}", stage.domain())),
        Audience::Many(Vec::new()),
    ] {
        let claims = Claims { aud: audience, ..stage.claims("alice") };
        stage.turned_away(stage.sign(&claims)?.into(), 401, "a token for another domain").await?;
    }
    Ok(())
}

async fn for_another_runtime(stage: NodeStage) -> Verdict {
    for pattern in [stage.runtime("other"), format!("{}/**", stage.runtime("stranger"))] {
        let pattern = pattern.parse().map_err(|error| Stop::Broken(format!("{error}")))?;
        let claims = Claims { runtimes: Some(vec![pattern]), ..stage.claims("alice") };
        stage.turned_away(stage.sign(&claims)?.into(), 403, "a token for another runtime").await?;
    }
    let own = stage.runtime("stranger").parse().map_err(|error| Stop::Broken(format!("{error}")))?;
    let claims = Claims { runtimes: Some(vec![own]), ..stage.claims("alice") };
    let mut client = stage.bringing("stranger", &stage.sign(&claims)?).await?;
    ensure_eq!("INV-ADM-1", code(&client.open().await?), 200, "the code for the runtime that is named");
    Ok(())
}

async fn reopen(stage: NodeStage) -> Verdict {
    let alice = stage.open_as("alice", "alice").await?;
    let token = alice.token.clone();
    drop(alice);
    let bobs = json!({"accessToken": stage.sign(&stage.claims("bob"))?});
    for (brought, wanted) in [(Value::Null, 401), (bobs, 403)] {
        let mut client = stage.connect("alice").await?;
        client.admission = brought;
        let answer = client.reopen(&token).await?;
        refused_by_node(
            &stage,
            &answer,
            wanted,
            "INV-ADM-1",
            "re-open with a token of nobody or of another",
        )?;
        client.closed().await?;
    }
    let mut client = stage.bringing("alice", &stage.sign(&stage.claims("alice"))?).await?;
    ensure_eq!(
        "INV-ADM-1",
        code(&client.reopen(&token).await?),
        200,
        "the code of re-open with a good token"
    );
    Ok(())
}

async fn requests(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open_as("alice", "alice").await?, stage.open_as("bob", "bob").await?);
    let (from, to) = (bob.sm(), alice.sm());
    for said in
        [json!({}), json!({"identity": stage.identity("alice")}), json!({"identity": stage.user("alice")})]
    {
        for kind in ["create", "read", "delete", "subscribe", "unsubscribe", "execute"] {
            let id = bob.send(kind, &from, &to, said.clone()).await?;
            let got = alice.next("a request").await?;
            ensure_eq!(
                "INV-ADM-2",
                got["body"]["identity"],
                stage.identity("bob"),
                "the identity in a {kind} that said {said}"
            );
            alice.answer(&got, json!({"code": 200, "identity": stage.identity("carol")})).await?;
            let answer = bob.answer_to(&json!(id)).await?;
            ensure_eq!(
                "INV-ADM-2",
                answer["body"]["identity"],
                stage.identity("alice"),
                "the identity in an answer"
            );
        }
    }
    Ok(())
}

async fn inside_forward(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open_as("alice", "alice").await?, stage.open_as("bob", "bob").await?);
    let (from, to) = (bob.sm(), alice.sm());
    let embedded =
        json!({"type": "subscribe", "from": from, "to": to, "body": {"identity": stage.identity("alice")}});
    for body in [
        json!({"type": "subscribe", "from": from, "to": to, "identity": stage.identity("alice")}),
        json!({"message": embedded}),
    ] {
        bob.send("forward", &from, &to, body.clone()).await?;
        let got = alice.next("a forward").await?;
        ensure_eq!("INV-ADM-2", got["body"]["identity"], stage.identity("bob"), "the identity in a forward");
        if !body["message"].is_null() {
            let inside = &got["body"]["message"]["body"]["identity"];
            ensure_eq!("INV-ADM-2", *inside, stage.identity("bob"), "the identity in the message inside");
        }
    }
    Ok(())
}

async fn expired(stage: NodeStage) -> Verdict {
    let now = stage.subject.now().as_millis() / 1000;
    let mut claims = stage.claims("alice");
    claims.exp = now + 2;
    let mut alice = stage.bringing("alice", &stage.sign(&claims)?).await?;
    let answer = alice.open().await?;
    ensure_eq!("INV-ADM-1", code(&answer), 200, "the code of open with a token that lives for two seconds");
    stage.wait(Duration::from_secs(2) + LEEWAY, "the token expires").await?;
    let last = alice.closed().await?;
    let told = last.iter().any(|message| message["from"] == SESSION && message["body"]["value"] == "expired");
    ensure!("INV-ADM-3", told, "the end of a session whose token has expired is not told: {last:?}");
    Ok(())
}

async fn renewed(stage: NodeStage) -> Verdict {
    let now = stage.subject.now().as_millis() / 1000;
    let mut claims = stage.claims("alice");
    claims.exp = now + 2;
    let mut alice = stage.bringing("alice", &stage.sign(&claims)?).await?;
    alice.open().await?;
    let from = alice.runtime.clone();
    let bobs = stage.sign(&stage.claims("bob"))?;
    let answer = alice.request("update", &from, SESSION, json!({"accessToken": bobs})).await?;
    refused_by_node(&stage, &answer, 403, "INV-ADM-3", "a renewal with another user's token")?;
    let token = stage.sign(&stage.claims("alice"))?;
    let answer = alice.request("update", &from, SESSION, json!({"accessToken": token})).await?;
    ensure_eq!("INV-ADM-3", code(&answer), 200, "the code of a renewal");
    stage.wait(Duration::from_secs(2) + LEEWAY, "the first token expires").await?;
    let answer = alice.request("ping", &from, SESSION, json!({})).await?;
    ensure_eq!("INV-ADM-3", code(&answer), 200, "the code of a ping over a session that was renewed");
    Ok(())
}

async fn first_user(stage: NodeStage) -> Verdict {
    let alice = stage.open_as("shared", "alice").await?;
    alice.close().await?;
    let mut bob = stage.bringing("shared", &stage.sign(&stage.claims("bob"))?).await?;
    let answer = bob.open().await?;
    refused_by_node(&stage, &answer, 403, "INV-ADM-4", "open for a runtime that was another user's")?;
    stage.open_as("shared", "alice").await.map(drop)
}

async fn hyperties(stage: NodeStage) -> Verdict {
    let pattern = format!("{}*", stage.hyperty("own"));
    let pattern = pattern.parse().map_err(|error| Stop::Broken(format!("{error}")))?;
    let claims = Claims { hyperties: Some(vec![pattern]), ..stage.claims("alice") };
    let mut alice = stage.bringing("alice", &stage.sign(&claims)?).await?;
    alice.open().await?;
    let nobody = stage.hyperty("nobody");
    for (from, wanted) in [(stage.hyperty("own-1"), 404), (stage.hyperty("other"), 403)] {
        let answer = alice.request("read", &from, &nobody, json!({})).await?;
        refused_by_node(&stage, &answer, wanted, "INV-ADM-5", &format!("a read from {from}"))?;
        let answer = alice.try_subscribe(&stage, &[&from]).await?;
        ensure_eq!("INV-ADM-5", code(&answer) == 200, wanted == 404, "whether {from} is routed to it");
    }
    Ok(())
}
