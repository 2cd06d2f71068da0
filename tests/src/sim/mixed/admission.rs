//! Sessions by token in a mixed run: short lives, so that they are renewed, and end where that cannot be in time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_node::NodeConfig;
use hyperty_message_node::admission::{AdmissionConfig, Claims, IssuerKey, TokenAdmission};
use hyperty_model::SeededIds;
use hyperty_runtime::{RuntimeBuilder, TokenError, TokenSource};
use parking_lot::Mutex;

use crate::sim::{Sim, SimRng};

/// How long a token lasts: a fault outlives some of them.
const LIFE: std::ops::RangeInclusive<Duration> = Duration::from_secs(15)..=Duration::from_secs(90);

fn key() -> &'static IssuerKey {
    static KEY: OnceLock<IssuerKey> = OnceLock::new();
    KEY.get_or_init(|| IssuerKey::generate(&SeededIds::new(7)))
}

/// The issuer of all domains, which has the clocks of their nodes.
#[derive(Default)]
pub(super) struct Issuer {
    /// Known once the simulation runs.
    sim: OnceLock<Sim>,
    issued: Mutex<u64>,
}

impl Issuer {
    /// A node that admits nobody without a token.
    pub(super) fn guard(config: NodeConfig) -> NodeConfig {
        NodeConfig { admission: AdmissionConfig::Tokens(TokenAdmission::new(key().public())), ..config }
    }

    pub(super) fn runs_in(&self, sim: &Sim) {
        // The simulation of an issuer is one.
        let _ = self.sim.set(sim.clone());
    }

    /// How many tokens there were.
    pub(super) fn issued(&self) -> u64 {
        *self.issued.lock()
    }

    /// Gives a runtime tokens of its user for the nodes of these domains.
    pub(super) fn admit(
        self: &Arc<Self>,
        builder: RuntimeBuilder,
        user: &str,
        domains: &[String],
    ) -> RuntimeBuilder {
        let (issuer, user, domains) = (Arc::clone(self), user.to_owned(), domains.to_vec());
        builder.sessions(move |stub| {
            if let Some(domain) = domains.iter().find(|domain| **domain == stub.domain) {
                let runtime = stub.runtime.to_string();
                let (issuer, user, domain) = (Arc::clone(&issuer), user.clone(), domain.clone());
                stub.token = Some(Arc::new(Desk { issuer, user, domain, runtime }));
            }
        })
    }

    /// A token for a domain, by the clock of its node; `None` before anything runs.
    pub(super) fn token(&self, user: &str, domain: &str, runtime: &str) -> Option<String> {
        let sim = self.sim.get()?;
        let number = {
            let mut issued = self.issued.lock();
            *issued += 1;
            *issued
        };
        let life = SimRng::new(sim.seed() ^ number, runtime).within(&LIFE);
        let mut claims = Claims::new(user, domain, sim.clock(domain), life);
        let home = runtime.split('/').nth(2).unwrap_or_default();
        if home != domain {
            // A token that says nothing of them is for runtimes and hyperties of the node's own domain.
            claims.runtimes = Some(vec![runtime.parse().ok()?]);
            claims.hyperties = Some(vec![format!("hyperty://{home}/*").parse().ok()?]);
        }
        key().issue(&claims).ok()
    }
}

/// Where one session gets its tokens.
struct Desk {
    issuer: Arc<Issuer>,
    user: String,
    domain: String,
    runtime: String,
}

impl TokenSource for Desk {
    fn token(&self) -> BoxFuture<'_, Result<String, TokenError>> {
        let token = self.issuer.token(&self.user, &self.domain, &self.runtime);
        Box::pin(std::future::ready(token.ok_or_else(|| TokenError("nobody issues any yet".to_owned()))))
    }
}
