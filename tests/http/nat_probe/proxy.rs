//! A proxy that asks for its NAT type: the other side of the same WebRTC stack, on the
//! loopback.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use snowflake_broker::broker::clock;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};

use crate::support::wait::LONG_ENOUGH;

pub(crate) struct Proxy {
    rtc: Rtc,
    socket: UdpSocket,
    here: SocketAddr,
    sdp: String,
    pending: Option<SdpPendingOffer>,
}

impl Proxy {
    pub(crate) async fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let here = socket.local_addr().unwrap();
        let mut rtc = RtcConfig::new().build(clock::now());
        rtc.add_local_candidate(Candidate::host(here, Protocol::Udp).unwrap());
        let mut change = rtc.sdp_api();
        change.add_channel("test".to_owned());
        let (offer, pending) = change.apply().unwrap();
        Self {
            rtc,
            socket,
            here,
            sdp: offer.to_sdp_string(),
            pending: Some(pending),
        }
    }

    /// The body of its request.
    pub(crate) fn offer(&self) -> String {
        request(&self.sdp)
    }

    pub(crate) fn offer_without_candidates(&self) -> String {
        let lines = self.sdp.split_inclusive('\n');
        let lines = lines.filter(|line| !line.starts_with("a=candidate"));
        request(&lines.collect::<String>())
    }

    /// Takes the server's answer. Returns true once its data channel is open, and closes it.
    pub(crate) async fn is_reached(&mut self, answer: &str) -> bool {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let answer: Value = serde_json::from_str(answer["Answer"].as_str().unwrap()).unwrap();
        assert_eq!(answer["type"], "answer");
        let answer = SdpAnswer::from_sdp_string(answer["sdp"].as_str().unwrap()).unwrap();
        let pending = self.pending.take().unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        timeout(LONG_ENOUGH, self.opens()).await.is_ok()
    }

    async fn opens(&mut self) {
        let mut has_opened = false;
        let mut buffer = [0; 2_000];
        loop {
            let until = match self.rtc.poll_output().unwrap() {
                Output::Transmit(datagram) => {
                    let sent = self
                        .socket
                        .send_to(&datagram.contents, datagram.destination);
                    sent.await.unwrap();
                    continue;
                }
                Output::Event(Event::ChannelOpen(..)) => {
                    has_opened = true;
                    self.rtc.close().unwrap();
                    continue;
                }
                Output::Event(_) => continue,
                Output::Timeout(_) if has_opened => return,
                Output::Timeout(until) => until,
            };
            let input = tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, source) = received.unwrap();
                    let datagram = &buffer[..length];
                    let datagram = Receive::new(Protocol::Udp, source, self.here, datagram);
                    Input::Receive(clock::now(), datagram.unwrap())
                }
                () = sleep_until(until.into()) => Input::Timeout(clock::now()),
            };
            self.rtc.handle_input(input).unwrap();
        }
    }
}

fn request(sdp: &str) -> String {
    let offer = json!({ "type": "offer", "sdp": sdp }).to_string();
    json!({ "Status": "client match", "Offer": offer, "NAT": "", "RelayURL": "" }).to_string()
}
