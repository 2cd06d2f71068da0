//! What may be listened to outside data objects (protocol 5.14).

use std::collections::BTreeMap;

use hyperty_model::message::RoutesBody;
use hyperty_model::{DerivedTail, Message, StatusCode, Url, UrlKind};

use crate::refusal::Refusal;

/// The addresses that a request names.
pub(crate) fn addresses_of(message: &Message) -> Result<Vec<Url>, Refusal> {
    let body = message.decode::<RoutesBody>();
    let body = body.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let urls = body.all();
    match urls.is_empty() {
        true => Err(Refusal::new(StatusCode::BAD_REQUEST, "Bad Request: Missing <resources>")),
        false => Ok(urls),
    }
}

/// Only what tells how an entity is: everything else has a receiver, or a Sync Manager that decides.
pub(crate) fn check_allowed(url: &Url) -> Result<(), Refusal> {
    let allowed = match url.kind() {
        UrlKind::Object => {
            matches!(url.split_derived(), Some((_, Some(DerivedTail::Registration | DerivedTail::Status))))
        }
        UrlKind::Hyperty | UrlKind::Runtime => {
            let last = url.path().rsplit_once('/').map(|(_, last)| last);
            matches!(last, Some("registration" | "status"))
        }
        _ => false,
    };
    let text =
        || format!("{url} is not to be listened to here: only <url>/registration and <url>/status are");
    if allowed { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, text())) }
}

/// The domain whose node has the route.
pub(crate) fn domain_of(url: &Url) -> Result<&str, Refusal> {
    url.domain().ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, format!("{url} has no domain")))
}

/// Addresses by their domains.
pub(crate) fn by_domain(urls: &[Url]) -> BTreeMap<String, Vec<Url>> {
    let mut domains: BTreeMap<String, Vec<Url>> = BTreeMap::new();
    for url in urls {
        if let Some(domain) = url.domain() {
            domains.entry(domain.to_ascii_lowercase()).or_default().push(url.clone());
        }
    }
    domains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_objects_are_not_to_be_had() {
        let allowed = |text: &str| check_allowed(&Url::parse(text).unwrap()).is_ok();
        assert!(allowed("comm://example.com/1/registration"));
        assert!(allowed("comm://example.com/1/status"));
        assert!(allowed("hyperty://example.com/bob/registration"));
        assert!(allowed("hyperty-runtime://example.com/phone/status"));
        let of_object = ["", "/changes", "/children/notes", "/subscription", "/observers"];
        for tail in of_object {
            assert!(!allowed(&format!("comm://example.com/1{tail}")), "{tail}");
        }
        for refused in [
            "hyperty://example.com/bob",
            "hyperty-runtime://example.com/phone/sm",
            "domain://registry.example.com/registration",
            "user://example.com/bob/status",
        ] {
            assert!(!allowed(refused), "{refused}");
        }
    }
}
