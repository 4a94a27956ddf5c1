//! The machine a test ran on, since a figure without it says little.

use std::fs;

use serde::{Deserialize, Serialize};

use super::processors;
use super::units::Unit;

/// A machine, as far as it bears on speed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    /// The processors' model.
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
}

impl Machine {
    /// This machine. What Linux does not tell stays empty.
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Machine {
            cpu: model(&read("/proc/cpuinfo")),
            cpus: processors::count(),
            memory_bytes: memory(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }

    /// In one line; empty when nothing is known.
    pub(crate) fn line(&self) -> String {
        let mut parts = Vec::new();
        if !self.cpu.is_empty() {
            parts.push(self.cpu.clone());
        }
        if self.cpus > 0 {
            let many = if self.cpus == 1 { "processor" } else { "processors" };
            parts.push(format!("{} {many}", self.cpus));
        }
        if self.memory_bytes > 0 {
            parts.push(format!("{} of memory", Unit::Bytes.show(self.memory_bytes as f64)));
        }
        if !self.kernel.is_empty() {
            parts.push(format!("Linux {}", self.kernel));
        }
        parts.join(", ")
    }
}

/// The first processor's model. ARM kernels give none, but numbers of maker and part.
fn model(cpuinfo: &str) -> String {
    let value = |name: &str| {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(field, _)| field.trim() == name);
        found.next().map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    value("model name").or_else(|| value("Model")).unwrap_or_else(|| {
        match (value("CPU implementer"), value("CPU part")) {
            (Some(maker), Some(part)) => format!("CPU implementer {maker}, part {part}"),
            _ => String::new(),
        }
    })
}

fn memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_processors() {
        let info = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU  @ 2.50GHz\n\n\
                    processor\t: 1\nmodel name\t: Other\n";
        assert_eq!(model(info), "Some CPU @ 2.50GHz");
        let arm = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd40\n";
        assert_eq!(model(arm), "CPU implementer 0x41, part 0xd40");
        assert_eq!(model(""), "");
    }

    #[test]
    fn memory_is_all_there_is() {
        assert_eq!(memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"), 16_384 * 1024);
        assert_eq!(memory("MemFree: 1 kB"), 0);
    }

    #[test]
    fn a_machine_is_one_line() {
        let machine = Machine {
            cpu: "Some CPU".into(),
            cpus: 2,
            memory_bytes: 4 << 30,
            kernel: "6.1.0".into(),
        };
        assert_eq!(machine.line(), "Some CPU, 2 processors, 4.00 GiB of memory, Linux 6.1.0");
        assert_eq!(Machine::default().line(), "");
        assert!(Machine::this().cpus >= 1);
    }
}
