//! Server-sent events, taken out of the bytes they come in.
//!
//! Only what our service sends is understood: names, data, and comments, which are signs of life.
//! See "Server-sent events" of the HTML standard.

/// The longest event that is waited for. Ours have some hundred bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// What comes is no stream of events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_BYTES} bytes")]
pub(super) struct EndlessEvent;

/// A stream of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// A line that is not whole yet.
    line: Vec<u8>,
    event: Event,
}

impl Events {
    /// Takes the next bytes, and gives the events that are whole now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, EndlessEvent> {
        let mut whole = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    whole.extend(self.take_line(&String::from_utf8_lossy(&line)));
                }
                byte => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > MAX_BYTES {
                return Err(EndlessEvent);
            }
        }
        Ok(whole)
    }

    fn take_line(&mut self, line: &str) -> Option<Event> {
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, or a field that is not needed.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let stream = "event: progress\ndata: {\"a\":\"ä\"}\n\n: still here\n\ndata:1\r\ndata: 2\r\n\r\n\
                      event: end\ndata: {}\n\nevent: never whole\ndata: x\n";
        let expected = [event("progress", "{\"a\":\"ä\"}"), event("", "1\n2"), event("end", "{}")];
        for size in [1, 2, 7, stream.len()] {
            let mut events = Events::default();
            let pushed = stream.as_bytes().chunks(size).map(|bytes| events.push(bytes));
            let got = pushed.collect::<Result<Vec<_>, _>>().expect("short").concat();
            assert_eq!(got, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_never_ends_is_not_kept() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; MAX_BYTES + 1]), Err(EndlessEvent));
        let mut events = Events::default();
        let lines = "data: x\n".repeat(MAX_BYTES);
        assert_eq!(events.push(lines.as_bytes()), Err(EndlessEvent));
    }
}
