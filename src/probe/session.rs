//! One probe, without sockets and without a clock: datagrams and times in, datagrams and
//! the result out. The run loop is that of [`str0m`]: call [`ProbeSession::next_step`]
//! until it says to wait, wait for a datagram or that time, pass it in, and begin again.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::net::{DatagramSend, Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use super::candidates::{UnfitOffer, UsableOffer, without_candidates};
use crate::metrics::labels::NatProbeMode;

/// The time for the proxy's data channel to open. Proxies wait longer for it, but begin
/// with their offer, which they have gathered before.
const OPENING: Duration = Duration::from_secs(10);
/// The time for the proxy to send first, in the moderate mode. If it is sent to before, its
/// NAT may give it another mapping for this one peer: that of Linux does, unless it drops
/// packets to itself (`findings/linux_nat_remaps_after_a_stranger.sh`). Clients do not do that
/// to proxies: the proxy is the one that has an offer, and so somebody to send to, first.
const HEAD_START: Duration = Duration::from_secs(3);
/// The time for the proxy to close an open connection. A proxy that saw its end before it
/// noticed the data channel would think that there was none.
const CLOSING: Duration = Duration::from_secs(5);

/// The identity that all probes of a process share: making one takes a millisecond, and
/// tells nobody anything.
#[derive(Clone, Debug)]
pub(super) struct ProbeIdentity(RtcConfig);

/// The error if no certificate can be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate for probes")]
pub struct NoIdentity;

impl ProbeIdentity {
    pub(super) fn new() -> Result<Self, NoIdentity> {
        let provider: CryptoProvider = str0m::crypto::from_feature_flags();
        let cert: Option<DtlsCert> = provider.dtls_provider.generate_certificate();
        let config = RtcConfig::new()
            .set_crypto_provider(Arc::new(provider))
            .set_dtls_cert(cert.ok_or(NoIdentity)?)
            // There is no media.
            .clear_codecs()
            .clear_extension_map();
        Ok(Self(config))
    }
}

/// An offer that no probe can be made of.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableOffer {
    #[error(transparent)]
    Form(#[from] UnfitOffer),
    /// The details may quote the offer, which must not be logged.
    #[error("not a session description for WebRTC")]
    Sdp,
}

/// The next thing to do.
#[derive(Debug)]
pub(super) enum SessionStep {
    /// Send this.
    Send {
        to: SocketAddr,
        datagram: DatagramSend,
    },
    /// Wait for a datagram, but not longer than this.
    Wait(Instant),
    /// The probe is over; true if the data channel opened.
    Over(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is the proxy's turn to send first.
    Silent,
    /// The data channel is not open yet.
    Opening,
    /// It is open, and it is the proxy's turn to close it.
    Open,
    /// The last datagrams remain to be sent.
    Closing,
}

/// A probe.
#[derive(Debug)]
pub(super) struct ProbeSession {
    rtc: Rtc,
    local: SocketAddr,
    /// The addresses that were sent to: only they are heard.
    contacted: HashSet<SocketAddr>,
    stage: Stage,
    began: Instant,
    /// The end of the stage.
    until: Instant,
    has_opened: bool,
}

impl ProbeSession {
    /// Begins a probe from the socket at `local`. Returns the answer for the proxy, too.
    pub(super) fn begin(
        identity: &ProbeIdentity,
        offer: &UsableOffer,
        local: SocketAddr,
        mode: NatProbeMode,
        now: Instant,
    ) -> Result<(Self, String), UnusableOffer> {
        let mut rtc = identity.0.clone().build(now);
        let candidate = Candidate::host(local, Protocol::Udp).map_err(|_| UnusableOffer::Sdp)?;
        rtc.add_local_candidate(candidate);
        let offer = SdpOffer::from_sdp_string(&offer.sdp).map_err(|_| UnusableOffer::Sdp)?;
        let answer = rtc.sdp_api().accept_offer(offer);
        let answer = answer.map_err(|_| UnusableOffer::Sdp)?.to_sdp_string();
        let mut session = Self {
            rtc,
            local,
            contacted: HashSet::new(),
            stage: Stage::Silent,
            began: now,
            until: now + HEAD_START,
            has_opened: false,
        };
        let told = match mode {
            NatProbeMode::Strict => {
                session.begin_checks(now);
                without_candidates(&answer)
            }
            NatProbeMode::Moderate => answer,
        };
        Ok((session, told))
    }

    /// The next thing to do at the time `now`.
    pub(super) fn next_step(&mut self, now: Instant) -> SessionStep {
        if now >= self.until {
            self.end_stage(now);
        }
        if self.stage == Stage::Silent {
            return SessionStep::Wait(self.until);
        }
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    self.contacted.insert(transmit.destination);
                    return SessionStep::Send {
                        to: transmit.destination,
                        datagram: transmit.contents,
                    };
                }
                Ok(Output::Event(event)) => self.note(&event, now),
                Ok(Output::Timeout(at)) if self.stage != Stage::Closing => {
                    return SessionStep::Wait(at.min(self.until));
                }
                Ok(Output::Timeout(_)) | Err(_) => return SessionStep::Over(self.has_opened),
            }
        }
    }

    /// Passes a datagram in, unless its sender was never sent to: then it only shows that the
    /// proxy has sent.
    pub(super) fn datagram(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        if self.stage == Stage::Silent {
            self.begin_checks(now);
        }
        let source = SocketAddr::new(IpAddr::to_canonical(&source.ip()), source.port());
        if !self.contacted.contains(&source) {
            return;
        }
        if let Ok(datagram) = Receive::new(Protocol::Udp, source, self.local, datagram) {
            self.input(Input::Receive(now, datagram));
        }
    }

    /// Lets the time go on.
    pub(super) fn time(&mut self, now: Instant) {
        self.input(Input::Timeout(now));
    }

    fn begin_checks(&mut self, now: Instant) {
        self.stage = Stage::Opening;
        self.until = self.began + OPENING;
        // Before the first input, the stack has no time, and nothing to do.
        self.time(now);
    }

    fn input(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            self.stage = Stage::Closing;
        }
    }

    fn note(&mut self, event: &Event, now: Instant) {
        match event {
            Event::ChannelOpen(..) if self.stage == Stage::Opening => {
                self.has_opened = true;
                self.stage = Stage::Open;
                self.until = now + CLOSING;
            }
            Event::Closed => self.stage = Stage::Closing,
            Event::ChannelClose(_)
            | Event::IceConnectionStateChange(IceConnectionState::Disconnected)
                if self.stage == Stage::Open =>
            {
                self.end_stage(now);
            }
            _ => {}
        }
    }

    fn end_stage(&mut self, now: Instant) {
        if self.stage == Stage::Silent {
            self.begin_checks(now);
            return;
        }
        // Says good-bye.
        if self.stage == Stage::Open && self.rtc.close().is_err() {
            self.rtc.disconnect();
        }
        self.stage = Stage::Closing;
    }
}

#[cfg(test)]
mod tests;
