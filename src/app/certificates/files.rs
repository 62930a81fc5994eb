//! A certificate from files that another program replaces from time to time.

use std::future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use aws_lc_rs::digest;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::store::{CertStore, valid_until};
use crate::app::files::read_file;
use crate::broker::clock;
use crate::causes::with_causes;
use crate::telemetry::SETTINGS;
use crate::tls::{self, CertResolver, Certificate, Validity};

/// A matching certificate and key from two files.
pub(in crate::app) struct CertificatePair {
    settings: tls::Settings,
    content: Content,
    certificate: Certificate,
}

/// A digest of both files' content, which does not keep the key.
type Content = [u8; 32];

/// Reads and checks the configured files, if there are any. The error names the setting.
pub(super) fn read(settings: &tls::Settings) -> anyhow::Result<Option<CertificatePair>> {
    let Some(texts) = Texts::read(settings)? else {
        return Ok(None);
    };
    Ok(Some(CertificatePair {
        settings: settings.clone(),
        content: texts.content(),
        certificate: texts.certificate()?,
    }))
}

struct Texts {
    paths: [PathBuf; 2],
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Texts {
    fn read(settings: &tls::Settings) -> anyhow::Result<Option<Self>> {
        let (Some(cert), Some(key)) = (&settings.cert, &settings.key) else {
            return Ok(None);
        };
        Ok(Some(Self {
            paths: [cert.clone(), key.clone()],
            cert: read_file("tls.cert", cert)?,
            key: read_file("tls.key", key)?,
        }))
    }

    fn content(&self) -> Content {
        let mut both = digest::Context::new(&digest::SHA256);
        for text in [&self.cert, &self.key] {
            both.update(digest::digest(&digest::SHA256, text).as_ref());
        }
        let mut content = Content::default();
        content.copy_from_slice(both.finish().as_ref());
        content
    }

    fn certificate(&self) -> anyhow::Result<Certificate> {
        let [cert, key] = &self.paths;
        let certificate = Certificate::from_pem(&self.cert, &self.key);
        certificate.map_err(|error| anyhow!(error.in_files(("tls.cert", cert), ("tls.key", key))))
    }
}

/// The watched files, and the certificate currently served from them.
pub(in crate::app) struct WatchedFiles {
    good: watch::Sender<Good>,
    store: CertStore,
}

#[derive(Clone, PartialEq)]
struct Good {
    settings: tls::Settings,
    content: Content,
    validity: Validity,
}

impl Good {
    /// The reason why the current certificate is better than this pair, if it is. An
    /// expired certificate does not replace one that clients accept.
    fn objection(&self, pair: &CertificatePair, now: SystemTime) -> Option<String> {
        let is_better = self
            .validity
            .is_better_than(pair.certificate.validity(), now);
        let flaw = pair.certificate.flaws(now).into_iter().next()?;
        let cert = pair.settings.cert.as_deref()?.display();
        is_better.then(|| format!("tls.cert: {cert}: {flaw}"))
    }
}

/// The state in which the files were found.
enum PairState {
    /// The files that are already served.
    Same,
    New(CertificatePair),
    Broken(FileProblem),
}

/// The fault of the files; equal if nothing has changed.
#[derive(Clone, PartialEq)]
struct FileProblem {
    /// `None` for unreadable files.
    content: Option<Content>,
    reason: String,
}

impl WatchedFiles {
    pub(super) fn new(pair: CertificatePair, store: CertStore) -> Self {
        let good = Good {
            settings: pair.settings,
            content: pair.content,
            validity: pair.certificate.validity(),
        };
        store.set(pair.certificate);
        Self {
            good: watch::Sender::new(good),
            store,
        }
    }

    pub(super) fn resolver(&self) -> Arc<CertResolver> {
        self.store.resolver()
    }

    /// The reason why this pair will not be served.
    pub(super) fn objection(&self, pair: &CertificatePair) -> Option<String> {
        self.good.borrow().objection(pair, clock::wall_clock())
    }

    /// Serves this pair unless it is worse than the current one, and watches its files
    /// from now on.
    pub(super) fn apply(&self, pair: CertificatePair) {
        let now = clock::wall_clock();
        self.good
            .send_modify(|good| match good.objection(&pair, now) {
                Some(_) => good.settings = pair.settings,
                None => self.replace(good, pair),
            });
    }

    /// Checks the files periodically by reading them: their content shows every
    /// replacement, whether by renaming, by links or by writing in place.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut good = self.good.subscribe();
        let mut debounce = Debounce::default();
        loop {
            let known = good.borrow_and_update().clone();
            tokio::select! {
                () = pause(known.settings.watch_interval) => {}
                // SIGHUP has loaded other files.
                _ = good.changed() => continue,
            }
            match look(known.clone()).await {
                PairState::Same => debounce = Debounce::default(),
                PairState::New(pair) => {
                    debounce = Debounce::default();
                    self.apply_unless_changed(&known, pair);
                }
                PairState::Broken(problem) => {
                    if let Some(reason) = debounce.news(problem) {
                        tracing::error!(target: SETTINGS, "keeping the previous certificate: {reason}");
                    }
                }
            }
        }
    }

    /// Applies the pair, unless SIGHUP has loaded another since the check.
    fn apply_unless_changed(&self, known: &Good, pair: CertificatePair) {
        let until = valid_until(&pair.certificate);
        let applied = self.good.send_if_modified(|good| {
            let is_known = good == known;
            if is_known {
                self.replace(good, pair);
            }
            is_known
        });
        if applied {
            tracing::info!(until, "serving a new certificate from tls.cert");
        }
    }

    fn replace(&self, good: &mut Good, pair: CertificatePair) {
        *good = Good {
            settings: pair.settings,
            content: pair.content,
            validity: pair.certificate.validity(),
        };
        self.store.set(pair.certificate);
    }
}

async fn pause(interval: Duration) {
    if interval.is_zero() {
        future::pending::<()>().await;
    } else {
        sleep(interval).await;
    }
}

/// Reads the files on a separate thread, since they may be on a slow network.
async fn look(known: Good) -> PairState {
    let looked = spawn_blocking(move || look_now(&known)).await;
    looked.unwrap_or_else(|error| {
        PairState::Broken(FileProblem {
            content: None,
            reason: error.to_string(),
        })
    })
}

fn look_now(known: &Good) -> PairState {
    let broken = |content, error: anyhow::Error| {
        let reason = with_causes(error.as_ref());
        PairState::Broken(FileProblem { content, reason })
    };
    let texts = match Texts::read(&known.settings) {
        Ok(Some(texts)) => texts,
        Ok(None) => return PairState::Same,
        Err(error) => return broken(None, error),
    };
    let content = texts.content();
    if content == known.content {
        return PairState::Same;
    }
    let certificate = match texts.certificate() {
        Ok(certificate) => certificate,
        Err(error) => return broken(Some(content), error),
    };
    let pair = CertificatePair {
        settings: known.settings.clone(),
        content,
        certificate,
    };
    match known.objection(&pair, clock::wall_clock()) {
        Some(reason) => broken(Some(content), anyhow!(reason)),
        None => PairState::New(pair),
    }
}

/// Reports a problem once, and only after two checks in a row: while a program writes a
/// new certificate and then its key, they do not match.
#[derive(Default)]
struct Debounce {
    last: Option<FileProblem>,
    is_reported: bool,
}

impl Debounce {
    fn news(&mut self, problem: FileProblem) -> Option<String> {
        if self.last.as_ref() != Some(&problem) {
            self.last = Some(problem);
            self.is_reported = false;
            return None;
        }
        let is_news = !std::mem::replace(&mut self.is_reported, true);
        is_news.then_some(problem.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(content: u8) -> FileProblem {
        FileProblem {
            content: Some([content; 32]),
            reason: format!("{content}"),
        }
    }

    #[test]
    fn trouble_that_stays_is_reported_once() {
        let mut debounce = Debounce::default();
        assert_eq!(debounce.news(problem(1)), None);
        assert_eq!(debounce.news(problem(2)), None);
        assert_eq!(debounce.news(problem(2)), Some("2".to_owned()));
        assert_eq!(debounce.news(problem(2)), None);
        assert_eq!(debounce.news(problem(3)), None);
        assert_eq!(debounce.news(problem(3)), Some("3".to_owned()));
    }
}
