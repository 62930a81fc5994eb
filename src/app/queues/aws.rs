//! Clients of Amazon's SQS, made from what AWS's programs are told by: variables,
//! profiles, roles.

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
use crate::sqs::aws::AwsQueue;
use crate::sqs::{QueueFront, QueueOptions, QueueSettings, Settings};

/// The pause before a region that nobody has set is looked for again.
const PAUSE: Duration = Duration::from_mins(1);

/// One queue, and how it is to be served.
#[derive(Debug)]
pub(super) struct Service {
    queue: QueueSettings,
    concurrency: usize,
    sweeps: bool,
    /// All share their connections.
    http: SharedHttpClient,
}

/// The services that have to be run for these settings.
pub(super) fn services(settings: &Settings) -> impl Iterator<Item = Service> {
    let tls = Provider::Rustls(CryptoMode::AwsLc);
    let http = Builder::new().tls_provider(tls).build_https();
    let mut swept = HashSet::new();
    settings.all_queues().into_iter().map(move |queue| {
        // In one account and region there is one set of reply queues.
        let is_new = swept.insert((queue.profile.clone(), queue.region.clone()));
        Service {
            concurrency: settings.concurrency,
            sweeps: settings.sweep && is_new,
            http: http.clone(),
            queue,
        }
    })
}

/// The warnings about these queues: that no region is known of them.
pub(super) async fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    for queue in settings.all_queues() {
        if !has_region(&queue).await {
            warnings.push(no_region(&queue));
        }
    }
    warnings
}

/// Returns true if the settings, a variable or a profile names the region of a queue. The
/// service that tells machines at Amazon of theirs is not asked.
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
        "sqs: {queue}: no region: set sqs.region, or region in sqs.queues; without one only a \
         machine at Amazon knows its own"
    )
}

impl Service {
    /// Serves it until told to stop.
    pub(super) async fn run(self, broker: Arc<Broker>, stop: CancellationToken) {
        let Some(client) = stop.run_until_cancelled(self.client()).await else {
            return;
        };
        let options = QueueOptions {
            name: self.queue.to_string(),
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

    /// A client for its region, which may have to be looked for.
    async fn client(&self) -> Client {
        loop {
            // It takes much room.
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

/// Looks for credentials anew whenever those are over that it has found before,
/// after 15 minutes at the latest: files and roles may change meanwhile. AWS's
/// own providers read a profile once.
#[derive(Debug)]
struct FreshCredentials {
    profile: Option<String>,
    region: Option<Region>,
    http: SharedHttpClient,
}

impl FreshCredentials {
    /// A profile that was named counts for itself; variables are only for who
    /// names none.
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
