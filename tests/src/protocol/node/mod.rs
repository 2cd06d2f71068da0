//! The protocol suite for a message node: sessions, routing, allocation, registry, catalogue, bad input (protocol 2,
//! 5.12 to 5.15, 10.4, M12 to M17 and M22).

mod admission;
mod allocation;
mod authority;
mod backup;
mod bad_input;
mod catalogue;
mod finding;
mod forms;
mod in_process;
mod listening;
mod ownership;
mod random;
mod registry;
mod restart;
mod routing;
mod sessions;
mod slow;
mod stage;
mod url;

use std::time::Duration;

use futures_util::future::BoxFuture;
use hyperty_message_node::admission::{Claims, IssuerKey};
use hyperty_model::{Clock, SystemClock, Timestamp};
use hyperty_protostub::{ConnectError, Connection};

use super::{Case, UnderTest};

pub use in_process::InProcessNode;
pub use stage::{NodeStage, refused_by_node};
pub use url::UrlNode;

/// A message node as a black box.
pub trait NodeUnderTest: UnderTest {
    /// The domain that it serves.
    fn domain(&self) -> &str;

    /// A new connection, without a session.
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>>;

    /// How long it keeps the routes of a lost session (T_GRACE), with the capability `grace`.
    fn grace(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// The longest message that it takes, with the capability `limits`.
    fn message_bytes_max(&self) -> Option<usize> {
        None
    }

    /// An issuer whose tokens it believes, with the capability `admission`.
    fn issuer(&self) -> Option<&IssuerKey> {
        None
    }

    /// The time by which it judges tokens.
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// What sessions of a user are opened with, if they need a token.
    fn token(&self, user: &str) -> Option<String> {
        issued_token(self, user)
    }

    /// How many routes a session may have, with the capability `limits`.
    fn routes_max(&self) -> Option<usize> {
        None
    }

    /// Stops it like a crash and starts it again over what it had stored, with the capability `restart`.
    fn restart(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Err("this node cannot be restarted by the suite".to_owned())))
    }
}

/// A token of the issuer that a node believes.
fn issued_token<N: NodeUnderTest + ?Sized>(node: &N, user: &str) -> Option<String> {
    let mut claims = Claims::new(user, node.domain(), node.now(), Duration::from_secs(3_600));
    claims.guid = user.rsplit('/').next().map(|name| format!("user-guid://{name}"));
    node.issuer()?.issue(&claims).ok()
}

/// A case for a message node.
pub type NodeCase = Case<dyn NodeUnderTest>;

/// The cases for a message node.
pub fn cases() -> Vec<NodeCase> {
    [
        sessions::cases(),
        routing::cases(),
        authority::cases(),
        forms::cases(),
        listening::cases(),
        bad_input::cases(),
        allocation::cases(),
        registry::cases(),
        ownership::cases(),
        catalogue::cases(),
        backup::cases(),
        slow::cases(),
        restart::cases(),
        admission::cases(),
        random::cases(),
    ]
    .concat()
}
