//! Steers each pool's interval in adaptive mode, so that as many polls stay idle
//! as a share of those that get a client. Pure: it is told what happens and how
//! time passes.
//!
//! # The law
//!
//! The polls that are *wanted* each second are the clients that need one, with
//! the idle share on top; and never fewer than keep `min_parked_polls` parked.
//! A proxy polls, is parked, is told an interval, and polls again: a cycle. So a
//! fleet of proxies makes `fleet / cycle` polls a second, and to have those that
//! are wanted, the cycle has to be `fleet / wanted`.
//!
//! How large the fleet is shows from those of its polls that come: their number
//! a second times their cycle. Their cycle was decided when they were told their
//! interval, up to the ceiling ago, and those that come in one second were told
//! different ones. So a calendar keeps which cycles fall due when. Were today's
//! interval taken for theirs, a few more clients would send it to the floor: each
//! second the polls that still come late would look like a smaller fleet.
//!
//! A proxy that ignores what it is told comes at its own pace, and makes the
//! fleet look larger or smaller. The interval still ends where as many polls
//! come as are wanted, or at a bound.
//!
//! Shortage is answered within a second: a client that leaves without a proxy
//! puts all pools that could have served it on the floor, and holds them there
//! for a while. The way up is slow: a proxy that was told to come late cannot be
//! called.

use std::time::{Duration, Instant};

use crate::matching::pools_for;
use crate::wire::nat::NatClass;

use super::due_calendar::DueCalendar;
use super::{Mode, PollInterval};

/// Over how many seconds rates are averaged.
const SMOOTHING: f64 = 30.0;
/// In how many seconds the interval goes most of the way (1 - 1/e) down.
const FALL: f64 = 5.0;
/// In how many seconds it goes most of the way up.
const RISE: f64 = 120.0;
/// For how many seconds after the last shortage the floor is held.
const HOLD: u64 = 30;
/// For how many seconds after the start too little is known to steer by; a
/// shortage counts all the same.
const WARM_UP: u64 = 60;
/// The most missed seconds that are made up for: more is a machine that slept.
const CATCH_UP: u64 = 7200;

/// The controller of each pool's interval.
#[derive(Debug)]
pub struct IntervalController {
    settings: PollInterval,
    /// The time that an idle poll is parked, in seconds.
    idle_poll: f64,
    pools: [Pool; NatClass::ALL.len()],
    /// Up to when whole seconds were counted, and how many.
    clock: Option<(Instant, u64)>,
}

/// The observations of one pool.
#[derive(Debug, Default)]
struct Pool {
    polls: Rate,
    /// Clients that got a proxy of this pool, or none and could have had one.
    demand: Rate,
    due: Rate,
    due_cycles: Rate,
    calendar: DueCalendar,
    /// For how many seconds it stays on the floor, after a shortage.
    held_for: u64,
    /// The interval that is told, in seconds.
    interval: f64,
}

/// A smoothed number of events a second.
#[derive(Debug, Default)]
struct Rate {
    this_second: f64,
    average: f64,
}

impl IntervalController {
    /// Begins with the intervals of the settings. An idle poll is parked for
    /// `proxy_timeout`.
    pub fn new(settings: PollInterval, proxy_timeout: Duration) -> Self {
        let mut steering = Self {
            settings,
            idle_poll: proxy_timeout.as_secs_f64(),
            pools: Default::default(),
            clock: None,
        };
        for pool in NatClass::ALL {
            let start = steering.settings.fixed(pool).as_secs_f64();
            steering.pools[pool as usize].interval = start;
        }
        steering.keep_within_bounds();
        steering
    }

    /// Goes on under other settings; what is known of the pools stays.
    pub fn set_settings(&mut self, settings: PollInterval) {
        self.settings = settings;
        self.keep_within_bounds();
    }

    /// From now on an idle poll is parked that long.
    pub fn set_proxy_timeout(&mut self, proxy_timeout: Duration) {
        self.idle_poll = proxy_timeout.as_secs_f64();
    }

    /// The settings.
    pub fn settings(&self) -> &PollInterval {
        &self.settings
    }

    /// A proxy of this pool polls.
    pub fn poll_arrived(&mut self, pool: NatClass) {
        self.pools[pool as usize].polls.this_second += 1.0;
    }

    /// A poll of this pool got a client.
    pub fn handed_off(&mut self, pool: NatClass) {
        self.pools[pool as usize].demand.this_second += 1.0;
    }

    /// A client of this class left without a proxy.
    pub fn denied(&mut self, client: NatClass) {
        for &pool in pools_for(client) {
            let pool = &mut self.pools[pool as usize];
            pool.demand.this_second += 1.0;
            pool.held_for = HOLD;
        }
    }

    /// Steers for every whole second that has passed.
    pub fn advance(&mut self, now: Instant) {
        let (mut until, mut seconds) = *self.clock.get_or_insert((now, 0));
        let passed = now.saturating_duration_since(until).as_secs();
        if passed == 0 {
            return;
        }
        for _ in 0..passed.min(CATCH_UP) {
            seconds = seconds.saturating_add(1);
            self.pass_second(seconds > WARM_UP);
        }
        until += Duration::from_secs(passed);
        self.clock = Some((until, seconds));
    }

    /// The interval that proxies of this pool are told now, before jitter.
    pub fn interval(&self, pool: NatClass) -> Duration {
        match self.settings.mode {
            Mode::Fixed => self.settings.fixed(pool),
            Mode::Adaptive => Duration::from_secs_f64(self.pools[pool as usize].interval),
        }
    }

    /// The interval for a proxy whose poll was parked for a while. `jitter` is from
    /// 0 to 1, for the jitter.
    pub fn tell(&mut self, pool: NatClass, parked: Duration, jitter: f64) -> Duration {
        let told = self.settings.jittered(self.interval(pool), jitter);
        self.pools[pool as usize].calendar.expect(parked, told);
        told
    }

    fn pass_second(&mut self, is_warm: bool) {
        let idle_poll = self.idle_poll;
        let (floor, ceiling) = self.bounds();
        for pool in &mut self.pools {
            pool.pass_second();
            let fitting = pool
                .fitting_interval(&self.settings, idle_poll)
                .clamp(floor, ceiling);
            if pool.held_for > 0 {
                pool.held_for -= 1;
                pool.interval = floor;
            } else if is_warm {
                let pace = if fitting < pool.interval { FALL } else { RISE };
                pool.interval += (fitting - pool.interval) / pace;
            }
        }
        self.keep_within_bounds();
    }

    /// In fixed mode the intervals are those of the settings, for the adaptive
    /// mode to begin with.
    fn keep_within_bounds(&mut self) {
        let (floor, ceiling) = self.bounds();
        for class in NatClass::ALL {
            let pool = &mut self.pools[class as usize];
            if self.settings.mode == Mode::Fixed {
                pool.interval = self.settings.fixed(class).as_secs_f64();
            }
            pool.interval = pool.interval.clamp(floor, ceiling);
        }
    }

    /// In seconds.
    fn bounds(&self) -> (f64, f64) {
        let floor = self.settings.floor.as_secs_f64();
        (floor, self.settings.ceiling.as_secs_f64().max(floor))
    }
}

impl Pool {
    fn pass_second(&mut self) {
        let due = self.calendar.pass_second();
        self.due.this_second = due.proxies;
        self.due_cycles.this_second = due.cycles;
        self.polls.pass_second();
        self.demand.pass_second();
        self.due.pass_second();
        self.due_cycles.pass_second();
    }

    /// The interval with which as many polls come as are wanted, in seconds;
    /// below zero where the fleet is too small.
    fn fitting_interval(&self, settings: &PollInterval, idle_poll: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "nobody parks 2^52 polls")]
        let least = settings.min_parked_polls as f64 / idle_poll;
        let wanted = (self.demand.average * (1.0 + settings.target_idle_share)).max(least);
        let fleet = self.polls.average * self.cycle(idle_poll);
        // Where no polls are wanted, none are too few.
        if wanted > 0.0 {
            fleet / wanted - idle_poll
        } else {
            f64::INFINITY
        }
    }

    /// From one poll of a proxy to the next, in seconds, of those that come now.
    fn cycle(&self, idle_poll: f64) -> f64 {
        if self.due.average > 0.0 {
            self.due_cycles.average / self.due.average
        } else {
            self.interval + idle_poll
        }
    }
}

impl Rate {
    fn pass_second(&mut self) {
        self.average += (self.this_second - self.average) / SMOOTHING;
        self.this_second = 0.0;
    }
}

#[cfg(test)]
mod tests;
