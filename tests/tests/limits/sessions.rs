//! Connections, sessions, and what waits for one.

use std::net::IpAddr;
use std::time::Duration;

use hyperty_conformance::peer::{Peer, SESSION};
use hyperty_message_node::AttachError;
use serde_json::json;

use crate::{SESSIONS, Scene, Trying, plain, told};

pub(crate) fn sessions(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let mut last = plain(200, "");
        let mut peers = Vec::new();
        for i in node.stats().sessions..n.min(SESSIONS + 3) {
            let mut peer = Peer::connect(&node, &format!("peer-{i}"));
            let from = peer.runtime.clone();
            last = told(&peer.request("open", &from, SESSION, json!({})).await);
            peers.push(peer);
        }
        last
    })
}

pub(crate) fn connections(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let links: Vec<_> = (node.links()..n).map(|_| node.attach()).collect();
        match links.last() {
            Some(Err(AttachError::Full)) => plain(503, "full"),
            Some(Err(other)) => plain(0, &other.to_string()),
            Some(Ok(_)) | None => plain(200, ""),
        }
    })
}

pub(crate) fn too_fast(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let attached: Vec<_> = (0..n).map(|_| node.attach_from(address).map(drop)).collect();
        let last = match attached.last() {
            Some(Err(AttachError::TooFast(wait))) => {
                assert!(*wait <= Duration::from_secs(1));
                plain(429, "too fast")
            }
            Some(Err(other)) => plain(0, &other.to_string()),
            Some(Ok(_)) | None => plain(200, ""),
        };
        assert!(node.attach_from("192.0.2.2".parse().unwrap()).is_ok(), "others are not slowed down");
        last
    })
}

pub(crate) fn graced(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let to = scene.eve.sm();
        let asker = Peer::open(&node, "asker").await;
        drop(std::mem::replace(&mut scene.eve, asker));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let from = scene.eve.sm();
        for _ in 0..n {
            scene.eve.send("read", &from, &to, json!({})).await;
        }
        let answers = scene.eve.drain().await;
        assert!(answers.is_empty() || answers.len() == n, "each of {n} is told, or none: {}", answers.len());
        answers.first().map_or(plain(200, ""), told)
    })
}
