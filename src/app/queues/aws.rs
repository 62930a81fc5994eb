//! Clients of Amazon SQS, configured like AWS's programs: by variables, profiles and
//! roles.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::entropy;
use crate::broker::Broker;
use crate::metrics::labels::PrivatePoolName;
use crate::sqs::aws::AwsQueue;
use crate::sqs::{QueueFront, QueueOptions, QueueSettings, Settings};

/// The pause before looking again for a region that is not configured.
const PAUSE: Duration = Duration::from_mins(1);

/// One queue and its options.
#[derive(Debug)]
pub(super) struct Service {
    queue: QueueSettings,
    concurrency: usize,
    sweeps: bool,
    /// Shared by all queues, to share connections.
    http: SharedHttpClient,
}

/// The services to run for these settings.
pub(super) fn services(settings: &Settings) -> impl Iterator<Item = Service> {
    let tls = Provider::Rustls(CryptoMode::AwsLc);
    let http = Builder::new().tls_provider(tls).build_https();
    let mut swept = HashSet::new();
    settings.all_queues().into_iter().map(move |queue| {
        // Each account and region has a single set of reply queues.
        let is_new = swept.insert((queue.profile.clone(), queue.region.clone()));
        Service {
            concurrency: settings.concurrency,
            sweeps: settings.sweep && is_new,
            http: http.clone(),
            queue,
        }
    })
}

/// Warnings about queues whose region is unknown.
pub(super) async fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    for queue in settings.all_queues() {
        if !has_region(&queue).await {
            warnings.push(no_region(&queue));
        }
    }
    warnings
}

/// Returns true if the settings, a variable or a profile names the region of a queue.
/// Does not query the metadata service of machines at Amazon.
async fn has_region(queue: &QueueSettings) -> bool {
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &queue.profile {
        profile = profile.profile_name(name);
    }
    let set = queue.region.clone().map(Region::new);
    let named = RegionProviderChain::first_try(set)
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build());
    named.region().await.is_some()
}

fn no_region(queue: &QueueSettings) -> String {
    format!(
        "sqs: {queue}: no region: set sqs.region, or region in sqs.queues (only a machine at \
         Amazon knows its own)"
    )
}

impl Service {
    /// Serves the queue until `stop`.
    pub(super) async fn run(self, broker: Arc<Broker>, stop: CancellationToken) {
        let Some(client) = stop.run_until_cancelled(self.client()).await else {
            return;
        };
        let options = QueueOptions {
            name: self.queue.to_string(),
            pool: self.queue.pool.as_deref().map(PrivatePoolName::from),
            concurrency: self.concurrency,
            jitter: entropy::jitter,
        };
        let queue = AwsQueue::new(client, self.queue.name.clone());
        let front = QueueFront::new(queue, broker, options);
        tracing::info!(sweep = self.sweeps, "sqs: {}: serving", self.queue);
        let sweep = async {
            if self.sweeps {
                Arc::clone(&front).sweep(stop.clone()).await;
            }
        };
        tokio::join!(Arc::clone(&front).serve(stop.clone()), sweep);
    }

    /// A client for the queue's region, which may have to be found first.
    async fn client(&self) -> Client {
        loop {
            // Boxed because the future is large.
            let config = Box::pin(self.load()).await;
            if config.region().is_some() {
                return Client::new(&config);
            }
            tracing::warn!("{}", no_region(&self.queue));
            sleep(PAUSE).await;
        }
    }

    async fn load(&self) -> SdkConfig {
        let credentials = FreshCredentials {
            profile: self.queue.profile.clone(),
            region: self.region(),
            http: self.http.clone(),
        };
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .credentials_provider(credentials);
        if let Some(profile) = &self.queue.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = self.region() {
            loader = loader.region(region);
        }
        loader.load().await
    }

    fn region(&self) -> Option<Region> {
        self.queue.region.clone().map(Region::new)
    }
}

/// Loads credentials again whenever the last ones have expired, after at most 15 minutes:
/// files and roles may change in the meantime. AWS's own providers read a profile only
/// once.
#[derive(Debug)]
struct FreshCredentials {
    profile: Option<String>,
    region: Option<Region>,
    http: SharedHttpClient,
}

impl FreshCredentials {
    /// A configured profile is used alone; variables are considered only without one.
    async fn find(&self) -> provider::Result {
        let config = ProviderConfig::without_region()
            .with_http_client(self.http.clone())
            .with_region(self.region.clone());
        if let Some(profile) = &self.profile {
            let provider = ProfileFileCredentialsProvider::builder()
                .configure(&config)
                .profile_name(profile)
                .build();
            return provider.provide_credentials().await;
        }
        let chain = DefaultCredentialsChain::builder()
            .configure(config)
            .build()
            .await;
        chain.provide_credentials().await
    }
}

impl ProvideCredentials for FreshCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.find())
    }
}
