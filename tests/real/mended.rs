//! Debian's proxies that cannot connect, and then can again, are found and get clients again.
//!
//! The test shows it in minutes, with a broker that tries others often. The whole course, with
//! the default settings, takes most of an hour:
//!
//! ```sh
//! FOLLOW_MENDED_PROXIES=60 cargo test --all-features --test real -- mended:: --nocapture
//! ```

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use snowflake_broker::broker::clock;
use tokio::time::{sleep, timeout};

use crate::network;
use crate::support::namespace;
use crate::support::process::Process;
use crate::support::programs::{Programs, logs};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::visitors::Visitors;
use crate::volunteers::{HERE, Site, connected, matches_of};

/// The minutes for which the whole course is followed.
const FOLLOW: &str = "FOLLOW_MENDED_PROXIES";
/// The fewest clients of each proxy by which it can be known that it does not work.
const KNOWN_BY: usize = 2;
const PAUSE: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_mins(1);
/// The minutes over which the clients of a mended proxy and of others are compared.
const COMPARED: usize = 5;

/// The proxies, by the numbers of their hosts, and the broker's settings.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// The first ones are cut off, and mended after a while. They are followed by those that
    /// are cut off for good, and by those that work.
    mended: usize,
    hopeless: usize,
    good: usize,
    /// The time after which they are mended, once they are known.
    mended_after: Duration,
    explore_every: u32,
    limit: Duration,
    /// Ends only when the mended ones have as many clients as others.
    is_whole: bool,
}

impl Course {
    fn chosen() -> Result<Self> {
        let Ok(minutes) = env::var(FOLLOW) else {
            return Ok(Self::brief());
        };
        Ok(Self {
            mended: 3,
            hopeless: 2,
            good: 4,
            mended_after: MINUTE,
            explore_every: 20,
            limit: Duration::from_mins(minutes.parse()?),
            is_whole: true,
        })
    }

    fn brief() -> Self {
        Self {
            mended: 2,
            hopeless: 0,
            good: 3,
            mended_after: Duration::ZERO,
            explore_every: 2,
            limit: LONG_ENOUGH * 11 / 4,
            is_whole: false,
        }
    }

    fn cut_off(&self) -> usize {
        self.mended + self.hopeless
    }

    fn hosts(&self) -> usize {
        self.cut_off() + self.good
    }
}

#[tokio::test]
async fn mended_proxies_get_clients_again() {
    let name = "mended::mended_proxies_get_clients_again";
    let outcome = async {
        let course = Course::chosen()?;
        if namespace::entered() {
            follow_in_a_network(course).await
        } else {
            let report = namespace::run_inside_for(name, course.limit + MINUTE).await?;
            println!("{report}");
            Ok(())
        }
    };
    if let Err(error) = outcome.await {
        panic!("{error:#}");
    }
}

async fn follow_in_a_network(course: Course) -> Result<()> {
    network::make(course.hosts()).await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };
    match timeout(course.limit, follow(course, &programs)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("{error:#}\n{}", logs(scratch.path())?),
        Err(_) => bail!("it takes too long\n{}", logs(scratch.path())?),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are of interest")]
async fn follow(course: Course, programs: &Programs<'_>) -> Result<()> {
    let relay = Relay::listen_on(HERE).await?;
    // All hosts are in one network here, whose share would be used up before they are mended.
    let settings = format!(
        "[supply]\nsources_per_network = 0\nexplore_every = {}\n",
        course.explore_every
    );
    let site = Site::start(programs, &relay, &settings).await?;
    for number in 0..course.cut_off() {
        network::cut_off(&network::host(number)).await?;
    }
    let proxies = site.proxies(programs, &relay, 0..course.hosts())?;
    site.all_poll(course.hosts()).await?;
    let visitors = Visitors::start(programs, relay, site.address.port());

    let mut record = Record {
        course,
        proxies,
        start: clock::now(),
        minutes: vec![vec![0; course.hosts()]],
        connected: vec![None; course.mended],
    };
    while !record.are_known(&site).await? {
        record.go_on().await?;
    }
    println!("known after {} s", record.seconds());
    let known = clock::now();
    while clock::now() < known + course.mended_after {
        record.go_on().await?;
    }
    for number in 0..course.mended {
        network::let_through(&network::host(number)).await?;
    }
    println!("mended after {} s", record.seconds());
    record.begin_again();
    while !record.is_over(&site).await? {
        record.go_on().await?;
    }
    println!("over {} s after they were mended", record.seconds());
    visitors.end().await
}

/// The clients of each proxy.
struct Record {
    course: Course,
    proxies: Vec<Process>,
    start: Instant,
    /// The matches of each proxy so far, at the start and after each minute.
    minutes: Vec<Vec<usize>>,
    /// The seconds after which the mended ones connected their first client.
    connected: Vec<Option<u64>>,
}

impl Record {
    fn seconds(&self) -> u64 {
        (clock::now() - self.start).as_secs()
    }

    /// Counts from now on.
    fn begin_again(&mut self) {
        self.start = clock::now();
        self.minutes = self.minutes.split_off(self.minutes.len() - 1);
    }

    /// Returns true if it is known of all that are cut off that they do not work.
    async fn are_known(&mut self, site: &Site) -> Result<bool> {
        let matches = matches_of(&mut self.proxies[..self.course.cut_off()])?;
        let have_failed = matches.iter().all(|&matches| matches >= KNOWN_BY);
        let bands = site.bands().await?;
        // One that rests is not parked.
        Ok(have_failed && bands.bad > 0 && bands.good + bands.unknown <= self.course.good)
    }

    /// Lets some time pass, and notes what has happened.
    #[expect(clippy::print_stdout, reason = "the figures are of interest")]
    async fn go_on(&mut self) -> Result<()> {
        sleep(PAUSE).await;
        let seconds = self.seconds();
        for (proxy, first) in self.proxies.iter_mut().zip(&mut self.connected) {
            if first.is_none() && connected(proxy)? > 0 {
                *first = Some(seconds);
                println!("a mended proxy has its first client after {seconds} s");
            }
        }
        if seconds >= MINUTE.as_secs() * self.minutes.len() as u64 {
            self.minutes.push(matches_of(&mut self.proxies)?);
            println!("{seconds} s: {:?}", self.last(1));
        }
        Ok(())
    }

    /// The matches of each proxy in the last minutes.
    fn last(&self, minutes: usize) -> Vec<usize> {
        let last = self.minutes.len() - 1;
        let before = &self.minutes[last.saturating_sub(minutes)];
        let pairs = self.minutes[last].iter().zip(before);
        pairs.map(|(after, before)| after - before).collect()
    }

    async fn is_over(&self, site: &Site) -> Result<bool> {
        if self.connected.contains(&None) {
            return Ok(false);
        }
        if self.course.is_whole {
            return Ok(self.are_used_as_others());
        }
        let bands = site.bands().await?;
        Ok(bands.bad == 0 && bands.good + bands.unknown == self.course.hosts())
    }

    /// Returns true if each mended proxy had half as many clients of late as those have that
    /// worked all the time.
    fn are_used_as_others(&self) -> bool {
        let last = self.last(COMPARED);
        let good = &last[self.course.cut_off()..];
        let many = good.iter().sum::<usize>() / (2 * good.len());
        let mended = &last[..self.course.mended];
        self.minutes.len() > COMPARED && mended.iter().all(|&matches| matches > many)
    }
}
