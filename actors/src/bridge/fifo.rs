//! Bytes that wait their turn. While nothing queues, they are moved nowhere and nothing is allocated.

/// A buffer larger than this is given back once it is empty: bursts are rare, calls are many.
const KEPT_BYTES: usize = 1024;

/// Bytes that are put in at the back and taken from the front.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    bytes: Vec<u8>,
    /// What was taken already ends here.
    from: usize,
}

impl Fifo {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.from
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn clear(&mut self) {
        self.from = 0;
        match self.bytes.capacity() > KEPT_BYTES {
            true => self.bytes = Vec::new(),
            false => self.bytes.clear(),
        }
    }

    /// Puts in so many bytes, for the caller to write.
    pub(super) fn put(&mut self, count: usize) -> &mut [u8] {
        if self.is_empty() {
            self.clear();
        } else if self.from >= self.bytes.len() / 2 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        let at = self.bytes.len();
        self.bytes.resize(at + count, 0);
        &mut self.bytes[at..]
    }

    /// Takes so many bytes, of those that are there.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let at = self.from;
        self.from = (at + count).min(self.bytes.len());
        &self.bytes[at..self.from]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let mut fifo = Fifo::default();
        fifo.put(100_000);
        fifo.take(100_000);
        fifo.put(160);
        assert!(fifo.bytes.capacity() <= KEPT_BYTES, "{}", fifo.bytes.capacity());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(steps in prop::collection::vec((any::<bool>(), 0..400_usize), 0..60)) {
            let (mut fifo, mut model) = (Fifo::default(), VecDeque::new());
            let mut next = 0_u8;
            for (puts, count) in steps {
                if puts {
                    for byte in fifo.put(count) {
                        *byte = next;
                        model.push_back(next);
                        next = next.wrapping_add(1);
                    }
                } else {
                    let expected: Vec<u8> = model.drain(..count.min(model.len())).collect();
                    prop_assert_eq!(fifo.take(count), expected);
                }
                prop_assert_eq!(fifo.len(), model.len());
            }
        }
    }
}
