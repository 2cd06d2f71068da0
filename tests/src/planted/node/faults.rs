//! Faults of routing and of answers.

use serde_json::{Value, json};

use super::proxy::{Fault, Ways, is_at_or_below, text};
use super::{FaultyNode, Planted, config, through};
use crate::protocol::client::code;

pub(super) const ALL: &[Planted] = &[
    Planted {
        name: "double answer",
        what: "what the node itself answers is sent twice",
        breaks: "INV-MSG-1",
        make: |domain, seed| through(domain, seed, DoubleAnswer),
    },
    Planted {
        name: "silence on a body that is none",
        what: "a request whose body is no object is dropped",
        breaks: "INV-MSG-1",
        make: |domain, seed| through(domain, seed, SilentOnOddBody),
    },
    Planted {
        name: "silence on an unknown type",
        what: "a message of a type that the node does not know is ignored",
        breaks: "INV-MN-4",
        make: |domain, seed| through(domain, seed, SilentOnUnknownType),
    },
    Planted {
        name: "lost unsubscribe",
        what: "an unsubscription is granted and forgotten",
        breaks: "INV-MN-3",
        make: |domain, seed| through(domain, seed, LostUnsubscribe),
    },
    Planted {
        name: "echo",
        what: "who publishes on an address that it listens to gets its own",
        breaks: "INV-MN-1",
        make: |domain, seed| through(domain, seed, Echo),
    },
    Planted {
        name: "reordered updates",
        what: "now and then a message overtakes the update before it",
        breaks: "INV-MN-2",
        make: |domain, seed| through(domain, seed, Reorders(None)),
    },
    Planted {
        name: "via ignored",
        what: "messages are delivered where they have been",
        breaks: "INV-MSG-4",
        make: |domain, seed| through(domain, seed, ViaIgnored),
    },
    Planted {
        name: "auth passed on",
        what: "what one runtime says about authorisation reaches others",
        breaks: "2.2",
        make: |domain, seed| through(domain, seed, AuthPassedOn),
    },
    Planted {
        name: "unknown members dropped",
        what: "a relay keeps only the members of a body that it knows",
        breaks: "INV-MSG-5",
        make: |domain, seed| through(domain, seed, UnknownMembersDropped),
    },
    Planted {
        name: "ids as text",
        what: "numbers come back as texts",
        breaks: "INV-MN-6",
        make: |domain, seed| through(domain, seed, IdsAsText),
    },
    Planted {
        name: "addresses by prefix",
        what: "what is for …/peer2 goes to …/peer",
        breaks: "INV-ADR-3",
        make: |domain, seed| through(domain, seed, ByPrefix),
    },
    Planted {
        name: "provisional answers lost",
        what: "only final answers are relayed",
        breaks: "INV-MN-4",
        make: |domain, seed| through(domain, seed, ProvisionalLost),
    },
    Planted {
        name: "404 without reason",
        what: "the node's own 404 cannot be told from that of an addressee",
        breaks: "M12",
        make: |domain, seed| through(domain, seed, NoReason),
    },
    Planted {
        name: "refusals by address",
        what: "a refusal goes to whom the message claimed to be from, not to where it came from",
        breaks: "M12",
        make: |domain, seed| through(domain, seed, RefusalsByAddress),
    },
    Planted {
        name: "noise ends the connection",
        what: "who sends something that is no message is thrown out",
        breaks: "INV-MN-4",
        make: |domain, seed| through(domain, seed, NoiseEnds),
    },
    Planted {
        name: "newest dropped",
        what: "a queue that is full drops what comes, not what is superseded",
        breaks: "M15",
        make: |domain, seed| through(domain, seed, NewestDropped),
    },
    Planted {
        name: "anybody publishes",
        what: "changes of an object are taken from whoever sends them",
        breaks: "M16",
        make: |domain, seed| {
            let mut config = config(domain);
            config.enforce_publisher = false;
            FaultyNode::new(config, seed, Box::new(super::Nothing))
        },
    },
    Planted {
        name: "two holders",
        what: "a route that is held is granted to another",
        breaks: "M17",
        make: |domain, seed| through(domain, seed, TwoHolders),
    },
    Planted {
        name: "longer than agreed",
        what: "messages are taken that are longer than the limit",
        breaks: "5.14",
        make: |domain, seed| {
            let mut config = config(domain);
            config.limits.message.bytes *= 2;
            FaultyNode::new(config, seed, Box::new(super::Nothing))
        },
    },
];

fn is_answer(message: &Value) -> bool {
    message["type"] == "response"
}

fn is_update(message: &Value) -> bool {
    message["type"] == "update" && text(message, "to").ends_with("/changes")
}

struct DoubleAnswer;

impl Fault for DoubleAnswer {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if is_answer(&message) && text(&message, "from").starts_with("domain://") {
            ways.to_client(link, message.clone());
        }
        ways.to_client(link, message);
    }
}

struct SilentOnOddBody;

impl Fault for SilentOnOddBody {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message.get("body").is_none_or(Value::is_object) {
            ways.to_node(link, message);
        }
    }
}

struct SilentOnUnknownType;

impl Fault for SilentOnUnknownType {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        const KNOWN: [&str; 14] = [
            "create",
            "read",
            "update",
            "delete",
            "subscribe",
            "unsubscribe",
            "response",
            "forward",
            "execute",
            "event",
            "open",
            "re-open",
            "close",
            "ping",
        ];
        if message["type"].as_str().is_none_or(|kind| KNOWN.contains(&kind.to_lowercase().as_str())) {
            ways.to_node(link, message);
        }
    }
}

struct LostUnsubscribe;

impl Fault for LostUnsubscribe {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let to = text(&message, "to");
        if message["type"] == "unsubscribe" && to.starts_with("domain://msg-node.") {
            return ways.answer(link, &message, json!({"code": 200}));
        }
        ways.to_node(link, message);
    }
}

struct Echo;

impl Fault for Echo {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if is_update(&message) && ways.known.listeners(text(&message, "to")).contains(&link) {
            ways.to_client(link, message.clone());
        }
        ways.to_node(link, message);
    }
}

/// The update that is held back.
struct Reorders(Option<(u64, Value)>);

impl Fault for Reorders {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        match self.0.take() {
            None if is_update(&message)
                && message["body"]["version"].as_u64().is_some_and(|v| v % 20 == 6) =>
            {
                self.0 = Some((link, message));
            }
            held => {
                ways.to_client(link, message);
                if let Some((link, held)) = held {
                    ways.to_client(link, held);
                }
            }
        }
    }
}

struct ViaIgnored;

impl Fault for ViaIgnored {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if let Some(body) = message.get_mut("body").and_then(Value::as_object_mut) {
            body.remove("via");
        }
        ways.to_node(link, message);
    }
}

struct AuthPassedOn;

impl AuthPassedOn {
    fn rename(message: &mut Value, from: &str, to: &str) {
        if let Some(body) = message.get_mut("body").and_then(Value::as_object_mut)
            && let Some(value) = body.remove(from)
        {
            body.insert(to.to_owned(), value);
        }
    }
}

impl Fault for AuthPassedOn {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        AuthPassedOn::rename(&mut message, "auth", "x-auth");
        ways.to_node(link, message);
    }

    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        AuthPassedOn::rename(&mut message, "x-auth", "auth");
        ways.to_client(link, message);
    }
}

struct UnknownMembersDropped;

impl Fault for UnknownMembersDropped {
    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        const KNOWN: [&str; 12] = [
            "code",
            "value",
            "version",
            "attribute",
            "resource",
            "resources",
            "source",
            "reason",
            "desc",
            "description",
            "via",
            "runtimeToken",
        ];
        if let Some(body) = message.get_mut("body").and_then(Value::as_object_mut) {
            body.retain(|member, _| KNOWN.contains(&member.as_str()));
        }
        ways.to_client(link, message);
    }
}

struct IdsAsText;

impl Fault for IdsAsText {
    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if is_answer(&message) && message["id"].is_number() && message["from"] != "mn:/session" {
            message["id"] = json!(message["id"].to_string());
        }
        ways.to_client(link, message);
    }
}

struct ByPrefix;

impl Fault for ByPrefix {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let to = text(&message, "to");
        // Whoever opens a session is answered on its connection, whatever else goes by prefix.
        let by_address = !is_answer(&message);
        let captures = |runtime: &str| by_address && to.starts_with(runtime) && !is_at_or_below(to, runtime);
        let other = ways.known.runtimes.iter().find(|(_, runtime)| captures(runtime)).map(|(&link, _)| link);
        ways.to_client(other.unwrap_or(link), message);
    }
}

struct ProvisionalLost;

impl Fault for ProvisionalLost {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if !(is_answer(&message) && (100..200).contains(&code(&message))) {
            ways.to_client(link, message);
        }
    }
}

struct NoReason;

impl Fault for NoReason {
    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if is_answer(&message)
            && code(&message) == 404
            && let Some(body) = message.get_mut("body").and_then(Value::as_object_mut)
        {
            body.remove("reason");
            body.remove("source");
        }
        ways.to_client(link, message);
    }
}

struct RefusalsByAddress;

impl Fault for RefusalsByAddress {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let refused = is_answer(&message) && code(&message) == 403;
        let claimed = ways.known.owner(text(&message, "to")).filter(|_| refused);
        ways.to_client(claimed.unwrap_or(link), message);
    }
}

struct NoiseEnds;

impl Fault for NoiseEnds {
    fn noise(&mut self, link: u64, ways: &mut Ways<'_>) -> bool {
        ways.cut(link);
        false
    }
}

/// What waits at most for a client that does not read.
const SHORT_QUEUE: usize = 50;

struct NewestDropped;

impl Fault for NewestDropped {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if !(is_update(&message) && ways.waiting(link) >= SHORT_QUEUE) {
            ways.to_client(link, message);
        }
    }
}

struct TwoHolders;

impl Fault for TwoHolders {
    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if is_answer(&message) && code(&message) == 409 && text(&message, "from").ends_with("/sm") {
            message["body"] = json!({"code": 200});
        }
        ways.to_client(link, message);
    }
}
