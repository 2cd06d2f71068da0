//! The API a hyperty uses to report and observe live data objects.
//!
//! A *Reporter* owns a JSON *data object* and is the only one who changes it; any number of *Observers* hold a live
//! copy. *Children* are small objects that belong to an object and have a writer of their own each. A [`Syncher`] is
//! what one *hyperty*, one instance of a service, reports and observes with. It speaks to the *Sync Manager* of its
//! runtime by messages only; the Sync Manager orders, validates and stores, this crate keeps the copies and tells the
//! application.
//!
//! | you want to | use | it gives |
//! |---|---|---|
//! | own an object | [`Syncher::create`] | [`Reporter`] |
//! | follow somebody's object | [`Syncher::subscribe`] | [`Observer`] |
//! | hear of objects that others report | [`Syncher::invitations`] | [`Invitation`]s |
//! | look at an object once | [`Syncher::read`] | a snapshot |
//! | go on after a restart | [`Syncher::resume`] | [`Resumed`] |
//! | find hyperties and objects | [`Syncher::discover`], [`Syncher::watch`] | [`Found`], [`Discoveries`] |
//! | go on on another device | [`Syncher::resume_by`] | [`Resumed`] |
//! | add notes, messages, files to an object | [`Reporter::children`], [`Observer::children`] | [`ChildrenHandle`], [`Child`] |
//! | know who observes, and end it | [`Reporter::observers`], [`Reporter::remove_observer`] | [`ObserverEntry`] |
//! | have the owner do something | [`Observer::request`], [`Reporter::requests`] | what the owner answers |
//!
//! Three rules hold everywhere:
//!
//! * **Changes are made at the call.** [`Reporter::set`] and its like apply the change, number it and send it before
//!   they return; the [`Commit`] only tells when it is durable and published. Many can be in flight. A refused change
//!   is undone, with those made after it.
//! * **Loss is never silent.** Whoever reads events too late, or missed changes, gets the whole state in their place
//!   ([`ObserverEvent::Resync`]). Adding the changes to a snapshot always gives the object.
//! * **Questions answer themselves.** A subscription or read that the application does not decide is refused.
//!
//! [`Syncher::new`] also returns a [`SyncherDriver`], which the caller runs: all that waits happens there. Events are
//! streams, so no code of the application runs where messages are delivered.
//!
//! # Example
//!
//! Nearly always `hyperty-runtime` makes the Syncher. Here a closure stands in for the Sync Manager: it accepts the
//! creation and every change.
//!
//! ```
//! use hyperty_message_bus::{BusConfig, MessageBus, MiniBus};
//! use hyperty_model::{Message, MessageType, ObjectUrl, SystemIds, message::ResponseBody};
//! use hyperty_syncher::{Syncher, SyncherConfig};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = SyncherConfig::new("hyperty-runtime://example.com/laptop".parse()?);
//! let (object, manager): (ObjectUrl, _) = ("comm://example.com/1".parse()?, config.runtime.sync_manager());
//! let bus = MessageBus::new(BusConfig::default(), &SystemIds);
//! let minibus = MiniBus::new(&bus, "hyperty://example.com/alice".parse()?)?;
//!
//! let (out, url, from) = (bus.clone(), object.to_string(), manager.clone());
//! let accept = move |request: &Message| {
//!     let body = ResponseBody { resource: Some(url.clone()), ..ResponseBody::ok() };
//!     out.post(Message::new(request.id().clone(), MessageType::Response, from.clone(), request.from().clone(), body));
//! };
//! let _routes = (bus.listen(&manager, accept.clone())?, bus.listen(&object.changes(), accept)?);
//! let _answers = bus.forward(&object, minibus.url())?;
//!
//! let (syncher, driver) = Syncher::new(minibus, config)?;
//! tokio::spawn(driver.run());
//! let schema = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Communication".parse()?;
//! let reporter = syncher.create(schema).name("standup").data(json!({"topic": "release"})).await?;
//! reporter.set("topic", "retrospective").await?;                 // one change, one version
//! let commit = reporter.update(|data| data["open"] = json!(3));   // what an edit changed
//! assert_eq!(commit.await?.version, 2);
//! assert_eq!(reporter.data(), json!({"topic": "retrospective", "open": 3}));
//! # Ok(()) }
//! ```

mod children;
mod config;
mod core;
mod data;
mod decisions;
mod delegation;
mod discovery;
mod driver;
mod events;
mod exchange;
mod inbound;
mod lag;
mod notifications;
mod observer;
mod outbox;
mod queue;
mod read;
mod reporter;
mod resume;
mod syncher;

pub use children::{Child, ChildCommit, ChildError, ChildView, ChildrenHandle, UnknownChildren};
pub use config::{
    BUFFERED_MAX, CHILD_OPERATIONS_MAX, DECISIONS_MAX, EVENTS_MAX, IN_FLIGHT_MAX, Limits, NOTIFICATIONS_MAX,
    REQUESTS_MAX, SyncherConfig, Timeouts,
};
pub use data::DataError;
pub use delegation::{AcceptDelegation, DelegateError, Delegation, Delegations, TakeOverError};
pub use discovery::{DiscoverError, Discoveries, Discovery, FOUND_MAX, Found, WATCHED_MAX};
pub use driver::SyncherDriver;
pub use events::{ChangeEvent, ChildEvent, ChildOp, CloseReason, ObserverEvent, ReporterEvent};
pub use hyperty_model::discovery::{Query, RegistrationStatus};
pub use hyperty_model::resume::Criteria;
pub use lag::Lag;
pub use notifications::{AcceptInvitation, Invitation, Invitations};
pub use observer::{
    Observer, ObserverEvents, ObserverState, REQUEST_BYTES_MAX, RequestError, Subscribe, SubscribeError,
    UnsubscribeError,
};
pub use read::ReadError;
pub use reporter::{
    Accept, ActionRequest, Commit, Create, CreateError, DeleteError, Invite, InviteAnswer, InviteAnswers,
    InviteError, NO_HANDLER, ObserverEntry, ObserversChange, ObserversChanges, ReadRequest, RemoveError,
    Reporter, ReporterEvents, ReporterState, Requests, RevokeError, SubscriptionRequest, WriteError,
};
pub use resume::{ResumeError, Resumed};
pub use syncher::Syncher;
