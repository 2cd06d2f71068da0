//! Which URLs can be allocated.

use hyperty_model::{HypertyUrl, ObjectUrl, Url, UrlKind};

/// Checks that `url` is the address of a hyperty or of a data object itself.
pub(crate) fn allocatable(url: Url) -> Result<Url, String> {
    match url.kind() {
        UrlKind::Hyperty => HypertyUrl::try_from(url).map(Url::from).map_err(|error| error.to_string()),
        UrlKind::Object => ObjectUrl::try_from(url).map(Url::from).map_err(|error| error.to_string()),
        _ => Err(format!("scheme {:?} names neither a hyperty nor a data object", url.scheme())),
    }
}

/// The address `<scheme>://<domain>/<id>`, if there can be one.
pub(crate) fn address(scheme: &str, domain: &str, id: &str) -> Result<Url, String> {
    let url = Url::parse(&format!("{scheme}://{domain}/{id}")).map_err(|error| error.to_string())?;
    // A domain with a slash would put the rest of itself into the path.
    if url.authority() != domain {
        return Err(format!("{domain:?} is no domain"));
    }
    allocatable(url)
}
