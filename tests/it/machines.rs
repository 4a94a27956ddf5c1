//! What becomes of a call when Twilio finds out who took it.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actors::call::{CallEnd, CallEvent, CallStatus, EndReason};
use actors::call_session::{CallSpec, PhoneLeg};
use actors::ids::{CallId, CompanyId, PhoneNumber};
use actors::machine::{AnsweredBy, DetectionMode, MachineDetection, Message, OnMachine};
use actors::ports::{AgentSource, Urgency};
use actors::registry::Started;
use callspan::store::{Direction, NewCall, UltravoxConfig};
use jiff::Timestamp;
use loadtest::twilio::{PhoneBehaviour, SimCall};
use loadtest::ultravox::{AgentScript, Fault, Line, On, SimAgentCall};
use serde_json::json;
use tokio::sync::oneshot;

use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, CALLEE, Setup, TestApp, soon};

const COMPANY: CompanyId = CompanyId(1);

/// A call that was started as a campaign starts its own.
struct Dialled {
    id: CallId,
    phone: SimCall,
    ended: oneshot::Receiver<CallEnd>,
}

fn detection(mode: DetectionMode, on_machine: OnMachine) -> Option<MachineDetection> {
    Some(MachineDetection { mode, on_machine })
}

/// Starts a call and waits until Twilio has it. With a URL it is tracked, not bridged.
async fn start(
    app: &TestApp,
    detection: Option<MachineDetection>,
    twiml_url: Option<String>,
) -> Dialled {
    let store = app.app.store();
    let twilio = store.twilio_account(COMPANY).await.expect("a database").expect("an account");
    let ultravox = store.ultravox_config(COMPANY).await.expect("a database").expect("an account");
    let UltravoxConfig { account, system_prompt, model, voice, first_speaker, .. } = ultravox;
    let source = AgentSource::Inline { system_prompt, model, voice, first_speaker };
    let id = CallId::generate();
    let to: PhoneNumber = CALLEE.parse().expect("a number");
    let row = NewCall {
        id,
        company: COMPANY,
        node: app.app.node(),
        to: to.clone().into(),
        from: twilio.phone_number.clone().into(),
        direction: Direction::Outbound,
        agent: None,
        at: Timestamp::now(),
    };
    store.insert_call(&row).await.expect("a database");
    let is_bridged = twiml_url.is_none();
    let own = |kind: &str| app.url(&format!("/twilio/{kind}/{id}"));
    let spec = CallSpec {
        id,
        company: COMPANY,
        twilio,
        ultravox: account,
        phone: PhoneLeg::Outbound {
            to,
            answer_url: twiml_url.unwrap_or_else(|| own("answer")),
            status_url: own("status"),
            machine_url: own("machine"),
            ring_timeout: Duration::from_secs(60),
            urgency: Urgency::Campaign,
            detection,
        },
        max_duration: Duration::from_secs(3_600),
        agent: is_bridged.then_some(source),
        offers_do_not_call: is_bridged,
    };
    let Started { dialled, ended } = app.app.registry().start(spec).expect("there is room");
    let placed = soon("Twilio", dialled).await.expect("an answer").expect("a call");
    assert_eq!(placed.join_url.is_some(), is_bridged);
    let phone = soon("the call at Twilio", app.twilio.wait_for_call(CALLEE)).await;
    assert_eq!(phone.sid(), placed.call_sid.as_str());
    Dialled { id, phone, ended }
}

/// The same, up to the moment when both sockets are up.
async fn start_live(app: &TestApp, on_machine: OnMachine) -> (Dialled, SimAgentCall) {
    let call = start(app, detection(DetectionMode::DetectMessageEnd, on_machine), None).await;
    let agent = soon("the agent's call", app.ultravox.wait_for_call()).await;
    soon("the stream", call.phone.wait_for_stream()).await.expect("a stream");
    soon("the agent", agent.wait_joined()).await;
    (call, agent)
}

/// A phone at which Twilio finds this after so long.
fn taken_by(answered_by: &str, after: Duration) -> PhoneBehaviour {
    PhoneBehaviour::answers().detected_as(answered_by).detected_after(after)
}

/// A phone of which nothing is found out, as long as any test lasts.
fn undecided() -> PhoneBehaviour {
    taken_by("human", Duration::from_secs(3_600))
}

/// Tells a verdict in Twilio's name.
async fn decide(app: &TestApp, call: &Dialled, answered_by: &str) {
    let fields = [("CallSid", call.phone.sid()), ("AnsweredBy", answered_by)];
    assert_eq!(app.webhook(&app.hooks().machine, &fields).await.status, 204);
}

/// Waits until Twilio has told of its verdict.
async fn verdict(call: &Dialled) {
    let told = |phone: &SimCall| phone.callbacks().iter().any(|c| c.field("AnsweredBy").is_some());
    soon("the verdict", call.phone.wait_until(told)).await.expect("a verdict");
}

async fn end(call: Dialled) -> CallEnd {
    soon("the end of the call", call.ended).await.expect("it is told")
}

/// How often Twilio was asked to end a call.
fn hang_ups(app: &TestApp) -> usize {
    let requests = app.twilio.requests();
    requests.iter().filter(|request| request.field("Status").is_some()).count()
}

/// What Ultravox was asked to tell agents.
fn told(app: &TestApp) -> Vec<String> {
    let requests = app.ultravox.requests();
    let messages = requests.iter().filter(|r| r.path.ends_with("/send_data_message"));
    let texts = messages.map(|message| {
        assert_eq!(message.body["type"], "user_text_message");
        assert_eq!(message.body["urgency"], "immediate");
        message.body["text"].as_str().expect("a text").to_owned()
    });
    texts.collect()
}

#[actix_web::test]
async fn a_person_is_not_disturbed() {
    for word in ["human", "unknown"] {
        let app = Setup::new().phones(taken_by(word, Duration::ZERO)).start().await;
        let (call, agent) = start_live(&app, OnMachine::HangUp).await;
        let create = app.placed();
        assert_eq!(create.field("MachineDetection"), Some("DetectMessageEnd"));
        assert_eq!(create.field("AsyncAmd"), Some("true"));
        verdict(&call).await;
        let heard = agent.audio_ms_received();
        soon("audio to go on", agent.wait_for_audio_ms(heard + 200)).await;
        assert!(told(&app).is_empty() && call.phone.is_streaming());
        call.phone.hang_up();
        let id = call.id;
        let end = end(call).await;
        assert_eq!(end.reason, EndReason::PhoneHungUp);
        assert_eq!(end.answered_by, Some(AnsweredBy::from(word)));
        assert_eq!(app.row_of(id).await.answered_by, Some(AnsweredBy::from(word)));
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_machine_is_hung_up_on() {
    let app = Setup::new().phones(taken_by("machine_start", Duration::ZERO)).start().await;
    let call = start(&app, detection(DetectionMode::Enable, OnMachine::HangUp), None).await;
    assert_eq!(app.placed().field("MachineDetection"), Some("Enable"));
    let (id, phone) = (call.id, call.phone.clone());
    let end = end(call).await;
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::Machine));
    assert_eq!(end.answered_by, Some(AnsweredBy::MachineStart));
    app.ended(&phone, EndReason::Machine).await;
    let row = app.row_of(id).await;
    assert_eq!(row.answered_by, Some(AnsweredBy::MachineStart));
    let timeline = app.timeline(&phone).await;
    let found = CallEvent::AnsweredBy { answered_by: AnsweredBy::MachineStart };
    assert_eq!(timeline.iter().filter(|event| **event == found).count(), 1, "{timeline:?}");

    let request =
        app.http.get(app.url(&format!("/api/v1/calls/{id}"))).header("X-API-Key", ADMIN_KEY);
    let shown = Answer::to(request).await.json();
    assert_eq!(shown["answered_by"], "machine_start");
    assert_eq!(shown["end_reason"], "machine");
    app.finish().await;
}

#[actix_web::test]
async fn the_agent_is_told_to_leave_a_message_and_ends_the_call_itself() {
    let agents = AgentScript::conversation([Line::murmur("Please call back.")]);
    let phone = taken_by("machine_end_beep", Duration::from_millis(100));
    let app = Setup::new().agents(agents).phones(phone).start().await;
    let message = OnMachine::LeaveMessage(Message::ToldAgent("Ask for a call back.".into()));
    let call = start(&app, detection(DetectionMode::DetectMessageEnd, message), None).await;
    let phone = call.phone.clone();
    let end = end(call).await;
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::AgentHungUp));
    assert_eq!(end.answered_by, Some(AnsweredBy::MachineEndBeep));
    let told = told(&app);
    assert!(told[0].contains("answering machine") && told[0].contains("Ask for a call back."));
    assert!(phone.heard_speech_ms() > 0, "the message is heard");
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_that_cannot_be_told_does_not_talk_to_a_machine() {
    let app = Setup::new().phones(taken_by("machine_end_beep", Duration::ZERO)).start().await;
    app.ultravox.fail_always(On::SendDataMessage, Fault::forbidden());
    let message = OnMachine::LeaveMessage(Message::ToldAgent("Ask for a call back.".into()));
    let call = start(&app, detection(DetectionMode::DetectMessageEnd, message), None).await;
    let end = end(call).await;
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::Machine));
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_that_is_not_quite_there_is_told_again() {
    let agents = AgentScript::conversation([Line::murmur("Please call back.")]);
    let phone = taken_by("machine_end_beep", Duration::ZERO);
    let app = Setup::new().agents(agents).phones(phone).start().await;
    let body = json!({ "detail": "The call is not active." });
    let inactive = Fault::Answer { status: 422, body, retry_after: None };
    app.ultravox.fail_next(On::SendDataMessage, inactive);
    let message = OnMachine::LeaveMessage(Message::ToldAgent("Ask for a call back.".into()));
    let call = start(&app, detection(DetectionMode::DetectMessageEnd, message), None).await;
    assert_eq!(end(call).await.reason, EndReason::AgentHungUp);
    assert!(told(&app).len() > 1);
    app.finish().await;
}

#[actix_web::test]
async fn a_verdict_that_came_with_the_end_alone_is_kept() {
    let app = Setup::new().phones(undecided()).start().await;
    let (call, _agent) = start_live(&app, OnMachine::HangUp).await;
    let fields = [
        ("CallSid", call.phone.sid()),
        ("CallStatus", "completed"),
        ("AnsweredBy", "machine_end_beep"),
    ];
    assert_eq!(app.webhook(&app.hooks().status, &fields).await.status, 204);
    call.phone.hang_up();
    let end = end(call).await;
    assert_eq!(end.reason, EndReason::PhoneHungUp, "there is nothing left to react to");
    assert_eq!(end.answered_by, Some(AnsweredBy::MachineEndBeep));
    app.finish().await;
}

#[actix_web::test]
async fn a_fixed_message_is_said_to_its_end() {
    const TEXT: &str = "Hello, this is \"Fish & Chips\". <Call us> back.";
    let setup = Setup::new().phones(undecided()).twilio(|twilio| {
        twilio.verb_time = 1.0;
        twilio.say_char = Duration::from_millis(20);
    });
    let app = setup.start().await;
    let message = OnMachine::LeaveMessage(Message::Fixed(TEXT.into()));
    let (call, agent) = start_live(&app, message).await;
    decide(&app, &call, "machine_end_silence").await;
    let phone = call.phone.clone();
    let end = end(call).await;
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::Machine));
    assert_eq!(end.answered_by, Some(AnsweredBy::MachineEndSilence));
    assert_eq!(phone.say_texts(), [TEXT], "and nothing else");
    assert_eq!(hang_ups(&app), 0, "Twilio ends the call, after the last word");
    app.quiet().await;
    assert_eq!(agent.close_frame_received().expect("the agent's socket is closed").code, 1_000);
    assert_eq!(told(&app), Vec::<String>::new());
    app.finish().await;
}

#[actix_web::test]
async fn a_message_that_twilio_refuses_ends_the_call() {
    let app = Setup::new().phones(undecided()).start().await;
    let message = OnMachine::LeaveMessage(Message::Fixed("x".repeat(5_000)));
    let (call, _agent) = start_live(&app, message).await;
    decide(&app, &call, "machine_end_other").await;
    let phone = call.phone.clone();
    let end = end(call).await;
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::Machine));
    assert_eq!(phone.say_texts(), Vec::<String>::new());
    assert_eq!(hang_ups(&app), 1);
    app.finish().await;
}

#[actix_web::test]
async fn a_machine_may_be_talked_to_like_a_person() {
    let phone = taken_by("machine_end_beep", Duration::ZERO);
    let app = Setup::new().phones(phone).start().await;
    let (call, agent) = start_live(&app, OnMachine::GoOn).await;
    verdict(&call).await;
    let heard = agent.audio_ms_received();
    soon("audio to go on", agent.wait_for_audio_ms(heard + 200)).await;
    call.phone.hang_up();
    let end = end(call).await;
    assert_eq!(end.reason, EndReason::PhoneHungUp);
    assert_eq!(end.answered_by, Some(AnsweredBy::MachineEndBeep));
    app.finish().await;
}

#[actix_web::test]
async fn the_first_verdict_stands() {
    let app = Setup::new().phones(taken_by("human", Duration::ZERO)).start().await;
    let (call, agent) = start_live(&app, OnMachine::HangUp).await;
    verdict(&call).await;
    for word in ["machine_start", "machine_start", "fax"] {
        decide(&app, &call, word).await;
    }
    let heard = agent.audio_ms_received();
    soon("audio to go on", agent.wait_for_audio_ms(heard + 200)).await;
    assert_eq!(app.row_of(call.id).await.answered_by, Some(AnsweredBy::Human));
    let phone = call.phone.clone();
    phone.hang_up();
    assert_eq!(end(call).await.reason, EndReason::PhoneHungUp);
    let timeline = app.timeline(&phone).await;
    let verdicts = timeline.iter().filter(|event| matches!(event, CallEvent::AnsweredBy { .. }));
    assert_eq!(verdicts.count(), 1);
    app.finish().await;
}

#[actix_web::test]
async fn a_verdict_on_a_call_that_is_over_is_kept_and_does_nothing() {
    let app = Setup::new().phones(undecided()).start().await;
    let (call, _agent) = start_live(&app, OnMachine::HangUp).await;
    let (id, phone, url) = (call.id, call.phone.clone(), app.hooks().machine);
    phone.hang_up();
    end(call).await;
    app.quiet().await;
    let requests = app.twilio.requests().len();
    let other = [("CallSid", "CA00000000000000000000000000000009"), ("AnsweredBy", "fax")];
    assert_eq!(app.webhook(&url, &other).await.status, 204);
    assert_eq!(app.row_of(id).await.answered_by, None, "that is another call");
    for word in ["machine_end_beep", "human"] {
        let fields = [("CallSid", phone.sid()), ("AnsweredBy", word)];
        assert_eq!(app.webhook(&url, &fields).await.status, 204);
    }
    let row = app.row_of(id).await;
    assert_eq!(row.answered_by, Some(AnsweredBy::MachineEndBeep));
    assert_eq!(row.end_reason, Some(EndReason::PhoneHungUp));
    assert_eq!(app.twilio.requests().len(), requests, "Twilio is asked for nothing");
    app.finish().await;
}

#[actix_web::test]
async fn calls_of_which_nobody_asked_who_took_them_are_not_looked_into() {
    let app = Setup::new().phones(taken_by("machine_start", Duration::ZERO)).start().await;
    let call = app.live_call().await;
    assert_eq!(app.placed().field("MachineDetection"), None);
    assert_eq!(app.placed().field("AsyncAmd"), None);
    app.hang_up(&call).await;
    assert_eq!(app.row(&call.phone).await.answered_by, None);
    app.finish().await;
}

/// TwiML of somebody else's: its URL, and the server, which is to be stopped.
fn foreign_twiml(twiml: &'static str) -> (String, ServerHandle) {
    use actix_web::{App, HttpResponse, HttpServer, web};
    let serve = move || async move { HttpResponse::Ok().content_type("text/xml").body(twiml) };
    let server = HttpServer::new(move || App::new().route("/twiml", web::post().to(serve)));
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a free port");
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (format!("http://{address}/twiml"), handle)
}

#[actix_web::test]
async fn a_call_with_twiml_of_others_is_tracked_to_its_end() {
    let app = TestApp::start().await;
    let (url, server) = foreign_twiml("<Response><Say>Your parcel has arrived.</Say></Response>");
    let call = start(&app, None, Some(url.clone())).await;
    assert_eq!(app.placed().field("Url"), Some(url.as_str()));
    let phone = call.phone.clone();
    let end = end(call).await;
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::PhoneHungUp));
    assert!(end.duration.is_some() && end.answered_by.is_none());
    assert_eq!(phone.say_texts(), ["Your parcel has arrived."]);
    assert!(app.ultravox.requests().is_empty(), "there is no agent");
    assert_eq!(hang_ups(&app), 0);
    app.finish().await;
    server.stop(false).await;
}

#[actix_web::test]
async fn a_machine_is_hung_up_on_in_a_tracked_call_too() {
    let app = Setup::new()
        .phones(taken_by("machine_start", Duration::from_millis(50)))
        .twilio(|twilio| twilio.verb_time = 1.0)
        .start()
        .await;
    let (url, server) = foreign_twiml("<Response><Pause length=\"600\"/></Response>");
    let call = start(&app, detection(DetectionMode::Enable, OnMachine::HangUp), Some(url)).await;
    let end = end(call).await;
    assert_eq!((end.status, end.reason), (CallStatus::Completed, EndReason::Machine));
    assert_eq!(hang_ups(&app), 1);
    app.finish().await;
    server.stop(false).await;
}
