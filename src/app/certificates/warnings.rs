//! What is wrong with the certificates that a configuration names, although they can
//! be served.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval_at};

use super::read_pair;
use crate::broker::clock;
use crate::config::{Config, Loaded};
use crate::tls::Flaw;

/// How often time's flaws are told while the broker runs.
const REMINDER_INTERVAL: Duration = Duration::from_hours(24);

/// The flaws of all certificates at a time, each with its setting and file. What
/// cannot be read has none: it is an error for those who need it.
pub(in crate::app) fn warnings(config: &Config, now: SystemTime) -> Vec<String> {
    told(config, now, |_| true)
}

fn told(config: &Config, now: SystemTime, is_told: impl Fn(Flaw) -> bool) -> Vec<String> {
    let files = Files::all(config);
    let told = files.iter().flat_map(|files| {
        let flaws = files.flaws(now).into_iter();
        let flaws = flaws.filter(|flaw| is_told(*flaw));
        flaws.map(|flaw| format!("{}.cert: {}: {flaw}", files.section, files.cert.display()))
    });
    told.collect()
}

/// Tells once a day which certificates in the files of the configuration of that time
/// have expired, or will soon. Never returns.
pub(in crate::app) async fn remind(loaded: impl Fn() -> Arc<Loaded>) {
    let first = Instant::now() + REMINDER_INTERVAL;
    let mut days = interval_at(first, REMINDER_INTERVAL);
    loop {
        days.tick().await;
        let loaded = loaded();
        let now = clock::wall_clock();
        let told = spawn_blocking(move || told(&loaded.config, now, Flaw::is_of_time));
        for warning in told.await.unwrap_or_default() {
            tracing::warn!("{warning}");
        }
    }
}

/// A certificate and its key.
struct Files<'a> {
    section: &'static str,
    cert: &'a Path,
    key: &'a Path,
    /// Whether anybody may come, and not only programs that know each other's
    /// authorities.
    is_public: bool,
}

impl<'a> Files<'a> {
    fn all(config: &'a Config) -> Vec<Self> {
        let (tls, admin, federation) = (&config.tls, &config.admin.tls, &config.federation.tls);
        let sections = [
            ("tls", &tls.cert, &tls.key, true),
            ("admin.tls", &admin.cert, &admin.key, false),
            ("federation.tls", &federation.cert, &federation.key, false),
        ];
        let files = sections
            .into_iter()
            .filter_map(|(section, cert, key, is_public)| {
                Some(Self {
                    section,
                    cert: cert.as_deref()?,
                    key: key.as_deref()?,
                    is_public,
                })
            });
        files.collect()
    }

    fn flaws(&self, now: SystemTime) -> Vec<Flaw> {
        let Ok(certificate) = read_pair(self.section, self.cert, self.key) else {
            return Vec::new();
        };
        let mut flaws = certificate.flaws(now);
        flaws.retain(|flaw| self.is_public || !flaw.is_of_strangers());
        flaws
    }
}
