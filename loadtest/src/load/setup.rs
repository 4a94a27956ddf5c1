//! What a scenario means for the simulated vendors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::probe::{Manner, Probe, Speech};
use super::processors;
use super::scenario::{AgentSpeech, FRAME, PhoneSpeech, Scenario, whole};
use crate::audio::{FRAME_PCM_BYTES, FRAME_SAMPLES};
use crate::twilio::playback::SILENCE;
use crate::twilio::{CallerScript, PhoneBehaviour, StreamFaults, TwilioOptions};
use crate::ultravox::{AgentScript, Line, Pacing, Turn, UltravoxOptions};

/// Receive buffer of agents that read slowly; more would take long to fill.
const SLOW_RECEIVE_BUFFER: usize = 4 * 1024;
/// Time beyond the measured one for which people and agents have something to say.
const BESIDES: Duration = Duration::from_secs(120);
/// From one interruption to the next, at least: what the agent needs to notice and to answer.
const PAUSE: Duration = Duration::from_millis(500);

/// Threads for the calls of one simulator: half of the machine for both of them, and none where
/// there is not enough for that.
fn threads(machine_cpus: usize) -> usize {
    machine_cpus / 4
}

/// The frames in a time.
fn frames(time: Duration) -> u32 {
    whole(time.div_duration_f64(FRAME))
}

/// How the phones of a scenario speak.
pub(crate) fn manner(scenario: &Scenario) -> Manner {
    Manner {
        speech: match scenario.phone.speech {
            PhoneSpeech::Always => Speech::Always,
            PhoneSpeech::Pauses { speaks, pauses } => {
                Speech::Pauses { speaks: frames(speaks), pauses: frames(pauses) }
            }
            PhoneSpeech::Interrupts { .. } => Speech::Scripted,
        },
        frames: scenario.speech_length().map(frames),
    }
}

/// A Twilio for a scenario.
pub(crate) fn twilio(scenario: &Scenario, probe: &Probe) -> TwilioOptions {
    let script = caller(scenario);
    let faults = StreamFaults {
        jitter: scenario.phone.late_up_to,
        burst_frames: scenario.phone.burst_frames,
        ..StreamFaults::default()
    };
    TwilioOptions {
        verb_time: 0.0,
        record: false,
        private_only: true,
        phone: PhoneBehaviour::answers().following(script).with_stream_faults(faults),
        threads: threads(processors::count()),
        probe: Some(probe.clone()),
        ..TwilioOptions::default()
    }
}

fn caller(scenario: &Scenario) -> CallerScript {
    if let Some(length) = scenario.call_length() {
        return CallerScript::new().wait_ms(ms(length)).hang_up();
    }
    let PhoneSpeech::Interrupts { after, speaks } = scenario.phone.speech else {
        return CallerScript::new();
    };
    // Marked frames take the place of what is said; once the test is over, this silence is heard.
    let word: Arc<[u8]> = vec![SILENCE; FRAME_SAMPLES * frames(speaks) as usize].into();
    // Agents wait to be spoken to, unless the service has them speak first.
    let greeting = CallerScript::new().say(word.clone());
    (0..rounds(scenario, after + speaks + PAUSE))
        .fold(greeting, |script, _| script.interrupt_after_agent_spoke(ms(after)).say(word.clone()))
}

/// An Ultravox for a scenario.
pub(crate) fn ultravox(scenario: &Scenario, probe: &Probe) -> UltravoxOptions {
    let options = UltravoxOptions {
        threads: threads(processors::count()),
        probe: Some(probe.clone()),
        rest_after_reading: scenario.agent.rest_after_reading,
        receive_buffer_bytes: scenario.agent.rest_after_reading.map(|_| SLOW_RECEIVE_BUFFER),
        ..UltravoxOptions::for_load()
    };
    let AgentSpeech::Talks { turn, speed } = scenario.agent.speech else { return options };
    let pcm = Bytes::from(vec![0; FRAME_PCM_BYTES * frames(turn) as usize]);
    let turns = (0..rounds(scenario, PAUSE)).map(|_| Turn::of(Line::new("words", pcm.clone())));
    UltravoxOptions {
        script: AgentScript::Conversation(turns.collect()),
        pacing: Pacing::Burst { speed },
        ..options
    }
}

/// How often something can happen in a scenario, when it takes at least so long.
fn rounds(scenario: &Scenario, each: Duration) -> u32 {
    let all = Duration::from_secs(scenario.seconds) + scenario.ramp + BESIDES;
    whole(all.div_duration_f64(each)) + 1
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::scenario::find;
    use crate::twilio::CallerStep;

    fn of(name: &str) -> (TwilioOptions, UltravoxOptions, Manner) {
        let scenario = find(name).expect(name);
        let probe = Probe::new();
        (twilio(&scenario, &probe), ultravox(&scenario, &probe), manner(&scenario))
    }

    #[test]
    fn short_calls_hang_up_after_a_silence() {
        let (twilio, _, manner) = of("churn");
        let steps = &twilio.phone.script.0;
        assert!(matches!(steps[..], [CallerStep::WaitMs(3_000), CallerStep::HangUp]), "{steps:?}");
        assert_eq!(manner, Manner { speech: Speech::Always, frames: Some(125) });
    }

    #[test]
    fn people_interrupt_for_as_long_as_the_test_lasts() {
        let (twilio, ultravox, manner) = of("talk-over");
        assert_eq!(manner.speech, Speech::Scripted);
        let steps = &twilio.phone.script.0;
        assert!(matches!(steps[0], CallerStep::Say(_)), "{:?}", steps[0]);
        assert!(matches!(steps[1], CallerStep::InterruptAfterAgentSpoke(1_500)), "{:?}", steps[1]);
        assert!(steps.len() > 60);
        let AgentScript::Conversation(turns) = &ultravox.script else { panic!("agents talk") };
        assert!(turns.len() * 2 > steps.len());
        assert_eq!(turns[0].lines[0].pcm.len(), 12_000 * 16);
    }

    #[test]
    fn slowness_is_the_agents_and_jitter_the_phones() {
        let (twilio, ultravox, _) = of("slow-agent");
        assert_eq!(ultravox.rest_after_reading, Some(Duration::from_millis(40)));
        assert!(ultravox.receive_buffer_bytes.is_some());
        assert_eq!(twilio.phone.stream.burst_frames, 0);
        let (twilio, ultravox, _) = of("jittery-phone");
        assert_eq!(twilio.phone.stream.jitter, Duration::from_millis(60));
        assert_eq!(ultravox.rest_after_reading, None);
        let (_, _, manner) = of("long");
        assert_eq!(manner.speech, Speech::Pauses { speaks: 50, pauses: 450 });
    }
}
