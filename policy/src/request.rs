use hyperty_model::{ChildrenName, HypertyUrl, Identity, ObjectUrl, Url};
use serde::{Deserialize, Serialize};

/// Where a decision is asked for (protocol 4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Point {
    /// May the hyperty create an object of this schema?
    Create,
    /// May the Reporter invite this hyperty? Asked once per invited hyperty, which is the actor.
    Invite,
    /// May the hyperty observe the object?
    Subscribe,
    /// May it read the object once?
    Read,
    /// May the Reporter delete the object? Asked after its ownership was checked.
    Delete,
    /// May the hyperty write children of this name? Asked after membership and the schema's own permission.
    Child,
    /// May the hyperty resume the objects of its identity? Asked after the identities were compared.
    Resume,
    /// May the hyperty find others at a registry? Asked in its own runtime before it searches, and where a node has a
    /// policy for that, of each entry that is found: the entry as the object, if it is one, and who registered it as the
    /// reporter.
    Discover,
    /// May the Reporter give its object away to this hyperty? Asked with the Reporter as the actor.
    #[serde(rename = "delegate-out")]
    DelegateOut,
    /// May the hyperty take over an object? Asked in its own runtime, with it as the actor and the former Reporter as
    /// the reporter.
    #[serde(rename = "delegate-in")]
    DelegateIn,
}

impl Point {
    /// Every point, for rule sets and tests.
    pub const ALL: [Point; 10] = [
        Point::Create,
        Point::Invite,
        Point::Subscribe,
        Point::Read,
        Point::Delete,
        Point::Child,
        Point::Resume,
        Point::Discover,
        Point::DelegateOut,
        Point::DelegateIn,
    ];

    /// A short name, for logs and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Point::Create => "create",
            Point::Invite => "invite",
            Point::Subscribe => "subscribe",
            Point::Read => "read",
            Point::Delete => "delete",
            Point::Child => "child",
            Point::Resume => "resume",
            Point::Discover => "discover",
            Point::DelegateOut => "delegate-out",
            Point::DelegateIn => "delegate-in",
        }
    }
}

/// What a policy is told.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRequest {
    /// What is to be decided.
    pub point: Point,
    /// Who wants to do it: a hyperty, or the Sync Manager that reads on behalf of one.
    pub actor: Url,
    /// The user behind the actor, as far as it said; nothing here has verified it.
    pub identity: Option<Identity>,
    /// The object, once it has an address.
    pub object: Option<ObjectUrl>,
    /// The schema of the object.
    pub schema: Option<Url>,
    /// The children name, at [`Point::Child`].
    pub children: Option<ChildrenName>,
    /// Who takes over, at [`Point::DelegateOut`].
    pub target: Option<HypertyUrl>,
    /// Who reports the object, or wants to.
    pub reporter: Option<HypertyUrl>,
    /// The user behind the Reporter.
    pub reporter_user: Option<Identity>,
}

impl PolicyRequest {
    /// A request that tells nothing beyond the point and the actor.
    pub fn new(point: Point, actor: Url) -> PolicyRequest {
        PolicyRequest {
            point,
            actor,
            identity: None,
            object: None,
            schema: None,
            children: None,
            target: None,
            reporter: None,
            reporter_user: None,
        }
    }

    /// With the user behind the actor.
    #[must_use]
    pub fn identity(self, identity: Option<Identity>) -> PolicyRequest {
        PolicyRequest { identity, ..self }
    }

    /// With the object.
    #[must_use]
    pub fn object(self, object: ObjectUrl) -> PolicyRequest {
        PolicyRequest { object: Some(object), ..self }
    }

    /// With the schema of the object.
    #[must_use]
    pub fn schema(self, schema: Url) -> PolicyRequest {
        PolicyRequest { schema: Some(schema), ..self }
    }

    /// With the children name.
    #[must_use]
    pub fn children(self, name: ChildrenName) -> PolicyRequest {
        PolicyRequest { children: Some(name), ..self }
    }

    /// With who takes over.
    #[must_use]
    pub fn target(self, hyperty: HypertyUrl) -> PolicyRequest {
        PolicyRequest { target: Some(hyperty), ..self }
    }

    /// With who reports the object, and the user behind it.
    #[must_use]
    pub fn reporter(self, hyperty: HypertyUrl, user: Option<Identity>) -> PolicyRequest {
        PolicyRequest { reporter: Some(hyperty), reporter_user: user, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_points_are_distinct() {
        let names: std::collections::HashSet<_> = Point::ALL.iter().map(|point| point.as_str()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }

    #[test]
    fn a_request_tells_what_it_was_given() {
        let actor = Url::parse("hyperty://example.com/6f1c").unwrap();
        let object = ObjectUrl::parse("comm://example.com/8a7b").unwrap();
        let schema =
            Url::parse("hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Chat").unwrap();
        let request = PolicyRequest::new(Point::Child, actor.clone())
            .identity(Some(Identity::of_user("user://example.com/alice")))
            .object(object.clone())
            .schema(schema.clone())
            .children(ChildrenName::new("messages").unwrap());
        assert_eq!((request.actor, request.object, request.schema), (actor, Some(object), Some(schema)));
        assert_eq!(request.identity.unwrap().user(), Some("user://example.com/alice"));
        assert_eq!(request.children.unwrap().as_str(), "messages");
    }
}
