//! Connections to a broker: a Unix socket, or TCP with or without TLS, and our
//! credentials.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use prost_types::FieldMask;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status};
use tower::service_fn;

use crate::admin_client::arguments::ConnectionArgs;
use crate::file_access;
use crate::proto::admin::v1::admin_client::AdminClient;
use crate::tls::{self, pem};

use super::address::BrokerAddress;
use super::diagnosis::{of_status, unreachable};
use super::failure::Failure;
use super::output::warn;

/// The maximum size of a page, also in brokers.
const PAGE_MAX: usize = 1_000;

/// The interval of pings to a silent broker.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// The time-out of a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The generated client, which sends our token with every call.
pub(super) type AuthorizedClient = AdminClient<InterceptedService<Channel, BearerToken>>;

/// A broker that can be called.
#[derive(Debug)]
pub(super) struct RemoteBroker {
    client: AuthorizedClient,
    target: BrokerAddress,
    timeout: Duration,
}

/// Our identity, and the authorities that we trust.
#[derive(Debug)]
pub(super) struct Credentials {
    token: BearerToken,
    tls: ClientTlsConfig,
}

/// Adds our token to each call, if there is one.
#[derive(Clone, Debug)]
pub(super) struct BearerToken(Option<MetadataValue<Ascii>>);

impl Credentials {
    /// Reads the files named in the command line.
    pub(super) fn read(asked: &ConnectionArgs) -> Result<Self, Failure> {
        let token = asked.token_file.as_deref().map(token).transpose()?;
        let mut tls = ClientTlsConfig::new();
        tls = match &asked.tls_ca {
            Some(path) => tls.ca_certificate(authorities(path)?),
            None => tls.with_native_roots(),
        };
        if let Some(identity) = identity(asked)? {
            tls = tls.identity(identity);
        }
        if let Some(name) = &asked.tls_server_name {
            tls = tls.domain_name(name);
        }
        Ok(Self {
            token: BearerToken(token),
            tls,
        })
    }
}

fn token(path: &Path) -> Result<MetadataValue<Ascii>, Failure> {
    warn_if_exposed("--token-file", path);
    let token = read("--token-file", path)?;
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {}", token.trim()).parse().map_err(|_| {
            let path = file_access::shown("--token-file", path);
            Failure::Input(format!("--token-file: {path}: is not a token"))
        })?;
    value.set_sensitive(true);
    Ok(value)
}

fn authorities(path: &Path) -> Result<Certificate, Failure> {
    let text = read_bytes("--tls-ca", path)?;
    // Converted to lines, since the parser reads lines.
    let certificates = pem::certificates(&text)
        .and_then(|_| pem::in_lines(&text))
        .map_err(|fault| Failure::Input(format!("--tls-ca: {}: {fault}", path.display())))?;
    Ok(Certificate::from_pem(certificates))
}

fn identity(asked: &ConnectionArgs) -> Result<Option<Identity>, Failure> {
    match (&asked.tls_cert, &asked.tls_key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            let chain = read_bytes("--tls-cert", cert)?;
            warn_if_exposed("--tls-key", key);
            let secret = read_bytes("--tls-key", key)?;
            let wrong = |error: tls::InvalidCertificate| {
                let (cert, key) = (("--tls-cert", &**cert), ("--tls-key", &**key));
                Failure::Input(error.in_files(cert, key))
            };
            tls::Certificate::from_pem(&chain, &secret).map_err(wrong)?;
            let lines = |text: &[u8]| pem::in_lines(text).unwrap_or_default();
            Ok(Some(Identity::from_pem(lines(&chain), lines(&secret))))
        }
        _ => Err(Failure::Input(
            "--tls-cert and --tls-key: one needs the other".to_owned(),
        )),
    }
}

/// Warns about a file that other users of the machine can read.
fn warn_if_exposed(wanted_for: &str, path: &Path) {
    if let Some(warning) = file_access::exposure_warning(wanted_for, path) {
        warn(&warning);
    }
}

/// Reads a file of the operator. The error names its purpose.
pub(super) fn read(wanted_for: &str, path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path);
    text.map_err(|error| {
        Failure::Input(format!(
            "{wanted_for}: {}: {error}",
            file_access::shown(wanted_for, path)
        ))
    })
}

fn read_bytes(wanted_for: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(path);
    bytes.map_err(|error| {
        Failure::Input(format!(
            "{wanted_for}: {}: {error}",
            file_access::shown(wanted_for, path)
        ))
    })
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl RemoteBroker {
    /// Connects within `patience`, which is also the time limit for calls.
    pub(super) async fn connect(
        target: &BrokerAddress,
        credentials: Credentials,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let channel = timeout(patience, channel(target, credentials.tls))
            .await
            .map_err(|_| Failure::TimedOut(patience))?
            .map_err(|error| unreachable(target, &error))?;
        Ok(Self {
            client: AdminClient::with_interceptor(channel, credentials.token),
            target: target.clone(),
            timeout: patience,
        })
    }

    /// Makes a call with one response.
    pub(super) async fn call<T, R>(
        &mut self,
        method: impl AsyncFnOnce(&mut AuthorizedClient, Request<T>) -> Result<Response<R>, Status>,
        message: T,
    ) -> Result<R, Failure> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let answer = timeout(self.timeout, method(&mut self.client, request))
            .await
            .map_err(|_| Failure::TimedOut(self.timeout))?
            .map_err(|status| self.failure(status))?;
        Ok(answer.into_inner())
    }

    /// Makes a call with a stream of responses; the first must arrive in time.
    pub(super) async fn subscribe<T, R>(
        &mut self,
        method: impl AsyncFnOnce(&mut AuthorizedClient, Request<T>) -> Result<Response<R>, Status>,
        message: T,
    ) -> Result<R, Failure> {
        let answers = timeout(
            self.timeout,
            method(&mut self.client, Request::new(message)),
        )
        .await
        .map_err(|_| Failure::TimedOut(self.timeout))?
        .map_err(|status| self.failure(status))?;
        Ok(answers.into_inner())
    }

    fn failure(&self, status: Status) -> Failure {
        of_status(&self.target, status, self.timeout)
    }
}

async fn channel(
    target: &BrokerAddress,
    tls: ClientTlsConfig,
) -> Result<Channel, tonic::transport::Error> {
    match target {
        BrokerAddress::Unix(path) => {
            // Over a Unix socket, the name is irrelevant.
            let endpoint = endpoint("http://localhost".to_owned())?;
            let connect = |path: PathBuf| async {
                let stream = UnixStream::connect(path).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            };
            let path = path.clone();
            let connector = service_fn(move |_: Uri| connect(path.clone()));
            endpoint.connect_with_connector(connector).await
        }
        BrokerAddress::Tcp { address, tls: true } => {
            let endpoint = endpoint(format!("https://{address}"))?;
            endpoint.tls_config(tls)?.connect().await
        }
        BrokerAddress::Tcp {
            address,
            tls: false,
        } => endpoint(format!("http://{address}"))?.connect().await,
    }
}

fn endpoint(uri: String) -> Result<Endpoint, tonic::transport::Error> {
    let agent = concat!("snowflake-broker-admin/", env!("CARGO_PKG_VERSION"));
    Ok(Endpoint::from_shared(uri)?
        .user_agent(agent)?
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT))
}

/// The fields that change.
pub(super) fn mask(fields: &[(&str, bool)]) -> FieldMask {
    let named = fields.iter().filter(|(_, changes)| *changes);
    FieldMask {
        paths: named.map(|(field, _)| (*field).to_owned()).collect(),
    }
}

/// The size of a page, when this many entries are still wanted: brokers give 1,000 at most.
pub(super) fn page_size(left: usize) -> i32 {
    i32::try_from(left.min(PAGE_MAX)).unwrap_or(i32::MAX)
}

/// The protocol's maximum is 10,000 years.
pub(super) fn duration(span: Duration) -> Result<prost_types::Duration, Failure> {
    let message = prost_types::Duration::try_from(span);
    message.map_err(|_| Failure::Input("that is too long a span of time".to_owned()))
}
