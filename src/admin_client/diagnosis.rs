//! Explanations for calls that never reached the broker, with advice.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};

use crate::causes::one_line;
use crate::causes::with_causes;

use super::address::BrokerAddress;
use super::failure::Failure;

/// The failure to connect to a broker.
pub(super) fn unreachable(broker: &BrokerAddress, error: &(dyn Error + 'static)) -> Failure {
    Failure::Unreachable {
        address: broker.to_string(),
        problem: problem(broker, error),
    }
}

/// The failure of a call: the broker's error, or a broken connection. `timeout` is the
/// time limit for the call.
pub(super) fn of_status(broker: &BrokerAddress, status: Status, timeout: Duration) -> Failure {
    let Some(source) = status.source() else {
        return match status.code() {
            Code::DeadlineExceeded => Failure::TimedOut(timeout),
            _ => Failure::Refused(Box::new(status)),
        };
    };
    if chain(source).any(<dyn Error>::is::<TimeoutExpired>) {
        return Failure::TimedOut(timeout);
    }
    let mut problem = problem(broker, source);
    // A broker ends such a connection after the handshake, and often the reason is lost.
    if matches!(broker, BrokerAddress::Tcp { tls: true, .. }) {
        problem += ": does the broker ask for a client certificate (--tls-cert)?";
    }
    Failure::Unreachable {
        address: broker.to_string(),
        problem,
    }
}

/// The problem in words, with advice.
fn problem(broker: &BrokerAddress, error: &(dyn Error + 'static)) -> String {
    let kind = io_error(error).map(io::Error::kind);
    let advice = match (broker, kind) {
        (BrokerAddress::Unix(_), Some(ErrorKind::NotFound)) => {
            "no such socket: is the broker running, and is this its admin.listen?"
        }
        (_, Some(ErrorKind::PermissionDenied)) => {
            "permission denied: only the owner and the group of the socket may call"
        }
        (_, Some(ErrorKind::ConnectionRefused)) => {
            "nothing listens there: is the broker running, and is this its admin.listen?"
        }
        _ => return one_line(&with_causes(error)),
    };
    advice.to_owned()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let io_errors = chain(error).filter_map(|error| error.downcast_ref::<io::Error>());
    io_errors.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it did not work")]
    struct Wrapper(#[source] io::Error);

    #[test]
    fn the_innermost_io_error_says_what_to_do() {
        let broker = BrokerAddress::Unix("/a".into());
        let advice = |kind| {
            let error = Wrapper(io::Error::from(kind));
            unreachable(&broker, &error).to_string()
        };
        assert!(advice(ErrorKind::NotFound).contains("unix:/a: no such socket"));
        assert!(advice(ErrorKind::PermissionDenied).contains("group"));
        assert!(advice(ErrorKind::ConnectionRefused).contains("is the broker running"));
        assert!(advice(ErrorKind::UnexpectedEof).contains("unexpected end of file"));
    }
}
