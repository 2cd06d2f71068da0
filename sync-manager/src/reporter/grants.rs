//! Who may observe without the Reporter's application being asked (protocol 5.3.8c): hyperties, users, domains, each
//! with what an observer may do that came by it, and until when it lets anybody in.

use std::collections::{BTreeMap, BTreeSet};

use hyperty_model::{HypertyUrl, Identity, Timestamp, Url};
use hyperty_storage::{Entry, Grant};

/// The grants of one object, at most one for whoever is granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    all: BTreeMap<Url, Grant>,
    /// Whose grant is not stored as it is here. Bounded by those there are and those who were taken back since.
    changed: BTreeSet<Url>,
}

impl Grants {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, who: &Url) -> Option<&Grant> {
        self.all.get(who)
    }

    /// Adds one, in the place of an earlier one for the same, which is given back.
    pub(crate) fn add(&mut self, grant: Grant) -> Option<Grant> {
        self.changed.insert(grant.who.clone());
        self.all.insert(grant.who.clone(), grant)
    }

    /// Takes one back.
    pub(crate) fn revoke(&mut self, who: &Url) -> Option<Grant> {
        let revoked = self.all.remove(who);
        self.changed.extend(revoked.as_ref().map(|grant| grant.who.clone()));
        revoked
    }

    /// Forgets what lets nobody in any more.
    pub(crate) fn forget_ended(&mut self, now: Timestamp) {
        let Grants { all, changed } = self;
        all.retain(|who, grant| {
            let holds = grant.holds_at(now);
            if !holds {
                changed.insert(who.clone());
            }
            holds
        });
    }

    /// In the order of who is granted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.all.values()
    }

    /// Takes what the store has to be told.
    pub(crate) fn take_changes(&mut self) -> Vec<Entry> {
        let entry = |who: Url| match self.all.get(&who) {
            Some(grant) => Entry::Grant(grant.clone()),
            None => Entry::Revoked(who),
        };
        std::mem::take(&mut self.changed).into_iter().map(entry).collect()
    }

    /// By what a hyperty may come in now: its own grant, else one of its user, else one of its domain. Its own says what
    /// it may do, also where that of a group allows more.
    pub(crate) fn find(
        &self,
        hyperty: &HypertyUrl,
        identity: Option<&Identity>,
        now: Timestamp,
    ) -> Option<&Grant> {
        let holds = |grant: &&Grant| grant.holds_at(now);
        let own = self.all.get(hyperty.as_url()).filter(holds);
        let of_user = || self.all.values().filter(holds).find(|grant| is_user(&grant.who, identity));
        let of_domain = || self.all.values().filter(holds).find(|grant| is_domain(&grant.who, hyperty));
        own.or_else(of_user).or_else(of_domain)
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Grants {
        let all = grants.into_iter().map(|grant| (grant.who.clone(), grant)).collect();
        Grants { all, changed: BTreeSet::new() }
    }
}

/// `hyperty://<domain>/*`: all hyperties of a domain. A grant is never matched as a prefix.
fn is_domain(grant: &Url, hyperty: &HypertyUrl) -> bool {
    grant.path() == "*" && grant.scheme() == "hyperty" && grant.domain() == hyperty.domain()
}

/// A user URL or GUID: all hyperties of a user.
fn is_user(grant: &Url, identity: Option<&Identity>) -> bool {
    let text = grant.as_str();
    identity.is_some_and(|identity| identity.user() == Some(text) || identity.guid() == Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn granted(who: &str) -> Grants {
        [Grant::unlimited(url(who))].into_iter().collect()
    }

    const NOW: u64 = 1_000;

    #[test]
    fn grants_cover_domains_and_users_never_prefixes() {
        let bob = HypertyUrl::parse("hyperty://b.example/bob-1").unwrap();
        let identity = Identity::of_user("user://b.example/bob");
        let covers = |who: &str, identity: Option<&Identity>| {
            granted(who).find(&bob, identity, Timestamp::from_millis(NOW)).is_some()
        };
        assert!(covers("hyperty://b.example/bob-1", None));
        assert!(covers("hyperty://b.example/*", None));
        assert!(covers("user://b.example/bob", Some(&identity)));
        assert!(!covers("user://b.example/bob", None));
        assert!(!covers("hyperty://a.example/*", Some(&identity)));
        assert!(!covers("hyperty://b.example/bob", Some(&identity)));
        assert!(!covers("user://b.example/bo", Some(&identity)));
    }

    #[test]
    fn the_store_is_told_of_each_that_changed_once() {
        let (bob, carol, dave) =
            ("hyperty://b.example/bob", "hyperty://b.example/carol", "user://b.example/dave");
        let mut grants = granted(bob);
        assert_eq!(grants.take_changes(), [], "what was read is stored as it is");
        let carols = Grant { until: Some(NOW), ..Grant::unlimited(url(carol)) };
        grants.add(Grant::unlimited(url(carol)));
        grants.add(carols.clone());
        grants.add(Grant::unlimited(url(dave)));
        grants.revoke(&url(dave));
        grants.revoke(&url(bob));
        grants.revoke(&url("hyperty://b.example/nobody"));
        let revoked = |who: &str| Entry::Revoked(url(who));
        assert_eq!(grants.take_changes(), [revoked(bob), Entry::Grant(carols), revoked(dave)]);
        assert_eq!(grants.take_changes(), []);
        grants.forget_ended(Timestamp::from_millis(NOW));
        assert_eq!((grants.take_changes(), grants.len()), (vec![revoked(carol)], 0));
    }

    #[test]
    fn the_own_grant_wins_and_an_ended_one_is_none() {
        let bob = HypertyUrl::parse("hyperty://b.example/bob-1").unwrap();
        let own = Grant { children: false, until: Some(NOW), ..Grant::unlimited(bob.as_url().clone()) };
        let domain = Grant::unlimited(url("hyperty://b.example/*"));
        let grants: Grants = [own.clone(), domain.clone()].into_iter().collect();
        assert_eq!(grants.find(&bob, None, Timestamp::from_millis(NOW - 1)), Some(&own));
        assert_eq!(grants.find(&bob, None, Timestamp::from_millis(NOW)), Some(&domain));
    }
}
