//! Creation of an object (protocol 5.1): authorise, allocate, route, register, store, answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyperty_message_bus::Wish;
use hyperty_model::change::check_value;
use hyperty_model::message::{CreateObject, ResponseBody};
use hyperty_model::object::Metadata;
use hyperty_model::{HypertyUrl, ObjectUrl, Position, StatusCode, Url};
use hyperty_policy::{Point, PolicyRequest};
use hyperty_registry::{RegistrationRecord, Schema};
use hyperty_storage::{Grant, RecordStatus};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::grants::Grants;
use super::object::{Options, Reported, State};
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// What an application may give in `value` (3.1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    name: Option<String>,
    reporter: Option<HypertyUrl>,
    schema: Option<Url>,
    #[serde(default)]
    data: Option<Value>,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    authorise: Vec<Url>,
    #[serde(default)]
    public_observation: bool,
    observer_storage: Option<bool>,
    mutual_authentication: Option<bool>,
    store: Option<bool>,
    backup: Option<bool>,
    #[serde(rename = "domain_registration")]
    domain_registration: Option<bool>,
    #[serde(rename = "domain_routing")]
    domain_routing: Option<bool>,
}

/// A creation that passed every check and only needs an address.
struct Plan {
    wanted: Wanted,
    name: String,
    schema: Arc<Schema>,
    schema_url: Url,
    data: Value,
    grants: Grants,
    options: Options,
}

impl SyncManager {
    pub(crate) async fn create(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
    ) -> Result<ResponseBody, Refusal> {
        if let Some(resource) = &body.resource {
            return self.reuse(hyperty, body, &resource.0).await;
        }
        // Whoever waits gives up after T_RESP; what is not done by then is taken back, not left behind. One time for all
        // of it: together with the undoing it stays below that (M9).
        let deadline = Instant::now() + self.config().peer_timeout;
        let planned = tokio::time::timeout_at(deadline, self.plan_creation(hyperty, body)).await;
        let plan =
            planned.map_err(|_| Refusal::new(StatusCode::TIMEOUT, "the schema did not come in time"))??;
        let options = plan.options;
        let object = self.allocate(hyperty, &plan).await?;
        let routes = Mutex::new(None);
        let establishing = self.establish(hyperty, body, plan, (&object, &routes));
        let established = tokio::time::timeout_at(deadline, establishing).await;
        match established.unwrap_or_else(|_| Err(Refusal::unreachable(object.home()))) {
            Ok(names) => Ok(ResponseBody {
                resource: Some(object.to_string()),
                children_resources: Some(names),
                ..ResponseBody::ok()
            }),
            Err(refusal) => {
                self.undo_creation(&object, routes.into_inner(), options.domain_registration).await;
                Err(refusal)
            }
        }
    }

    /// A `create` that names an object asks to go on with it (5.1.3).
    async fn reuse(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
        resources: &[ObjectUrl],
    ) -> Result<ResponseBody, Refusal> {
        let [object] = resources else {
            return Err(Refusal::bad_request("a creation reuses one object"));
        };
        let stored_reporter = {
            let dormant = self.shared.dormant.lock();
            dormant.reported.get(object).map(|record| record.metadata.reporter.clone())
        };
        let live = self.reported(object);
        let reporter = stored_reporter.or_else(|| live.map(|object| object.lock().metadata.reporter.clone()));
        match reporter {
            Some(reporter) if reporter == *hyperty => {
                let mut snapshots =
                    self.resume_reported(hyperty, body, Some(&BTreeSet::from([object.clone()]))).await?;
                let value = snapshots.pop().ok_or_else(|| Refusal::unknown(object))?;
                Ok(ResponseBody {
                    resource: Some(object.to_string()),
                    value: Some(value),
                    ..ResponseBody::ok()
                })
            }
            Some(_) => Err(Refusal::new(StatusCode::FORBIDDEN, format!("{object} is another hyperty's"))),
            None => Err(Refusal::unknown(object)),
        }
    }

    async fn plan_creation(&self, hyperty: &HypertyUrl, body: &CreateObject) -> Result<Plan, Refusal> {
        let value = body.value.clone().ok_or_else(|| Refusal::missing("value"))?;
        let wanted = Wanted::deserialize(Value::Object(value))
            .map_err(|error| Refusal::bad_request(format!("malformed value: {error}")))?;
        let name = wanted.name.clone().ok_or_else(|| Refusal::missing("name"))?;
        let schema_url = body
            .schema
            .clone()
            .or_else(|| wanted.schema.clone())
            .ok_or_else(|| Refusal::missing("schema"))?;
        match &wanted.reporter {
            None => return Err(Refusal::missing("reporter")),
            Some(reporter) if reporter != hyperty => {
                return Err(Refusal::bad_request("the reporter of a new object is who creates it"));
            }
            Some(_) => {}
        }
        let authorised = wanted.authorise.iter().chain(&body.authorise.0).cloned();
        let grants: Grants = authorised.map(Grant::unlimited).collect();
        if grants.len() > self.config().grants_max {
            let text = format!("{} are granted, and {} are the most", grants.len(), self.config().grants_max);
            return Err(Refusal::new(StatusCode::INTERNAL, text).because("limit"));
        }
        let request = PolicyRequest::new(Point::Create, hyperty.as_url().clone())
            .identity(body.identity.clone())
            .schema(schema_url.clone())
            .reporter(hyperty.clone(), body.identity.clone());
        self.decide(&request).await?;
        let schema = self.shared.parts.catalogue.get(&schema_url).await?;
        let data = wanted.data.clone().unwrap_or_else(|| Value::Object(Map::new()));
        check_data(&schema, &data)?;
        self.check_data_size(&data)?;
        let options = self.options(hyperty, body, &wanted)?;
        Ok(Plan { wanted, name, schema, schema_url, data, grants, options })
    }

    fn options(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
        wanted: &Wanted,
    ) -> Result<Options, Refusal> {
        let store = body.store.or(wanted.store).unwrap_or(false);
        // Without a message node for the domain there is nothing to register at or to route by, unless asked for.
        let has_node = self.stub_of(hyperty.home()).is_some();
        let registration = body.domain_registration.or(wanted.domain_registration).unwrap_or(has_node);
        let asked = body.backup.or(wanted.backup);
        // The registry says who may go on with it, and a user whose other devices these are (5.10.1).
        let may = registration && body.identity.is_some() && (store || asked == Some(true));
        let backup = self.backs_up(asked, may).ok_or_else(|| {
            let text = "a backup needs a runtime that has one, a user, and a registered object";
            Refusal::new(StatusCode::CONDITION, text).because("backup")
        })?;
        let store = store || backup;
        Ok(Options {
            store,
            resumable: store || body.resumable.unwrap_or(false),
            domain_registration: registration,
            domain_routing: body.domain_routing.or(wanted.domain_routing).unwrap_or(has_node),
            backup,
        })
    }

    async fn allocate(&self, hyperty: &HypertyUrl, plan: &Plan) -> Result<ObjectUrl, Refusal> {
        let allocator = &self.shared.parts.allocator;
        let allocating = allocator.allocate(hyperty.home(), &plan.schema.scheme);
        let address = tokio::time::timeout(self.config().repair_timeout, allocating).await;
        let address = address.map_err(|_| Refusal::unreachable(hyperty.home()))??;
        ObjectUrl::try_from(address)
            .map_err(|error| Refusal::new(StatusCode::INTERNAL, format!("address allocation: {error}")))
    }

    /// Steps 4 to 7: everything that [`SyncManager::undo_creation`] takes back. The wish for routes is in `routes` before
    /// the node hears of it, until the object is there: this may be given up at any await.
    async fn establish(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
        plan: Plan,
        (url, routes): (&ObjectUrl, &Mutex<Option<Wish>>),
    ) -> Result<Vec<String>, Refusal> {
        let Plan { wanted, name, schema, schema_url, data, grants, options } = plan;
        let now = self.shared.parts.clock.now();
        let metadata = Metadata {
            url: url.clone(),
            reporter: hyperty.clone(),
            runtime: self.shared.parts.runtime.clone(),
            schema: schema_url.clone(),
            name,
            created: now,
            last_modified: now,
            description: wanted.description,
            tags: wanted.tags,
            resources: wanted.resources,
            public_observation: wanted.public_observation,
            observer_storage: wanted.observer_storage,
            mutual_authentication: wanted.mutual_authentication.or(body.mutual),
        };
        let mut state = State::new(metadata, Position::default(), data, options);
        state.grants = grants;
        state.reporter_user = body.identity.clone();
        let object = Arc::new(Reported::new(schema, state));

        self.save_durably(&object, RecordStatus::Creating).await?;
        if options.domain_routing {
            self.publish_schema(&schema_url).await?;
            let wish = self.wish_of(&object, &object.lock());
            let established = wish.establish();
            *routes.lock() = Some(wish);
            established.await?;
        }
        let listeners = self.reporter_listeners(&object)?;
        let forwards = self.reporter_forwards(&object, hyperty)?;
        {
            let mut state = object.lock();
            (state.listeners, state.forwards) = (listeners, forwards);
        }
        self.add_local_object(url)?;
        object.lock().wish = routes.lock().take();
        self.shared.reported.insert(url.clone(), Arc::clone(&object));
        if options.domain_registration {
            self.shared.parts.registrations.register(self.registration(&object)).await?;
        }
        self.save_durably(&object, RecordStatus::Live).await?;
        tracing::info!(object = %url, reporter = %hyperty, store = options.store, "an object is created");
        Ok(object.name_strings())
    }

    /// Lets the domain's catalogue know the schema, so that observers elsewhere can read it (M22). A catalogue that
    /// cannot be reached fails the creation; it is at the node whose routes would fail next.
    async fn publish_schema(&self, schema: &Url) -> Result<(), Refusal> {
        Ok(self.shared.parts.catalogue.publish(schema).await?)
    }

    /// What the domain registry is told of an object (5.13.1).
    pub(crate) fn registration(&self, object: &Reported) -> RegistrationRecord {
        let state = object.lock();
        let Metadata { runtime, schema, name, reporter, resources, .. } = state.metadata.clone();
        let record = RegistrationRecord::of_object(&object.url, runtime, schema, &name, reporter);
        RegistrationRecord {
            resources,
            children_resources: Some(object.name_strings()),
            epoch: state.position.epoch,
            ..record.with_user(state.reporter_user.as_ref())
        }
    }

    /// Writes the record of a resumable object and waits until it is durable.
    pub(crate) async fn save_durably(&self, object: &Reported, status: RecordStatus) -> Result<(), Refusal> {
        let ticket = {
            let state = object.lock();
            self.persist(object, &state, status)
        };
        match ticket {
            Some(ticket) => Ok(self.durable(ticket).await?),
            None => Ok(()),
        }
    }

    /// Takes back whatever a creation did, in reverse order (INV-CRE-2). Each step does nothing if there is nothing
    /// to take back; what cannot reach its peer is tried again later (M27).
    async fn undo_creation(&self, url: &ObjectUrl, routes: Option<Wish>, registered: bool) {
        let object = self.shared.reported.remove(url).map(|(_, object)| object);
        let wish = object.and_then(|object| {
            let mut state = object.lock();
            state.detach();
            state.wish.take()
        });
        let wish = wish.or(routes);
        self.shared.parts.registry.remove_object(url);
        self.undo(self.clone().give_up(wish, url.clone(), registered)).await;
    }
}

fn check_data(schema: &Schema, data: &Value) -> Result<(), Refusal> {
    if !data.is_object() {
        return Err(Refusal::bad_request("data must be a JSON object").because("value"));
    }
    check_value(data).map_err(|error| Refusal::bad_request(error.to_string()).because("value"))?;
    schema.validate(data).map_err(|violation| Refusal::bad_request(violation.to_string()).because("schema"))
}
