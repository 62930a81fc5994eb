//! The administration: its sockets, who may call, and what takes the whole
//! program to be done.

mod operations;
mod socket;

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::ServerConfig;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::broker::Broker;
use crate::grpc::accept;
use crate::grpc::admin::AdminService;
use crate::grpc::auth::Access;
use crate::grpc::settings::Settings;
use crate::grpc::{self, Gate};
use crate::matching::Stage;
use crate::proto::admin::v1::admin_server;
use crate::tls::mutual::{self, Clients};

use super::files::{read_file, read_pair};
use super::reload::read;

pub(super) use operations::Administration;
pub(super) use socket::{check, open, warning};

use socket::{Socket, SocketFile};

/// The most connections that wait for the server to take them.
const INCOMING_MAX: usize = 16;
/// Shorter tokens can be guessed.
const TOKEN_MIN: usize = 16;

/// The callers that come in, as the settings and the files that they name say; the error
/// names the setting.
pub(super) fn access(settings: &Settings) -> anyhow::Result<(Access, Option<ServerConfig>)> {
    let secrets = settings.tokens.iter().map(|token| {
        let setting = format!("admin.tokens: the token of {:?}", token.name);
        let secret = read(&setting, &token.file)?.trim().to_owned();
        let is_long = secret.len() >= TOKEN_MIN;
        ensure!(
            is_long,
            "{setting}: it has less than {TOKEN_MIN} characters"
        );
        Ok(secret)
    });
    let secrets: Vec<String> = secrets.collect::<anyhow::Result<_>>()?;
    Ok((Access::new(settings, &secrets), server_config(settings)?))
}

fn server_config(settings: &Settings) -> anyhow::Result<Option<ServerConfig>> {
    let tls = &settings.tls;
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else {
        return Ok(None);
    };
    let certificate = read_pair("admin.tls", cert, key)?;
    let Some(client_ca) = &tls.client_ca else {
        let config = mutual::server_config(certificate, Clients::Any);
        return config.map(Some).context("admin.tls");
    };
    let authorities = read_file("admin.tls.client_ca", client_ca)?;
    let clients = if settings.tokens.is_empty() {
        Clients::OnlyKnown(&authorities)
    } else {
        // Whoever has a token needs no certificate.
        Clients::Known(&authorities)
    };
    let config = mutual::server_config(certificate, clients);
    let culprit = || format!("admin.tls.client_ca: {}", client_ca.display());
    config.map(Some).with_context(culprit)
}

/// The administration, while it listens.
#[derive(Debug)]
pub(super) struct Admin {
    closing: CancellationToken,
    _socket_files: Vec<SocketFile>,
}

impl Admin {
    /// Answers calls from now on, if there are sockets.
    pub(super) fn start(
        sockets: Vec<Socket>,
        gate: Arc<Gate>,
        broker: &Arc<Broker>,
        administration: Administration,
    ) -> Self {
        let closing = CancellationToken::new();
        if sockets.is_empty() {
            return Self {
                closing,
                _socket_files: Vec::new(),
            };
        }
        let operations = Arc::new(administration);
        let service = AdminService::new(Arc::clone(broker), operations, closing.clone());
        let health = HealthReporter::new();
        let name = admin_server::SERVICE_NAME;
        tokio::spawn(report_health(health.clone(), broker.watch_stage(), name));
        let (connections, incoming) = mpsc::channel(INCOMING_MAX);
        let mut files = Vec::new();
        for Socket { listener, file } in sockets {
            tokio::spawn(accept::run(listener, gate.entrance(), connections.clone()));
            files.extend(file);
        }
        let serving = grpc::serve(
            ReceiverStream::new(incoming),
            gate,
            service,
            health,
            closing.clone(),
        );
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the administration has failed");
            }
        });
        Self {
            closing,
            _socket_files: files,
        }
    }

    /// Takes no more calls, and ends those that would go on for ever. Others
    /// end with the program.
    pub(super) fn close(self) {
        self.closing.cancel();
    }
}

/// Tells who asks for our health, or that of a service, whether we take new work.
pub(super) async fn report_health(
    health: HealthReporter,
    mut stage: watch::Receiver<Stage>,
    name: &str,
) {
    loop {
        let status = match *stage.borrow_and_update() {
            Stage::Serving => ServingStatus::Serving,
            Stage::LameDuck | Stage::Draining => ServingStatus::NotServing,
        };
        for service in ["", name] {
            health.set_service_status(service, status).await;
        }
        if stage.changed().await.is_err() {
            return;
        }
    }
}
