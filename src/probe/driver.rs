//! The thin layer that gives a session its socket and the time.

use tokio::net::UdpSocket;
use tokio::time::sleep_until;

use super::session::{ProbeSession, SessionStep};
use crate::broker::clock;

/// Longer than any datagram of WebRTC; the rest of a longer one is not looked at.
const DATAGRAM_MAX: usize = 2_000;

/// Runs a session to its end, which is never more than 15 s away. Returns true if the
/// proxy's data channel opened.
pub(super) async fn run(mut session: Box<ProbeSession>, socket: UdpSocket) -> bool {
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        let deadline = match session.next_step(clock::now()) {
            SessionStep::Send { to, datagram } => {
                // Like one that is lost.
                drop(socket.send_to(&datagram, to).await);
                continue;
            }
            SessionStep::Wait(deadline) => deadline,
            SessionStep::Over(has_opened) => return has_opened,
        };
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                if let Ok((length, source)) = received {
                    session.datagram(source, &buffer[..length], clock::now());
                }
            }
            () = sleep_until(deadline.into()) => session.time(clock::now()),
        }
    }
}
