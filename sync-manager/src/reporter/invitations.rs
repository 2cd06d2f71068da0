//! Who was invited to an object and is not done with it (protocol 5.2).

use std::collections::BTreeMap;

use hyperty_model::HypertyUrl;
use hyperty_storage::Invited;

/// The invitations of one object, at most one for each hyperty: the latest.
#[derive(Debug, Default)]
pub(crate) struct Invitations(BTreeMap<HypertyUrl, Invited>);

impl Invitations {
    /// What the store keeps of them.
    pub(crate) fn kept(&self) -> Vec<Invited> {
        self.0.values().cloned().collect()
    }
}

impl FromIterator<Invited> for Invitations {
    fn from_iter<I: IntoIterator<Item = Invited>>(invited: I) -> Invitations {
        Invitations(invited.into_iter().map(|one| (one.who.clone(), one)).collect())
    }
}
