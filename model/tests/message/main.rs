//! Messages and their frames against protocol section 2.

mod decode;
mod refuse;
mod relay;
mod support;
