//! Turns, on a clock that moves only when everybody waits.

use std::sync::Mutex;

use actors::call::CallStatus;
use actors::ids::{CallSid, PhoneNumber};
use actors::ports::{NewPhoneCall, PhoneCall, Telephony, TwilioAccount, VendorError, Wish};
use proptest::prelude::*;

use super::*;

const COMPANY: CompanyId = CompanyId(1);

/// A database of one company and one process.
#[derive(Default)]
struct OneProcess {
    cps: Mutex<Option<f64>>,
    has_calls: bool,
}

#[async_trait]
impl Book for OneProcess {
    fn is_shared(&self) -> bool {
        false
    }

    async fn max_cps(&self, _: CompanyId) -> Result<Option<f64>, StoreError> {
        Ok(*self.cps.lock().expect("nobody panicked"))
    }

    async fn has_calls_before(&self, _: CompanyId, _: Timestamp) -> Result<bool, StoreError> {
        Ok(self.has_calls)
    }

    async fn take(&self, _: CompanyId, _: u32, _: Duration) -> Result<TakenSlot, StoreError> {
        unreachable!("slots of one process are in memory")
    }

    async fn free(&self, _: &DialSlot, _: bool) -> Result<(), StoreError> {
        unreachable!("slots of one process are in memory")
    }
}

fn pacer(cps: f64) -> Pacer {
    Pacer::over(Arc::new(OneProcess::default()), cps)
}

/// A Twilio that is reached and answers whenever the network pleases.
#[derive(Default)]
struct FarTwilio {
    /// From sending to arrival, and from there to the answer; by what is called.
    ways: HashMap<PhoneNumber, (Duration, Duration)>,
    arrived: Mutex<Vec<(Instant, PhoneNumber)>>,
}

#[async_trait]
impl Telephony for FarTwilio {
    async fn place(
        &self,
        _: &TwilioAccount,
        call: &NewPhoneCall,
    ) -> Result<PhoneCall, VendorError> {
        let (there, back) = self.ways.get(&call.to).copied().unwrap_or_default();
        tokio::time::sleep(there).await;
        let arrived = (Instant::now(), call.to.clone());
        self.arrived.lock().expect("nobody panicked").push(arrived);
        tokio::time::sleep(back).await;
        let sid = "CA00000000000000000000000000000001".parse().expect("a sid");
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

    async fn say_and_hang_up(
        &self,
        _: &TwilioAccount,
        _: &CallSid,
        _: &str,
    ) -> Result<(), VendorError> {
        unreachable!("nothing is said")
    }

    async fn hang_up(
        &self,
        _: &TwilioAccount,
        _: &CallSid,
    ) -> Result<Option<PhoneCall>, VendorError> {
        Ok(None)
    }
}

fn number(n: usize) -> PhoneNumber {
    format!("+1212555{n:04}").parse().expect("a number")
}

fn account() -> TwilioAccount {
    TwilioAccount {
        account_sid: "AC00000000000000000000000000000001".parse().expect("a sid"),
        auth_token: "token".into(),
        phone_number: number(9_999),
    }
}

fn call_to(to: PhoneNumber, urgency: Urgency) -> NewPhoneCall {
    NewPhoneCall {
        to,
        answer_url: String::new(),
        status_url: String::new(),
        ring_timeout: Duration::ZERO,
        time_limit: Duration::ZERO,
        company: COMPANY,
        urgency,
        wish: Wish::default(),
        detection: None,
    }
}

/// Calls that are asked for at these times; gives when each arrived at Twilio.
async fn arrivals(
    pacer: Pacer,
    calls: Vec<(Duration, Urgency, Duration, Duration)>,
) -> Vec<(Instant, PhoneNumber)> {
    let ways = calls.iter().enumerate().map(|(n, call)| (number(n), (call.2, call.3))).collect();
    let twilio = Arc::new(FarTwilio { ways, ..FarTwilio::default() });
    let paced = Arc::new(PacedTelephony::new(pacer, Arc::clone(&twilio)));
    let asked = calls.into_iter().enumerate().map(|(n, (after, urgency, ..))| {
        let paced = Arc::clone(&paced);
        async move {
            tokio::time::sleep(after).await;
            paced.place(&account(), &call_to(number(n), urgency)).await.expect("placed")
        }
    });
    futures_util::future::join_all(asked).await;
    twilio.arrived.lock().expect("nobody panicked").clone()
}

/// Runs on a clock that stands still while anybody works.
fn on_a_paused_clock<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_second_sees_one_call_too_many_whatever_the_network_does(
        cps in prop_oneof![Just(1.0), Just(5.0), 0.2_f64..8.0],
        calls in prop::collection::vec((0_u64..3_000, any::<bool>(), 0_u64..2_500, 0_u64..2_500), 1..60),
    ) {
        let ms = Duration::from_millis;
        let count = calls.len();
        let calls = calls.into_iter().map(|(after, is_single, there, back)| {
            let urgency = if is_single { Urgency::Single } else { Urgency::Campaign };
            (ms(after), urgency, ms(there), ms(back))
        });
        let calls = calls.collect();
        let mut times: Vec<Instant> = on_a_paused_clock(async {
            arrivals(pacer(cps), calls).await.into_iter().map(|(at, _)| at).collect()
        });
        prop_assert_eq!(times.len(), count, "all are placed");
        times.sort();
        let most = usize::try_from(Pace::of(cps).slots).expect("few");
        for (n, at) in times.iter().enumerate().skip(most) {
            let apart = at.duration_since(times[n - most]);
            prop_assert!(apart >= Pace::of(cps).rest, "{} calls within {:?}", most + 1, apart);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn single_calls_go_before_campaigns_and_otherwise_who_came_first() {
    let zero = Duration::ZERO;
    let at = |ms, urgency| (Duration::from_millis(ms), urgency, zero, zero);
    let calls = vec![
        at(0, Urgency::Campaign),
        at(1, Urgency::Campaign),
        at(2, Urgency::Campaign),
        at(3, Urgency::Single),
        at(4, Urgency::Single),
    ];
    let order: Vec<_> = arrivals(pacer(1.0), calls).await.into_iter().map(|(_, to)| to).collect();
    assert_eq!(order, [0, 3, 4, 1, 2].map(number));
}

#[tokio::test(start_paused = true)]
async fn companies_do_not_wait_for_each_other() {
    let pacer = pacer(0.01);
    let first = pacer.turn(COMPANY, Urgency::Campaign).await.expect("a turn");
    let second = pacer.turn(CompanyId(2), Urgency::Campaign).await.expect("a turn");
    drop((first, second));
    assert_eq!(pacer.estimate(CompanyId(3)).await.expect("read"), Duration::ZERO);
    assert_eq!(pacer.estimate(COMPANY).await.expect("read"), Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn a_new_pace_acts_within_a_second() {
    let book = Arc::new(OneProcess { cps: Mutex::new(Some(0.01)), has_calls: false });
    let pacer = Pacer::over(book.clone(), 1.0);
    drop(pacer.turn(COMPANY, Urgency::Single).await.expect("a turn"));
    let began = Instant::now();
    let waiting = tokio::spawn({
        let pacer = pacer.clone();
        async move { pacer.turn(COMPANY, Urgency::Single).await }
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!waiting.is_finished(), "a call in a hundred seconds");
    *book.cps.lock().expect("nobody panicked") = Some(5.0);
    waiting.await.expect("no panic").expect("a turn");
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_takes_no_turn() {
    let pacer = pacer(1.0);
    let held = pacer.turn(COMPANY, Urgency::Single).await.expect("a turn");
    let gone = tokio::time::timeout(Duration::from_secs(3), pacer.turn(COMPANY, Urgency::Single));
    assert!(gone.await.is_err(), "the slot is held");
    let began = Instant::now();
    drop(held);
    drop(pacer.turn(COMPANY, Urgency::Campaign).await.expect("a turn"));
    assert!(began.elapsed() < Duration::from_secs(2), "one rest, not two");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_pace_holds() {
    let book = OneProcess { cps: Mutex::new(Some(5.0)), has_calls: true };
    let pacer = Pacer::over(Arc::new(book), 1.0);
    let began = Instant::now();
    let _turn = pacer.turn(COMPANY, Urgency::Single).await.expect("a turn");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_behind_a_long_line() {
    let pacer = pacer(1.0);
    let expect = || async { pacer.expect_single(COMPANY).await.expect("read") };
    let mut let_in = Vec::new();
    let refusal = loop {
        match expect().await {
            Ok(expected) => let_in.push(expected),
            Err(refusal) => break refusal,
        }
    };
    // One at once, then one a second for ten seconds.
    assert_eq!((let_in.len(), refusal.cps), (11, 1.0));
    assert_eq!(refusal.retry_after(), Duration::from_secs(1));
    assert!(refusal.to_string().contains("raise its max_cps"), "{refusal}");
    let_in.pop();
    assert!(expect().await.is_ok(), "one has been placed");
}
