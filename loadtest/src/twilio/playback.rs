//! What Twilio plays to the callee: one queue of audio and marks, drained 20 ms at a time.
//!
//! Nothing here does I/O or reads a clock; the stream calls [`Playback::tick`] every 20 ms.

use std::collections::VecDeque;

/// Bytes of µ-law in 20 ms.
pub const FRAME_BYTES: usize = 160;

/// The byte that fills a frame when there is nothing to play.
pub const SILENCE: u8 = 0xFF;

/// Ten minutes of audio may wait to be played; more is refused with 31931.
pub const MAX_QUEUED_BYTES: usize = 10 * 60 * 8_000;

enum Item {
    Audio { bytes: Vec<u8>, played: usize },
    Mark(String),
}

/// The playback queue of one stream.
#[derive(Default)]
pub struct Playback {
    queue: VecDeque<Item>,
    queued_bytes: usize,
}

/// One 20 ms frame of what the callee hears.
pub struct Played {
    /// The audio, filled up with silence.
    pub frame: [u8; FRAME_BYTES],
    /// How many of the bytes were audio of the service.
    pub audio_bytes: usize,
    /// Names of the marks reached in this frame, in order.
    pub marks: Vec<String>,
}

impl Playback {
    /// Queues audio. Says `false`, and drops it, when the queue would exceed ten minutes.
    pub fn media(&mut self, bytes: Vec<u8>) -> bool {
        if self.queued_bytes + bytes.len() > MAX_QUEUED_BYTES {
            return false;
        }
        if !bytes.is_empty() {
            self.queued_bytes += bytes.len();
            self.queue.push_back(Item::Audio { bytes, played: 0 });
        }
        true
    }

    /// Queues a mark, or hands it back for echoing at once when nothing audible is before it.
    pub fn mark(&mut self, name: String) -> Option<String> {
        if self.queue.is_empty() {
            return Some(name);
        }
        self.queue.push_back(Item::Mark(name));
        None
    }

    /// Drops all audio; the names of the marks that were waiting are to be echoed, in order.
    pub fn clear(&mut self) -> Vec<String> {
        self.queued_bytes = 0;
        self.queue
            .drain(..)
            .filter_map(|item| match item {
                Item::Mark(name) => Some(name),
                Item::Audio { .. } => None,
            })
            .collect()
    }

    /// Plays the next 20 ms. Audio is one continuous stream of bytes: neither chunk borders nor
    /// marks in between leave a gap.
    pub fn tick(&mut self) -> Played {
        let mut played =
            Played { frame: [SILENCE; FRAME_BYTES], audio_bytes: 0, marks: Vec::new() };
        while let Some(head) = self.queue.front_mut() {
            match head {
                Item::Audio { bytes, played: done } => {
                    let room = FRAME_BYTES - played.audio_bytes;
                    if room == 0 {
                        break;
                    }
                    let take = room.min(bytes.len() - *done);
                    played.frame[played.audio_bytes..played.audio_bytes + take]
                        .copy_from_slice(&bytes[*done..*done + take]);
                    *done += take;
                    played.audio_bytes += take;
                    self.queued_bytes -= take;
                    if *done == bytes.len() {
                        self.queue.pop_front();
                    }
                }
                Item::Mark(name) => {
                    played.marks.push(std::mem::take(name));
                    self.queue.pop_front();
                }
            }
        }
        played
    }

    /// Milliseconds of audio that wait to be played.
    #[must_use]
    pub fn queued_ms(&self) -> usize {
        self.queued_bytes / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_any_size_are_played_as_one_stream() {
        let mut playback = Playback::default();
        assert!(playback.media(vec![1; 100]));
        assert!(playback.media(vec![2; 100]));

        let first = playback.tick();
        assert_eq!(first.frame[..100], [1; 100]);
        assert_eq!(first.frame[100..], [2; 60]);
        let second = playback.tick();
        assert_eq!(second.frame[..40], [2; 40]);
        assert_eq!(second.frame[40..], [SILENCE; 120]);
        assert_eq!(second.audio_bytes, 40);
        assert_eq!(playback.tick().audio_bytes, 0);
    }

    #[test]
    fn a_mark_is_echoed_when_the_audio_before_it_has_played() {
        let mut playback = Playback::default();
        assert_eq!(playback.mark("idle".into()), Some("idle".into()));
        playback.media(vec![1; 320]);
        assert_eq!(playback.mark("after 40 ms".into()), None);
        playback.media(vec![2; 10]);
        assert_eq!(playback.mark("end".into()), None);

        assert!(playback.tick().marks.is_empty());
        assert_eq!(playback.tick().marks, ["after 40 ms"]);
        assert_eq!(playback.tick().marks, ["end"]);
    }

    #[test]
    fn clear_drops_the_audio_and_returns_the_waiting_marks_in_order() {
        let mut playback = Playback::default();
        playback.media(vec![1; 1_600]);
        playback.mark("a".into());
        playback.media(vec![1; 1_600]);
        playback.mark("b".into());
        playback.tick();

        assert_eq!(playback.clear(), ["a", "b"]);
        assert_eq!(playback.queued_ms(), 0);
        assert_eq!(playback.tick().audio_bytes, 0);
        playback.media(vec![3; 160]);
        assert_eq!(playback.tick().frame, [3; 160]);
    }

    #[test]
    fn more_than_ten_minutes_are_refused() {
        let mut playback = Playback::default();
        assert!(playback.media(vec![0; MAX_QUEUED_BYTES]));
        assert!(!playback.media(vec![0; 1]));
        playback.tick();
        assert!(playback.media(vec![0; FRAME_BYTES]));
        assert_eq!(playback.queued_ms(), 600_000);
    }
}
