//! Time zones: those that a phone number may be in, and what each of them means.
//!
//! A number is placed by its longest known prefix, in libphonenumber's table
//! (`actors/data/timezones/`); it tells where the number is at home, not where the phone is. What
//! a zone's clock shows is in the IANA database that jiff carries. Both are in the binary, so the
//! answers are the same on every machine.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::ids::PhoneNumber;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::read(include_str!("../../data/timezones/map_data.txt")));

/// Where libphonenumber has another country's zone in the place of the right one, so that for a
/// part of the year people would be called an hour too early: prefix, its zone, the right one.
const STAND_INS: [(&str, &str, &str); 8] = [
    ("211", "Africa/Nairobi", "Africa/Juba"),
    ("212", "Atlantic/Canary", "Africa/Casablanca"),
    ("213", "Europe/Paris", "Africa/Algiers"),
    ("218", "Europe/Bucharest", "Africa/Tripoli"),
    ("505", "America/Chicago", "America/Managua"),
    ("7", "Europe/Bucharest", "Europe/Kaliningrad"),
    ("740", "Europe/Bucharest", "Europe/Kaliningrad"),
    ("970", "Europe/Bucharest", "Asia/Gaza"),
];

/// A name that is no time zone's. Reads well after the name of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a time zone, such as Europe/Berlin; {name:?} is none")]
pub struct UnknownZone {
    name: String,
}

/// The zone of this name in the IANA database, such as `Europe/Berlin`. Upper and lower case are
/// the same, and former names are known.
///
/// # Errors
///
/// When no zone is called so.
pub fn zone_named(name: &str) -> Result<TimeZone, UnknownZone> {
    match DATABASE.get(name) {
        // `Etc/Unknown` is a way to say that there is none.
        Ok(zone) if !zone.is_unknown() => Ok(zone),
        _ => Err(UnknownZone { name: name.chars().take(80).collect() }),
    }
}

/// The zones a number may be in: one as a rule, all of a country's for numbers that belong to no
/// place in it (toll-free ones, for example), none where its beginning is not known. The same list
/// is the same slice.
pub fn zones_of(number: &PhoneNumber) -> &'static [&'static str] {
    TABLE.zones_of(number.as_str().trim_start_matches('+'))
}

/// Prefixes of numbers and their zones.
struct Table {
    /// Each list once: 3,240 prefixes share some 300 of them.
    lists: Vec<Box<[&'static str]>>,
    /// Which list a prefix has.
    prefixes: HashMap<&'static str, usize>,
    longest_prefix: usize,
}

impl Table {
    /// Reads lines of `prefix|zone&zone…`, and comments, which have no `|`.
    fn read(text: &'static str) -> Self {
        let mut table = Table { lists: Vec::new(), prefixes: HashMap::new(), longest_prefix: 0 };
        let mut known = HashMap::new();
        for (prefix, zones) in text.lines().filter_map(|line| line.split_once('|')) {
            let zones: Box<[_]> = zones.split('&').map(|zone| own_zone(prefix, zone)).collect();
            let list = *known.entry(zones.clone()).or_insert_with(|| {
                table.lists.push(zones);
                table.lists.len() - 1
            });
            table.prefixes.insert(prefix, list);
            table.longest_prefix = table.longest_prefix.max(prefix.len());
        }
        table
    }

    fn zones_of(&self, digits: &str) -> &[&'static str] {
        (1..=self.longest_prefix)
            .rev()
            .filter_map(|len| digits.get(..len))
            .find_map(|prefix| self.prefixes.get(prefix))
            .map_or(&[], |list| &self.lists[*list])
    }
}

fn own_zone(prefix: &str, zone: &'static str) -> &'static str {
    let stand_in = STAND_INS.iter().find(|(at, theirs, _)| *at == prefix && *theirs == zone);
    stand_in.map_or(zone, |(_, _, own)| own)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;

    use jiff::Timestamp;

    const FILE: &str = include_str!("../../data/timezones/map_data.txt");

    fn zones(number: &str) -> &'static [&'static str] {
        zones_of(&number.parse().expect("a number"))
    }

    #[test]
    fn the_table_is_whole() {
        // As many prefixes as libphonenumber 9.0.43 has; see the README beside the file.
        assert_eq!(TABLE.prefixes.len(), 3_240);
        assert_eq!(TABLE.longest_prefix, 9);
        let entries = FILE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for entry in entries {
            let (prefix, zones) = entry.split_once('|').expect("a prefix and its zones");
            assert!(prefix.bytes().all(|b| b.is_ascii_digit()) && !prefix.is_empty(), "{entry}");
            assert_eq!(TABLE.zones_of(prefix).len(), zones.split('&').count(), "{entry}");
        }
    }

    #[test]
    fn every_zone_of_the_table_is_known() {
        let names: BTreeSet<&str> = TABLE.lists.iter().flatten().copied().collect();
        let unknown: Vec<_> = names.iter().filter(|name| zone_named(name).is_err()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(names.len() > 280, "only {} zones", names.len());
    }

    #[test]
    fn a_number_is_placed_by_its_longest_known_prefix() {
        for (number, zone) in [
            ("+12125550123", "America/New_York"),
            ("+18085550123", "Pacific/Honolulu"),
            ("+13125550123", "America/Chicago"),
            ("+14805550123", "America/Phoenix"),
            ("+4930901820", "Europe/Berlin"),
            ("+4915112345678", "Europe/Berlin"),
            ("+919876543210", "Asia/Calcutta"),
            ("+74951234567", "Europe/Moscow"),
            ("+6185108712", "Australia/Perth"),
            ("+61851001123", "Indian/Christmas"),
            ("+9771234567", "Asia/Katmandu"),
        ] {
            assert_eq!(zones(number), [zone], "{number}");
        }
        assert_eq!(zones("+61881234567"), ["Australia/Adelaide", "Australia/Perth"]);
    }

    #[test]
    fn a_number_of_no_place_is_in_all_zones_of_its_country() {
        let free = zones("+18005550123");
        assert!(free.len() > 40, "{free:?}");
        for zone in ["America/New_York", "America/Los_Angeles", "Pacific/Honolulu"] {
            assert!(free.contains(&zone), "{zone} in {free:?}");
        }
        let nowhere = zones("+71001234567");
        for zone in ["Europe/Kaliningrad", "Europe/Moscow", "Asia/Kamchatka"] {
            assert!(nowhere.contains(&zone), "{zone} in {nowhere:?}");
        }
    }

    #[test]
    fn a_number_of_no_country_is_in_no_zone() {
        // An international freephone number, a satellite phone, and a code that is not given out.
        for number in ["+80012345678", "+881612345678", "+0987654321", "+21012345678"] {
            assert!(zones(number).is_empty(), "{number}");
        }
    }

    #[test]
    fn a_short_number_needs_no_more_digits_than_it_has() {
        assert_eq!(zones("+6771234"), ["Pacific/Guadalcanal"]);
        assert!(TABLE.zones_of("").is_empty());
    }

    #[test]
    fn every_stand_in_is_there_and_would_be_wrong() {
        for (prefix, theirs, own) in STAND_INS {
            let line = FILE.lines().find(|line| line.starts_with(&format!("{prefix}|")));
            assert!(line.is_some_and(|line| line.contains(theirs)), "{prefix} has no {theirs}");
            let placed = TABLE.zones_of(prefix);
            assert!(placed.contains(&own) && !placed.contains(&theirs), "{prefix}: {placed:?}");

            let [theirs, own] = [theirs, own].map(|name| zone_named(name).expect("a zone"));
            let new_year: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
            let is_wrong = (0..365)
                .map(|day| new_year + jiff::SignedDuration::from_hours(24 * day))
                .any(|at| theirs.to_offset(at) != own.to_offset(at));
            assert!(is_wrong, "{prefix} needs no correction any more");
        }
    }

    #[test]
    fn zones_go_by_their_names() {
        let name = |asked: &str| zone_named(asked).map(|z| z.iana_name().map(str::to_owned));
        assert_eq!(name("Europe/Berlin"), Ok(Some("Europe/Berlin".to_owned())));
        assert_eq!(name("europe/berlin"), Ok(Some("Europe/Berlin".to_owned())));
        assert_eq!(name("UTC"), Ok(Some("UTC".to_owned())));
        assert!(name("Asia/Kolkata").is_ok() && name("Asia/Calcutta").is_ok());

        let long = "x".repeat(10_000);
        for bad in ["", " ", "Berlin", "Mars/Olympus", "Etc/Unknown", "+02:00", "../UTC", &long] {
            let error = zone_named(bad).expect_err(bad).to_string();
            assert!(error.starts_with("must be the name of a time zone"), "{error}");
            assert!(error.len() < 200, "{error}");
        }
        let error = zone_named("Mars/Olympus").expect_err("no zone").to_string();
        assert!(error.contains("\"Mars/Olympus\""), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_longer_prefix_was_overlooked(digits in "[1-9][0-9]{6,16}") {
            let longest = FILE
                .lines()
                .filter_map(|line| line.split_once('|'))
                .filter(|(prefix, _)| digits.starts_with(prefix))
                .max_by_key(|(prefix, _)| prefix.len());
            let expected = longest.map_or(0, |(_, zones)| zones.split('&').count());
            proptest::prop_assert_eq!(zones(&format!("+{digits}")).len(), expected);
        }
    }
}
