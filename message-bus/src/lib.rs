//! In-process message bus with listeners, sequencers, request/response and routes to message nodes.
