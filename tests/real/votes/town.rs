//! Proxies that work and others, and clients who come and go.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::attacker::{Attack, AttackTally, Attacker};
use crate::network;
use crate::support::privacy::PrivacyWatch;
use crate::support::process::Process;
use crate::support::programs::Programs;
use crate::support::relay::Relay;
use crate::support::wait;
use crate::visitors::Visitors;
use crate::volunteers::{Bands, HERE, Site, matches_of};

/// The number of hosts whose UDP is dropped, which are the first ones, and of all.
pub(super) const CUT_OFF: usize = 3;
pub(super) const HOSTS: usize = 15;
/// The last part of the first host's address.
const FIRST: u8 = 10;
/// The time between two looks at the bands.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Town {
    site: Site,
    proxies: Vec<Process>,
    visitors: Visitors,
    state: PathBuf,
}

/// The matches of a while, and the bands of the polls that were parked.
#[derive(Debug)]
pub(super) struct Figures {
    /// The clients that reached the bridge.
    pub(super) served: usize,
    /// The matches of clients, by host.
    pub(super) matches: Vec<usize>,
    /// All looks at the bands together, and the most bad polls in one of them.
    pub(super) bands: Bands,
    pub(super) bad_max: usize,
    pub(super) attack: AttackTally,
}

impl Figures {
    /// The matches of clients that came to nothing.
    pub(super) fn lost(&self) -> usize {
        let matches: usize = self.matches.iter().sum();
        matches.saturating_sub(self.served)
    }
}

impl Town {
    pub(super) async fn found(programs: &Programs<'_>) -> Result<Self> {
        let relay = Relay::listen_on(HERE).await?;
        let state = programs.scratch.join("state");
        fs::create_dir(&state)?;
        let settings = format!("[metrics]\nstate_directory = \"{}\"\n", state.display());
        let site = Site::start(programs, &relay, &settings).await?;
        for number in 0..CUT_OFF {
            network::cut_off(&network::host(number)).await?;
        }
        let proxies = site.proxies(programs, &relay, 0..HOSTS)?;
        site.all_poll(HOSTS).await?;
        let visitors = Visitors::start(programs, relay, site.address.port());
        Ok(Self {
            site,
            proxies,
            visitors,
            state,
        })
    }

    /// The matches of clients in the time that begins now, under this attack.
    pub(super) async fn during(
        &mut self,
        time: Duration,
        attack: Option<Attack>,
    ) -> Result<Figures> {
        let before = matches_of(&mut self.proxies)?;
        let served = self.visitors.served();
        let attacker = match attack {
            Some(attack) => Some(Attacker::start(&attack, self.site.address).await?),
            None => None,
        };
        let mut figures = Figures {
            served: 0,
            matches: Vec::new(),
            bands: Bands::default(),
            bad_max: 0,
            attack: AttackTally::default(),
        };
        // The time ends the watch.
        if let Ok(failed) = timeout(time, self.watch(&mut figures)).await {
            failed?;
        }
        if let Some(attacker) = attacker {
            figures.attack = attacker.end().await?;
        }
        figures.served = self.visitors.served() - served;
        let after = matches_of(&mut self.proxies)?;
        for (number, (before, after)) in before.into_iter().zip(after).enumerate() {
            let host = FIRST + u8::try_from(number)?;
            let of_attack = figures.attack.matches.get(&host).copied();
            let matches = (after - before).saturating_sub(of_attack.unwrap_or(0));
            figures.matches.push(matches);
        }
        Ok(figures)
    }

    async fn watch(&self, figures: &mut Figures) -> Result<()> {
        loop {
            let bands = self.site.bands().await?;
            figures.bands.add(bands);
            figures.bad_max = figures.bad_max.max(bands.bad);
            sleep(PAUSE).await;
        }
    }

    /// Ends all. An error if the broker has logged or saved an address.
    pub(super) async fn end(mut self) -> Result<()> {
        self.visitors.end().await?;
        let log = self.site.broker.log()?;
        self.site.broker.signal(Signal::TERM)?;
        wait::until("the broker ends", async || {
            Ok(self.site.broker.log().is_err().then_some(()))
        })
        .await?;
        let watch = PrivacyWatch::default();
        watch.check("the log", &log);
        let mut files = 0;
        for file in fs::read_dir(&self.state)? {
            let content = fs::read(file?.path())?;
            watch.check("a file", &String::from_utf8_lossy(&content));
            files += 1;
        }
        ensure!(files > 0, "the broker has saved nothing");
        let findings = watch.findings("");
        ensure!(findings.is_empty(), "private data: {findings:?}");
        Ok(())
    }
}
