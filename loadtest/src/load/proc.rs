//! What Linux tells of a process in `/proc`: processor time, memory, descriptors.

use std::fs;
use std::io;
use std::time::Duration;

/// A process of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    folder: String,
}

/// Processor time used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// All of it.
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since an earlier look.
    pub(crate) fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not as expected"))
}

impl Process {
    pub(crate) fn of(pid: u32) -> Self {
        Process { folder: format!("/proc/{pid}") }
    }

    pub(crate) fn this() -> Self {
        Process { folder: "/proc/self".to_owned() }
    }

    /// Processor time of all its threads, those that have ended included.
    pub(crate) fn cpu(&self) -> io::Result<CpuTime> {
        let stat = fs::read_to_string(format!("{}/stat", self.folder))?;
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        parse_stat(&stat, ticks_per_second).ok_or_else(|| unreadable("stat"))
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        let exact = fs::read_to_string(format!("{}/smaps_rollup", self.folder));
        if let Some(bytes) = exact.ok().and_then(|text| parse_kib(&text, "Rss:")) {
            return Ok(bytes);
        }
        // Some kernels lack it; this one lags by a few pages a thread.
        let status = fs::read_to_string(format!("{}/status", self.folder))?;
        parse_kib(&status, "VmRSS:").ok_or_else(|| unreadable("status"))
    }

    /// Processor time of each of its threads, by their names; threads of one name follow another.
    pub(crate) fn threads(&self) -> io::Result<Vec<(String, CpuTime)>> {
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let mut threads = Vec::new();
        for task in fs::read_dir(format!("{}/task", self.folder))? {
            // A thread may have ended since.
            let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
            let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
            let cpu = parse_stat(&stat, ticks_per_second);
            if let (Some((name, _)), Some(cpu)) = (name, cpu) {
                threads.push((name.to_owned(), cpu));
            }
        }
        Ok(threads)
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> io::Result<u64> {
        Ok(fs::read_dir(format!("{}/fd", self.folder))?.count() as u64)
    }
}

/// `utime` and `stime` of `/proc/PID/stat`. The name in parentheses may hold anything.
fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<CpuTime> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // After the name come fields 3, 4, …; utime and stime are 14 and 15.
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut time = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_micros(ticks * 1_000_000 / ticks_per_second))
    };
    Some(CpuTime { user: time()?, system: time()? })
}

/// The bytes of a line such as `Rss:  1234 kB`.
fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let (number, "kB") = value.trim().split_once(' ')? else { return None };
    number.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_process_is_called() {
        let stat = "4242 (a) S 1 (2 3) 3) S 1 4242 4242 0 -1 4194304 123 0 0 0 250 75 9 9 20 0 3 0";
        let cpu = parse_stat(stat, 100).expect("a stat line");
        assert_eq!(cpu.user, Duration::from_millis(2_500));
        assert_eq!(cpu.system, Duration::from_millis(750));
        assert_eq!(cpu.since(CpuTime::default()), cpu);
        assert_eq!(parse_stat("4242 (callspan) S 1 2", 100), None);
        assert_eq!(parse_stat("", 100), None);
    }

    #[test]
    fn memory_is_read_by_its_whole_name() {
        let rollup = "563c7f-7ffd ---p 00000000 00:00 0 [rollup]\n\
                      Rss:               18340 kB\nPss:               17000 kB\nPss_Dirty: 4 kB\n";
        assert_eq!(parse_kib(rollup, "Rss:"), Some(18_340 * 1024));
        assert_eq!(parse_kib(rollup, "Pss:"), Some(17_000 * 1024));
        assert_eq!(parse_kib(rollup, "Swap:"), None);
        assert_eq!(parse_kib("Rss: many kB", "Rss:"), None);
        assert_eq!(parse_kib("Rss: 5 MB", "Rss:"), None);
    }

    #[test]
    fn this_process_is_measured() {
        let this = Process::this();
        assert!(this.resident_bytes().expect("memory") > 100 * 1024);
        assert!(this.descriptors().expect("descriptors") >= 3);
        this.cpu().expect("processor time");
        assert!(!this.threads().expect("threads").is_empty());
        assert!(Process::of(u32::MAX).cpu().is_err());
    }
}
