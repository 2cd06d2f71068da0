use hyperty_model::UrlError;

/// Why a runtime did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The runtime's URL or the domain of a message node is malformed; correct it.
    #[error("malformed address: {0}")]
    Address(#[from] UrlError),
    /// The store holds what cannot be read; the text says what to do.
    #[error("the store cannot be read: {0}")]
    Storage(#[from] hyperty_storage::StorageError),
    /// The bus refused a listener of a component.
    #[error("the message bus refused a component: {0}")]
    Bus(#[from] hyperty_message_bus::BusError),
    /// The Sync Manager did not start.
    #[error("the Sync Manager did not start: {0}")]
    SyncManager(#[from] hyperty_sync_manager::StartError),
    /// The file of the policy was sound when it was chosen, and cannot be taken any more.
    #[error(transparent)]
    Policy(#[from] hyperty_policy::rules::RuleFileError),
    /// More message nodes than a runtime takes.
    #[error("too many message nodes: {0}")]
    Registry(#[from] hyperty_registry::RegistryFull),
}

/// Why a hyperty was not deployed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// A hyperty of this name is deployed already, or is being deployed; use its handle.
    #[error("a hyperty named {0:?} is deployed already")]
    Deployed(String),
    /// The user is no URL of a user.
    #[error("malformed user: {0}")]
    User(#[source] UrlError),
    /// The address of the hyperty could not be read from the store, or not be kept in it.
    #[error("the hyperty's address: {0}")]
    Storage(#[from] hyperty_storage::StorageError),
    /// The store holds an address that is none; was it written by another program?
    #[error("the hyperty's stored address is malformed: {0}")]
    Address(#[source] UrlError),
    /// The bus refused the hyperty.
    #[error("the message bus refused the hyperty: {0}")]
    Bus(#[from] hyperty_message_bus::BusError),
    /// More hyperties than a runtime takes.
    #[error("too many hyperties: {0}")]
    Registry(#[from] hyperty_registry::RegistryFull),
    /// What the hyperty had in its last session could not be resumed.
    #[error("the hyperty's objects could not be resumed: {0}")]
    Resume(#[from] hyperty_syncher::ResumeError),
    /// The runtime is shut down.
    #[error("the runtime is shut down")]
    Closed,
}

/// Why a schema was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Neither a URL given nor an `$id` or `id` in the document that makes one.
    #[error("the schema has no name: give it an `$id` or a `title`, or a URL")]
    Unnamed,
    /// The text is no JSON.
    #[error("the schema is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The URL is malformed.
    #[error("malformed schema URL: {0}")]
    Url(#[from] UrlError),
    /// The document is no usable schema.
    #[error(transparent)]
    Catalogue(#[from] hyperty_registry::CatalogueError),
}
