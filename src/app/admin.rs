//! The administration: its sockets, who may call, and what takes the whole
//! program to be done.

pub(super) mod access;
mod operations;
mod socket;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use crate::broker::Broker;
use crate::grpc::accept;
use crate::grpc::admin::AdminService;
use crate::grpc::{self, Gate};
use crate::proto::admin::v1::admin_server;

use super::health;

pub(super) use operations::Administration;
pub(super) use socket::{check, open, warning};

use socket::{Socket, SocketFile};

/// The most connections that wait for the server to take them.
const INCOMING_MAX: usize = 16;

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
        tokio::spawn(health::report(health.clone(), broker.watch_stage(), name));
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
