//! The driver of the keep-alives (protocol 5.13.2).

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyperty_model::Url;
use tokio::time::Instant;

use super::{Inner, Registrations, period};
use crate::RegistrationRecord;
use crate::client::{RegisterError, UpdateError};

/// Keep-alives that are due within this time of each other are sent together.
const SLACK: Duration = Duration::from_secs(1);

/// Keep-alives of one domain that wait for their answers at once: enough to fill a round trip, too few to crowd out
/// other messages.
const IN_FLIGHT_MAX: usize = 64;

/// How long a domain is left alone after it could not be reached.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(30);

impl Registrations {
    /// Sends the keep-alives, for ever. To be run by one task of the runtime; may be dropped at any time.
    ///
    /// A domain that cannot be reached does not delay the others.
    pub async fn drive(&self) {
        let mut batches = FuturesUnordered::new();
        let mut busy = HashSet::new();
        loop {
            for (domain, urls) in self.inner.take_due(&busy) {
                busy.insert(domain.clone());
                batches.push(self.inner.keep_domain_alive(domain, urls));
            }
            let next_due = self.inner.next_due(&busy);
            tokio::select! {
                biased;
                Some(domain) = batches.next() => {
                    busy.remove(&domain);
                }
                () = self.inner.earlier.notified() => {}
                () = until(next_due) => {}
            }
        }
    }
}

impl Inner {
    /// What is due, with what is due soon, by domain, for the domains that have nothing under way.
    fn take_due(&self, busy: &HashSet<String>) -> Vec<(String, Vec<Url>)> {
        let now = Instant::now();
        let state = self.state.lock();
        let idle = state.due.iter().filter(|(domain, _)| !busy.contains(*domain));
        let ripe = idle.filter(|(_, due)| due.first().is_some_and(|(first, _)| *first <= now));
        let soon = |due: &BTreeSet<(Instant, Url)>| {
            due.iter().take_while(|(due, _)| *due <= now + SLACK).map(|(_, url)| url.clone()).collect()
        };
        ripe.map(|(domain, due)| (domain.clone(), soon(due))).collect()
    }

    fn next_due(&self, busy: &HashSet<String>) -> Option<Instant> {
        let state = self.state.lock();
        let idle = state.due.iter().filter(|(domain, _)| !busy.contains(*domain));
        idle.filter_map(|(_, due)| due.first()).map(|(first, _)| *first).min()
    }

    /// Keeps the entries alive, some at a time. At the first sign that the domain cannot be reached it stops and
    /// waits; what is left is still due then.
    async fn keep_domain_alive(&self, domain: String, urls: Vec<Url>) -> String {
        for some in urls.chunks(IN_FLIGHT_MAX) {
            let mut reachable = true;
            let mut under_way: FuturesUnordered<_> = some.iter().map(|url| self.keep_alive(url)).collect();
            while let Some(reached) = under_way.next().await {
                reachable &= reached;
            }
            if !reachable {
                tracing::info!(domain, "the registry cannot be reached: no keep-alives for now");
                tokio::time::sleep(UNREACHABLE_PAUSE).await;
                break;
            }
        }
        domain
    }

    /// Keeps one entry alive; whether the domain could be reached.
    async fn keep_alive(&self, url: &Url) -> bool {
        let _turn = self.gates.turn(url).await;
        let Some((record, alive)) = self.held(url) else { return true };
        // After a longer silence it has expired, and a keep-alive revives nothing.
        let expired = alive.elapsed() >= Duration::from_secs(record.expires);
        let kept = if expired { Err(UpdateError::Unknown) } else { self.registry.keep_alive(url).await };
        let outcome = match kept {
            // Unregistered while the keep-alive was under way: then nothing must come after it.
            Err(UpdateError::Unknown) if self.held(url).is_none() => return true,
            Err(UpdateError::Unknown) => self.revive(&record).await,
            kept => kept.map_err(RegisterError::from),
        };
        match outcome {
            Ok(()) => self.kept(url, true),
            Err(error @ RegisterError::Unreachable(_)) => {
                tracing::debug!(%url, %error, "no keep-alive now");
                return false;
            }
            Err(error @ RegisterError::Refused { .. }) => {
                tracing::warn!(%url, %error, "the registration is not kept alive for now");
                self.kept(url, false);
            }
            Err(error @ (RegisterError::Conflict(_) | RegisterError::Gone)) => {
                self.lost(url, &error.to_string());
            }
        }
        true
    }

    pub(super) fn held(&self, url: &Url) -> Option<(RegistrationRecord, Instant)> {
        self.state.lock().held.get(url).map(|held| (held.record.clone(), held.alive))
    }

    /// The attempt is over until the next period; `alive` if the registry took it.
    fn kept(&self, url: &Url, alive: bool) {
        let mut state = self.state.lock();
        let Some(mut held) = state.release(url) else { return };
        let now = Instant::now();
        if alive {
            held.alive = now;
        }
        held.due = now + period(&held.record);
        state.hold(held);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
