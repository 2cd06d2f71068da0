//! Creating an object (protocol 5.1).

use std::future::IntoFuture;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_message_bus::BusError;
use hyperty_model::message::{CreateObject, OneOrMany, ResponseBody};
use hyperty_model::object::{Children, Metadata};
use hyperty_model::{ChildrenName, HypertyUrl, MessageType, ObjectUrl, Snapshot, StatusCode, Timestamp, Url};
use serde_json::{Map, Value, json};

use super::{Accept, Reporter, ReporterShared};
use crate::DataError;
use crate::core::{Abandoned, Asked, Core, CoreRef};
use crate::data::check_data;

/// A creation with its options; awaited it gives the [`Reporter`].
///
/// A creation that is dropped while it waits, or whose answer does not come in time, is undone when the answer comes
/// after all.
#[derive(Debug)]
#[must_use = "nothing is created until this is awaited"]
pub struct Create {
    core: CoreRef,
    schema: Url,
    name: Option<String>,
    data: Value,
    description: Option<String>,
    tags: Vec<String>,
    resources: Vec<String>,
    store: Option<bool>,
    resumable: Option<bool>,
    backup: Option<bool>,
    public_observation: bool,
    authorise: Vec<Url>,
    invite: Vec<Url>,
    accept: Accept,
    domain_registration: Option<bool>,
    domain_routing: Option<bool>,
}

/// Why an object was not created.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The data cannot be the data of an object; nothing was sent.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The runtime refused, and left nothing behind. 400: the data violates the schema, the reason says where; 403: a
    /// policy forbids it; 404: the schema is nowhere to be found; 408, 500, 504: address, registration or store
    /// failed, try again later.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time. If one comes later, what was created is deleted.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The hyperty listens on too many addresses. Drop some objects.
    #[error("cannot listen: {0}")]
    Listen(#[from] BusError),
    /// The Syncher has stopped.
    #[error("the syncher stopped")]
    Stopped,
}

impl Create {
    pub(crate) fn new(core: Arc<Core>, schema: Url) -> Create {
        Create {
            core: CoreRef(core),
            schema,
            name: None,
            data: Value::Object(Map::new()),
            description: None,
            tags: Vec::new(),
            resources: Vec::new(),
            store: None,
            resumable: None,
            backup: None,
            public_observation: false,
            authorise: Vec::new(),
            invite: Vec::new(),
            accept: Accept::Ask,
            domain_registration: None,
            domain_routing: None,
        }
    }

    /// A name for people and for looking it up; the last part of the schema's URL if none is given.
    pub fn name(mut self, name: impl Into<String>) -> Create {
        self.name = Some(name.into());
        self
    }

    /// The data at version 0, a JSON object; empty if none is given.
    pub fn data(mut self, data: Value) -> Create {
        self.data = data;
        self
    }

    /// A text for people.
    pub fn description(mut self, description: impl Into<String>) -> Create {
        self.description = Some(description.into());
        self
    }

    /// Tags of the application.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Create {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Resource types such as `chat`; not the names of children, which the schema has.
    pub fn resources(mut self, resources: impl IntoIterator<Item = impl Into<String>>) -> Create {
        self.resources = resources.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps the object in the runtime's store: a change is durable when it is committed, and the object is resumed
    /// after a restart. Off if not set.
    pub fn store(mut self, store: bool) -> Create {
        self.store = Some(store);
        self
    }

    /// Keeps a record for resume, without the data unless `store` is set too. As `store` if not set.
    pub fn resumable(mut self, resumable: bool) -> Create {
        self.resumable = Some(resumable);
        self
    }

    /// Keeps the object at the backup of its domain, too: the user's other devices can go on with it there if this one is
    /// lost ([`Syncher::resume_by`](crate::Syncher::resume_by) with the user as criterion), from a state of a moment ago
    /// ([`Reporter::backed_up`] tells which). Implies `store`; as the runtime was told to if not set. Refused with 412
    /// where there is no backup, no user, or no registration.
    pub fn backup(mut self, backup: bool) -> Create {
        self.backup = Some(backup);
        self
    }

    /// Everybody may observe and read, and nobody is asked.
    pub fn public_observation(mut self, public: bool) -> Create {
        self.public_observation = public;
        self
    }

    /// Who may observe without being asked about: URLs of hyperties or users.
    pub fn authorise(mut self, who: impl IntoIterator<Item = impl Into<Url>>) -> Create {
        self.authorise = who.into_iter().map(Into::into).collect();
        self
    }

    /// Whom to invite as soon as the object is there, as [`Reporter::invite`] does; the answers are told by
    /// [`ReporterEvent::InviteAnswer`](crate::ReporterEvent::InviteAnswer).
    pub fn invite(mut self, who: impl IntoIterator<Item = impl Into<Url>>) -> Create {
        self.invite = who.into_iter().map(Into::into).collect();
        self
    }

    /// Who else may observe and read; the application is asked if not set.
    pub fn accept(mut self, accept: Accept) -> Create {
        self.accept = accept;
        self
    }

    /// Registers the object at its domain, where it can be found; on if not set.
    pub fn domain_registration(mut self, registration: bool) -> Create {
        self.domain_registration = Some(registration);
        self
    }

    /// Makes the object reachable through its domain's message node; on if not set.
    pub fn domain_routing(mut self, routing: bool) -> Create {
        self.domain_routing = Some(routing);
        self
    }

    async fn run(self) -> Result<Reporter, CreateError> {
        check_data(&self.data)?;
        let core = Arc::clone(&self.core.0);
        if core.is_stopped() {
            return Err(CreateError::Stopped);
        }
        let now = core.now();
        // Until the object is entered here, what arrives for it is kept.
        let adopting = core.adopt();
        let message = core.to_sync_manager(MessageType::Create, self.body(&core, now));
        let asked = Asked::new(&core, message.id(), Abandoned::Create);
        let answer = core.minibus.request(message).timeout(core.config.timeouts.response).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| CreateError::Malformed(error.to_string()))?;
        asked.answered(body.code);
        match body.code {
            code if code.is_success() => {}
            StatusCode::TIMEOUT => return Err(CreateError::Timeout),
            code => return Err(CreateError::Refused { code, reason: body.why().to_owned() }),
        }
        let shared = match self.adopted(&core, &body, now) {
            Ok(shared) => shared,
            Err(error) => {
                // It is there, and nobody reports it.
                core.delete_unwanted(&body);
                return Err(error);
            }
        };
        shared.take_over_observers(Vec::new());
        drop(adopting);
        if !self.invite.is_empty() {
            let (inviting, invite) = (Arc::clone(&shared), self.invite);
            core.run_later(async move { inviting.invite_at_creation(invite).await });
        }
        Ok(Reporter { shared })
    }

    fn body(&self, core: &Core, now: Timestamp) -> CreateObject {
        let mut value = Map::new();
        let mut put = |key: &str, member: Value| drop(value.insert(key.to_owned(), member));
        put("name", json!(self.name_or_default()));
        put("schema", json!(self.schema));
        put("reporter", json!(core.hyperty()));
        put("created", json!(now));
        put("lastModified", json!(now));
        put("data", self.data.clone());
        if let Some(description) = &self.description {
            put("description", json!(description));
        }
        for (key, list) in [("tags", &self.tags), ("resources", &self.resources)] {
            if !list.is_empty() {
                put(key, json!(list));
            }
        }
        if !self.authorise.is_empty() {
            put("authorise", json!(self.authorise));
        }
        if self.public_observation {
            put("publicObservation", json!(true));
        }
        CreateObject {
            schema: Some(self.schema.clone()),
            value: Some(value),
            store: self.store,
            resumable: self.resumable,
            backup: self.backup,
            identity: core.config.identity.clone(),
            authorise: OneOrMany(self.authorise.clone()),
            domain_registration: self.domain_registration,
            domain_routing: self.domain_routing,
            ..CreateObject::default()
        }
    }

    fn name_or_default(&self) -> String {
        let last = self.schema.path().rsplit('/').next().unwrap_or_default();
        self.name.clone().unwrap_or_else(|| last.to_owned())
    }

    /// The new object, entered here.
    fn adopted(
        &self,
        core: &Arc<Core>,
        answer: &ResponseBody,
        now: Timestamp,
    ) -> Result<Arc<ReporterShared>, CreateError> {
        let (snapshot, names) = self.created(core, answer, now)?;
        if core.is_stopped() {
            return Err(CreateError::Stopped);
        }
        Ok(ReporterShared::adopt(core, snapshot, &names, self.accept.clone())?)
    }

    /// What the answer and the request together say of the new object.
    fn created(
        &self,
        core: &Core,
        answer: &ResponseBody,
        now: Timestamp,
    ) -> Result<(Snapshot, Vec<ChildrenName>), CreateError> {
        let url =
            answer.resource.as_deref().ok_or_else(|| CreateError::Malformed("no resource".to_owned()))?;
        let url = ObjectUrl::parse(url).map_err(|error| CreateError::Malformed(error.to_string()))?;
        let reporter: HypertyUrl = core.hyperty().clone();
        let metadata = Metadata {
            url,
            reporter,
            runtime: core.config.runtime.clone(),
            schema: self.schema.clone(),
            name: self.name_or_default(),
            created: now,
            last_modified: now,
            description: self.description.clone(),
            tags: self.tags.clone(),
            resources: self.resources.clone(),
            public_observation: self.public_observation,
            observer_storage: None,
            mutual_authentication: None,
        };
        let (data, children) = (self.data.clone(), Children::default());
        let snapshot = Snapshot { metadata, version: 0, epoch: 0, data, children };
        Ok((snapshot, crate::exchange::children_names(answer.children_resources.as_deref())))
    }
}

impl IntoFuture for Create {
    type Output = Result<Reporter, CreateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
