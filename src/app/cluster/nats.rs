//! The connection to NATS.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectError, ConnectOptions, Event, ServerAddr, SubscribeError};
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio_stream::wrappers::ReceiverStream;

use crate::backoff::Backoff;
use crate::causes::short_line;
use crate::cluster::{Bus, BusEvent, BusMessage, NotSent, Settings, Subjects};

use crate::app::entropy;

/// The maximum number of messages that wait to be written to the connection.
const OUTGOING_MAX: usize = 512;
/// The maximum number of messages of a subject that wait to be read.
const INCOMING_MAX: usize = 4_096;
/// The maximum number of events of the connection that wait to be read.
const EVENTS_MAX: usize = 64;
/// The interval of pings, of which two may fail.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The time limit of a connection to a server. One that hangs takes connections, and may be
/// tried before the others, so it must not take much longer than noticing that it hangs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(2));

/// The proof of this node's identity for NATS.
pub(super) enum NatsCredentials {
    None,
    /// A JWT and the seed of its key, as `nsc` writes them.
    Jwt(String),
    /// The seed of an nkey.
    Nkey(String),
}

/// The error for a file of credentials. It does not repeat the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidCredentials {
    #[error("must be a file of credentials, with a JWT and a seed, as `nsc` writes it")]
    Jwt,
    #[error("must be the seed of a user's nkey, which begins with SU")]
    Nkey,
}

impl NatsCredentials {
    pub(super) fn with_jwt(text: String) -> Result<Self, InvalidCredentials> {
        let credentials = Self::Jwt(text);
        credentials.options().map_err(|_| InvalidCredentials::Jwt)?;
        Ok(credentials)
    }

    pub(super) fn with_nkey(text: &str) -> Result<Self, InvalidCredentials> {
        let lines = text.lines().map(str::trim);
        let mut seeds = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        match (seeds.next(), seeds.next()) {
            (Some(seed), None)
                if nkeys::KeyPair::from_seed(seed).is_ok() && seed.starts_with("SU") =>
            {
                Ok(Self::Nkey(seed.to_owned()))
            }
            _ => Err(InvalidCredentials::Nkey),
        }
    }

    fn options(&self) -> std::io::Result<ConnectOptions> {
        match self {
            Self::None => Ok(ConnectOptions::new()),
            Self::Jwt(text) => ConnectOptions::with_credentials(text),
            Self::Nkey(seed) => Ok(ConnectOptions::with_nkey(seed.clone())),
        }
    }
}

/// The connection, once it is begun.
#[derive(Default)]
pub(super) struct NatsBus {
    client: OnceLock<Client>,
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NatsBus").finish_non_exhaustive()
    }
}

impl Bus for NatsBus {
    fn send(&self, subject: String, payload: Bytes) -> Result<(), NotSent> {
        // While the connection is away, the library would keep messages for later.
        let client = self.connected().ok_or(NotSent)?;
        // It waits only for a place among the outgoing messages.
        let published = unconstrained(client.publish(subject, payload)).now_or_never();
        match published {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(NotSent),
        }
    }

    fn reconnect(&self) {
        // While there is no connection, the library tries by itself, and would connect anew
        // once for each call that it has kept.
        if let Some(client) = self.connected() {
            drop(unconstrained(client.force_reconnect()).now_or_never());
        }
    }
}

impl NatsBus {
    /// The connection, once it is begun.
    pub(super) fn client(&self) -> Option<&Client> {
        self.client.get()
    }

    fn connected(&self) -> Option<&Client> {
        let client = self.client.get();
        client.filter(|client| client.connection_state() == State::Connected)
    }
}

/// A connection that is not yet begun.
pub(super) struct Nats {
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    subjects: [String; 3],
    bus: Arc<NatsBus>,
    events: mpsc::Receiver<BusEvent>,
}

/// The reason why the connection cannot be begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum NatsError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

impl Nats {
    pub(super) fn new(
        settings: &Settings,
        node: &str,
        credentials: &NatsCredentials,
        tls: Option<ClientConfig>,
        bus: &Arc<NatsBus>,
    ) -> anyhow::Result<Self> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let options = credentials
            .options()?
            .name(format!("snowflake-broker {node}"))
            .custom_inbox_prefix(format!("{}.inbox.{node}", settings.name))
            .retry_on_initial_connect()
            .client_capacity(OUTGOING_MAX)
            .subscription_capacity(INCOMING_MAX)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECT_TIMEOUT)
            .reconnect_delay_callback(|attempts| {
                let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
                PAUSES.delay(attempts, entropy::jitter())
            })
            .event_callback(move |event| {
                // If there are too many, those before tell as much.
                drop(bus_event(&event).map(|event| sender.try_send(event)));
                std::future::ready(())
            });
        let options = match tls {
            Some(tls) => options.require_tls(true).tls_client_config(tls),
            None => options,
        };
        let servers = settings.servers.iter().map(|server| server.parse());
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            options,
            subjects: Subjects::new(&settings.name, node).listened(),
            bus: Arc::clone(bus),
            events,
        })
    }

    /// Begins to connect, in the background and again and again, and returns what comes from
    /// NATS.
    pub(super) async fn connect(
        self,
    ) -> Result<impl Stream<Item = BusEvent> + Send + Unpin, NatsError> {
        let client = self.options.connect(self.servers).await?;
        let mut incoming = Vec::new();
        for subject in self.subjects {
            let messages = client.subscribe(subject).await?;
            incoming.push(messages.map(|message| {
                BusEvent::Message(BusMessage {
                    subject: message.subject.into_string(),
                    payload: message.payload,
                })
            }));
        }
        drop(self.bus.client.set(client));
        let events = ReceiverStream::new(self.events);
        Ok(stream::select(events, stream::select_all(incoming)))
    }
}

fn bus_event(event: &Event) -> Option<BusEvent> {
    match event {
        Event::Disconnected | Event::Closed => Some(BusEvent::Disconnected),
        Event::SlowConsumer(_) => Some(BusEvent::Overrun),
        Event::ServerError(error) => Some(problem(&error.to_string())),
        Event::ClientError(error) => Some(problem(&error.to_string())),
        Event::Connected | Event::LameDuckMode | Event::Draining => None,
    }
}

fn problem(error: &str) -> BusEvent {
    let words = error.strip_prefix("nats: ").unwrap_or(error);
    BusEvent::Problem(short_line(words))
}
