//! Options of `hyperty child`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyperty_model::ObjectUrl;

use super::{ClientArgs, StoreArgs};

/// Which children.
#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    /// The object
    #[arg(value_name = "OBJECT_URL")]
    pub object: ObjectUrl,
    /// Their name, one of those in the object's schema
    #[arg(value_name = "CHILDREN_NAME")]
    pub name: String,
    /// The node
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `hyperty child`. A child belongs to the hyperty that added it, and only that one changes it: to set or delete it
/// later, add it with --store and give the same store then.
#[derive(Debug, Subcommand)]
pub(crate) enum ChildCommand {
    /// Add a child, and print it with its id
    Add {
        /// Which children
        #[command(flatten)]
        of: ChildArgs,
        /// Its data: JSON, or the file that holds it
        #[arg(value_name = "JSON|@FILE")]
        data: String,
        /// The store
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Set an attribute of a child one added before
    Set {
        /// Which children
        #[command(flatten)]
        of: ChildArgs,
        /// The id that `add` printed
        id: String,
        /// The attribute, with dots: a.b
        path: String,
        /// Its value: JSON, or the file that holds it
        #[arg(value_name = "JSON|@FILE")]
        value: String,
        /// The store that the child was added with
        #[arg(long, env = "HYPERTY_STORE", value_name = "DIR")]
        store: PathBuf,
    },
    /// Delete a child one added before
    Delete {
        /// Which children
        #[command(flatten)]
        of: ChildArgs,
        /// The id that `add` printed
        id: String,
        /// The store that the child was added with
        #[arg(long, env = "HYPERTY_STORE", value_name = "DIR")]
        store: PathBuf,
    },
    /// Print the children there are
    List {
        /// Which children
        #[command(flatten)]
        of: ChildArgs,
        /// The store
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Print the children there are, then what happens to them
    Watch {
        /// Which children
        #[command(flatten)]
        of: ChildArgs,
        /// End after so many operations
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        /// The store
        #[command(flatten)]
        store: StoreArgs,
    },
}
