//! More threads for the calls of a simulator, where one is not enough.
//!
//! Each call stays on the thread that it began on, as its clock would otherwise wait for two.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Threads that carry calls. None is fine: calls then stay where they are begun.
#[derive(Debug)]
pub(crate) struct Crew {
    handles: Vec<Handle>,
    next: AtomicUsize,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Crew {
    /// Starts so many threads.
    pub(crate) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let stop = watch::Sender::new(false);
        let mut crew = Crew {
            handles: Vec::new(),
            next: AtomicUsize::new(0),
            stop,
            threads: Mutex::default(),
        };
        for n in 0..threads {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            crew.handles.push(runtime.handle().clone());
            let mut stopped = crew.stop.subscribe();
            let work = move || {
                runtime.block_on(async move {
                    // An error means that nobody is left to say stop.
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                });
            };
            let thread = thread::Builder::new().name(format!("{name}-{n}")).spawn(work)?;
            crew.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(crew)
    }

    /// The one whose turn it is to take a call.
    pub(crate) fn next(&self) -> Option<&Handle> {
        if self.handles.is_empty() {
            return None;
        }
        self.handles.get(self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len())
    }

    /// Ends all threads, and the calls on them where they stand. Returns when they are gone.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of a simulator panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns_and_end_when_told() {
        let crew = Crew::start("crew", 2).expect("threads");
        let name = || {
            let (tell, told) = std::sync::mpsc::channel();
            let handle = crew.next().expect("there are some");
            handle.spawn(async move {
                let name = thread::current().name().map(str::to_owned);
                tell.send(name).expect("it is waited for");
            });
            told.recv().expect("it ran").unwrap_or_default()
        };
        assert_eq!([name(), name(), name()], ["crew-0", "crew-1", "crew-0"]);
        crew.stop();
        assert!(Crew::start("crew", 0).expect("none").next().is_none());
    }
}
