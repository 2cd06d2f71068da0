//! The axes of the matrix, and which combinations mean something.

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Has nothing to do with the object.
    Stranger,
    /// Was admitted beforehand, and has not subscribed.
    Invited,
    /// Asked, and the Reporter's application said no.
    Refused,
    /// Observes the object.
    Observer,
    /// Observed it until the Reporter removed it.
    Removed,
    /// Reported it until it handed it over; observes it since.
    Former,
    /// Reported it until another hyperty of its user took it over, while its runtime was down.
    Deposed,
    /// Reports it.
    Reporter,
    /// Observes it and has a child in it.
    ChildReporter,
    /// A Sync Manager of another user's runtime, in its own name.
    OtherRuntime,
    /// Somebody who speaks as a service of the node.
    Node,
}

impl Role {
    pub(crate) const ALL: [Role; 11] = [
        Role::Stranger,
        Role::Invited,
        Role::Refused,
        Role::Observer,
        Role::Removed,
        Role::Former,
        Role::Deposed,
        Role::Reporter,
        Role::ChildReporter,
        Role::OtherRuntime,
        Role::Node,
    ];

    /// Whether the Reporter's side has it among the observers.
    pub(crate) fn observes(self) -> bool {
        matches!(self, Role::Observer | Role::Former | Role::ChildReporter)
    }

    /// The last segment of its addresses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Stranger => "stranger",
            Role::Invited => "invited",
            Role::Refused => "refused",
            Role::Observer => "observer",
            Role::Removed => "removed",
            Role::Former => "former",
            Role::Deposed => "deposed",
            Role::Reporter => "reporter",
            Role::ChildReporter => "writer",
            Role::OtherRuntime => "elsewhere",
            Role::Node => "node",
        }
    }
}

/// What it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ask {
    /// `read` to the object.
    Read,
    /// `read` of what came since a position, as a Sync Manager does to repair its copy.
    Repair,
    /// `subscribe` to `O/subscription`, or to the own Sync Manager.
    Subscribe,
    /// `unsubscribe`, of itself.
    Leave,
    /// `unsubscribe` as a node says that a session ended.
    SessionEnded,
    /// `update` on `O/changes`.
    Change,
    /// A position of the object, `update` on `O/changes`.
    Beat,
    /// The announcement of a deletion on `O/changes`.
    AnnounceDeletion,
    /// `delete` to the Reporter's Sync Manager.
    Delete,
    /// A child of a name that observers may write.
    AddChild,
    /// A child of a name that they may only read.
    AddReadOnly,
    /// A change of the child reporter's child.
    ChangeChild,
    /// Its deletion.
    DeleteChild,
    /// An action that the Reporter's application is asked for.
    Execute,
    /// `create` with invitees to the Reporter's Sync Manager.
    Invite,
    /// `unsubscribe` of another observer to the Reporter's Sync Manager.
    Remove,
    /// The offer of the object to somebody else.
    Offer,
    /// Taking up an offer that was never made.
    TakeUp,
    /// The acceptance of what is offered to the Reporter, at its Sync Manager.
    Accept,
    /// A request that would have come to the object's former owner, passed on to the Reporter's Sync Manager.
    PassOn,
    /// `create` with `resume` for the object.
    Resume,
    /// The object's address at the node, as its Reporter's side holds it.
    Hold,
    /// The same with a transfer to the own runtime.
    Transfer,
    /// Cutting off another runtime that listens.
    Revoke,
    /// A status of the object in the registry.
    Disconnect,
    /// The removal of its record.
    Unregister,
    /// A record of its own for the object.
    Register,
    /// The same in a later epoch, as who took it over would.
    RegisterLater,
    /// The release of its address.
    Release,
}

impl Ask {
    pub(crate) const ALL: [Ask; 29] = [
        Ask::Read,
        Ask::Repair,
        Ask::Subscribe,
        Ask::Leave,
        Ask::SessionEnded,
        Ask::Change,
        Ask::Beat,
        Ask::AnnounceDeletion,
        Ask::Delete,
        Ask::AddChild,
        Ask::AddReadOnly,
        Ask::ChangeChild,
        Ask::DeleteChild,
        Ask::Execute,
        Ask::Invite,
        Ask::Remove,
        Ask::Offer,
        Ask::TakeUp,
        Ask::Accept,
        Ask::PassOn,
        Ask::Resume,
        Ask::Hold,
        Ask::Transfer,
        Ask::Revoke,
        Ask::Disconnect,
        Ask::Unregister,
        Ask::Register,
        Ask::RegisterLater,
        Ask::Release,
    ];

    /// Whether it is a matter of the node and its services.
    pub(crate) fn is_for_node(self) -> bool {
        use Ask::{Disconnect, Hold, Register, RegisterLater, Release, Revoke, Transfer, Unregister};
        matches!(
            self,
            Hold | Transfer | Revoke | Disconnect | Unregister | Register | RegisterLater | Release
        )
    }

    /// Whether it goes to the Reporter's own Sync Manager, which takes requests from its own runtime only.
    pub(crate) fn is_for_manager(self) -> bool {
        matches!(self, Ask::Delete | Ask::Invite | Ask::Remove | Ask::Offer | Ask::Resume | Ask::Accept)
    }

    /// Whether it is published, so that it has no answer if all is well.
    pub(crate) fn is_published(self) -> bool {
        matches!(self, Ask::Change | Ask::Beat | Ask::AnnounceDeletion)
    }

    /// Whether it is an operation on a child.
    pub(crate) fn is_of_child(self) -> bool {
        matches!(self, Ask::AddChild | Ask::AddReadOnly | Ask::ChangeChild | Ask::DeleteChild)
    }
}

/// How it is with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum State {
    /// There was never one of this address.
    Absent,
    Live,
    /// It is offered to somebody who has not answered.
    Delegating,
    /// It is another runtime's, and offered to the Reporter, who has not answered.
    OfferedHere,
    /// The Reporter has accepted it: its runtime claims it, and it is not given yet.
    Claimed,
    Deleted,
}

impl State {
    pub(crate) const ALL: [State; 6] =
        [State::Absent, State::Live, State::Delegating, State::OfferedHere, State::Claimed, State::Deleted];

    /// Whether the Reporter is the one who is to have it.
    pub(crate) fn is_to_be_taken(self) -> bool {
        matches!(self, State::OfferedHere | State::Claimed)
    }
}

/// Where the sender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Path {
    /// A hyperty of the Reporter's runtime.
    Inside,
    /// A session at the node.
    Node,
}

impl Path {
    pub(crate) const ALL: [Path; 2] = [Path::Inside, Path::Node];
}

/// How the object came to its Reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From another hyperty of the runtime, which handed it over.
    Inside,
    /// From another runtime, which handed it over.
    Node,
    /// From another runtime of the same user, whose store it was found in.
    TakenOver,
}

impl Origin {
    /// That by which a role is what it is.
    pub(crate) fn of(role: Role, path: Path) -> Origin {
        match role {
            Role::Deposed => Origin::TakenOver,
            Role::Former if path == Path::Node => Origin::Node,
            _ => Origin::Inside,
        }
    }
}

/// As whom it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As itself.
    True,
    /// `from` is the Reporter's hyperty.
    ForgedFrom,
    /// `from` is an observer of another runtime.
    ForgedObserver,
    /// `from` is the object.
    ForgedObject,
    /// `from` is the Sync Manager of the Reporter's runtime.
    ForgedManager,
    /// `source`, `subscriber` and `reporter` in the body name somebody who may.
    ForgedSource,
    /// `identity` in the body names the Reporter's user.
    ForgedIdentity,
    /// The very message of somebody who may, a second time.
    Replayed,
    /// As itself, in a session whose token has run out.
    Expired,
}

impl Form {
    pub(crate) const ALL: [Form; 9] = [
        Form::True,
        Form::ForgedFrom,
        Form::ForgedObserver,
        Form::ForgedObject,
        Form::ForgedManager,
        Form::ForgedSource,
        Form::ForgedIdentity,
        Form::Replayed,
        Form::Expired,
    ];
}

/// One of all that may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) state: State,
    pub(crate) path: Path,
    pub(crate) role: Role,
    pub(crate) ask: Ask,
    pub(crate) form: Form,
}

impl Cell {
    /// Every combination that means something.
    pub(crate) fn all() -> Vec<Cell> {
        let mut cells = Vec::new();
        for state in State::ALL {
            for path in Path::ALL {
                for role in Role::ALL {
                    for ask in Ask::ALL {
                        for form in Form::ALL {
                            let cell = Cell { state, path, role, ask, form };
                            if cell.means_something() {
                                cells.push(cell);
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    fn means_something(self) -> bool {
        let Cell { state, path, role, ask, form } = self;
        // The Reporter lives in its runtime; runtimes and those who speak for the node come by the node.
        let placed = match role {
            Role::Reporter => path == Path::Inside,
            // Before there was an object, and after it, it is a stranger.
            Role::Deposed => matches!(state, State::Live | State::Delegating),
            Role::OtherRuntime | Role::Node => path == Path::Node,
            _ => true,
        };
        // Hyperties reach the node's services through their Sync Manager, which asks for nothing in their name.
        let reachable = !(ask.is_for_node() && path == Path::Inside);
        let formed = match form {
            Form::True => true,
            Form::ForgedFrom | Form::ForgedObject => role != Role::Reporter,
            Form::ForgedManager => true,
            Form::ForgedObserver => !role.observes() && role != Role::Reporter,
            // Only where a member of the body says who it is for.
            Form::ForgedSource => {
                let named = matches!(
                    ask,
                    Ask::Read | Ask::Repair | Ask::Subscribe | Ask::Leave | Ask::Change | Ask::ChangeChild
                ) || ask == Ask::Register;
                named && role != Role::Reporter
            }
            Form::ForgedIdentity => {
                matches!(
                    ask,
                    Ask::Read | Ask::Subscribe | Ask::AddChild | Ask::Execute | Ask::Resume | Ask::Leave
                ) && role != Role::Reporter
            }
            // What has no answer and is sent again by its author is a double, which other tests look at.
            Form::Replayed => {
                matches!(ask, Ask::Subscribe | Ask::Change | Ask::AddChild | Ask::ChangeChild | Ask::Delete)
                    && role != Role::Reporter
                    && state == State::Live
            }
            // It does not come to sending anything.
            Form::Expired => path == Path::Node && ask == Ask::Read,
        };
        if state.is_to_be_taken() {
            // It has no observers yet that the Reporter's side knows of; who asks it as what it is asks its owner.
            let known = matches!(role, Role::Stranger | Role::Reporter | Role::OtherRuntime | Role::Node);
            let asked_here =
                ask.is_for_manager() || ask.is_for_node() || ask.is_published() || matches!(ask, Ask::PassOn);
            let as_itself = form == Form::True && asked_here;
            let as_another = matches!(form, Form::ForgedFrom | Form::ForgedObject | Form::ForgedManager);
            return known && placed && reachable && formed && (as_itself || as_another);
        }
        placed && reachable && formed && !matches!(ask, Ask::Accept | Ask::PassOn)
    }
}
