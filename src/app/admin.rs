//! The administration: its sockets, its callers, and the operations that concern the
//! whole program.

pub(super) mod access;
mod operations;
mod socket;

use std::sync::Arc;

use anyhow::Context as _;
use tonic_health::server::HealthReporter;

use crate::broker::Broker;
use crate::grpc::admin::AdminService;
use crate::grpc::{self, AdminAuth};
use crate::listener::{Closing, ClosingStage};
use crate::proto::admin::v1::admin_server;

use super::health;
use super::supervisor::Supervisor;

pub(super) use operations::Administration;
pub(super) use socket::{AdminSocket, check, open, warning};

use socket::SocketFile;

/// The running administration.
#[derive(Debug)]
pub(super) struct Admin {
    closing: Closing,
    _socket_files: Vec<SocketFile>,
}

impl Admin {
    /// Begins to serve calls, if there are sockets.
    pub(super) fn start(
        sockets: Vec<AdminSocket>,
        auth: &Arc<AdminAuth>,
        broker: &Arc<Broker>,
        administration: Arc<Administration>,
        supervisor: &Supervisor,
    ) -> anyhow::Result<Self> {
        let closing = Closing::default();
        let mut files = Vec::new();
        if !sockets.is_empty() {
            let service = AdminService::new(Arc::clone(broker), administration, closing.clone());
            let health = HealthReporter::new();
            let name = admin_server::SERVICE_NAME;
            supervisor.spawn(health::report(health.clone(), broker.watch_stage(), name));
            let server = grpc::admin_server(auth, service, health, closing.clone());
            let server = Arc::new(server.context("admin.listen")?);
            for AdminSocket { listener, file } in sockets {
                let run = Arc::clone(&server).run(listener);
                supervisor.keep("the listener of the administration", run);
                files.extend(file);
            }
        }
        Ok(Self {
            closing,
            _socket_files: files,
        })
    }

    /// Stops accepting calls, and ends the endless ones. Others end with the program.
    pub(super) fn close(self) {
        self.closing.advance(ClosingStage::Closing);
    }
}
