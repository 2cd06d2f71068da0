//! A sequence of steps, done and compared with the model.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{HypertyUrl, ObjectUrl, Url};
use hyperty_registry::{
    DomainRegistry, Query, QueryError, RegisterError, RegistrationRecord, RegistrationStatus, UpdateError,
};

use super::model::{Model, Said, event};
use super::{Domain, EXPIRES, RUNTIMES, Step, URLS, USERS, runtime_url};
use crate::suites::{Broken, Checked, demand};

pub(super) async fn play(domain: &dyn Domain, steps: &[Step]) -> Checked {
    let capabilities = domain.capabilities();
    let mut model = Model::new(capabilities.kept);
    let mut epochs: Vec<Option<u64>> = vec![None; URLS.len()];
    // Watches from the beginning.
    domain.events().await;
    for step in steps {
        let before = model.statuses();
        let said = perform(domain, step).await;
        let expected = model.apply(step);
        if said != expected {
            return Err(differently_answered(step, &said, &expected));
        }
        let after = model.statuses();
        for url in 0..URLS.len() {
            let found = read(domain, &model, url, step).await?;
            let now = found.map(|record| record.epoch);
            let fell = matches!((epochs[url], now), (Some(was), Some(is)) if is < was);
            demand!(
                "INV-REG-5",
                !fell,
                "{} went from epoch {:?} to {now:?} after {step:?}",
                URLS[url],
                epochs[url]
            );
            // Whoever is forgotten may begin anew.
            epochs[url] = now.or(epochs[url].filter(|_| after[url].is_some()));
        }
        for user in 0..USERS {
            of_user(domain, &model, user, step).await?;
        }
        if capabilities.events {
            events(domain, &before, &after, step).await?;
        }
        model.forget();
    }
    Ok(())
}

fn differently_answered(step: &Step, said: &Said, expected: &Said) -> Broken {
    let rule = match (step, expected) {
        (
            Step::Register { .. } | Step::SetLive { .. } | Step::Give { .. },
            Said::Conflict | Said::Refused,
        ) => "INV-REG-5",
        (_, Said::Gone) => "M12",
        _ => "5.13",
    };
    Broken::new(rule, format!("{step:?} was answered {said:?}, should be {expected:?}"))
}

fn url(number: usize) -> Url {
    Url::parse(URLS[number]).unwrap_or_else(|error| unreachable!("{}: {error}", URLS[number]))
}

fn user(number: u8) -> String {
    format!("user://example.com/{number}")
}

/// The record of a URL in the name of a runtime.
fn record(number: usize, from: usize, of: Option<u8>, epoch: u64) -> RegistrationRecord {
    let url = url(number);
    let reporter = HypertyUrl::parse(&format!("hyperty://example.com/of-{from}"));
    let reporter = reporter.unwrap_or_else(|error| unreachable!("it is a hyperty's: {error}"));
    let bare = match ObjectUrl::try_from(url.clone()) {
        Ok(object) => {
            let schema = Url::parse("https://example.com/.well-known/dataschema/Suite");
            let schema = schema.unwrap_or_else(|error| unreachable!("it is an address: {error}"));
            RegistrationRecord::of_object(&object, runtime_url(from), schema, "suite", reporter)
        }
        Err(_) => {
            let hyperty =
                HypertyUrl::try_from(url).unwrap_or_else(|error| unreachable!("it is a hyperty's: {error}"));
            RegistrationRecord::of_hyperty(&hyperty, runtime_url(from), "descriptor")
        }
    };
    RegistrationRecord { expires: EXPIRES, user: of.map(user), epoch, ..bare }
}

async fn perform(domain: &dyn Domain, step: &Step) -> Said {
    match *step {
        Step::Register { from, url, user, epoch } => {
            let record = record(url, from, Some(user), epoch);
            match domain.registry(from).register(&record).await {
                Ok(()) => Said::Done,
                Err(RegisterError::Conflict(_)) => Said::Conflict,
                Err(RegisterError::Gone) => Said::Gone,
                Err(RegisterError::Refused { .. }) => Said::Refused,
                Err(other) => Said::Else(other.to_string()),
            }
        }
        Step::SetLive { from, url, user, epoch } => {
            updated(domain.registry(from).set_live(&record(url, from, user, epoch)).await)
        }
        Step::Give { from, to, url, epoch } => {
            updated(domain.registry(from).set_live(&record(url, to, None, epoch)).await)
        }
        Step::KeepAlive { from, url } => updated(domain.registry(from).keep_alive(&self::url(url)).await),
        Step::Unregister { from, url } => updated(domain.registry(from).unregister(&self::url(url)).await),
        Step::Delete { from, url } => updated(domain.registry(from).delete(&self::url(url)).await),
        Step::SessionEnds { of } => {
            domain.end_session(of).await;
            Said::Done
        }
        Step::Pass { seconds } => {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Said::Done
        }
        Step::Restart => {
            domain.restart().await;
            Said::Done
        }
    }
}

fn updated(outcome: Result<(), UpdateError>) -> Said {
    match outcome {
        Ok(()) => Said::Done,
        Err(UpdateError::Unknown) => Said::Unknown,
        Err(UpdateError::Conflict(_)) => Said::Conflict,
        Err(UpdateError::Gone) => Said::Gone,
        Err(UpdateError::Refused { .. }) => Said::Refused,
        Err(other) => Said::Else(other.to_string()),
    }
}

/// Reads an entry as a runtime that has nothing to do with it.
fn reader(domain: &dyn Domain) -> Arc<dyn DomainRegistry> {
    domain.registry(RUNTIMES)
}

async fn read(
    domain: &dyn Domain,
    model: &Model,
    number: usize,
    after: &Step,
) -> Result<Option<RegistrationRecord>, Broken> {
    let url = url(number);
    let (status, record) = match reader(domain).read(&url).await {
        Ok(record) => (Some(RegistrationStatus::Live), Some(record)),
        Err(QueryError::Disconnected(records)) => {
            (Some(RegistrationStatus::Disconnected), records.into_iter().find(|record| record.url == url))
        }
        Err(QueryError::Gone) => (Some(RegistrationStatus::Deleted), None),
        Err(QueryError::NotFound) => (None, None),
        Err(other) => return Err(Broken::new("5.13", format!("a read of {url}: {other}, after {after:?}"))),
    };
    let should = model.status(number);
    if status != should {
        let revived = matches!(after, Step::KeepAlive { .. }) && status == Some(RegistrationStatus::Live);
        let rule = match (after, should) {
            _ if revived => "INV-REG-3",
            (Step::Delete { .. }, _) | (_, Some(RegistrationStatus::Deleted)) => "M12",
            (Step::SessionEnds { .. }, _) => "M13",
            _ => "INV-REG-1",
        };
        return Err(Broken::new(rule, format!("{url} is {status:?}, should be {should:?}, after {after:?}")));
    }
    if let (Some(record), Some(entry)) = (&record, model.entries.get(&number)) {
        let is = (record.runtime.clone(), record.user.clone(), record.epoch);
        let should = (runtime_url(entry.owner), Some(user(entry.user)), entry.epoch);
        demand!("INV-REG-5", is == should, "{url} belongs to {is:?}, should to {should:?}, after {after:?}");
    }
    Ok(record)
}

/// INV-REG-4.
async fn of_user(domain: &dyn Domain, model: &Model, number: u8, after: &Step) -> Checked {
    let found = reader(domain).find("example.com", &Query::of_user(&user(number))).await;
    let (records, live) = match found {
        Ok(records) => (records, true),
        Err(QueryError::Disconnected(records)) => (records, false),
        Err(QueryError::NotFound) => (Vec::new(), false),
        Err(other) => {
            return Err(Broken::new("INV-REG-4", format!("a query by user: {other}, after {after:?}")));
        }
    };
    let is: Vec<&str> = records.iter().map(|record| record.url.as_str()).collect();
    let of_user = |at: &usize| {
        let status = model.status(*at);
        let there = status.is_some_and(|status| status != RegistrationStatus::Deleted);
        there && model.entries[at].user == number
    };
    let should: Vec<usize> = model.entries.keys().copied().filter(of_user).collect();
    let any_live = should.iter().any(|&at| model.status(at) == Some(RegistrationStatus::Live));
    let should: BTreeSet<&str> = should.into_iter().map(|at| URLS[at]).collect();
    let sorted: Vec<&str> = should.iter().copied().collect();
    demand!("INV-REG-4", is == sorted, "user {number} has {is:?}, should have {sorted:?}, after {after:?}");
    demand!(
        "INV-REG-1",
        live == any_live,
        "user {number} has something live: {live}, should be {any_live}, after {after:?}"
    );
    Ok(())
}

/// INV-REG-2. The order between entries is not looked at: what expires in the same second may be told in any.
async fn events(
    domain: &dyn Domain,
    before: &[Option<RegistrationStatus>],
    after: &[Option<RegistrationStatus>],
    step: &Step,
) -> Checked {
    let mut is: Vec<(String, &str)> =
        domain.events().await.into_iter().map(|(url, status)| (url.to_string(), status.as_str())).collect();
    is.sort_unstable();
    let changes = URLS.iter().zip(before.iter().zip(after));
    let mut should: Vec<(String, &str)> = changes
        .filter_map(|(url, (before, after))| {
            event(*before, *after).map(|status| ((*url).to_owned(), status.as_str()))
        })
        .collect();
    should.sort_unstable();
    demand!("INV-REG-2", is == should, "told {is:?}, should be {should:?}, after {step:?}");
    Ok(())
}
