//! Who wants which route, as a pure type.

use std::collections::{BTreeMap, BTreeSet};

use hyperty_model::Url;

/// Most routes per domain that may wait to be taken down. Beyond it they stay at the node until the session ends:
/// each costs it a hundred bytes, and us a copy that nobody takes.
const ORPHANS_MAX: usize = 65_536;

/// Counts of wishes by domain and URL.
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    domains: BTreeMap<String, Domain>,
}

#[derive(Debug, Default)]
struct Domain {
    /// Never zero.
    wishes: BTreeMap<Url, usize>,
    /// Of the wished: addresses of objects that everybody may listen to (protocol 10.4).
    public: BTreeSet<Url>,
    /// Wished for no longer, and nobody is telling the node.
    orphans: BTreeSet<Url>,
    /// Wished for, and not asked for yet: a replay does it, or whoever asks for all of them at once.
    deferred: BTreeSet<Url>,
}

impl RouteTable {
    pub(super) fn add(&mut self, domain: &str, urls: &[Url]) {
        if urls.is_empty() {
            return;
        }
        let domain = self.domains.entry(domain.to_owned()).or_default();
        for url in urls {
            *domain.wishes.entry(url.clone()).or_default() += 1;
            domain.orphans.remove(url);
        }
    }

    /// Ends a wish; returns the URLs that nobody wants now.
    pub(super) fn remove(&mut self, domain: &str, urls: &[Url]) -> Vec<Url> {
        let Some(entry) = self.domains.get_mut(domain) else { return Vec::new() };
        let mut ended = Vec::new();
        for url in urls {
            match entry.wishes.get_mut(url) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => {
                    entry.wishes.remove(url);
                    entry.deferred.remove(url);
                    entry.public.remove(url);
                    ended.push(url.clone());
                }
                None => {}
            }
        }
        self.tidy(domain);
        ended
    }

    /// Notes whether everybody may listen to what these are the addresses of, as far as they are wished for.
    pub(super) fn set_public(&mut self, domain: &str, urls: &[Url], public: bool) {
        let Some(entry) = self.domains.get_mut(domain) else { return };
        for url in urls {
            if public && entry.wishes.contains_key(url) {
                entry.public.insert(url.clone());
            } else {
                entry.public.remove(url);
            }
        }
    }

    /// Whether everybody may listen to what this is an address of.
    pub(super) fn is_public(&self, domain: &str, url: &Url) -> bool {
        self.domains.get(domain).is_some_and(|domain| domain.public.contains(url))
    }

    pub(super) fn is_wanted(&self, domain: &str, url: &Url) -> bool {
        self.domains.get(domain).is_some_and(|domain| domain.wishes.contains_key(url))
    }

    pub(super) fn wanted(&self, domain: &str) -> Vec<Url> {
        self.domains.get(domain).map(|domain| domain.wishes.keys().cloned().collect()).unwrap_or_default()
    }

    /// Notes that somebody else asks for these, with others.
    pub(super) fn defer(&mut self, domain: &str, urls: &[Url]) {
        let Some(entry) = self.domains.get_mut(domain) else { return };
        let wished = urls.iter().filter(|url| entry.wishes.contains_key(*url));
        entry.deferred.extend(wished.cloned());
    }

    /// Takes what nobody has asked for yet.
    pub(super) fn take_deferred(&mut self, domain: &str) -> Vec<Url> {
        let entry = self.domains.get_mut(domain);
        entry.map(|entry| std::mem::take(&mut entry.deferred).into_iter().collect()).unwrap_or_default()
    }

    /// Notes what the node should still be told about.
    pub(super) fn add_orphans(&mut self, domain: &str, urls: Vec<Url>) {
        if urls.is_empty() {
            return;
        }
        let domain = self.domains.entry(domain.to_owned()).or_default();
        for url in urls {
            if !domain.wishes.contains_key(&url) && domain.orphans.len() < ORPHANS_MAX {
                domain.orphans.insert(url);
            }
        }
    }

    /// Takes up to `max` of them, to tell the node.
    pub(super) fn take_orphans(&mut self, domain: &str, max: usize) -> Vec<Url> {
        let Some(entry) = self.domains.get_mut(domain) else { return Vec::new() };
        let taken = std::iter::from_fn(|| entry.orphans.pop_first()).take(max).collect();
        self.tidy(domain);
        taken
    }

    pub(super) fn forget_orphans(&mut self, domain: &str) {
        if let Some(entry) = self.domains.get_mut(domain) {
            entry.orphans.clear();
            self.tidy(domain);
        }
    }

    fn tidy(&mut self, domain: &str) {
        if self.domains.get(domain).is_some_and(|entry| entry.wishes.is_empty() && entry.orphans.is_empty()) {
            self.domains.remove(domain);
        }
    }
}
