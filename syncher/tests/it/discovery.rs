//! Searches at a registry that does not keep to the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyperty_model::message::ResponseBody;
use hyperty_syncher::Query;
use serde_json::json;

use crate::manager::Manager;

/// Pages without an end are not turned for ever.
#[tokio::test(start_paused = true)]
async fn a_registry_that_only_turns_pages_is_not_followed() {
    /// After so many the registry gives up, so that a search that follows it ends too.
    const PAGES: usize = 50;
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let asked = Arc::new(AtomicUsize::new(0));
    let (bus, count) = (manager.bus.clone(), Arc::clone(&asked));
    let _registry = manager.bus.listen(&"domain://registry.example.com".parse().unwrap(), move |request| {
        let mut body = ResponseBody::ok().with_value(json!({}));
        if count.fetch_add(1, Ordering::Relaxed) < PAGES {
            body.extra.insert("next".to_owned(), json!("more"));
        }
        bus.post(request.reply(body));
    });
    let found = alice.syncher.discover(Query::of_user("user://example.com/bob")).await.unwrap();
    assert_eq!((found.len(), asked.load(Ordering::Relaxed)), (0, 1));
}
