use hyperty_model::Position;
use hyperty_storage::MemoryTables;
use proptest::prelude::*;

use super::*;

const LIMITS: BackupLimits = BackupLimits {
    records_per_user: 3,
    bytes_per_user: 100,
    record_bytes: 50,
    records: 5,
    upload_bytes: 100,
    uploads_per_runtime: 2,
    upload_kept: std::time::Duration::from_secs(60),
};

fn object(number: u64) -> ObjectUrl {
    ObjectUrl::parse(&format!("comm://a.example/{number}")).unwrap()
}

fn runtime(name: &str) -> RuntimeUrl {
    RuntimeUrl::parse(&format!("hyperty-runtime://a.example/{name}")).unwrap()
}

fn user(name: &str) -> Identity {
    super::super::row::bare(&Identity::of_user(&format!("user://a.example/{name}"))).unwrap()
}

fn row(user_name: &str, device: &str, number: u64, position: (u64, u64), bytes: usize) -> Row {
    Row {
        resource: object(number),
        role: BackupSide::Reporter,
        user: user(user_name),
        runtime: runtime(device),
        position: Position::new(position.0, position.1),
        bytes: bytes as u64,
        parts: 0,
        save: 0,
        ticket: Ticket::default(),
    }
}

fn observation(user_name: &str, device: &str, number: u64) -> Row {
    Row { role: BackupSide::Observer, ..row(user_name, device, number, (0, 0), 1) }
}

fn open(tables: &Arc<MemoryTables>, limits: BackupLimits) -> BackupTable {
    BackupTable::open(Arc::clone(tables) as _, limits).unwrap()
}

fn save(table: &BackupTable, row: Row) -> Result<Ticket, Refusal> {
    let text = "x".repeat(usize::try_from(row.bytes).unwrap());
    table.save(row, text)
}

#[test]
fn the_later_state_stays_in_whatever_order_they_come() {
    let tables = Arc::new(MemoryTables::new());
    let table = open(&tables, LIMITS);
    save(&table, row("alice", "phone", 1, (1, 5), 10)).unwrap();
    // The same again: an operation on a child does not change the version.
    save(&table, row("alice", "phone", 1, (1, 5), 11)).unwrap();
    let outdated = Err(Refusal::Outdated(Position::new(1, 5)));
    assert_eq!(save(&table, row("alice", "phone", 1, (1, 4), 10)), outdated);
    assert_eq!(save(&table, row("alice", "phone", 1, (0, 9), 10)), outdated, "the epoch decides");
    assert_eq!(save(&table, row("alice", "tablet", 1, (1, 9), 10)), outdated, "an epoch is one owner's");
    save(&table, row("alice", "tablet", 1, (2, 6), 10)).unwrap();
    assert_eq!(
        save(&table, row("alice", "phone", 1, (1, 7), 10)),
        Err(Refusal::Outdated(Position::new(2, 6)))
    );
    // Also after a restart.
    let table = open(&Arc::new(tables.snapshot()), LIMITS);
    assert!(save(&table, row("alice", "phone", 1, (1, 7), 10)).is_err());
    let kept = table.find(BackupSide::Reporter, &object(1), &runtime("x"), &user("alice")).unwrap();
    assert_eq!((kept.runtime.clone(), kept.position), (runtime("tablet"), Position::new(2, 6)));
    assert_eq!(table.part(&kept, 1).unwrap(), "x".repeat(10));
}

#[test]
fn nobody_gets_removes_or_lists_what_is_another_users() {
    let table = open(&Arc::new(MemoryTables::new()), LIMITS);
    save(&table, row("alice", "phone", 1, (0, 1), 10)).unwrap();
    save(&table, observation("alice", "phone", 2)).unwrap();
    let found = |name: &str, role| table.find(role, &object(1), &runtime("phone"), &user(name)).map(drop);
    assert_eq!(found("alice", BackupSide::Reporter), Ok(()));
    assert_eq!(found("alice", BackupSide::Observer), Err(Refusal::Unknown));
    assert_eq!(found("eve", BackupSide::Reporter), Err(Refusal::Forbidden("another user's record")));
    let list = |name: &str, role| table.list(role, &user(name), None, 10).len();
    assert_eq!((list("alice", BackupSide::Reporter), list("eve", BackupSide::Reporter)), (1, 0));
    let remove = |name: &str, by: &str, epoch| {
        let (object, user, of, by) = (object(1), user(name), runtime("phone"), runtime(by));
        let removal =
            Removal { role: BackupSide::Reporter, object: &object, user: &user, of: &of, by: &by, epoch };
        table.remove(&removal).map(drop)
    };
    assert_eq!(remove("eve", "phone", 9), Err(Refusal::Forbidden("another user's record")));
    assert_eq!(remove("alice", "tablet", 0), Err(Refusal::Outdated(Position::new(0, 1))), "the phone has it");
    assert_eq!(table.size().0, 2);
    assert_eq!(remove("alice", "tablet", 1), Ok(()), "the tablet has taken it over");
    assert_eq!(remove("alice", "phone", 0), Ok(()), "twice is once");
    assert_eq!(table.size(), (1, 1));
}

#[test]
fn as_many_as_the_limits_say_and_no_more() {
    let table = open(&Arc::new(MemoryTables::new()), LIMITS);
    let limit = |saved: Result<Ticket, Refusal>| matches!(saved, Err(Refusal::Limit(_)));
    // A record of 49, 50, and 51 bytes.
    save(&table, row("alice", "phone", 1, (0, 1), 49)).unwrap();
    save(&table, row("alice", "phone", 1, (0, 2), 50)).unwrap();
    assert!(limit(save(&table, row("alice", "phone", 1, (0, 3), 51))));
    // A user of 99, 100, and 101 bytes; what is replaced does not count.
    save(&table, row("alice", "phone", 2, (0, 1), 49)).unwrap();
    save(&table, row("alice", "phone", 2, (0, 1), 50)).unwrap();
    assert!(limit(save(&table, row("alice", "phone", 3, (0, 1), 1))));
    // Two, three, and four records of a user.
    save(&table, row("alice", "phone", 2, (0, 1), 1)).unwrap();
    save(&table, row("alice", "tablet", 3, (0, 1), 1)).unwrap();
    assert!(limit(save(&table, observation("alice", "phone", 4))));
    // Four, five, and six of all.
    save(&table, observation("bob", "b", 4)).unwrap();
    save(&table, observation("bob", "b", 5)).unwrap();
    assert!(limit(save(&table, observation("carol", "c", 4))));
    save(&table, observation("bob", "b", 5)).unwrap();
}

#[test]
fn a_list_is_read_in_pages() {
    let limits = BackupLimits { records_per_user: 10, records: 20, ..LIMITS };
    let table = open(&Arc::new(MemoryTables::new()), limits);
    for number in 0..7 {
        save(&table, observation("alice", "phone", number)).unwrap();
        save(&table, observation("bob", "phone", number)).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = table.list(BackupSide::Observer, &user("alice"), after.as_deref(), 3);
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        seen.extend(page.into_iter().map(|(_, row)| row.resource));
    }
    assert_eq!(seen, (0..7).map(object).collect::<Vec<_>>());
}

proptest! {
    /// Whatever is saved and removed, what is counted is what is there, before a restart and after it.
    #[test]
    fn what_is_counted_is_what_is_there(
        steps in proptest::collection::vec((0..4u8, 0..2usize, 0..3usize, 0..3u64, 0..3u64, 0..3u64, 0..60usize), 0..60)
    ) {
        let tables = Arc::new(MemoryTables::new());
        let table = open(&tables, LIMITS);
        let (users, devices) = (["alice", "bob"], ["phone", "tablet", "watch"]);
        for (what, who, device, number, epoch, version, bytes) in steps {
            let row = row(users[who], devices[device], number, (epoch, version), bytes);
            let before = table.list(BackupSide::Reporter, &row.user, None, 100);
            let result = match what {
                0 => {
                    let removal = Removal {
                        role: row.role, object: &row.resource, user: &row.user, of: &row.runtime,
                        by: &row.runtime, epoch,
                    };
                    table.remove(&removal)
                }
                1 => save(&table, Row { role: BackupSide::Observer, ..row.clone() }),
                _ => save(&table, row.clone()),
            };
            if result.is_err() {
                prop_assert_eq!(table.list(BackupSide::Reporter, &row.user, None, 100), before);
            }
        }
        let again = open(&Arc::new(tables.snapshot()), LIMITS);
        prop_assert_eq!(again.size(), table.size());
        let texts = tables.scan(PARTS, b"").unwrap();
        let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
        prop_assert_eq!(table.size().1, bytes as u64);
        let state = table.state.lock();
        let counted = state.usage.values().fold((0, 0), |(r, b), (records, bytes)| (r + records, b + bytes));
        prop_assert_eq!(counted, (state.rows.len(), state.bytes));
        prop_assert_eq!(&again.state.lock().usage, &state.usage);
        for row in state.rows.values() {
            prop_assert!(row.bytes <= 50);
        }
    }
}
