//! Simulated systems: each fault alone, all of them together, and twice the same from the same seed.

mod hands;
mod kinds;
mod links;
mod repeat;
mod seeds;
