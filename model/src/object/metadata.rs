use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{HypertyUrl, ObjectUrl, RuntimeUrl, Timestamp, Url};

/// What is known of an object beside its data (protocol 3.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The object's URL.
    pub url: ObjectUrl,
    /// The only writer.
    pub reporter: HypertyUrl,
    /// Where the reporter runs.
    pub runtime: RuntimeUrl,
    /// The schema of the data.
    pub schema: Url,
    /// The application's name for it; not unique.
    pub name: String,
    /// When it was created; never changes.
    pub created: Timestamp,
    /// When it was last changed; equals `created` at version 0.
    pub last_modified: Timestamp,
    /// A text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The application's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Resource types such as `chat`; not the names of children.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Subscription and read need no authorisation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public_observation: bool,
    /// Observers may store the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer_storage: Option<bool>,
    /// Mutual authentication wanted; carried, never acted on.
    #[serde(default, alias = "mutual", skip_serializing_if = "Option::is_none")]
    pub mutual_authentication: Option<bool>,
}

/// Why a metadata change is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// No member of this name, or one that only a procedure of its own changes.
    #[error("metadata {0:?} is not changed by updates")]
    Member(String),
    /// The member does not take values of this type.
    #[error("metadata {0:?} does not take this value")]
    Value(String),
}

impl Metadata {
    /// Applies a metadata change (protocol 3.3). That of the Reporter is announced by its new Sync Manager (5.11); no
    /// hyperty may make it.
    ///
    /// # Errors
    /// [`MetadataError`]; then nothing is changed.
    pub fn set(&mut self, member: &str, value: &Value) -> Result<(), MetadataError> {
        let unfit = || MetadataError::Value(member.chars().take(80).collect());
        let text = || value.as_str().map(str::to_owned).ok_or_else(unfit);
        let texts = || Vec::<String>::deserialize(value).map_err(|_| unfit());
        match member {
            "reporter" => {
                self.reporter = text()?.parse().map_err(|_| unfit())?;
            }
            "name" => self.name = text()?,
            "description" => self.description = Some(text()?),
            "tags" => self.tags = texts()?,
            "resources" => self.resources = texts()?,
            "publicObservation" => self.public_observation = value.as_bool().ok_or_else(unfit)?,
            "lastModified" => self.last_modified = Timestamp::deserialize(value).map_err(|_| unfit())?,
            _ => return Err(MetadataError::Member(member.chars().take(80).collect())),
        }
        Ok(())
    }
}
