//! One order, from the names to the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};

use super::challenges::Answering;
use super::{Challenges, Proof};
use crate::tls::InvalidCertificate;

/// How often and how long the authority is asked whether it is done.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_mins(2));

/// A certificate as the authority has issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The chain, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: String,
}

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The authority says no, or nothing at all.
    #[error(transparent)]
    Authority(#[from] Error),
    /// It looked for the proof of a name and did not find it.
    #[error("no proof of {name} by {proof}: {problem}")]
    NotProven {
        /// The host name.
        name: String,
        /// What was tried.
        proof: Proof,
        /// What the authority says of it.
        problem: String,
    },
    /// It wants other proof than we can give.
    #[error("the authority does not take {proof} for {name}")]
    NotTaken {
        /// The host name.
        name: String,
        /// What we would have given.
        proof: Proof,
    },
    /// The order has ended without a certificate.
    #[error("the authority has given up the order")]
    GivenUp,
    /// The certificate of a challenge cannot be made.
    #[error("cannot make the certificate of a challenge")]
    Challenge(#[from] rcgen::Error),
    /// What came cannot be served.
    #[error("the certificate is of no use")]
    Unusable(#[from] InvalidCertificate),
    /// All of it took too long.
    #[error("the order took too long")]
    TooLong,
}

impl OrderError {
    /// Whether the authority has answered, and said no.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Authority(error) => matches!(error, Error::Api(_)),
            Self::NotProven { .. } | Self::NotTaken { .. } | Self::GivenUp => true,
            Self::Challenge(_) | Self::Unusable(_) | Self::TooLong => false,
        }
    }

    /// Whether the authority knows nothing of our account, or its key is broken.
    pub fn needs_new_account(&self) -> bool {
        const UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
        match self {
            Self::Authority(Error::Api(problem)) => problem.r#type.as_deref() == Some(UNKNOWN),
            Self::Authority(Error::KeyRejected) => true,
            _ => false,
        }
    }
}

/// Orders one certificate for all names, each proven in the same way.
pub async fn order(
    account: &Account,
    names: &[String],
    proof: Proof,
    challenges: &Arc<Challenges>,
) -> Result<Issued, OrderError> {
    let names: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let answering = answer(&mut order, proof, challenges).await?;
    let ready = order.poll_ready(&PATIENCE).await;
    drop(answering);
    match ready {
        Ok(OrderStatus::Ready) => {}
        Ok(_) => return Err(refusal(&mut order, proof, OrderError::GivenUp).await),
        Err(error @ Error::Api(_)) => {
            return Err(refusal(&mut order, proof, error.into()).await);
        }
        Err(error) => return Err(error.into()),
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(Issued { chain, key })
}

/// Answers the challenges of all names that are not proven yet, until the
/// result is dropped.
async fn answer(
    order: &mut Order,
    proof: Proof,
    challenges: &Arc<Challenges>,
) -> Result<Vec<Answering>, OrderError> {
    let mut answering = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            // An authority may remember that a name is ours.
            continue;
        }
        let name = name_of(&authorization);
        let Some(mut challenge) = authorization.challenge(proof.challenge()) else {
            return Err(OrderError::NotTaken { name, proof });
        };
        let (token, key) = (challenge.token.clone(), challenge.key_authorization());
        answering.push(challenges.answer(proof, &name, &token, &key)?);
        challenge.set_ready().await?;
    }
    Ok(answering)
}

/// Which name was not proven, and why; the order itself only says that it is
/// over.
async fn refusal(order: &mut Order, proof: Proof, otherwise: OrderError) -> OrderError {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else {
            continue;
        };
        let name = name_of(&authorization);
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut challenges = state.challenges.iter();
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.as_ref()) {
            let problem = problem.to_string();
            return OrderError::NotProven {
                name,
                proof,
                problem,
            };
        }
    }
    otherwise
}

fn name_of(authorization: &AuthorizationHandle<'_>) -> String {
    authorization.identifier().to_string()
}
