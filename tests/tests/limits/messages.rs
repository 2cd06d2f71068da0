//! What a message may be.

use hyperty_conformance::peer::{Peer, SESSION};
use hyperty_conformance::world::DOMAIN;
use hyperty_model::message::RECIPIENTS_MAX;
use serde_json::json;

use crate::routes::MN;
use crate::{MESSAGE_BYTES, Scene, Trying, next, plain, told};

pub(crate) fn bytes(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let head = format!(
            r#"{{"id":1,"type":"ping","from":"{}","to":"{SESSION}","body":{{"a":""#,
            scene.eve.runtime
        );
        let tail = r#""}}"#;
        let padding = "x".repeat(n - head.len() - tail.len());
        scene.eve.send_text(format!("{head}{padding}{tail}")).await;
        next(&mut scene.eve).await
    })
}

pub(crate) fn depth(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        // The frame and the body are two of them.
        let (open, close) = ("[".repeat(n - 2), "]".repeat(n - 2));
        let head = format!(r#""id":1,"type":"ping","from":"{}","to":"{SESSION}""#, scene.eve.runtime);
        scene.eve.send_text(format!(r#"{{{head},"body":{{"a":{open}{close}}}}}"#)).await;
        next(&mut scene.eve).await
    })
}

pub(crate) fn url(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut url = format!("{}/", scene.eve.runtime);
        url.push_str(&"x".repeat(n - url.len()));
        let sm = scene.eve.sm();
        told(&scene.eve.request("subscribe", &sm, MN, json!({"resources": [url]})).await)
    })
}

pub(crate) fn recipients(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let to: Vec<String> = (0..n).map(|i| format!("hyperty://{DOMAIN}/{i}")).collect();
        let message = json!({"id": 1, "type": "read", "from": scene.eve.sm(), "to": to, "body": {}});
        scene.eve.send_text(message.to_string()).await;
        let answers = scene.eve.drain().await;
        let Some(first) = answers.first().map(told) else { return plain(0, "nothing") };
        assert!(answers.iter().all(|answer| told(answer) == first));
        assert_eq!(answers.len(), if n > RECIPIENTS_MAX { 1 } else { n });
        first
    })
}

pub(crate) fn unadmitted(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut peer = Peer::connect(&scene.world.node().unwrap(), "stranger");
        let head = format!(r#"{{"id":1,"type":"read","from":"{}","to":"{MN}","body":{{"a":""#, peer.runtime);
        let tail = r#""}}"#;
        // In two, for each alone is short enough to be a message.
        let mut last = plain(0, "");
        for part in [n / 2, n - n / 2] {
            let padding = "x".repeat(part.min(MESSAGE_BYTES) - head.len() - tail.len());
            peer.send_text(format!("{head}{padding}{tail}")).await;
            last = next(&mut peer).await;
            if last.0 == 0 {
                break;
            }
        }
        last
    })
}
