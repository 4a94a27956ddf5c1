//! When each piece of the agent's audio is sent, and when it will have been heard.
//!
//! All times follow from the moment a line began, never from the moment the last piece happened
//! to be sent, so that a late timer delays one piece and not the rest.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::script::Pacing;

#[derive(Debug)]
pub(crate) struct Playout {
    bytes_per_second: u64,
    frame_bytes: usize,
    client_buffer: Duration,
    waiting: VecDeque<Segment>,
    heard_until: Instant,
}

/// One piece of audio that is sent at one pace.
#[derive(Debug)]
struct Segment {
    pcm: Bytes,
    pacing: Pacing,
    started: Instant,
    sent: Duration,
}

impl Playout {
    pub(crate) fn new(
        now: Instant,
        rate_hz: u32,
        frame: Duration,
        client_buffer: Duration,
    ) -> Self {
        let bytes_per_second = u64::from(rate_hz) * 2;
        let frame_bytes = bytes_per_second * u64::try_from(frame.as_millis()).unwrap_or(20) / 1_000;
        Playout {
            bytes_per_second,
            frame_bytes: usize::try_from(frame_bytes / 2 * 2).unwrap_or(320).max(2),
            client_buffer,
            waiting: VecDeque::new(),
            heard_until: now,
        }
    }

    /// Queues audio behind whatever is waiting.
    pub(crate) fn say(&mut self, now: Instant, pcm: Bytes, pacing: Pacing) {
        if !pcm.is_empty() {
            self.waiting.push_back(Segment { pcm, pacing, started: now, sent: Duration::ZERO });
        }
    }

    /// When the next piece is to be sent.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let segment = self.waiting.front()?;
        let ahead = self.duration(self.frame_bytes.min(segment.pcm.len()));
        let paced = match segment.pacing {
            Pacing::RealTime { lead } => segment.started + segment.sent.saturating_sub(lead),
            Pacing::Burst { speed } => segment.started + segment.sent.div_f64(speed.max(0.1)),
            Pacing::AllAtOnce => segment.started,
        };
        let room = (self.heard_until + ahead).checked_sub(self.client_buffer);
        Some(room.map_or(paced, |room| paced.max(room)))
    }

    /// The next piece, if it is time.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Bytes> {
        let due = self.next_due().filter(|due| *due <= now)?;
        let segment = self.waiting.front_mut()?;
        let frame = segment.pcm.split_to(self.frame_bytes.min(segment.pcm.len()));
        let length = Duration::from_micros(frame.len() as u64 * 1_000_000 / self.bytes_per_second);
        segment.sent += length;
        let finished = segment.pcm.is_empty();
        self.heard_until = self.heard_until.max(due) + length;
        if finished {
            self.waiting.pop_front();
            if let Some(next) = self.waiting.front_mut() {
                next.started = next.started.max(due);
            }
        }
        Some(frame)
    }

    /// Counts audio that was sent by other ways.
    pub(crate) fn sent(&mut self, now: Instant, bytes: usize) {
        self.heard_until = self.heard_until.max(now) + self.duration(bytes);
    }

    /// Drops what is not sent, and takes it that the client drops what is not played. Returns how
    /// much nobody will hear.
    pub(crate) fn clear(&mut self, now: Instant) -> Duration {
        let unsent: usize = self.waiting.drain(..).map(|segment| segment.pcm.len()).sum();
        let unplayed = self.heard_until.saturating_duration_since(now);
        self.heard_until = self.heard_until.min(now);
        unplayed + self.duration(unsent)
    }

    /// Whether everything has been sent.
    pub(crate) fn all_sent(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When everything sent so far will have been heard.
    pub(crate) fn heard_until(&self) -> Instant {
        self.heard_until
    }

    /// Whether there is anything left to be heard.
    pub(crate) fn is_running(&self, now: Instant) -> bool {
        !self.all_sent() || self.heard_until > now
    }

    /// How long so many bytes last.
    pub(crate) fn duration(&self, bytes: usize) -> Duration {
        Duration::from_micros(bytes as u64 * 1_000_000 / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// When each 20 ms frame of a second of audio is sent, in milliseconds after it was said.
    fn schedule(pacing: Pacing, client_buffer_ms: u32) -> Vec<u128> {
        let start = Instant::now();
        let mut playout = Playout::new(start, 8_000, 20 * MS, client_buffer_ms * MS);
        playout.say(start, vec![0; 16_000].into(), pacing);
        let mut times = Vec::new();
        while let Some(due) = playout.next_due() {
            assert!(due >= start);
            assert!(due == start || playout.poll(due - Duration::from_nanos(1)).is_none());
            playout.poll(due).expect("it is due");
            times.push((due - start).as_millis());
        }
        assert_eq!(playout.heard_until(), start + 1_000 * MS);
        times
    }

    #[test]
    fn real_time_keeps_its_lead_to_the_end() {
        let times = schedule(Pacing::REAL_TIME, 30_000);
        assert_eq!(times.len(), 50);
        assert_eq!(times[..6], [0, 0, 0, 0, 20, 40]);
        assert_eq!(times[49], 49 * 20 - 60);
    }

    #[test]
    fn a_burst_is_faster_than_real_time_by_its_speed() {
        let times = schedule(Pacing::default(), 30_000);
        assert_eq!((times[1], times[2], times[49]), (4, 8, 196));
        assert!(schedule(Pacing::AllAtOnce, 30_000).iter().all(|time| *time == 0));
    }

    #[test]
    fn nothing_goes_further_ahead_than_the_clients_buffer() {
        let times = schedule(Pacing::AllAtOnce, 100);
        assert_eq!(times[..7], [0, 0, 0, 0, 0, 20, 40]);
        assert_eq!(times[49], 49 * 20 - 80);
    }

    #[test]
    fn a_late_timer_does_not_move_the_schedule() {
        let start = Instant::now();
        let mut playout = Playout::new(start, 8_000, 20 * MS, 30_000 * MS);
        playout.say(start, vec![0; 3_200].into(), Pacing::RealTime { lead: Duration::ZERO });
        assert!(playout.poll(start).is_some());
        assert!(playout.poll(start + 33 * MS).is_some());
        assert_eq!(playout.next_due(), Some(start + 40 * MS));
    }

    #[test]
    fn clearing_tells_how_much_was_lost() {
        let start = Instant::now();
        let mut playout = Playout::new(start, 8_000, 20 * MS, 30_000 * MS);
        playout.say(start, vec![0; 16_000].into(), Pacing::AllAtOnce);
        while playout.poll(start).is_some() {}
        assert!(playout.is_running(start + 400 * MS));
        assert_eq!(playout.clear(start + 400 * MS), 600 * MS);
        assert!(!playout.is_running(start + 400 * MS));
    }
}
