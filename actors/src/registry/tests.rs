//! Calls that die of a bug, in a world that notes what becomes of them.

use std::sync::atomic::{AtomicI64, AtomicUsize};

use async_trait::async_trait;
use secrecy::ExposeSecret as _;

use super::*;
use crate::call_session::{AnswerCall, OpenStream, PhoneLeg, PhoneNews, TakeCall};
use crate::ids::{CompanyId, PhoneNumber};
use crate::ports::{
    AgentSource, CallLog, CallObserver, FirstSpeaker, NewAgentCall, NewPhoneCall, PhoneCall,
    Telephony, UltravoxAccount, Urgency, VendorError, VoiceAgents,
};
use crate::stream::StreamTicket;

/// Longest wait for anything that must happen.
const LIMIT: Duration = Duration::from_secs(20);
/// Whoever dials this number finds a bug.
const BAD_NUMBER: &str = "+12125550199";

/// Twilio, Ultravox and the database at once.
#[derive(Default)]
struct World {
    placed: AtomicUsize,
    hang_up_bugs: AtomicUsize,
    hung_up: Mutex<Vec<CallSid>>,
    created: AtomicUsize,
    released: AtomicUsize,
    live: AtomicI64,
    ends: Mutex<Vec<(CallId, CallStatus, EndReason)>>,
    changed: Notify,
}

impl World {
    fn ends(&self) -> Vec<(CallId, CallStatus, EndReason)> {
        self.ends.lock().expect("nothing panics while it is held").clone()
    }

    fn hung_up(&self) -> Vec<CallSid> {
        self.hung_up.lock().expect("nothing panics while it is held").clone()
    }

    /// Waits until so many calls have ended.
    async fn ended(&self, count: usize) {
        let all = async {
            loop {
                let changed = self.changed.notified();
                if self.ends().len() >= count {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(LIMIT, all).await.expect("the calls end");
    }
}

#[async_trait]
impl Telephony for World {
    async fn place(
        &self,
        _: &TwilioAccount,
        call: &NewPhoneCall,
    ) -> Result<PhoneCall, VendorError> {
        assert_ne!(call.to.as_str(), BAD_NUMBER, "a bug");
        let n = self.placed.fetch_add(1, Ordering::SeqCst);
        let sid = format!("CA{n:032x}").parse().expect("a call sid");
        Ok(PhoneCall { sid, status: CallStatus::Initiated, duration: None })
    }

    async fn find(
        &self,
        _: &TwilioAccount,
        _: &PhoneNumber,
        _: Duration,
    ) -> Result<Vec<PhoneCall>, VendorError> {
        Ok(Vec::new())
    }

    async fn fetch(
        &self,
        _: &TwilioAccount,
        _: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError> {
        Ok(None)
    }

    async fn hang_up(
        &self,
        _: &TwilioAccount,
        sid: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError> {
        let bugs = self.hang_up_bugs.load(Ordering::SeqCst);
        if bugs > 0 {
            self.hang_up_bugs.store(bugs - 1, Ordering::SeqCst);
            panic!("a bug");
        }
        self.hung_up.lock().expect("nothing panics while it is held").push(sid.clone());
        Ok(None)
    }

    async fn say_and_hang_up(
        &self,
        _: &TwilioAccount,
        _: &CallSid,
        _: &str,
    ) -> Result<(), VendorError> {
        Ok(())
    }
}

#[async_trait]
impl VoiceAgents for World {
    async fn create(
        &self,
        _: &UltravoxAccount,
        _: &NewAgentCall,
    ) -> Result<AgentCall, VendorError> {
        self.created.fetch_add(1, Ordering::SeqCst);
        let join_url = "wss://host/calls/1".to_owned().into();
        Ok(AgentCall { ultravox_call_id: "1".into(), join_url })
    }

    async fn tell(&self, _: &UltravoxAccount, _: &AgentCall, _: &str) -> Result<(), VendorError> {
        Ok(())
    }

    async fn release(&self, _: &AgentCall) {
        self.released.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl CallLog for World {
    fn record(&self, id: CallId, update: CallUpdate) {
        if let CallUpdate::Ended { status, reason, .. } = update {
            let mut ends = self.ends.lock().expect("nothing panics while it is held");
            ends.push((id, status, reason));
        }
    }

    fn event(&self, _: CallId, _: CallEvent) {}

    fn do_not_call(&self, _: CallId) {}

    async fn unclaimed(&self, sids: Vec<CallSid>) -> Result<Vec<CallSid>, String> {
        Ok(sids)
    }
}

impl CallObserver for World {
    fn started(&self) {
        self.live.fetch_add(1, Ordering::SeqCst);
    }

    fn ended(&self, _: Direction, _: CallStatus, _: Option<Duration>) {
        self.live.fetch_sub(1, Ordering::SeqCst);
        // The last thing that is told of a call.
        self.changed.notify_waiters();
    }

    fn first_audio(&self, _: Duration) {}
}

fn registry() -> (Arc<Registry>, Arc<World>) {
    let world = Arc::new(World::default());
    let ports = Ports {
        telephony: world.clone(),
        agents: world.clone(),
        log: world.clone(),
        observer: world.clone(),
    };
    (Registry::new(ports, actix::Arbiter::current(), 100), world)
}

fn spec(to: &str) -> CallSpec {
    CallSpec {
        id: CallId::generate(),
        company: CompanyId(1),
        twilio: TwilioAccount {
            account_sid: "AC00000000000000000000000000000001".parse().expect("valid"),
            auth_token: "token".to_owned().into(),
            phone_number: "+15017122661".parse().expect("valid"),
        },
        ultravox: UltravoxAccount { api_key: "key".to_owned().into(), api_url: None },
        phone: PhoneLeg::Outbound {
            to: to.parse().expect("valid"),
            answer_url: String::new(),
            status_url: String::new(),
            machine_url: String::new(),
            ring_timeout: Duration::from_secs(60),
            urgency: Urgency::Single,
            detection: None,
        },
        max_duration: Duration::from_secs(3_600),
        agent: Some(AgentSource::Inline {
            system_prompt: String::new(),
            model: String::new(),
            voice: String::new(),
            first_speaker: FirstSpeaker::User,
        }),
        offers_do_not_call: true,
    }
}

/// A call whose stream is up.
async fn live_call(registry: &Arc<Registry>) -> (CallId, CallSid, StreamTicket) {
    let spec = spec("+12125550123");
    let id = spec.id;
    let Started { dialled, .. } = registry.start(spec).expect("there is room");
    let placed = dialled.await.expect("an answer").expect("a call");
    let (_, call) = registry.get(id).expect("it is live");
    let call_sid = placed.call_sid;
    let answer = call.send(AnswerCall { call_sid: call_sid.clone() }).await;
    answer.expect("it lives").expect("it is welcome");
    let ticket = call.send(OpenStream).await.expect("it lives").expect("it is welcome");
    (id, call_sid, ticket)
}

#[actix::test]
async fn a_call_that_dies_is_ended_on_both_sides_and_the_others_go_on() {
    let (registry, world) = registry();
    let (id, call_sid, ticket) = live_call(&registry).await;
    let (_, _, mut other) = live_call(&registry).await;
    world.hang_up_bugs.store(1, Ordering::SeqCst);
    let (_, call) = registry.get(id).expect("it is live");
    call.do_send(EndCall(EndReason::HungUp));
    // It ends its stream and then dies of hanging up.
    assert_eq!(ticket.ended.await, Ok(EndReason::HungUp));

    world.ended(1).await;
    assert_eq!(world.ends(), [(id, CallStatus::Failed, EndReason::InternalError)]);
    assert_eq!(world.hung_up(), [call_sid]);
    assert_eq!(registry.count(), 1);
    assert_eq!(world.live.load(Ordering::SeqCst), 1);
    assert!(other.ended.try_recv().is_err(), "the other call was told to end");

    registry.end_all(EndReason::ShutDown);
    assert_eq!(other.ended.await, Ok(EndReason::ShutDown));
    other.reporter.over(EndReason::ShutDown);
    tokio::time::timeout(LIMIT, registry.emptied()).await.expect("the other call ends");
    assert_eq!(world.live.load(Ordering::SeqCst), 0);
}

#[actix::test]
async fn a_call_that_dies_while_it_dials_gives_its_agent_back() {
    let (registry, world) = registry();
    let spec = spec(BAD_NUMBER);
    let id = spec.id;
    let Started { dialled, ended } = registry.start(spec).expect("there is room");
    assert!(dialled.await.is_err(), "nobody is left to answer");
    let end = tokio::time::timeout(LIMIT, ended).await.expect("in time").expect("its end is told");
    assert_eq!((end.status, end.reason), (CallStatus::Failed, EndReason::InternalError));
    assert_eq!(end.duration, None);

    world.ended(1).await;
    assert_eq!(world.ends(), [(id, CallStatus::Failed, EndReason::InternalError)]);
    assert_eq!(world.hung_up(), []);
    assert_eq!(world.released.load(Ordering::SeqCst), 1);
    assert_eq!(registry.count(), 0);
    assert_eq!(world.live.load(Ordering::SeqCst), 0);
}

#[actix::test]
async fn a_call_that_dies_together_with_its_pump_is_ended_all_the_same() {
    let (registry, world) = registry();
    let (id, call_sid, ticket) = live_call(&registry).await;
    // The pump of this call dies, and so does the call when it hangs up.
    world.hang_up_bugs.store(1, Ordering::SeqCst);
    drop(ticket);
    world.ended(1).await;
    assert_eq!(world.ends(), [(id, CallStatus::Failed, EndReason::InternalError)]);
    assert_eq!(world.hung_up(), [call_sid]);
    assert_eq!(registry.count(), 0);
}

#[actix::test]
async fn a_pump_that_dies_ends_its_call() {
    let (registry, world) = registry();
    let (id, call_sid, ticket) = live_call(&registry).await;
    drop(ticket.reporter);
    world.ended(1).await;
    assert_eq!(world.ends(), [(id, CallStatus::Completed, EndReason::InternalError)]);
    assert_eq!(world.hung_up(), [call_sid]);
    assert_eq!(registry.count(), 0);
    assert_eq!(world.live.load(Ordering::SeqCst), 0);
}

#[actix::test]
async fn whoever_waits_for_the_end_of_a_call_learns_how_it_ended() {
    let (registry, world) = registry();
    let spec = spec("+12125550123");
    let id = spec.id;
    let Started { dialled, mut ended } = registry.start(spec).expect("there is room");
    let call_sid = dialled.await.expect("an answer").expect("a call").call_sid;
    let (_, call) = registry.get(id).expect("it is live");
    let news = |status| PhoneNews { call_sid: call_sid.clone(), status, answered_by: None };
    call.send(news(CallStatus::Ringing)).await.expect("it lives");
    assert!(ended.try_recv().is_err(), "it has only begun");
    call.send(news(CallStatus::Busy)).await.expect("it lives");

    let end = tokio::time::timeout(LIMIT, ended).await.expect("in time").expect("its end is told");
    let (status, reason) = (CallStatus::Busy, EndReason::Busy);
    let expected = CallEnd { status, reason, detail: None, duration: None, answered_by: None };
    assert_eq!(end, expected);
    assert_eq!(registry.count(), 0, "there is room for another by then");
    assert_eq!(world.released.load(Ordering::SeqCst), 1);
}

#[actix::test]
async fn a_tracked_call_has_no_agent_and_ends_when_twilio_says_so() {
    let (registry, world) = registry();
    let spec = CallSpec { agent: None, ..spec("+12125550123") };
    let id = spec.id;
    let Started { dialled, ended } = registry.start(spec).expect("there is room");
    let placed = dialled.await.expect("an answer").expect("a call");
    assert!(placed.join_url.is_none());
    let (_, call) = registry.get(id).expect("it is live");
    let call_sid = placed.call_sid;
    for (status, answered_by) in
        [(CallStatus::InProgress, None), (CallStatus::Completed, Some(AnsweredBy::Human))]
    {
        let news = PhoneNews { call_sid: call_sid.clone(), status, answered_by };
        call.send(news).await.expect("it lives");
    }
    let end = tokio::time::timeout(LIMIT, ended).await.expect("in time").expect("its end is told");
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::PhoneHungUp));
    assert!(end.duration.is_some());
    assert_eq!(end.answered_by, Some(AnsweredBy::Human), "told at the end, if not before");
    assert_eq!(world.created.load(Ordering::SeqCst), 0);
    assert_eq!(world.released.load(Ordering::SeqCst), 0);
    assert_eq!(world.hung_up(), []);
}

#[actix::test]
async fn a_call_that_came_in_and_dies_is_ended_on_both_sides() {
    let (registry, world) = registry();
    let call_sid: CallSid = "CA00000000000000000000000000000042".parse().expect("a call sid");
    let phone = PhoneLeg::Inbound { call_sid: call_sid.clone() };
    let spec = CallSpec { phone, ..spec("+12125550123") };
    let id = spec.id;
    let _never = registry.start(spec).expect("there is room");
    let (_, call) = registry.get(id).expect("it is live");
    let token = call.send(TakeCall).await.expect("it lives").expect("it is welcome");
    let again = call.send(TakeCall).await.expect("it lives").expect("it is welcome");
    assert_eq!(token.expose_secret(), again.expose_secret());
    let ticket = call.send(OpenStream).await.expect("it lives").expect("it is welcome");
    assert_eq!(world.placed.load(Ordering::SeqCst), 0, "nobody is dialled");
    world.hang_up_bugs.store(1, Ordering::SeqCst);
    drop(ticket);
    world.ended(1).await;
    assert_eq!(world.ends(), [(id, CallStatus::Failed, EndReason::InternalError)]);
    assert_eq!(world.hung_up(), [call_sid]);
    assert_eq!(registry.count(), 0);
}
