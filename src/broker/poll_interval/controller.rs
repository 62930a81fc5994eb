//! Controls each pool's interval in adaptive mode, so that the number of idle polls is
//! the target share of the matched ones. Pure: events and time are passed in.
//!
//! # Control law
//!
//! The number of polls *wanted* each second is the number of clients that need one, plus
//! the idle share, and at least enough to keep `min_parked_polls` parked. A proxy polls,
//! is parked, is told an interval, and polls again: this is its cycle. A fleet of proxies
//! makes `fleet / cycle` polls a second, so to get the wanted polls the cycle must be
//! `fleet / wanted`.
//!
//! The size of the fleet is estimated from its polls: their number a second times their
//! cycle. The cycle of a proxy was decided when it was told its interval, up to one
//! ceiling ago, and the polls of one second may have been told different intervals. A
//! calendar therefore records which cycles are due when. If the current interval were
//! used instead, a few more clients would send the interval to the floor: in each second,
//! the polls that still come late would look like a smaller fleet.
//!
//! A proxy that ignores the interval polls at its own pace and makes the fleet look
//! larger or smaller. The interval still settles where as many polls come as are wanted,
//! or at a bound.
//!
//! The controller reacts to a shortage within a second: a client that leaves without a
//! proxy sets all pools that could have served it to the floor and holds them there for a
//! while. The interval rises slowly, because a proxy that was told a long interval cannot
//! be called back.

use std::time::{Duration, Instant};

use crate::matching::pools_for;
use crate::wire::nat::NatClass;

use super::due_calendar::DueCalendar;
use super::{CountedFrom, Mode, PollInterval};

/// The time constant for averaging rates, in seconds.
const SMOOTHING: f64 = 30.0;
/// The seconds in which the interval falls most of the way (1 - 1/e).
const FALL: f64 = 5.0;
/// The seconds in which the interval rises most of the way.
const RISE: f64 = 120.0;
/// The seconds for which the floor is held after the last shortage.
const HOLD: u64 = 30;
/// The seconds after the start in which too little is known to control the interval,
/// although shortages count.
const WARM_UP: u64 = 60;
/// Maximum number of missed seconds to catch up on; more means that the machine was
/// suspended.
const CATCH_UP: u64 = 7200;

/// The controller of each pool's interval.
#[derive(Debug)]
pub struct IntervalController {
    settings: PollInterval,
    /// The time for which an idle poll is parked, in seconds.
    idle_poll: f64,
    pools: [Pool; NatClass::ALL.len()],
    /// The time up to which whole seconds were counted, and their number.
    clock: Option<(Instant, u64)>,
}

/// The observations of one pool.
#[derive(Debug, Default)]
struct Pool {
    polls: Rate,
    /// Clients that got a proxy of this pool, or got none but could have used one of this
    /// pool.
    demand: Rate,
    due: Rate,
    due_cycles: Rate,
    calendar: DueCalendar,
    /// The remaining seconds on the floor after a shortage.
    held_for: u64,
    /// The current interval, in seconds.
    interval: f64,
}

/// A smoothed number of events a second.
#[derive(Debug, Default)]
struct Rate {
    this_second: f64,
    average: f64,
}

impl IntervalController {
    /// Starts with the configured intervals. An idle poll is parked for `proxy_timeout`.
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

    /// Replaces the settings and keeps what is known of the pools.
    pub fn set_settings(&mut self, settings: PollInterval) {
        self.settings = settings;
        self.keep_within_bounds();
    }

    /// Sets the time for which an idle poll is parked.
    pub fn set_proxy_timeout(&mut self, proxy_timeout: Duration) {
        self.idle_poll = proxy_timeout.as_secs_f64();
    }

    /// The settings.
    pub fn settings(&self) -> &PollInterval {
        &self.settings
    }

    /// Counts a poll of this pool.
    pub fn poll_arrived(&mut self, pool: NatClass) {
        self.pools[pool as usize].polls.this_second += 1.0;
    }

    /// Counts a poll of this pool that got a client.
    pub fn handed_off(&mut self, pool: NatClass) {
        self.pools[pool as usize].demand.this_second += 1.0;
    }

    /// Counts a client of this class that left without a proxy.
    pub fn denied(&mut self, client: NatClass) {
        for &pool in pools_for(client) {
            let pool = &mut self.pools[pool as usize];
            pool.demand.this_second += 1.0;
            pool.held_for = HOLD;
        }
    }

    /// Updates the intervals for every whole second that has passed.
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

    /// The time after which a proxy is to poll again whose poll was parked for `parked` and
    /// whose type has the interval `of_type`. `jitter` is a random number from 0 to 1.
    ///
    /// A type with twice the interval of its pool makes half as many polls. So to the
    /// controller, its poll stands for half a proxy: one whose cycle is the pool's.
    pub fn tell(
        &mut self,
        pool: NatClass,
        of_type: Option<Duration>,
        parked: Duration,
        jitter: f64,
    ) -> Duration {
        let settings = &self.settings;
        let usual = self.interval(pool);
        let next_poll = |interval| settings.rest(settings.jittered(interval, jitter), parked);
        let told = next_poll(settings.by_type(pool, usual, of_type));
        let cycle = parked + next_poll(usual);
        self.pools[pool as usize].calendar.expect(told, cycle);
        told
    }

    fn pass_second(&mut self, is_warm: bool) {
        let idle_poll = self.idle_poll;
        let uncounted = self.uncounted();
        let (floor, ceiling) = self.bounds();
        for pool in &mut self.pools {
            pool.pass_second();
            let fitting = pool
                .fitting_interval(&self.settings, idle_poll, uncounted)
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

    /// Clamps the intervals. In fixed mode they are set to the configured ones, from
    /// which the adaptive mode would start.
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

    /// The seconds of an idle poll's cycle that are not part of its interval.
    fn uncounted(&self) -> f64 {
        match self.settings.counted_from {
            CountedFrom::Answer => self.idle_poll,
            CountedFrom::Arrival => 0.0,
        }
    }

    /// The floor and the ceiling, in seconds.
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

    /// The interval at which as many polls come as are wanted, in seconds; negative if
    /// the fleet is too small.
    fn fitting_interval(&self, settings: &PollInterval, idle_poll: f64, uncounted: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "nobody parks 2^52 polls")]
        let least = settings.min_parked_polls as f64 / idle_poll;
        let wanted = (self.demand.average * (1.0 + settings.target_idle_share)).max(least);
        let fleet = self.polls.average * self.cycle(uncounted);
        // If no polls are wanted, any interval is long enough.
        if wanted > 0.0 {
            fleet / wanted - uncounted
        } else {
            f64::INFINITY
        }
    }

    /// The average cycle of the polls that come now, in seconds.
    fn cycle(&self, uncounted: f64) -> f64 {
        if self.due.average > 0.0 {
            self.due_cycles.average / self.due.average
        } else {
            self.interval + uncounted
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
