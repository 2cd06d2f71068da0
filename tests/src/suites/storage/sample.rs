//! Records for the suites of storage.

use std::sync::Arc;

use hyperty_model::change::{Change, ChangeOp, apply};
use hyperty_model::delegation::Giver;
use hyperty_model::log::{LOG_BYTES_MAX, LOG_CHANGES_MAX};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{ChildEntry, ChildId, ChildValue, Children, Metadata};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, ObjectUrl, Position, Timestamp};
use hyperty_storage::{
    Delegation, Grant, Invited, InvitedStage, LOG_BYTES_KEPT, ObjectRecord, RecordStatus, Role, Subscriber,
};
use serde_json::{Value, json};

/// An object of this name.
pub fn object(name: &str) -> ObjectUrl {
    ObjectUrl::parse(&format!("comm://Example.com/{name}")).expect("the cases use valid names")
}

/// A hyperty of this name.
pub fn hyperty(name: &str) -> HypertyUrl {
    HypertyUrl::parse(&format!("hyperty://example.com/{name}")).expect("the cases use valid names")
}

/// A children name.
pub fn children_name(name: &str) -> ChildrenName {
    ChildrenName::new(name).expect("the cases use valid names")
}

/// A plain record at version 0.
pub fn record(role: Role, name: &str, data: Option<Value>) -> ObjectRecord {
    let created = Timestamp::from_millis(1_767_225_600_000);
    let metadata = Metadata {
        url: object(name),
        reporter: hyperty("alice"),
        runtime: "hyperty-runtime://example.com/laptop".parse().expect("a runtime"),
        schema: "hyperty-catalogue://catalogue.example.com/schema/Comm".parse().expect("a schema"),
        name: name.to_owned(),
        created,
        last_modified: created,
        description: None,
        tags: Vec::new(),
        resources: Vec::new(),
        public_observation: false,
        observer_storage: None,
        mutual_authentication: None,
    };
    ObjectRecord {
        role,
        metadata,
        position: Position::default(),
        store: data.is_some(),
        data,
        log: Vec::new(),
        broken: false,
        children: Children::default(),
        children_names: Vec::new(),
        subscriptions: Vec::new(),
        grants: Vec::new(),
        invitations: Vec::new(),
        reporter_user: None,
        status: RecordStatus::Live,
        domain_registration: true,
        domain_routing: true,
        backup: false,
        delegation: None,
        pending: Default::default(),
    }
}

/// A child of a hyperty.
pub fn child(reporter: &str, number: u64, data: Value) -> ChildEntry {
    ChildValue::new(ChildId::of(&hyperty(reporter), number), hyperty(reporter), data).into()
}

/// A record with something in every field.
pub fn full_record() -> ObjectRecord {
    let mut full = record(Role::Reporter, "full", Some(json!({"a": [1, null, {"b": "ü\n\""}], "x": 0.1})));
    full.position = Position::new(3, 17);
    full.metadata.description = Some("for people".to_owned());
    full.metadata.tags = vec!["tag".to_owned()];
    full.metadata.public_observation = true;
    full.metadata.last_modified = Timestamp::from_millis(1_767_225_600_001);
    full.children_names = vec![children_name("notes"), children_name("files")];
    full.children.create(&children_name("notes"), child("bob", 1, json!({"text": "hi"}))).expect("it is new");
    full.children.create(&children_name("notes"), child("bob", 2, json!({}))).expect("it is new");
    full.children
        .delete(&children_name("notes"), "hyperty://example.com/bob#2", &hyperty("bob"))
        .expect("it is his");
    full.subscriptions = vec![
        Subscriber { away: true, ..subscriber("bob") },
        subscriber("carol"),
        Subscriber { children: false, ..subscriber("dave") },
        removed("frank"),
        Subscriber { left: Some(Timestamp::from_millis(1_700_000_000_789)), ..subscriber("grace") },
    ];
    full.grants = vec![
        Grant { who: hyperty("dave").into(), children: false, until: Some(1_767_225_600_000) },
        Grant::unlimited("hyperty://example.org/*".parse().expect("a URL")),
    ];
    full.invitations = vec![
        Invited {
            who: hyperty("dave"),
            announced: false,
            until: 1_767_225_600_000,
            stage: InvitedStage::Delivered,
        },
        Invited { who: hyperty("erin"), announced: true, until: 7, stage: InvitedStage::Waiting },
    ];
    full.reporter_user = Some(Identity::of_user("user://example.com/alice"));
    full.status = RecordStatus::Disconnected;
    full.domain_registration = false;
    full.delegation = Some(Delegation::Giving {
        state: Giver::Given {
            epoch: 4,
            offer: "8a7b".to_owned(),
            taker: "hyperty-runtime://example.com/b/sm".parse().expect("a URL"),
            confirmed: false,
        },
        former: hyperty("alice"),
        from: full.position,
        departed: true,
    });
    full.pending = [(3, json!({"id": 7, "type": "create"})), (12, json!({"id": 8, "type": "update"}))].into();
    // Two changes that led to where it stands; the data has them already.
    full.log = [16, 17]
        .map(|version| {
            let change = Change::new("x", ChangeOp::Set(json!(0.1)));
            Arc::new(UpdateBody::change(Position::new(3, version), change))
        })
        .into();
    full
}

/// What a change does to a record that is held in memory.
pub fn change(record: &mut ObjectRecord, kind: UpdateKind) -> UpdateBody {
    let time = Timestamp::from_millis(record.metadata.last_modified.as_millis() + 1);
    match (&kind, &mut record.data) {
        (UpdateKind::Change(change), Some(data)) => apply(data, change).expect("the cases fit"),
        (UpdateKind::Metadata { attribute, value }, _) => {
            record.metadata.set(attribute, value).expect("the cases fit");
        }
        _ => {}
    }
    record.position = record.position.next();
    record.metadata.last_modified = time;
    let body = UpdateBody { last_modified: Some(time), ..UpdateBody::new(kind) }.at(record.position);
    if record.data.is_some() {
        record.log.push(Arc::new(body.clone()));
        trim(&mut record.log);
    }
    body
}

/// The log as it is kept at most.
fn trim(log: &mut Vec<Arc<UpdateBody>>) {
    let size = |log: &[Arc<UpdateBody>]| log.iter().map(|body| body.approximate_size()).sum::<usize>();
    while log.len() > LOG_CHANGES_MAX || size(log) > LOG_BYTES_MAX {
        log.remove(0);
    }
}

/// Whether a record is as it must be, whatever the log has.
///
/// # Errors
/// What is different.
pub fn same_but_log(found: &ObjectRecord, wanted: &ObjectRecord) -> Result<(), String> {
    let without = |record: &ObjectRecord| ObjectRecord { log: Vec::new(), ..record.clone() };
    match without(found) == without(wanted) {
        true => Ok(()),
        false => Err(format!("{:?} is not {:?}", without(found), without(wanted))),
    }
}

/// Whether a record is as it must be. Of the log it is the end that must be there: at least what
/// [`LOG_BYTES_KEPT`] has room for.
///
/// # Errors
/// What is different.
pub fn same(found: &ObjectRecord, wanted: &ObjectRecord) -> Result<(), String> {
    same_but_log(found, wanted)?;
    let mut bytes = 0;
    let least = wanted.log.iter().rev().take_while(|body| {
        bytes += body.approximate_size();
        bytes <= LOG_BYTES_KEPT
    });
    let least = least.count();
    match wanted.log.ends_with(&found.log) {
        true if found.log.len() >= least => Ok(()),
        true => Err(format!("{} changes are kept, not {least}", found.log.len())),
        false => Err(format!("the log {:?} is no end of {:?}", found.log, wanted.log)),
    }
}

/// A subscriber of this name.
pub fn subscriber(name: &str) -> Subscriber {
    Subscriber {
        runtime: "runtime://example.com/phone".parse().ok(),
        identity: Some(Identity::of_user("user://example.com/bob")),
        ..Subscriber::new(hyperty(name))
    }
}

/// One of this name that was removed.
pub fn removed(name: &str) -> Subscriber {
    Subscriber {
        since: Some(Timestamp::from_millis(1_700_000_000_123)),
        removed: Some(Timestamp::from_millis(1_700_000_000_456)),
        untold: true,
        ..subscriber(name)
    }
}

/// Sets an attribute.
pub fn set(path: &str, value: Value) -> UpdateKind {
    UpdateKind::Change(Change::new(path, ChangeOp::Set(value)))
}
