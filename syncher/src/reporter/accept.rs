use hyperty_model::{Identity, Url};

/// Who may observe and read an object that nothing else has decided about: neither the pre-authorisation given at
/// its creation, nor that it is public, nor a policy of the runtime.
///
/// It is the application's and is not stored: a Reporter that was resumed asks until
/// [`Reporter::accept`](crate::Reporter::accept) is called again. Whoever observed before goes on without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Accept {
    /// The application is asked by [`ReporterEvent`](crate::ReporterEvent)s, and who gets no answer is refused.
    #[default]
    Ask,
    /// Everybody.
    All,
    /// Nobody.
    None,
    /// These hyperties, and hyperties of these users (`user://…` or `user-guid://…`); nobody else.
    List(Vec<Url>),
}

impl Accept {
    /// The decision, unless the application is asked.
    pub(super) fn decide(&self, who: &Url, identity: Option<&Identity>) -> Option<bool> {
        match self {
            Accept::Ask => None,
            Accept::All => Some(true),
            Accept::None => Some(false),
            Accept::List(list) => Some(list.contains(who) || identity.is_some_and(|user| names(list, user))),
        }
    }
}

fn names(list: &[Url], user: &Identity) -> bool {
    let known = [user.guid(), user.user()];
    known.into_iter().flatten().filter_map(|text| Url::parse(text).ok()).any(|url| list.contains(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_hyperties_and_users_and_nobody_else() {
        let url = |text: &str| Url::parse(text).unwrap();
        let list = Accept::List(vec![url("hyperty://a/bob"), url("user://a/carol")]);
        assert_eq!(list.decide(&url("hyperty://a/bob"), None), Some(true));
        assert_eq!(
            list.decide(&url("hyperty://b/x"), Some(&Identity::of_user("user://a/carol"))),
            Some(true)
        );
        assert_eq!(list.decide(&url("hyperty://b/x"), Some(&Identity::of_user("user://a/bob"))), Some(false));
        assert_eq!(list.decide(&url("hyperty://b/x"), None), Some(false));
        assert_eq!(Accept::default().decide(&url("hyperty://b/x"), None), None);
    }
}
