//! Failed orders.

use rustls_acme::acme::{AcmeError, Auth, Identifier, Problem};

use super::challenges::Proof;
use crate::tls::certificate::InvalidCertificate;
use crate::tls::flaws::Flaw;

const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// The reason why an order failed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The authority cannot be reached, or its reply is invalid.
    #[error("{0}")]
    NoReply(String),
    /// The authority refused the order.
    #[error("the authority refused: {}", in_words(.0))]
    Refused(Problem),
    /// The authority did not find the proof of a name.
    #[error("cannot prove {name} by {proof}: {problem}")]
    NotProven {
        /// The host name.
        name: String,
        /// The method of proof.
        proof: Proof,
        /// The authority's words.
        problem: String,
    },
    /// The authority does not accept this method of proof.
    #[error("the authority does not offer {0}")]
    NotTaken(Proof),
    /// The order ended without a certificate.
    #[error("the authority gave up the order")]
    GivenUp,
    /// The authority did not check the proof of a name.
    #[error("the authority did not look for the proof of {0} in time")]
    NotLooked(String),
    /// The account key is damaged.
    #[error("the account's key is damaged")]
    AccountKey,
    /// The certificate cannot be parsed.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// The certificate is for other names.
    #[error("the certificate is not for {0}")]
    OtherNames(String),
    /// The certificate has expired or is not valid yet, other than the one that is served.
    #[error("the certificate {0}")]
    Worse(Flaw),
    /// The chain is longer than clients take.
    #[error("the certificate's chain has {0} bytes, which is more than clients take")]
    LongChain(usize),
    /// The certificate cannot be used.
    #[error("the certificate cannot be used")]
    Unusable(#[from] InvalidCertificate),
    /// The whole order took too long.
    #[error("the order took too long")]
    TooLong,
}

impl OrderError {
    pub(super) fn new(error: rustls_acme::OrderError, proof: Proof) -> Self {
        use rustls_acme::OrderError as Theirs;
        match error {
            Theirs::Acme(error) => Self::of_reply(&error, proof),
            Theirs::BadAuth(authorization) => not_proven(authorization, proof),
            Theirs::BadOrder(order) => order.error.map_or(Self::GivenUp, Self::Refused),
            Theirs::TooManyAttemptsAuth(name) => Self::NotLooked(name),
            Theirs::ProcessingTimeout(_) => Self::TooLong,
            Theirs::Rcgen(error) => Self::NoReply(error.to_string()),
        }
    }

    fn of_reply(error: &AcmeError, proof: Proof) -> Self {
        match error {
            AcmeError::NoTlsAlpn01Challenge | AcmeError::NoHttp01Challenge => Self::NotTaken(proof),
            AcmeError::KeyRejected(_) => Self::AccountKey,
            _ => Self::of_text(&error.to_string()),
        }
    }

    /// Parses the text of an error, since a non-2xx reply is available only there:
    /// rustls-acme's type for it is private.
    fn of_text(text: &str) -> Self {
        let Some((_, reply)) = text.split_once("non 2xx http status: ") else {
            return Self::NoReply(text.to_owned());
        };
        let (status, body) = reply.split_once(' ').unwrap_or((reply, ""));
        // The body is quoted in Rust's way, which for a problem document is also valid
        // JSON.
        let body: String = serde_json::from_str(body).unwrap_or_default();
        match serde_json::from_str::<Problem>(&body) {
            Ok(problem) if problem.typ.is_some() => Self::Refused(problem),
            // The reply is from something in front of the authority and does not follow
            // RFC 8555.
            _ => Self::NoReply(format!("the authority replies {status}")),
        }
    }

    /// Returns true if the authority answered and refused.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) => !self.is_bad_nonce(),
            Self::NotProven { .. } | Self::NotTaken(_) | Self::GivenUp => true,
            _ => false,
        }
    }

    /// Returns true if the authority only asks for another nonce.
    pub(super) fn is_bad_nonce(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.typ.as_deref() == Some(BAD_NONCE))
    }
}

fn not_proven(authorization: Auth, proof: Proof) -> OrderError {
    let Identifier::Dns(name) = authorization.identifier;
    let mut problems = authorization
        .challenges
        .into_iter()
        .filter_map(|one| one.error);
    let problem = problems.next().map_or_else(
        || "the authority has given it up".to_owned(),
        |problem| in_words(&problem),
    );
    OrderError::NotProven {
        name,
        proof,
        problem,
    }
}

fn in_words(problem: &Problem) -> String {
    let kind = problem.typ.as_deref().unwrap_or("about:blank");
    match &problem.detail {
        Some(detail) => format!("{detail} ({kind})"),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_reply(status: u16, body: &str) -> OrderError {
        OrderError::of_text(&format!(
            "http request error: non 2xx http status: {status} {body:?}"
        ))
    }

    #[test]
    fn a_problem_is_told_from_other_replies() {
        let problem = r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too \"many\"\nof them"}"#;
        let refused = of_reply(429, problem);
        assert!(refused.is_refusal() && !refused.is_bad_nonce());
        assert_eq!(
            refused.to_string(),
            "the authority refused: too \"many\"\nof them (urn:ietf:params:acme:error:rateLimited)"
        );
        let bad_nonce = of_reply(400, &format!(r#"{{"type": "{BAD_NONCE}"}}"#));
        assert!(bad_nonce.is_bad_nonce() && !bad_nonce.is_refusal());
        for body in ["<html>a gateway</html>", "", "{}", "\u{200b}"] {
            let reply = of_reply(502, body);
            assert_eq!(reply.to_string(), "the authority replies 502");
            assert!(!reply.is_refusal());
        }
        let other = OrderError::of_text("io error: connection refused");
        assert_eq!(other.to_string(), "io error: connection refused");
    }
}
