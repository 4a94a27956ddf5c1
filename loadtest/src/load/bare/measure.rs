//! One measurement: calls come up, are held, and end, and the program is watched meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::BareError;
use super::group::Use;
use super::peer::{Part, Peers};
use super::phone::{self, Seen};
use super::program::Program;
use crate::load::check::{self, Observed};
use crate::load::figures::Percentiles;
use crate::load::limits;
use crate::load::machine::Machine;
use crate::load::probe::Probe;
use crate::load::proc::{CpuTime, Process};
use crate::load::processors;
use crate::load::report::{Cpu, Distribution, FORMAT, Level, Report, delays_are_trusted};
use crate::load::scenario::{Expect, FRAME, Losses};

/// From the last call coming up to the beginning of the measurement.
const SETTLE: Duration = Duration::from_secs(2);
/// How long calls may take to come up and to end, and the last frames to arrive.
const LIMIT: Duration = Duration::from_secs(15);
/// How often something that must happen is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// From one call to the next, and a part of a frame: the phones' clocks must not tick together.
const BETWEEN_CALLS: Duration = Duration::from_micros(20_618);

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A bridge, by its command line.
    Bridge { command: String },
    /// HAProxy, which merely moves the bytes.
    Haproxy,
}

/// How much of it.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) calls: u32,
    pub(crate) time: Duration,
    /// Keeps the program to these processors.
    pub(crate) cpus: Option<String>,
}

/// Carries out a measurement. The program and everything else is gone when it is over. The report
/// calls the program's delays by the way they were measured: see [`Part`].
pub(crate) async fn measure(target: &Target, setup: &Setup) -> Result<Report, BareError> {
    limits::make_room(setup.calls)?;
    let probe = Probe::new();
    let (part, cpus) = (target.part(), setup.cpus.as_deref());
    let peers = Peers::start(part, probe.clone())?;
    let began = Instant::now();
    let mut program = match target {
        Target::Bridge { command } => Program::bridge(command, cpus, peers.port())?,
        Target::Haproxy => Program::haproxy(cpus, peers.port(), setup.calls)?,
    };
    program.wait_until_ready().await?;
    let startup = began.elapsed();
    let mut bare = Bare { setup, probe, peers, program, seen: Arc::default() };
    let mut report = bare.run().await?;
    report.startup_ms = startup.as_secs_f64() * 1_000.0;
    Ok(report)
}

impl Target {
    fn part(&self) -> Part {
        match self {
            Target::Bridge { .. } => Part::Agent,
            Target::Haproxy => Part::Bridge,
        }
    }
}

struct Bare<'a> {
    setup: &'a Setup,
    probe: Probe,
    peers: Peers,
    program: Program,
    seen: Arc<Seen>,
}

struct Moment {
    at: Instant,
    program: Use,
    generator: CpuTime,
    frames: u64,
}

impl Bare<'_> {
    async fn run(&mut self) -> Result<Report, BareError> {
        let begun_at = jiff::Timestamp::now().to_string();
        // What the first connection allocates is no call's.
        sleep(Duration::from_millis(200)).await;
        let idle = self.program.group().read()?;
        let (hang_up, stop) = watch::channel(false);
        let mut phones = JoinSet::new();
        self.open_all(&mut phones, &stop).await?;
        sleep(SETTLE).await;

        let before = self.moment()?;
        self.probe.measure(true);
        sleep(self.setup.time).await;
        self.probe.measure(false);
        let after = self.moment()?;
        let calls = self.seen.up.load(Ordering::Relaxed);

        self.probe.speak(false);
        // The clocks' current tick may still speak.
        sleep(FRAME * 2).await;
        let probe = &self.probe;
        wait_for(|| probe.to_agent().lost() == 0 && probe.to_phone().lost() == 0).await;
        let (to_agent, to_phone) = (probe.to_agent(), probe.to_phone());
        hang_up.send_replace(true);
        while phones.join_next().await.is_some() {}
        wait_for(|| self.peers.live() == 0).await;
        let empty = self.program.group().read()?;

        let seconds = (after.at - before.at).as_secs_f64();
        let frames = after.frames - before.frames;
        let cpu = |used: CpuTime| {
            Cpu::new(used.user.as_secs_f64(), used.system.as_secs_f64(), frames, seconds)
        };
        let lateness = Percentiles::of(&probe.lateness());
        let refused = self.seen.refused.load(Ordering::Relaxed);
        let seen = Observed {
            calls_asked: self.setup.calls.into(),
            came_up: self.setup.calls.into(),
            ended: self.seen.ended.load(Ordering::Relaxed),
            to_agent,
            to_phone,
            left_at_ultravox: self.peers.live(),
            violations: (refused > 0)
                .then(|| format!("{refused} messages that Twilio would refuse"))
                .into_iter()
                .collect(),
            ..Observed::default()
        };
        let expect = Expect { lost_to_agent: Losses::Fail, lost_to_phone: Losses::Fail };
        let full = after.program;
        let (delay_to_agent, delay_to_phone) = (probe.delay_to_agent(), probe.delay_to_phone());
        Ok(Report {
            format: FORMAT,
            begun_at,
            machine: Machine::this(),
            scenario: self.program.name().to_owned(),
            calls,
            placed: self.setup.calls.into(),
            seconds,
            machine_cpus: processors::count(),
            service_cpus: self.setup.cpus.clone(),
            frames_relayed: frames,
            service_cpu: cpu(full.cpu.since(before.program.cpu)),
            generator_cpu: cpu(after.generator.since(before.generator)),
            generator_lateness: lateness,
            delays_trusted: delays_are_trusted(&lateness),
            delay_phone_to_agent: Percentiles::of(&delay_to_agent),
            delay_agent_to_phone: Percentiles::of(&delay_to_phone),
            distribution: Distribution::of(&delay_to_agent, &delay_to_phone),
            memory_bytes: Level::new(
                idle.resident_bytes,
                full.resident_bytes,
                empty.resident_bytes,
                calls,
            ),
            descriptors: Level::new(idle.descriptors, full.descriptors, empty.descriptors, calls),
            frames_phone_to_agent: to_agent,
            frames_agent_to_phone: to_phone,
            failures: check::failures(&seen, expect),
            ..Report::default()
        })
    }

    async fn open_all(
        &self,
        phones: &mut JoinSet<()>,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), BareError> {
        let began = Instant::now();
        for n in 0..self.setup.calls {
            sleep_until((began + BETWEEN_CALLS * n).into()).await;
            let stream = phone::open(&self.program.media_url(), n).await?;
            let (ear, seen) = (self.probe.phone(), self.seen.clone());
            phones.spawn(phone::talk(stream, ear, seen, stop.clone()));
        }
        let calls = u64::from(self.setup.calls);
        let up = || self.seen.up.load(Ordering::Relaxed).min(self.peers.live());
        wait_for(|| up() >= calls).await;
        if up() < calls {
            let why = self.program.said();
            return Err(BareError::NotUp { up: up(), calls: self.setup.calls, why });
        }
        Ok(())
    }

    fn moment(&self) -> Result<Moment, BareError> {
        Ok(Moment {
            at: Instant::now(),
            program: self.program.group().read()?,
            generator: Process::this().cpu()?,
            frames: self.probe.to_agent().in_order + self.probe.to_phone().in_order,
        })
    }
}

async fn wait_for(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() && began.elapsed() < LIMIT {
        sleep(LOOK_EVERY).await;
    }
}
