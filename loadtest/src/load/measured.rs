//! From what was measured to a report.

use super::bottleneck::{self, Load};
use super::caller::Asked;
use super::check::Observed;
use super::figures::Percentiles;
use super::machine::Machine;
use super::outcome::{CampaignFigures, Interruptions, RateStep};
use super::probe::{Probe, Speech};
use super::proc::CpuTime;
use super::processors;
use super::report::{Cpu, Distribution, FORMAT, Report, delays_are_trusted};
use super::scenario::Scenario;
use super::setup;
use super::subject::LaunchMode;
use super::watch::Moment;

/// What was measured, before it is put into words.
pub(crate) struct Measured {
    pub(crate) before: Moment,
    pub(crate) after: Moment,
    pub(crate) generator: CpuTime,
    pub(crate) busiest: Option<(String, f64)>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) rates: Vec<RateStep>,
    pub(crate) campaign: Option<CampaignFigures>,
}

impl Measured {
    /// The report of a test, and what its verdict needs to know. What was looked at before and after
    /// the measuring is not in it yet.
    pub(crate) fn report(
        &self,
        scenario: &Scenario,
        mode: &LaunchMode,
        probe: &Probe,
        seen: &mut Observed,
    ) -> Report {
        let Measured { before, after, .. } = self;
        let seconds = (after.at - before.at).as_secs_f64();
        let frames = after.frames - before.frames;
        let cpu = |used: CpuTime| {
            Cpu::new(used.user.as_secs_f64(), used.system.as_secs_f64(), frames, seconds)
        };
        let mut all = Asked::default();
        for asked in &self.asked {
            all.add(asked);
        }
        let (service_cpu, generator_cpu) =
            (cpu(after.usage.cpu.since(before.usage.cpu)), cpu(self.generator));
        let lateness = Percentiles::of(&probe.lateness());
        let machine_cpus = processors::count();
        if setup::manner(scenario).speech == Speech::Scripted {
            let (asked, times) = probe.interruptions();
            let times = Percentiles::of(&times);
            seen.interruptions = Some(Interruptions { asked, reached: times.count, times });
        }
        seen.calls_asked = match self.campaign {
            Some(campaign) => campaign.recipients,
            None => all.sent,
        };
        seen.refusals = all.refusals;
        let target = match mode {
            LaunchMode::Own { .. } => None,
            LaunchMode::Attached(attachment) => Some(attachment.url.to_string()),
        };
        let initiate_lateness = Percentiles::of(&all.lateness);
        let load = Load {
            lateness_p99_us: lateness.p99_us,
            sent_late_p99_us: initiate_lateness.p99_us,
            busiest: self.busiest.clone(),
            generator_cores: generator_cpu.cores,
            service_cores: is_on_this_machine(mode).then_some(service_cpu.cores),
            machine_cpus,
        };
        let (to_agent, to_phone) = (probe.delay_to_agent(), probe.delay_to_phone());
        Report {
            format: FORMAT,
            callspan_version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: Machine::this(),
            scenario: scenario.name.clone(),
            tls: mode.is_tls(),
            target,
            seconds,
            machine_cpus,
            service_cpus: mode.cpus(),
            initiate_call: Percentiles::of(&all.times),
            initiate_lateness,
            placed: seen.calls_asked,
            frames_relayed: frames,
            service_cpu,
            generator_cpu,
            generator_lateness: lateness,
            delays_trusted: delays_are_trusted(&lateness),
            delay_phone_to_agent: Percentiles::of(&to_agent),
            delay_agent_to_phone: Percentiles::of(&to_phone),
            distribution: Distribution::of(&to_agent, &to_phone),
            frames_phone_to_agent: seen.to_agent,
            frames_agent_to_phone: seen.to_phone,
            rates: self.rates.clone(),
            campaign: self.campaign,
            interruptions: seen.interruptions,
            warnings: bottleneck::warnings(&load),
            ..Report::default()
        }
    }
}

/// Whether the service shares this machine with the generator, as far as anybody can tell.
fn is_on_this_machine(mode: &LaunchMode) -> bool {
    match mode {
        LaunchMode::Own { .. } => true,
        LaunchMode::Attached(attachment) => attachment.listen.is_loopback(),
    }
}
