//! What the fault injector does, and what a store does when the disk fails.

use hyperty_storage::{
    Batch, FaultPlan, FaultyTables, MemoryTables, Progress, StorageError, Tables, Ticket, durable, flush,
};

const T: &str = "cases/v1";

fn faulty(plan: FaultPlan) -> FaultyTables<MemoryTables> {
    FaultyTables::new(MemoryTables::new(), plan)
}

#[tokio::test]
async fn a_failed_commit_is_final_and_everybody_hears_of_it() {
    let tables = faulty(FaultPlan { fail_commit: Some(3), ..FaultPlan::default() });
    let tickets: Vec<Ticket> = (0..5).map(|i| tables.commit(Batch::new().put(T, [i], "1"))).collect();
    let failed = Err(StorageError::Io("a fault was injected".to_owned()));
    for ticket in &tickets[..2] {
        assert_eq!(durable(&tables, *ticket).await, Ok(()));
    }
    for ticket in &tickets[2..] {
        assert_eq!(durable(&tables, *ticket).await, failed);
    }
    assert_eq!(flush(&tables).await, failed);
    assert!(tables.get(T, &[0]).is_err());
    tables.close();
    let now = Progress { durable: tickets[1], failed: failed.err() };
    assert_eq!(*tables.progress().borrow(), now, "the first reason stays");
    assert_eq!(tables.inner().snapshot().scan(T, b"").unwrap().len(), 2);
}

#[test]
fn one_read_fails_and_the_next_does_not() {
    let tables = faulty(FaultPlan { fail_read: Some(2), ..FaultPlan::default() });
    assert!(tables.get(T, b"a").is_ok());
    assert!(tables.scan(T, b"a").is_err());
    assert!(tables.get(T, b"a").is_ok());
}

#[tokio::test]
async fn a_frozen_disk_keeps_nothing_until_it_thaws() {
    let tables = faulty(FaultPlan { freeze_at: Some(2), ..FaultPlan::default() });
    let first = tables.commit(Batch::new().put(T, "a", "1"));
    let second = tables.commit(Batch::new().append(T, "a", "2"));
    let third = tables.commit(Batch::new().put(T, "b", "3"));
    assert_eq!(tables.progress().borrow().durable, first);
    assert_eq!(tables.get(T, b"a").unwrap().as_deref(), Some(&b"12"[..]));
    let after_a_crash = tables.inner().snapshot();
    assert_eq!(after_a_crash.get(T, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(after_a_crash.get(T, b"b").unwrap(), None);
    tables.thaw();
    assert_eq!(durable(&tables, third).await, Ok(()));
    assert!(second < third);
    assert_eq!(tables.inner().get(T, b"a").unwrap().as_deref(), Some(&b"12"[..]));
}

#[tokio::test]
async fn closing_a_frozen_disk_loses_what_was_held() {
    let tables = faulty(FaultPlan { freeze_at: Some(1), ..FaultPlan::default() });
    let held = tables.commit(Batch::new().put(T, "a", "1"));
    let disk = tables.inner().snapshot();
    tables.close();
    tables.thaw();
    assert_eq!(durable(&tables, held).await, Err(StorageError::Closed));
    assert_eq!(disk.get(T, b"a").unwrap(), None);
}
