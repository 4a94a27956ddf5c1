//! Calling hours through the nights in which clocks are set, and against the plainest definition.

use super::*;

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use crate::campaign::zones::zone_named;

const ALL_DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn zone(name: &str) -> TimeZone {
    zone_named(name).expect("a zone")
}

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

fn hours(windows: &Value) -> CallingHours {
    let hours = json!({"timezone": "Europe/Berlin", "zone": "campaign", "windows": windows});
    CallingHours::read(&hours).expect("good hours")
}

fn every_day(from: &str, to: &str) -> CallingHours {
    hours(&json!([{"days": ALL_DAYS, "from": from, "to": to}]))
}

fn on(day: &str, from: &str, to: &str) -> CallingHours {
    hours(&json!([{"days": [day], "from": from, "to": to}]))
}

/// The next openings after a moment, one a line, as `from/to` in universal time.
fn openings(hours: &CallingHours, zones: &[&str], from: &str, count: usize) -> Vec<String> {
    let zones: Vec<TimeZone> = zones.iter().map(|name| zone(name)).collect();
    let mut now = at(from);
    let mut openings = Vec::new();
    while openings.len() < count {
        match hours.opening(&zones, now) {
            Opening::Open { until } => {
                openings.push(format!("{now}/{until}"));
                now = until;
            }
            Opening::Closed { until: Some(until) } => now = until,
            Opening::Closed { until: None } => {
                openings.push("never".to_owned());
                break;
            }
        }
    }
    openings
}

#[test]
fn a_day_of_calling_is_from_nine_to_eight_by_the_wall() {
    let hours = every_day("09:00", "20:00");
    assert_eq!(
        openings(&hours, &["Europe/Berlin"], "2026-03-27T00:00:00Z", 4),
        [
            "2026-03-27T08:00:00Z/2026-03-27T19:00:00Z",
            "2026-03-28T08:00:00Z/2026-03-28T19:00:00Z",
            // Summer time has begun.
            "2026-03-29T07:00:00Z/2026-03-29T18:00:00Z",
            "2026-03-30T07:00:00Z/2026-03-30T18:00:00Z",
        ]
    );
}

#[test]
fn the_first_second_is_in_a_window_and_the_last_is_not() {
    let hours = every_day("09:00", "20:00");
    let berlin = [zone("Europe/Berlin")];
    for (time, is_open) in [
        ("2026-06-01T06:59:59.999Z", false),
        ("2026-06-01T07:00:00Z", true),
        ("2026-06-01T17:59:59.999Z", true),
        ("2026-06-01T18:00:00Z", false),
    ] {
        assert_eq!(hours.opening(&berlin, at(time)).is_open(), is_open, "{time}");
    }
}

#[test]
fn no_zones_are_the_campaigns_own() {
    let hours = every_day("09:00", "20:00");
    let now = at("2026-06-01T12:00:00Z");
    assert_eq!(hours.opening(&[], now), hours.opening(&[zone("Europe/Berlin")], now));
}

#[test]
fn an_hour_that_a_night_in_spring_leaves_out_is_in_no_window() {
    // In Berlin 02:00 to 03:00 of 29 March 2026 does not exist. The Sunday after is more than a
    // week from the day before.
    assert_eq!(
        openings(&on("sun", "02:00", "03:00"), &["Europe/Berlin"], "2026-03-28T12:00:00Z", 2),
        ["2026-04-05T00:00:00Z/2026-04-05T01:00:00Z", "2026-04-12T00:00:00Z/2026-04-12T01:00:00Z"]
    );
    // One that reaches beyond it opens when the clock arrives in it.
    assert_eq!(
        openings(&on("sun", "02:30", "04:00"), &["Europe/Berlin"], "2026-03-28T12:00:00Z", 1),
        ["2026-03-29T01:00:00Z/2026-03-29T02:00:00Z"]
    );
    // One that begins before it ends with it.
    assert_eq!(
        openings(&on("sun", "01:30", "02:30"), &["Europe/Berlin"], "2026-03-28T12:00:00Z", 1),
        ["2026-03-29T00:30:00Z/2026-03-29T01:00:00Z"]
    );
}

#[test]
fn an_hour_that_comes_twice_in_autumn_is_in_its_window_both_times() {
    let before = "2026-10-24T12:00:00Z";
    assert_eq!(
        openings(&on("sun", "02:00", "03:00"), &["Europe/Berlin"], before, 1),
        ["2026-10-25T00:00:00Z/2026-10-25T02:00:00Z"]
    );
    assert_eq!(
        openings(&on("sun", "02:15", "02:45"), &["Europe/Berlin"], before, 2),
        ["2026-10-25T00:15:00Z/2026-10-25T00:45:00Z", "2026-10-25T01:15:00Z/2026-10-25T01:45:00Z"]
    );
    assert_eq!(
        openings(&on("sun", "01:00", "02:30"), &["Europe/Berlin"], before, 2),
        ["2026-10-24T23:00:00Z/2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z/2026-10-25T01:30:00Z"]
    );
}

#[test]
fn lord_howe_sets_its_clocks_by_half_an_hour() {
    let zones = ["Australia/Lord_Howe"];
    // From 02:00 back to 01:30 on 5 April 2026.
    assert_eq!(
        openings(&on("sun", "01:30", "02:00"), &zones, "2026-04-04T00:00:00Z", 1),
        ["2026-04-04T14:30:00Z/2026-04-04T15:30:00Z"]
    );
    // From 02:00 on to 02:30 on 4 October 2026.
    assert_eq!(
        openings(&on("sun", "02:15", "03:00"), &zones, "2026-10-03T00:00:00Z", 1),
        ["2026-10-03T15:30:00Z/2026-10-03T16:00:00Z"]
    );
    assert_eq!(
        openings(&on("sun", "02:00", "02:30"), &zones, "2026-10-03T00:00:00Z", 1),
        ["2026-10-10T15:00:00Z/2026-10-10T15:30:00Z"]
    );
}

#[test]
fn zones_need_not_be_whole_hours_apart() {
    let hours = every_day("09:00", "10:00");
    for (name, opening) in [
        ("Asia/Kathmandu", "2026-06-01T03:15:00Z/2026-06-01T04:15:00Z"),
        ("Asia/Kolkata", "2026-06-01T03:30:00Z/2026-06-01T04:30:00Z"),
        ("America/St_Johns", "2026-06-01T11:30:00Z/2026-06-01T12:30:00Z"),
        ("Pacific/Chatham", "2026-06-01T20:15:00Z/2026-06-01T21:15:00Z"),
    ] {
        assert_eq!(openings(&hours, &[name], "2026-06-01T00:00:00Z", 1), [opening], "{name}");
    }
}

#[test]
fn a_day_that_a_country_left_out_is_in_no_window() {
    // Samoa crossed the date line: 29 December 2011 was followed by the 31st.
    assert_eq!(
        openings(&on("fri", "09:00", "20:00"), &["Pacific/Apia"], "2011-12-29T00:00:00Z", 1),
        ["2012-01-05T19:00:00Z/2012-01-06T06:00:00Z"]
    );
}

#[test]
fn nobody_is_called_unless_all_zones_allow_it() {
    let hours = every_day("09:00", "18:00");
    assert_eq!(
        openings(&hours, &["Europe/Berlin", "America/New_York"], "2026-06-01T00:00:00Z", 1),
        ["2026-06-01T13:00:00Z/2026-06-01T16:00:00Z"]
    );
    // America changes its clocks two weeks before Europe.
    assert_eq!(
        openings(&hours, &["America/New_York", "Europe/Berlin"], "2026-03-10T00:00:00Z", 1),
        ["2026-03-10T13:00:00Z/2026-03-10T17:00:00Z"]
    );
    let apart = ["Asia/Tokyo", "America/New_York"];
    assert_eq!(openings(&hours, &apart, "2026-06-01T00:00:00Z", 1), ["never"]);
}

#[test]
fn the_days_are_those_of_each_zone() {
    // Friday evening in Los Angeles is Saturday in Tokyo.
    let fridays = on("fri", "00:00", "24:00");
    assert_eq!(
        openings(&fridays, &["America/Los_Angeles", "Asia/Tokyo"], "2026-06-01T00:00:00Z", 1),
        ["2026-06-05T07:00:00Z/2026-06-05T15:00:00Z"]
    );
}

#[test]
fn windows_that_touch_or_overlap_are_one() {
    let hours = hours(&json!([
        {"days": ["tue"], "from": "00:00", "to": "06:00"},
        {"days": ["mon"], "from": "12:00", "to": "20:00"},
        {"days": ["mon"], "from": "18:00", "to": "24:00"},
        {"days": ["mon"], "from": "13:00", "to": "14:00"},
    ]));
    assert_eq!(
        openings(&hours, &["UTC"], "2026-06-01T00:00:00Z", 1),
        ["2026-06-01T12:00:00Z/2026-06-02T06:00:00Z"]
    );
}

#[test]
fn a_window_goes_on_from_sunday_to_monday() {
    let hours = hours(&json!([
        {"days": ["sun"], "from": "22:00", "to": "24:00"},
        {"days": ["mon"], "from": "00:00", "to": "01:00"},
    ]));
    assert_eq!(
        openings(&hours, &["UTC"], "2026-06-01T12:00:00Z", 1),
        ["2026-06-07T22:00:00Z/2026-06-08T01:00:00Z"]
    );
}

#[test]
fn what_is_always_open_is_open_as_far_as_one_looks() {
    let now = at("2026-03-20T00:00:00Z");
    let opening = every_day("00:00", "24:00").opening(&[zone("Europe/Berlin")], now);
    assert_eq!(opening, Opening::Open { until: at("2026-04-04T00:00:00Z") });
}

#[test]
fn the_ends_of_time_do_no_harm() {
    let hours = every_day("09:00", "20:00");
    let zones = [zone("Europe/Berlin"), zone("America/New_York")];
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        match hours.opening(&zones, now) {
            Opening::Open { until } | Opening::Closed { until: Some(until) } => {
                assert!(until >= now, "{until}");
            }
            Opening::Closed { until: None } => {}
        }
    }
}

/// A window as a person would write it: days from Monday on, minutes from midnight.
#[derive(Clone, Debug)]
struct Given {
    days: Vec<usize>,
    from: u16,
    to: u16,
}

fn as_json(windows: &[Given]) -> Value {
    let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let windows = windows.iter().map(|window| {
        let days: Vec<&str> = window.days.iter().map(|day| ALL_DAYS[*day]).collect();
        json!({"days": days, "from": time(window.from), "to": time(window.to)})
    });
    windows.collect()
}

/// The plainest definition: what each zone's calendar and clock show is in one of the windows.
fn is_allowed(windows: &[Given], zones: &[TimeZone], at: Timestamp) -> bool {
    zones.iter().all(|zone| {
        let wall = zone.to_datetime(at);
        let day = usize::try_from(wall.weekday().to_monday_zero_offset()).expect("0 to 6");
        let minute = u16::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute()))
            .expect("0 to 1,439");
        windows.iter().any(|w| w.days.contains(&day) && (w.from..w.to).contains(&minute))
    })
}

fn any_window() -> impl Strategy<Value = Given> {
    // Nights, in which clocks are set, more often than days.
    let minutes = prop_oneof![(0_u16..300, 1_u16..200), (0_u16..1_440, 1_u16..1_440)];
    (proptest::collection::vec(0_usize..7, 1..8), minutes).prop_map(|(days, (from, long))| Given {
        days,
        from,
        to: (from + long).min(1_440),
    })
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    proptest::sample::select(vec![
        "Europe/Berlin",
        "Europe/London",
        "America/New_York",
        "America/St_Johns",
        "America/Havana",       // sets its clocks at midnight
        "America/Scoresbysund", // the day before everybody else
        "Africa/Casablanca",    // winter time in Ramadan
        "Africa/Cairo",
        "Asia/Kathmandu",
        "Asia/Beirut",
        "Australia/Lord_Howe",
        "Australia/Eucla",
        "Pacific/Chatham",
        "Pacific/Kiritimati",
        "UTC",
    ])
    .prop_map(zone)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_the_plainest_definition_at_every_minute_of_a_week(
        windows in proptest::collection::vec(any_window(), 1..5),
        zones in proptest::collection::vec(any_zone(), 1..4),
        year in 2024_i16..2037,
        days_before in 0_i64..7,
        second in 0_i64..86_400,
    ) {
        let hours = hours(&as_json(&windows));
        let new_year = jiff::civil::date(year, 1, 1).to_zoned(zones[0].clone()).expect("a date");
        // The clocks of the first zone are set in this week, if they ever are.
        let set = zones[0].following(new_year.timestamp()).nth(usize::from(second % 2 == 0));
        let week = set.map_or(new_year.timestamp(), |change| change.timestamp());
        let start = week - SignedDuration::from_secs(days_before * DAY_S + second);

        let minute = SignedDuration::from_mins(1);
        let end = start + SignedDuration::from_secs(WEEK_S);
        let mut now = start;
        while now < end {
            let opening = hours.opening(&zones, now);
            let until = match opening {
                Opening::Open { until } | Opening::Closed { until: Some(until) } => until,
                Opening::Closed { until: None } => now + SignedDuration::from_secs(HORIZON_S),
            };
            prop_assert!(until > now, "{opening:?} at {now}");
            // It stays like that all the while, and changes then.
            let mut moment = now;
            while moment < until {
                let expected = is_allowed(&windows, &zones, moment);
                prop_assert_eq!(opening.is_open(), expected, "{:?} at {}", opening, moment);
                moment += minute;
            }
            if until < now + SignedDuration::from_secs(HORIZON_S) {
                let just_before = until - SignedDuration::from_nanos(1);
                prop_assert_eq!(is_allowed(&windows, &zones, just_before), opening.is_open());
                prop_assert_eq!(is_allowed(&windows, &zones, until), !opening.is_open());
            }
            now = until;
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same(
        windows in proptest::collection::vec(any_window(), 1..5),
        timezone in any_zone(),
        zone in proptest::sample::select(vec!["campaign", "recipient"]),
    ) {
        let name = timezone.iana_name().expect("it has a name");
        let given = json!({"timezone": name, "zone": zone, "windows": as_json(&windows)});
        let hours = CallingHours::read(&given).expect("good hours");
        let written = serde_json::to_string(&hours).expect("it can be written");
        prop_assert_eq!(serde_json::from_str::<CallingHours>(&written).expect("and read"), hours);
    }
}
