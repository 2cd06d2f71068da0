//! A message node as something that can be asked how it is.

use serde_json::Value;

use super::Administered;
use crate::node::MessageNode;
use crate::status::Readiness;

impl Administered for MessageNode {
    fn metrics(&self) -> String {
        MessageNode::metrics(self)
    }

    fn readiness(&self) -> Readiness {
        MessageNode::readiness(self)
    }

    fn status(&self) -> Value {
        serde_json::to_value(MessageNode::status(self)).unwrap_or_default()
    }
}
