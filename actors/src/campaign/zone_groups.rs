//! Which clocks count for a recipient, and when all of them allow a call.
//!
//! A hundred thousand recipients are in few zones, so each is put into a group of those that share
//! theirs, and an opening is worked out once for a group.

use std::cell::Cell;
use std::collections::HashMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::hours::{CallingHours, Clock, Opening};
use super::zones::{self, UnknownZone};
use crate::ids::PhoneNumber;

/// How soon it is looked again for an opening that was not to be found.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// The zones in all of which it must be within the hours to call this number: the campaign's where
/// its clock counts; otherwise the one given with the recipient, or those the number may be in, or,
/// when neither tells anything, the campaign's again.
///
/// # Errors
///
/// When the zone given with the recipient counts and is none.
pub fn recipient_zones(
    hours: &CallingHours,
    row_zone: Option<&str>,
    number: &PhoneNumber,
) -> Result<Vec<TimeZone>, UnknownZone> {
    Whereabouts::of(hours, row_zone, number).zones(hours)
}

/// What is known of where a recipient is.
enum Whereabouts<'a> {
    Campaign,
    Given(&'a str),
    Number(&'static [&'static str]),
}

impl<'a> Whereabouts<'a> {
    fn of(hours: &CallingHours, row_zone: Option<&'a str>, number: &PhoneNumber) -> Self {
        match (hours.clock(), row_zone) {
            (Clock::Campaign, _) => Whereabouts::Campaign,
            (Clock::Recipient, Some(name)) => Whereabouts::Given(name),
            (Clock::Recipient, None) => match zones::zones_of(number) {
                [] => Whereabouts::Campaign,
                [only] => Whereabouts::Given(only),
                several => Whereabouts::Number(several),
            },
        }
    }

    fn zones(&self, hours: &CallingHours) -> Result<Vec<TimeZone>, UnknownZone> {
        match self {
            Whereabouts::Campaign => Ok(vec![hours.timezone().clone()]),
            Whereabouts::Given(name) => Ok(vec![zones::zone_named(name)?]),
            Whereabouts::Number(names) => {
                names.iter().map(|name| zones::zone_named(name)).collect()
            }
        }
    }
}

/// The recipients of one campaign for whom the same clocks count. The default one's is the
/// campaign's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneGroup(pub(crate) u16);

/// The groups of one campaign, and when each may be called.
#[derive(Debug)]
pub struct ZoneGroups {
    hours: Option<CallingHours>,
    /// By a zone's name as the database writes it.
    by_zone: HashMap<Box<str>, ZoneGroup>,
    /// By the address of a list in the table, where each is but once.
    by_list: HashMap<usize, ZoneGroup>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    zones: Vec<TimeZone>,
    latest: Cell<Option<Known>>,
}

/// An opening that was worked out, and for how long it holds.
#[derive(Clone, Copy, Debug)]
struct Known {
    opening: Opening,
    from: Timestamp,
    until: Timestamp,
}

impl ZoneGroups {
    /// The groups of a campaign that keeps these hours, or none. The first is that of the
    /// campaign's own zone.
    pub fn new(hours: Option<CallingHours>) -> Self {
        let zones: Vec<TimeZone> = hours.iter().map(|hours| hours.timezone().clone()).collect();
        let mut groups =
            ZoneGroups { hours, by_zone: HashMap::new(), by_list: HashMap::new(), groups: vec![] };
        let name = zones.first().and_then(TimeZone::iana_name).map(Box::from);
        let first = groups.add(zones);
        groups.by_zone.extend(name.map(|name| (name, first)));
        groups
    }

    /// The hours that are kept.
    pub fn hours(&self) -> Option<&CallingHours> {
        self.hours.as_ref()
    }

    /// The group of a recipient, whose zones are [`recipient_zones`].
    ///
    /// # Errors
    ///
    /// When the zone given with the recipient counts and is none.
    pub fn group(
        &mut self,
        row_zone: Option<&str>,
        number: &PhoneNumber,
    ) -> Result<ZoneGroup, UnknownZone> {
        const CAMPAIGN: ZoneGroup = ZoneGroup(0);
        let Some(hours) = &self.hours else { return Ok(CAMPAIGN) };
        let found = Whereabouts::of(hours, row_zone, number);
        let known = match found {
            Whereabouts::Campaign => Some(&CAMPAIGN),
            Whereabouts::Given(name) => self.by_zone.get(name),
            Whereabouts::Number(list) => self.by_list.get(&list.as_ptr().addr()),
        };
        if let Some(group) = known {
            return Ok(*group);
        }
        let zones = found.zones(hours)?;
        if let Whereabouts::Number(list) = found {
            let group = self.add(zones);
            self.by_list.insert(list.as_ptr().addr(), group);
            return Ok(group);
        }
        // It may be one that is known, written another way.
        let name: Box<str> = zones.first().and_then(TimeZone::iana_name).unwrap_or_default().into();
        if let Some(group) = self.by_zone.get(&name) {
            return Ok(*group);
        }
        let group = self.add(zones);
        self.by_zone.insert(name, group);
        Ok(group)
    }

    /// Whether a group may be called now, and when that may change. Cheap as long as it has not.
    ///
    /// An answer that there is no opening in sight is a day old at most.
    ///
    /// # Panics
    ///
    /// When the group is another campaign's.
    pub fn opening(&self, group: ZoneGroup, now: Timestamp) -> Opening {
        let Some(hours) = &self.hours else { return Opening::always(now) };
        let group = &self.groups[usize::from(group.0)];
        if let Some(known) = group.latest.get()
            && (known.from..known.until).contains(&now)
        {
            return known.opening;
        }
        let opening = hours.opening(&group.zones, now);
        let until = match opening {
            Opening::Open { until } | Opening::Closed { until: Some(until) } => until,
            Opening::Closed { until: None } => {
                now.checked_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX)
            }
        };
        group.latest.set(Some(Known { opening, from: now, until }));
        opening
    }

    fn add(&mut self, zones: Vec<TimeZone>) -> ZoneGroup {
        let id = u16::try_from(self.groups.len())
            .expect("there are fewer zones, and lists of them in the table, than that");
        self.groups.push(Group { zones, latest: Cell::new(None) });
        ZoneGroup(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn hours(zone: &str) -> CallingHours {
        let windows = json!([{"days": ["mon"], "from": "09:00", "to": "20:00"}]);
        let hours = json!({"timezone": "Europe/Berlin", "zone": zone, "windows": windows});
        CallingHours::read(&hours).expect("good hours")
    }

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    fn number(raw: &str) -> PhoneNumber {
        raw.parse().expect("a number")
    }

    fn zones(zone: &str, row_zone: Option<&str>, to: &str) -> Vec<String> {
        let zones = recipient_zones(&hours(zone), row_zone, &number(to)).expect("zones");
        zones.iter().map(|zone| zone.iana_name().expect("it has a name").to_owned()).collect()
    }

    #[test]
    fn the_campaigns_clock_counts_for_everybody_when_it_is_to() {
        assert_eq!(zones("campaign", None, "+12125550123"), ["Europe/Berlin"]);
        assert_eq!(zones("campaign", Some("Asia/Tokyo"), "+12125550123"), ["Europe/Berlin"]);
    }

    #[test]
    fn a_recipients_zone_is_its_rows_else_its_numbers_else_the_campaigns() {
        assert_eq!(zones("recipient", Some("Asia/Tokyo"), "+12125550123"), ["Asia/Tokyo"]);
        assert_eq!(zones("recipient", None, "+12125550123"), ["America/New_York"]);
        assert_eq!(
            zones("recipient", None, "+61881234567"),
            ["Australia/Adelaide", "Australia/Perth"]
        );
        assert_eq!(zones("recipient", None, "+80012345678"), ["Europe/Berlin"]);
    }

    #[test]
    fn a_row_whose_zone_is_none_is_told() {
        let mut groups = ZoneGroups::new(Some(hours("recipient")));
        let to = number("+12125550123");
        for error in [
            groups.group(Some("Mars/Olympus"), &to).expect_err("no group"),
            recipient_zones(&hours("recipient"), Some("Mars/Olympus"), &to).expect_err("no zone"),
        ] {
            assert!(error.to_string().contains("\"Mars/Olympus\""), "{error}");
        }
    }

    #[test]
    fn recipients_of_the_same_zones_share_a_group() {
        let mut groups = ZoneGroups::new(Some(hours("recipient")));
        let mut group = |row_zone, to| groups.group(row_zone, &number(to)).expect("a group");

        let berlin = group(None, "+4930901820");
        assert_eq!(group(None, "+80012345678"), berlin);
        assert_eq!(group(Some("europe/berlin"), "+12125550123"), berlin);

        let new_york = group(None, "+12125550123");
        assert_ne!(new_york, berlin);
        assert_eq!(group(Some("America/New_York"), "+4930901820"), new_york);
        assert_eq!(group(Some("AMERICA/NEW_YORK"), "+4930901820"), new_york);

        let south = group(None, "+61881234567");
        assert_eq!(group(None, "+61891234567"), south);
        assert!(![berlin, new_york].contains(&south));
        assert_eq!(groups.groups.len(), 3);
    }

    #[test]
    fn every_group_keeps_its_own_clocks() {
        let mut groups = ZoneGroups::new(Some(hours("recipient")));
        let berlin = groups.group(None, &number("+4930901820")).expect("a group");
        let new_york = groups.group(None, &number("+12125550123")).expect("a group");
        let america = groups.group(None, &number("+18005550123")).expect("a group");

        // A Monday: ten in Berlin, four at night in New York.
        let now = at("2026-06-01T08:00:00Z");
        let open = Opening::Open { until: at("2026-06-01T18:00:00Z") };
        assert_eq!(groups.opening(berlin, now), open);
        let closed = Opening::Closed { until: Some(at("2026-06-01T13:00:00Z")) };
        assert_eq!(groups.opening(new_york, now), closed);
        // It is never day on Guam, in Hawaii and in Newfoundland at once.
        assert_eq!(groups.opening(america, now), Opening::Closed { until: None });
    }

    #[test]
    fn a_remembered_opening_is_the_one_that_would_be_worked_out() {
        let mut groups = ZoneGroups::new(Some(hours("recipient")));
        let berlin = groups.group(None, &number("+4930901820")).expect("a group");
        let zones = [zones::zone_named("Europe/Berlin").expect("a zone")];

        let monday = at("2026-06-01T00:00:00Z");
        // Forwards, and back again: clocks are set.
        for minute in (0..20_000).step_by(7).chain((0..20_000).rev().step_by(7)) {
            let now = monday + SignedDuration::from_mins(minute);
            let fresh = hours("recipient").opening(&zones, now);
            assert_eq!(groups.opening(berlin, now), fresh, "{now}");
        }
    }

    #[test]
    fn a_campaign_without_hours_is_always_open() {
        let mut groups = ZoneGroups::new(None);
        let now = at("2026-06-01T03:00:00Z");
        let group = groups.group(Some("Mars/Olympus"), &number("+12125550123")).expect("any");
        assert_eq!(groups.group(None, &number("+4930901820")), Ok(group));
        let opening = groups.opening(group, now);
        assert!(matches!(opening, Opening::Open { until } if until > now), "{opening:?}");
        assert!(groups.hours().is_none());
    }
}
