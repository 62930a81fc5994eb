//! Flaws of the configured certificates that do not prevent serving them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::app::files::read_pair;
use crate::broker::clock;
use crate::config::{Config, Loaded};
use crate::tls::Flaw;

/// The interval of reminders about flaws that depend on time.
const REMINDER_INTERVAL: Duration = Duration::from_hours(24);

/// The flaws of all certificates at a time, each with its setting and file. Unreadable
/// files have none here: their users report them as errors.
pub(in crate::app) fn warnings(config: &Config, now: SystemTime) -> Vec<String> {
    told(config, now, |_| true)
}

fn told(config: &Config, now: SystemTime, is_told: impl Fn(Flaw) -> bool) -> Vec<String> {
    let mut told = Vec::new();
    for files in Files::all(config) {
        let flaws = files.flaws(now);
        told.extend(
            flaws
                .into_iter()
                .filter(|flaw| is_told(*flaw))
                .map(|flaw| format!("{}.cert: {}: {flaw}", files.section, files.cert.display())),
        );
    }
    told
}

/// Reports once a day which configured certificates have expired or will soon. Never
/// returns.
pub(in crate::app) async fn remind(loaded: impl Fn() -> Arc<Loaded>, tell: impl Fn(&str)) {
    loop {
        sleep(REMINDER_INTERVAL).await;
        let loaded = loaded();
        let now = clock::wall_clock();
        let told = spawn_blocking(move || told(&loaded.config, now, Flaw::is_of_time));
        for warning in told.await.unwrap_or_default() {
            tell(&warning);
        }
    }
}

/// The files of a certificate and its key.
struct Files<'a> {
    section: &'static str,
    cert: &'a Path,
    key: &'a Path,
    /// True if strangers may connect, rather than only programs that know each other's
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tokio::time::timeout;

    use super::*;
    use crate::config::Origins;

    /// The certificate has expired; its other flaws are reported only once.
    #[tokio::test(start_paused = true)]
    async fn what_time_has_made_wrong_is_told_every_day() {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2001, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let [cert_path, key_path] = ["c.pem", "k.pem"].map(|name| folder.path().join(name));
        fs::write(&cert_path, cert.pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        let mut config = Config::default();
        config.tls.cert = Some(cert_path.clone());
        config.tls.key = Some(key_path);
        assert_eq!(warnings(&config, clock::wall_clock()).len(), 2);
        let loaded = Arc::new(Loaded {
            config,
            warnings: Vec::new(),
            origins: Origins::default(),
        });
        let told = Mutex::new(Vec::new());
        let tell = |warning: &str| told.lock().unwrap().push(warning.to_owned());
        let reminding = remind(|| Arc::clone(&loaded), tell);
        let half_a_day = REMINDER_INTERVAL / 2;
        timeout(5 * half_a_day, reminding).await.unwrap_err();
        let cert = cert_path.display();
        let expected = format!("tls.cert: {cert}: expired on 2001-01-01T00:00:00Z");
        let told = told.into_inner().unwrap();
        assert_eq!(told.len(), 2);
        assert!(
            told.iter().all(|told| told.starts_with(&expected)),
            "{told:?}"
        );
    }
}
