//! Options of what runs for as long as its object.

use std::path::PathBuf;

use clap::Args;
use hyperty_model::ObjectUrl;
use hyperty_runtime::syncher::Accept;

use super::{AdminArgs, ClientArgs, DurabilityArgs, StoreArgs, accept};

pub(super) const REPORT: &str = "\
Create an object, or resume a stored one, and change it as stdin says.

Prints a `created` event with the object's URL, or `resumed` if the store holds an object of that name and schema.
Then each line of stdin is one of
  {\"attribute\":\"a.b\",\"value\":1}         set an attribute; without `value` it is deleted
  {\"attribute\":\"list.2\",\"attributeType\":\"array\",\"operation\":\"add\",\"value\":[1,2]}    insert elements
  {\"attribute\":\"list.0\",\"attributeType\":\"array\",\"operation\":\"remove\",\"value\":1}     remove elements
  {\"data\":{…}}                          the whole data; what differs is changed
  {\"delete\":true}                       delete the object, and end
  {\"observers\":true}                    print who observes, as an `observers` event
  {\"invite\":\"hyperty://…\"}            let somebody observe, and ask whether they want to; also a list; with
                                        \"children\":false they write no children, with \"until\":\"1h\" the offer
                                        ends, with \"announce\":true it is only told, and nothing granted
  {\"revoke\":\"hyperty://…\"}            take an invitation back that was not used
  {\"remove\":\"hyperty://…\"}            remove an observer, for good
  {\"delegate\":\"hyperty://…\"}          give the object away, and observe it from then on
  {\"answer\":1,\"value\":…}              answer request 1 (--requests); with code and reason it is refused
and is answered by a `published` event with the version and the number of the line, once for each change, when it is
published (and durable, with --store); or by a `rejected` event with code and reason. A rejected change changes nothing;
of whole data, the changes that were published before the rejected one stay. Lines after it are carried out all the
same. Many changes are under way at a time, and are published in the order of their lines.

What invited ones say is told by `invitee` events. With --delegated the command prints `waiting` with its address, and
takes the object that somebody offers to that; with --take-over it goes on with what another device reported, from a
copy of its store or, if it was created with --backup, from what the message node keeps: `backup` events tell how far that
is. Who reported it before prints `deposed` as soon as it is back, and leaves with 3.

At the end of stdin the object is served until the command is stopped, unless --exit-at-eof is given. While the
message node cannot be reached the command keeps trying; a resumed object takes changes meanwhile.";

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  echo '{\"attribute\":\"count\",\"value\":1}' | hyperty report --schema counter.json --store ./counter
  hyperty report --schema counter.json --name visits --store ./new --delegated
  hyperty report --schema counter.json --name visits --store ./phone --user user://localhost/alice --backup
  hyperty report --schema counter.json --name visits --store ./new --user user://localhost/alice --take-over";

pub(super) const OBSERVE: &str = "\
Observe an object: its state, then every change.

Prints a `snapshot` event (with --store after a restart: `resumed`, then the stored state as `snapshot`), then one
`change` event per change, in order and without a hole. `resync` stands where a whole state replaced the copy,
`child` for what happened to a child, `disconnected` and `resumed` when the Reporter is lost and reached again,
`deleted` and `closed` at the end. Adding the changes to the snapshot always gives the object.

While the message node cannot be reached the command keeps trying. With --timeout it ends after so many seconds,
with 5 unless --count or --until-version was reached.

With --invited it prints `waiting` with the address under which this hyperty is invited, then `invited`, accepts, and
goes on as above. With --user others find that address: hyperty discover user://… --hyperties. With --store the address
stays the same, and the next run goes on with what this one observed. With --take-over it goes on with what another
device of --user observes, as far as that was told to the message node with --backup: the Reporter is not asked again.";

pub(super) const OBSERVE_EXAMPLES: &str = "\
Examples:
  hyperty observe context://localhost/4674 --store ./copy
  hyperty observe --invited --user user://localhost/bob --store ./bob
  hyperty observe context://localhost/4674 --store ./laptop --user user://localhost/bob --backup
  hyperty observe --take-over --store ./phone --user user://localhost/bob --backup";

/// `hyperty report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The JSON Schema of the object
    #[arg(long, value_name = "FILE")]
    pub schema: PathBuf,
    /// The object's name [default: the schema's]
    #[arg(long)]
    pub name: Option<String>,
    /// The data at version 0: JSON, or the file that holds it
    #[arg(long, value_name = "JSON|@FILE")]
    pub initial: Option<String>,
    /// Who may observe and read: all, none, or URLs of hyperties and users, separated by commas
    #[arg(long, value_name = "all|none|URL,…", default_value = "all", value_parser = accept)]
    pub accept: Accept,
    /// If the store holds no object of that name and schema: do not create one, wait until one is offered to this
    /// hyperty, and take it
    #[arg(long, conflicts_with_all = ["initial", "take_over"])]
    pub delegated: bool,
    /// If this hyperty has no object of that name and schema: do not create one, take over the one that another hyperty
    /// of --user reported last, on this device or another
    #[arg(long, conflicts_with = "initial")]
    pub take_over: bool,
    /// Keep the object at the message node, too: with --take-over another device of --user goes on with it from there,
    /// with nothing in its store
    #[arg(long)]
    pub backup: bool,
    /// At the end of stdin wait for what is under way, then leave; with 1 if a line was rejected
    #[arg(long)]
    pub exit_at_eof: bool,
    /// Print what observers ask for, to be answered by lines; without it each is answered that nobody serves it
    #[arg(long)]
    pub requests: bool,
    /// What it shares with others that run for long
    #[command(flatten)]
    pub living: LivingArgs,
}

/// What everything that runs for as long as its object is told.
#[derive(Debug, Args)]
pub(crate) struct LivingArgs {
    /// Where it is asked how it is
    #[command(flatten)]
    pub admin: AdminArgs,
    /// The store
    #[command(flatten)]
    pub store: StoreArgs,
    /// What a crash may cost
    #[command(flatten)]
    pub durability: DurabilityArgs,
    /// The node
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `hyperty observe`.
#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    /// The object; not needed with --invited or --take-over
    #[arg(value_name = "OBJECT_URL", required_unless_present_any = ["invited", "take_over"])]
    pub object: Option<ObjectUrl>,
    /// Wait to be invited, to this object if one is named, and accept
    #[arg(long)]
    pub invited: bool,
    /// Wait to be invited, decline with these words, and end
    #[arg(long, value_name = "REASON", requires = "invited")]
    pub decline: Option<String>,
    /// If this hyperty does not observe already: go on with what another device of --user observes, the object if one is
    /// named
    #[arg(long, conflicts_with = "invited")]
    pub take_over: bool,
    /// Let the message node know that --user observes the object: with --take-over another device goes on with it, with
    /// nothing in its store
    #[arg(long)]
    pub backup: bool,
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// End when the copy has this version
    #[arg(long, value_name = "V")]
    pub until_version: Option<u64>,
    /// What it shares with others that run for long
    #[command(flatten)]
    pub living: LivingArgs,
}
