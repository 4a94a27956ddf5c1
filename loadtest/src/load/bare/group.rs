//! What a program and its children use: all processes of one process group.

use std::fs;
use std::io;

use crate::load::proc::{CpuTime, Process};

/// The processes that share this group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(u32);

/// What they use, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) cpu: CpuTime,
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: u64,
}

impl Group {
    pub(crate) fn of(id: u32) -> Self {
        Group(id)
    }

    /// What all of them use now. A process that ended takes its processor time along, so what is
    /// measured must not end meanwhile.
    pub(crate) fn read(self) -> io::Result<Use> {
        let mut total = Use::default();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended since it was listed.
            let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
            if group_of(&stat) != Some(self.0) {
                continue;
            }
            let process = Process::of(id);
            let (Ok(cpu), Ok(bytes), Ok(files)) =
                (process.cpu(), process.resident_bytes(), process.descriptors())
            else {
                continue;
            };
            total.cpu.user += cpu.user;
            total.cpu.system += cpu.system;
            total.resident_bytes += bytes;
            total.descriptors += files;
        }
        match total.resident_bytes {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "the program has ended")),
            _ => Ok(total),
        }
    }
}

/// The process group in `/proc/PID/stat`: field 5. The name in parentheses may hold anything.
fn group_of(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_read_whatever_the_process_is_called() {
        assert_eq!(group_of("4242 (a) S 1 (2 3) 3) S 17 4200 4242 0 -1"), Some(4_200));
        assert_eq!(group_of("4242 (callspan) S"), None);
    }

    #[test]
    fn a_group_that_is_not_there_is_an_error() {
        assert!(Group::of(u32::MAX).read().is_err());
        let ours = rustix::process::getpgrp().as_raw_nonzero().get();
        let found = Group::of(u32::try_from(ours).expect("ids are positive")).read();
        assert!(found.expect("we are in it").resident_bytes > 100 * 1024);
    }
}
