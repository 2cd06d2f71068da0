/// What a policy says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead without asking anybody else. At [`Point::Subscribe`](crate::Point::Subscribe) and
    /// [`Point::Read`](crate::Point::Read) the Reporter's application is informed, not asked.
    Permit,
    /// Refuse, and answer 403 (401 to a read) with this text.
    Deny(String),
    /// No opinion: the protocol's own rule applies, and where that says "ask", the application is asked.
    NotApplicable,
}

impl Decision {
    /// Whether nobody else needs to be asked.
    pub fn is_permit(&self) -> bool {
        matches!(self, Decision::Permit)
    }

    /// Why the request is refused; `None` if it is not.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Decision::Deny(reason) => Some(reason),
            Decision::Permit | Decision::NotApplicable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_denial_refuses_and_only_a_permit_permits() {
        assert_eq!(Decision::Deny("no".to_owned()).refusal(), Some("no"));
        assert_eq!(Decision::Permit.refusal(), None);
        assert_eq!(Decision::NotApplicable.refusal(), None);
        assert!(Decision::Permit.is_permit());
        assert!(!Decision::NotApplicable.is_permit());
        assert!(!Decision::Deny(String::new()).is_permit());
    }
}
