//! Four years of weather: as the changes that a station makes day by day, and as the object they must lead to.

use std::collections::BTreeMap;

use hyperty_model::change::{Change, ChangeOp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::exit::Failure;

/// Daily observations of Seattle; `data/README.md` says where they are from.
const CSV: &str = include_str!("../../data/seattle-weather.csv");

/// How many days the object shows one by one.
pub(crate) const RECENT_DAYS: usize = 30;

/// One day. Numbers are tenths, as they were measured: sums of them are exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Day {
    /// As `2012-01-31`.
    pub date: String,
    precipitation: i64,
    temp_max: i64,
    temp_min: i64,
    wind: i64,
    weather: String,
}

#[derive(Deserialize)]
struct Row {
    date: String,
    precipitation: f64,
    temp_max: f64,
    temp_min: f64,
    wind: f64,
    weather: String,
}

/// The first days of the CSV, all if there is no limit.
///
/// # Errors
/// When the CSV is not what it was.
pub(crate) fn days(limit: Option<usize>) -> Result<Vec<Day>, Failure> {
    let rows = csv::Reader::from_reader(CSV.as_bytes()).into_deserialize::<Row>();
    let days = rows.map(|row| row.map(Day::of)).take(limit.unwrap_or(usize::MAX));
    days.collect::<Result<Vec<Day>, _>>().map_err(Failure::error)
}

impl Day {
    fn of(row: Row) -> Day {
        let tenths = |value: f64| (value * 10.0).round() as i64;
        Day {
            date: row.date,
            precipitation: tenths(row.precipitation),
            temp_max: tenths(row.temp_max),
            temp_min: tenths(row.temp_min),
            wind: tenths(row.wind),
            weather: row.weather,
        }
    }

    fn year(&self) -> &str {
        self.date.get(..4).unwrap_or_default()
    }

    fn month(&self) -> &str {
        self.date.get(5..7).unwrap_or_default()
    }

    fn value(&self) -> Value {
        json!({
            "date": self.date, "precipitation": tenths(self.precipitation), "temp_max": tenths(self.temp_max),
            "temp_min": tenths(self.temp_min), "wind": tenths(self.wind), "weather": self.weather,
        })
    }

    fn has_snow(&self) -> bool {
        self.weather == "snow"
    }
}

fn tenths(value: i64) -> f64 {
    value as f64 / 10.0
}

/// The object before the first day.
pub(crate) fn initial() -> Value {
    json!({"station": "Seattle", "years": {}, "recent": []})
}

/// Statistics as they run on.
#[derive(Debug, Clone, Default)]
struct Running {
    days: i64,
    precipitation: i64,
    temp_max: i64,
    temp_min: i64,
    /// Of the highest and lowest temperatures.
    sum: i64,
    snow: Vec<String>,
}

impl Running {
    fn add(&mut self, day: &Day) {
        self.temp_max = if self.days == 0 { day.temp_max } else { self.temp_max.max(day.temp_max) };
        self.temp_min = if self.days == 0 { day.temp_min } else { self.temp_min.min(day.temp_min) };
        self.days += 1;
        self.precipitation += day.precipitation;
        self.sum += day.temp_max + day.temp_min;
        if day.has_snow() {
            self.snow.push(day.date.clone());
        }
    }

    fn value(&self) -> Value {
        statistics(self.days, self.precipitation, self.temp_max, self.temp_min, self.sum)
    }

    fn month_value(&self) -> Value {
        let mut month = self.value();
        month["snow"] = json!(self.snow);
        month
    }
}

fn statistics(days: i64, precipitation: i64, temp_max: i64, temp_min: i64, sum: i64) -> Value {
    // To hundredths of a degree.
    let mean = (sum as f64 / (2 * days) as f64 * 10.0).round() / 100.0;
    json!({
        "days": days, "precipitation": tenths(precipitation), "temp_max": tenths(temp_max),
        "temp_min": tenths(temp_min), "temp_mean": mean,
    })
}

/// The changes of all days, and where the changes of each day begin. Change number `n`, counted from 1, leads to
/// version `n`.
pub(crate) fn changes(days: &[Day]) -> (Vec<Change>, Vec<usize>) {
    let (mut changes, mut starts) = (Vec::new(), Vec::new());
    let mut years: BTreeMap<&str, Running> = BTreeMap::new();
    let mut months: BTreeMap<(&str, &str), Running> = BTreeMap::new();
    let mut recent = 0;
    for day in days {
        starts.push(changes.len());
        let mut set = |path: String, value| changes.push(Change::new(path, ChangeOp::Set(value)));
        set("current".to_owned(), day.value());
        let (year, month) = (day.year(), day.month());
        let is_new = !years.contains_key(year);
        let total = years.entry(year).or_default();
        total.add(day);
        if is_new {
            set(format!("years.{year}"), json!({"total": total.value(), "months": {}}));
        } else {
            set(format!("years.{year}.total"), total.value());
        }
        let of_month = months.entry((year, month)).or_default();
        of_month.add(day);
        set(format!("years.{year}.months.{month}"), of_month.month_value());
        changes.push(Change::new(format!("recent.{recent}"), ChangeOp::Insert(vec![day.value()])));
        recent += 1;
        if recent > RECENT_DAYS {
            changes.push(Change::new("recent.0", ChangeOp::Remove(1)));
            recent -= 1;
        }
    }
    (changes, starts)
}

/// The object straight from the days, without any change.
pub(crate) fn object(days: &[Day]) -> Value {
    let mut years = Map::new();
    for year in distinct(days.iter().map(Day::year)) {
        let of_year: Vec<&Day> = days.iter().filter(|day| day.year() == year).collect();
        let mut months = Map::new();
        for month in distinct(of_year.iter().map(|day| day.month())) {
            let of_month: Vec<&Day> = of_year.iter().copied().filter(|day| day.month() == month).collect();
            let snow: Vec<&str> =
                of_month.iter().filter(|day| day.has_snow()).map(|day| day.date.as_str()).collect();
            let mut value = summary(&of_month);
            value["snow"] = json!(snow);
            months.insert(month.to_owned(), value);
        }
        years.insert(year.to_owned(), json!({"total": summary(&of_year), "months": months}));
    }
    let recent: Vec<Value> =
        days.iter().skip(days.len().saturating_sub(RECENT_DAYS)).map(Day::value).collect();
    json!({
        "station": "Seattle", "current": days.last().map(Day::value), "years": years, "recent": recent,
    })
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut texts: Vec<&str> = texts.collect();
    texts.dedup();
    texts
}

fn summary(days: &[&Day]) -> Value {
    let max = days.iter().map(|day| day.temp_max).max().unwrap_or_default();
    let min = days.iter().map(|day| day.temp_min).min().unwrap_or_default();
    let precipitation = days.iter().map(|day| day.precipitation).sum();
    let sum = days.iter().map(|day| day.temp_max + day.temp_min).sum();
    statistics(days.len() as i64, precipitation, max, min, sum)
}

/// The notes that the first observer must have written: one for each day with snow.
pub(crate) fn snow_notes(days: &[Day]) -> Vec<Value> {
    days.iter().filter(|day| day.has_snow()).map(|day| snow_note(&day.date)).collect()
}

/// The notes that the second observer must have written: one for each month, brought up to date every day.
pub(crate) fn month_notes(days: &[Day]) -> Vec<Value> {
    let month = |day: &Day| day.date.get(..7).unwrap_or_default().to_owned();
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    days.iter().for_each(|day| *counted.entry(month(day)).or_default() += 1);
    counted.into_iter().map(|(month, days)| month_note(&month, days)).collect()
}

/// The note for a day with snow.
pub(crate) fn snow_note(date: &str) -> Value {
    json!({"date": date, "text": "snow"})
}

/// The note for a month so far.
pub(crate) fn month_note(month: &str, days: i64) -> Value {
    json!({"month": month, "days": days})
}

#[cfg(test)]
mod tests {
    use hyperty_model::change::apply;

    use super::*;

    #[test]
    fn the_csv_is_four_years_of_days() {
        let days = days(None).unwrap();
        assert_eq!(days.len(), 1461);
        assert_eq!((days[0].date.as_str(), days[1460].date.as_str()), ("2012-01-01", "2015-12-31"));
        assert_eq!(days[1].value()["precipitation"], json!(10.9));
        assert_eq!(snow_notes(&days).len(), CSV.matches(",snow").count());
        assert_eq!(month_notes(&days).len(), 48);
    }

    #[test]
    fn the_changes_of_any_number_of_days_lead_to_the_object_of_these_days() {
        let days = days(None).unwrap();
        let (changes, starts) = changes(&days);
        let mut data = initial();
        for (day, start) in starts.iter().enumerate() {
            let end = starts.get(day + 1).copied().unwrap_or(changes.len());
            changes[*start..end].iter().for_each(|change| apply(&mut data, change).unwrap());
            if day % 97 == 0 || day > 1455 {
                assert_eq!(data, object(&days[..=day]), "after day {day}");
            }
        }
        assert_eq!(data["recent"].as_array().unwrap().len(), RECENT_DAYS);
    }

    #[test]
    fn all_kinds_of_changes_occur() {
        let (changes, _) = changes(&days(Some(60)).unwrap());
        let count = |of: fn(&Change) -> bool| changes.iter().filter(|change| of(change)).count();
        assert_eq!(count(|change| matches!(change.op, ChangeOp::Insert(_))), 60);
        assert_eq!(count(|change| matches!(change.op, ChangeOp::Remove(_))), 30);
        assert!(count(|change| change.path.as_str().matches('.').count() == 3) > 0);
    }
}
