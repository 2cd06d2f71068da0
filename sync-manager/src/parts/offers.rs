//! The texts of large answers whose pieces are being fetched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_model::parts::Cut;
use hyperty_model::{ObjectUrl, Url};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Grounds;

/// What is offered, by the name of the transfer. Readers of the same state share its text.
#[derive(Default)]
pub(crate) struct Offers {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    offers: BTreeMap<String, Offer>,
    bytes: usize,
}

struct Offer {
    object: ObjectUrl,
    cut: Arc<Cut>,
    /// Who may fetch it, and why.
    readers: BTreeMap<Url, Vec<Grounds>>,
    touched: Instant,
}

/// As much is offered as there may be: whoever asks has to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// How much is offered, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfferLimits {
    pub(super) bytes: usize,
    pub(super) kept: Duration,
    /// Characters of a piece.
    pub(super) characters: usize,
}

impl Offers {
    /// Offers a text to a reader, under a name: the one given, or that of the same text if it is offered already.
    pub(super) fn offer(
        &self,
        object: &ObjectUrl,
        text: &Bytes,
        reader: (Url, Grounds),
        name: impl FnOnce() -> String,
        limits: &OfferLimits,
    ) -> Result<(String, Arc<Cut>), Full> {
        let mut table = self.table.lock();
        table.expire(limits.kept);
        let same = |offer: &Offer| offer.object == *object && offer.cut.is_of(text);
        if let Some((name, offer)) = table.offers.iter_mut().find(|(_, offer)| same(offer)) {
            offer.touched = Instant::now();
            offer.admit(reader);
            return Ok((name.clone(), Arc::clone(&offer.cut)));
        }
        if table.bytes + text.len() > limits.bytes {
            return Err(Full);
        }
        let cut = Arc::new(Cut::new(text.clone(), limits.characters).map_err(|_| Full)?);
        let name = name();
        let mut offer = Offer {
            object: object.clone(),
            cut: Arc::clone(&cut),
            readers: BTreeMap::new(),
            touched: Instant::now(),
        };
        offer.admit(reader);
        table.bytes += text.len();
        table.offers.insert(name.clone(), offer);
        Ok((name, cut))
    }

    /// A text that is offered to this reader, and why it may have it.
    pub(super) fn find(
        &self,
        object: &ObjectUrl,
        name: &str,
        reader: &Url,
    ) -> Option<(Arc<Cut>, Vec<Grounds>)> {
        let mut table = self.table.lock();
        let offer = table.offers.get_mut(name).filter(|offer| offer.object == *object)?;
        let grounds = offer.readers.get(reader)?.clone();
        offer.touched = Instant::now();
        Some((Arc::clone(&offer.cut), grounds))
    }

    /// Forgets what nobody has fetched a piece of for so long; when to look again, if anything is left.
    pub(crate) fn expire(&self, kept: Duration) -> Option<Instant> {
        let mut table = self.table.lock();
        table.expire(kept);
        table.offers.values().map(|offer| offer.touched + kept).min()
    }
}

impl Offer {
    /// Lets one fetch it, for one more reason perhaps.
    fn admit(&mut self, (who, why): (Url, Grounds)) {
        let grounds = self.readers.entry(who).or_default();
        if !grounds.contains(&why) {
            grounds.push(why);
        }
    }
}

impl Table {
    fn expire(&mut self, kept: Duration) {
        self.offers.retain(|_, offer| offer.touched.elapsed() < kept);
        self.bytes = self.offers.values().map(|offer| offer.cut.bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OfferLimits = OfferLimits { bytes: 100, kept: Duration::from_secs(60), characters: 10 };

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_is_offered_to_its_readers_for_a_while_and_counted_once() {
        let offers = Offers::default();
        let object = ObjectUrl::parse("comm://a.example/1").expect("a URL");
        let other = ObjectUrl::parse("comm://a.example/2").expect("a URL");
        let (bob, eve) = (url("hyperty-runtime://b.example/b/sm"), url("hyperty-runtime://b.example/e/sm"));
        let text = Bytes::from(vec![b'x'; 60]);
        let give = |text: &Bytes, to: &Url, name: &str| {
            let name = name.to_owned();
            offers.offer(&object, text, (to.clone(), Grounds::Decided(None)), move || name, &LIMITS)
        };
        let (name, cut) = give(&text, &bob, "1").expect("room");
        assert_eq!((name.as_str(), cut.len()), ("1", 6));
        assert_eq!(give(&text, &bob, "2").map(|(name, _)| name), Ok("1".to_owned()));
        assert!(offers.find(&object, "1", &bob).is_some());
        assert!(offers.find(&object, "1", &eve).is_none(), "offered to somebody else");
        assert!(offers.find(&other, "1", &bob).is_none(), "another object's");
        assert!(offers.find(&object, "2", &bob).is_none());
        assert_eq!(give(&text, &eve, "3").map(|(name, _)| name), Ok("1".to_owned()));
        assert!(offers.find(&object, "1", &eve).is_some());

        let second = Bytes::from(vec![b'y'; 60]);
        assert_eq!(give(&second, &bob, "4").map(drop), Err(Full));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(offers.find(&object, "1", &bob).is_some(), "fetched from, it stays");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(offers.expire(LIMITS.kept).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(offers.expire(LIMITS.kept), None);
        assert!(offers.find(&object, "1", &bob).is_none());
        assert!(give(&second, &bob, "5").is_ok());
    }
}
