//! The calendar that rules and policies speak of, in UTC.

use hyperty_model::Timestamp;
use time::{Date, OffsetDateTime, Time, Weekday};

/// A point in time as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub date: Date,
    pub weekday: Weekday,
    pub time: Time,
}

impl Moment {
    /// `None` outside of the years that a calendar has, which no clock of today tells.
    pub(crate) fn at(now: Timestamp) -> Option<Moment> {
        let seconds = i64::try_from(now.as_millis() / 1_000).ok()?;
        let moment = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        // Rules speak of minutes: 22:00:30 is 22:00 to them.
        let time = Time::from_hms(moment.hour(), moment.minute(), 0).ok()?;
        Some(Moment { date: moment.date(), weekday: moment.weekday(), time })
    }
}

/// `2026-11-22`
pub(crate) fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let well_formed = (year.len(), month.len(), day.len(), parts.next()) == (4, 2, 2, None);
    let month = time::Month::try_from(digits(month)?).ok()?;
    well_formed.then(|| Date::from_calendar_date(year.parse().ok()?, month, digits(day)?).ok())?
}

/// `09:30`
pub(crate) fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let well_formed = hour.len() == 2 && minute.len() == 2;
    well_formed.then(|| Time::from_hms(digits(hour)?, digits(minute)?, 0).ok())?
}

/// `monday`, in any case.
pub(crate) fn weekday(text: &str) -> Option<Weekday> {
    let mut day = Weekday::Monday;
    for _ in 0..7 {
        if day.to_string().eq_ignore_ascii_case(text) {
            return Some(day);
        }
        day = day.next();
    }
    None
}

fn digits(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
