//! Those who wait to be dialled: whose turn it is, and when the next one's may come.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use jiff::Timestamp;

use crate::campaign::hours::Opening;
use crate::campaign::terms::Recipient;
use crate::campaign::zone_groups::{ZoneGroup, ZoneGroups};

/// When recipients may be called, by group.
pub trait Hours {
    /// Whether this group may be called now.
    fn opening(&mut self, group: ZoneGroup, now: Timestamp) -> Opening;
}

impl Hours for ZoneGroups {
    fn opening(&mut self, group: ZoneGroup, now: Timestamp) -> Opening {
        ZoneGroups::opening(self, group, now)
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Who is dialled now. No longer in the queue.
    pub(super) next: Option<Recipient>,
    /// When a group opens that is closed now.
    pub(super) opens: Option<Timestamp>,
    /// Those for whom there is no hour at all. No longer in the queue.
    pub(super) never: Vec<Recipient>,
}

/// Higher priorities first, and then the upload's order.
type Place = (Reverse<i32>, u32);

/// Those who wait to be dialled.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: HashMap<u32, Recipient>,
    /// Those who may be dialled when their group is open, by group.
    ready: HashMap<ZoneGroup, BTreeSet<Place>>,
    /// Those who may be dialled later.
    delayed: BinaryHeap<Reverse<(Timestamp, u32)>>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Queue::default();
    }

    /// Takes the memory for so many more at once, in the place of ever larger tables.
    pub(super) fn make_room(&mut self, recipients: usize) {
        self.waiting.reserve(recipients);
    }

    /// Has somebody wait who does not wait yet.
    pub(super) fn push(&mut self, now: Timestamp, recipient: Recipient) {
        let Recipient { seq, due, .. } = recipient;
        if self.waiting.insert(seq, recipient).is_some() {
            return;
        }
        match due {
            Some(due) if due > now => self.delayed.push(Reverse((due, seq))),
            _ => self.make_ready(recipient),
        }
    }

    /// Lets those wait for their turn only whose time has come; says when the next one's comes.
    pub(super) fn advance(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some(&Reverse((due, seq))) = self.delayed.peek() {
            if due > now {
                return Some(due);
            }
            self.delayed.pop();
            if let Some(recipient) = self.waiting.get(&seq) {
                self.make_ready(*recipient);
            }
        }
        None
    }

    /// Whether anybody waits for nothing but their turn and their hour.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the first of those who may be called now.
    pub(super) fn take(&mut self, now: Timestamp, hours: &mut impl Hours) -> Turn {
        let mut first: Option<(Place, ZoneGroup)> = None;
        let mut turn = Turn::default();
        let mut never = Vec::new();
        for (&group, places) in &self.ready {
            match hours.opening(group, now) {
                Opening::Open { .. } => {
                    let place = places.first().map(|place| (*place, group));
                    first = [first, place].into_iter().flatten().min();
                }
                Opening::Closed { until: Some(at) } => {
                    turn.opens = Some(turn.opens.map_or(at, |other| other.min(at)));
                }
                Opening::Closed { until: None } => never.push(group),
            }
        }
        for group in never {
            let places = self.ready.remove(&group).unwrap_or_default();
            let gone = places.iter().filter_map(|(_, seq)| self.waiting.remove(seq));
            turn.never.extend(gone);
        }
        if let Some((place, group)) = first {
            if let Some(places) = self.ready.get_mut(&group) {
                places.remove(&place);
                if places.is_empty() {
                    self.ready.remove(&group);
                }
            }
            turn.next = self.waiting.remove(&place.1);
        }
        turn
    }

    fn make_ready(&mut self, recipient: Recipient) {
        let Recipient { seq, priority, group, .. } = recipient;
        self.ready.entry(group).or_default().insert((Reverse(priority), seq));
    }
}
