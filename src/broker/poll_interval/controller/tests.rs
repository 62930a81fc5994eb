use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const PROXY_TIMEOUT: Duration = Duration::from_secs(10);
const CLASSES: [NatClass; 3] = NatClass::ALL;

fn adaptive() -> PollInterval {
    PollInterval {
        mode: Mode::Adaptive,
        ..PollInterval::default()
    }
}

fn steering(settings: PollInterval) -> IntervalController {
    IntervalController::new(settings, PROXY_TIMEOUT)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can be had in no other way; only differences to it matter"
)]
fn some_instant() -> Instant {
    Instant::now()
}

/// A fleet of open proxies that obey their intervals, a fixed number of whose polls get a
/// client each second.
struct Scene {
    steering: IntervalController,
    now: Instant,
    /// The number of proxies that will poll in each coming second.
    polls: VecDeque<u64>,
    /// The number of polls parked in each of the last seconds.
    parked: VecDeque<u64>,
    clients: u64,
    jitter: f64,
    /// The interval of the type that every second proxy has.
    of_type: Option<Duration>,
    replies: u64,
}

impl Scene {
    fn new(settings: PollInterval, fleet: u64, clients: u64) -> Self {
        let now = some_instant();
        let mut steering = steering(settings);
        steering.advance(now);
        Self {
            steering,
            now,
            polls: (0..30).map(|_| fleet / 30).collect(),
            parked: VecDeque::from([0; 10]),
            clients,
            jitter: 0.0,
            of_type: None,
            replies: 0,
        }
    }

    fn pass(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.steering.advance(self.now);
            let polls = self.polls.pop_front().unwrap_or_default();
            for _ in 0..polls {
                self.steering.poll_arrived(NatClass::Open);
            }
            self.parked.push_back(polls);
            self.serve();
            let idle = self.parked.pop_front().unwrap();
            self.reply(idle, PROXY_TIMEOUT);
        }
        self
    }

    /// Gives the clients to the polls that have waited longest.
    fn serve(&mut self) {
        for _ in 0..self.clients {
            let Some(age) = self.parked.iter().position(|&polls| polls > 0) else {
                self.steering.denied(NatClass::Strict);
                continue;
            };
            self.parked[age] -= 1;
            self.steering.handed_off(NatClass::Open);
            let parked = PROXY_TIMEOUT.as_secs() - age as u64;
            self.reply(1, Duration::from_secs(parked));
        }
    }

    fn reply(&mut self, polls: u64, parked: Duration) {
        for _ in 0..polls {
            // Steps of the golden ratio are evenly spread.
            self.jitter = (self.jitter + 0.618_034).fract();
            self.replies += 1;
            let of_type = self.of_type.filter(|_| self.replies.is_multiple_of(2));
            let told = self
                .steering
                .tell(NatClass::Open, of_type, parked, self.jitter)
                .as_secs();
            let second = usize::try_from(told).unwrap();
            if self.polls.len() <= second {
                self.polls.resize(second + 1, 0);
            }
            self.polls[second] += 1;
        }
    }

    fn told(&self) -> f64 {
        self.steering.interval(NatClass::Open).as_secs_f64()
    }
}

fn assert_about(seconds: f64, expected: f64) {
    let share = seconds / expected;
    assert!((0.95..1.05).contains(&share), "{seconds}, not {expected}");
}

#[test]
fn an_interval_from_the_arrival_is_the_whole_cycle() {
    let settings = PollInterval {
        target_idle_share: 1.0,
        counted_from: CountedFrom::Arrival,
        ..adaptive()
    };
    let mut scene = Scene::new(settings, 6_000, 50);
    assert_about(scene.pass(1_800).told(), 60.0);
}

/// Every second poll is that of a type with twice the interval: at 33 s, 100 polls a second
/// come of 6,000 proxies.
#[test]
fn a_type_with_a_longer_interval_makes_fewer_polls() {
    let settings = PollInterval {
        target_idle_share: 1.0,
        ..adaptive()
    };
    let mut scene = Scene::new(settings, 6_000, 50);
    scene.of_type = Some(Duration::from_secs(40));
    assert_about(scene.pass(1_800).told(), 33.3);
}

#[test]
fn a_type_has_its_share_of_a_pools_interval_within_bounds() {
    let seconds = Duration::from_secs;
    let told = |settings: &PollInterval, now, of_type| {
        settings.by_type(NatClass::Open, seconds(now), Some(seconds(of_type)))
    };
    let fixed = PollInterval::default();
    assert_eq!(told(&fixed, 20, 300), seconds(300));
    let adaptive = adaptive();
    assert_eq!(told(&adaptive, 120, 300), seconds(1_800));
    assert_eq!(
        told(&adaptive, 10, 1),
        seconds(1),
        "half a second is too little"
    );
    assert_eq!(told(&adaptive, 120, 86_400), seconds(86_400));
    let open = Duration::ZERO;
    assert_eq!(
        told(&PollInterval { open, ..adaptive }, 10, 300),
        seconds(300)
    );
}

#[test]
fn as_many_polls_come_as_the_clients_need_with_the_idle_share_on_top() {
    // 100 polls a second are wanted of 6,000 proxies: cycles of 60 s.
    let settings = PollInterval {
        target_idle_share: 1.0,
        ..adaptive()
    };
    let mut scene = Scene::new(settings, 6000, 50);
    assert_about(scene.pass(1800).told(), 50.0);
    scene.clients = 100;
    assert_about(scene.pass(600).told(), 20.0);
    scene.clients = 50;
    assert_about(scene.pass(1800).told(), 50.0);
}

#[test]
fn without_clients_the_least_is_kept_parked() {
    // 10 polls a second keep 100 parked; 900 proxies make them every 90 s.
    assert_about(Scene::new(adaptive(), 900, 0).pass(1800).told(), 80.0);
    assert_about(Scene::new(adaptive(), 90_000, 0).pass(1800).told(), 120.0);
    assert_about(Scene::new(adaptive(), 90, 0).pass(1800).told(), 10.0);
    let none = PollInterval {
        min_parked_polls: 0,
        ..adaptive()
    };
    assert_about(Scene::new(none, 90, 0).pass(1800).told(), 120.0);
}

/// The purpose of the calendar. More polls come only once the proxies that were told long
/// intervals are back; judged by the intervals told meanwhile, the fleet would look ever
/// smaller.
#[test]
fn more_clients_do_not_make_the_fleet_look_smaller() {
    let settings = PollInterval {
        target_idle_share: 1.0,
        ..adaptive()
    };
    let mut scene = Scene::new(settings, 6000, 50);
    assert_about(scene.pass(1800).told(), 50.0);
    scene.clients = 60;
    let way: Vec<f64> = (0..600).map(|_| scene.pass(1).told()).collect();
    let lowest = way.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(lowest > 0.9 * 40.0, "{lowest}");
    assert_about(scene.told(), 40.0);
}

#[test]
fn after_a_shortage_the_floor_is_held_and_then_slowly_left() {
    let mut scene = Scene::new(adaptive(), 6000, 50);
    let before = scene.pass(1800).told();
    scene.steering.denied(NatClass::Strict);
    let way_back: Vec<f64> = (0..900).map(|_| scene.pass(1).told()).collect();
    for (second, told) in way_back.iter().enumerate() {
        let is_held = second < usize::try_from(HOLD).unwrap();
        assert_eq!(*told < 10.001, is_held, "{second} {told}");
        assert!(*told < 1.2 * before, "{second} {told}");
    }
    assert!(way_back[90] < 0.7 * before, "{}", way_back[90]);
    assert_about(scene.told(), before);
}

#[test]
fn a_shortage_concerns_the_pools_that_could_have_served() {
    for (client, floored) in [
        (NatClass::Strict, [true, false, false]),
        (NatClass::Moderate, [true, true, false]),
        (NatClass::Open, [true, true, true]),
    ] {
        let mut steering = steering(adaptive());
        let start = some_instant();
        steering.advance(start);
        steering.denied(client);
        steering.advance(start + Duration::from_secs(1));
        let told = CLASSES.map(|pool| steering.interval(pool) == Duration::from_secs(10));
        assert_eq!(told, floored, "{client:?}");
    }
}

#[test]
fn it_begins_with_what_is_set_within_the_bounds() {
    let set = PollInterval {
        open: Duration::from_secs(5),
        moderate: Duration::from_secs(25),
        strict: Duration::from_secs(500),
        ..adaptive()
    };
    let mut steering = steering(set);
    let start = some_instant();
    for seconds in [0, 1, WARM_UP] {
        steering.advance(start + Duration::from_secs(seconds));
        let told = CLASSES.map(|pool| steering.interval(pool).as_secs());
        assert_eq!(told, [10, 25, 120], "after {seconds} s");
    }
}

#[test]
fn a_reload_keeps_what_is_known_and_takes_the_bounds_at_once() {
    let mut scene = Scene::new(adaptive(), 6000, 50);
    let before = scene.pass(1800).told();
    scene.steering.set_settings(PollInterval {
        ceiling: Duration::from_secs(40),
        ..adaptive()
    });
    assert_about(scene.told(), 40.0);
    scene.steering.set_settings(PollInterval::default());
    assert_about(scene.pass(300).told(), 20.0);
    scene.steering.set_settings(adaptive());
    assert_about(scene.told(), 20.0);
    assert_about(scene.pass(900).told(), before);
}

#[test]
fn fixed_intervals_stay() {
    let mut scene = Scene::new(PollInterval::default(), 30, 50);
    assert_about(scene.pass(300).told(), 20.0);
}

#[test]
fn a_machine_that_slept_does_not_hang() {
    let mut scene = Scene::new(adaptive(), 6000, 50);
    scene.pass(60).now += Duration::from_hours(100 * 365 * 24);
    scene.pass(60);
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Poll(NatClass),
    HandOff(NatClass),
    Denied(NatClass),
    Tell(NatClass, u64, f64),
    Pass(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let class = || prop::sample::select(&CLASSES[..]);
    prop_oneof![
        class().prop_map(Happening::Poll),
        class().prop_map(Happening::HandOff),
        class().prop_map(Happening::Denied),
        (class(), 0..20_000_u64, 0.0..=1.0).prop_map(|(p, t, c)| Happening::Tell(p, t, c)),
        (0..20_000_u64).prop_map(Happening::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_bounds_are_kept(
        happenings in prop::collection::vec(happening(), 0..200),
        min_parked_polls in prop::sample::select(&[0, 1, 100_000_000][..]),
        target_idle_share in 0.0..=100.0,
        idle_poll in prop::sample::select(&[1, 1000, 1_000_000_000][..]),
    ) {
        let settings = PollInterval { target_idle_share, min_parked_polls, ..adaptive() };
        let mut steering = IntervalController::new(settings, Duration::from_millis(idle_poll));
        let mut now = some_instant();
        for happening in happenings {
            match happening {
                Happening::Poll(pool) => steering.poll_arrived(pool),
                Happening::HandOff(pool) => steering.handed_off(pool),
                Happening::Denied(client) => steering.denied(client),
                Happening::Pass(millis) => now += Duration::from_millis(millis),
                Happening::Tell(pool, millis, jitter) => {
                    let told = steering.tell(pool, None, Duration::from_millis(millis), jitter);
                    prop_assert!((9.0..=132.0).contains(&told.as_secs_f64()));
                }
            }
            steering.advance(now);
            for pool in CLASSES {
                let seconds = steering.interval(pool).as_secs_f64();
                prop_assert!((10.0..=120.0).contains(&seconds), "{seconds}");
            }
        }
    }
}
