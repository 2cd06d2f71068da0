//! Options of `hyperty discover`.

use clap::Args;
use hyperty_model::{HypertyUrl, Url};
use hyperty_runtime::syncher::RegistrationStatus;

use super::ClientArgs;

/// `hyperty discover`.
#[derive(Debug, Args)]
pub(crate) struct DiscoverArgs {
    /// A user (user://…), a GUID (user-guid://…), the URL of a hyperty or an object, or the name of objects [default:
    /// all objects that the options leave]
    #[arg(value_name = "USER|GUID|URL|NAME")]
    pub what: Option<String>,
    /// Only URLs of this scheme, such as comm
    #[arg(long, value_name = "SCHEME", conflicts_with_all = ["objects", "hyperties"])]
    pub scheme: Option<String>,
    /// Only objects
    #[arg(long, conflicts_with = "hyperties")]
    pub objects: bool,
    /// Only hyperties
    #[arg(long)]
    pub hyperties: bool,
    /// Only what has this resource type, such as chat; several are possible, and all have to be there
    #[arg(long, value_name = "TYPE")]
    pub resource: Vec<String>,
    /// Only what has this data scheme; several are possible, and all have to be there
    #[arg(long, value_name = "SCHEME")]
    pub data_scheme: Vec<String>,
    /// Only objects of this schema
    #[arg(long, value_name = "URL")]
    pub schema: Option<Url>,
    /// Only objects of this Reporter
    #[arg(long, value_name = "URL")]
    pub reporter: Option<HypertyUrl>,
    /// Only what is live, or disconnected
    #[arg(long, value_name = "live|disconnected", value_parser = status)]
    pub status: Option<RegistrationStatus>,
    /// Go on telling what comes, and what becomes of it
    #[arg(long)]
    pub watch: bool,
    /// End after so many events
    #[arg(long, value_name = "N", requires = "watch")]
    pub count: Option<u64>,
    /// The node
    #[command(flatten)]
    pub client: ClientArgs,
}

fn status(text: &str) -> Result<RegistrationStatus, String> {
    match text {
        "live" => Ok(RegistrationStatus::Live),
        "disconnected" => Ok(RegistrationStatus::Disconnected),
        _ => Err("live or disconnected".to_owned()),
    }
}
