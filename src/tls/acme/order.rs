//! A single order with rustls-acme, from the names to the certificate.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use rustls_acme::{AccountCache, AcmeConfig, CertCache, EventError, EventOk, UseChallenge};

use super::authority::Authority;
use super::challenges::{Challenges, Proof};
use super::order_error::OrderError;

/// The maximum number of orders in a row when the authority rejects their nonces:
/// rustls-acme gives up an order in that case, although the authority only asks for
/// another nonce (RFC 8555, section 6.5).
const NONCE_TRIES: u32 = 8;

/// A certificate as issued by the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate chain, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: String,
}

impl Issued {
    /// Splits a PEM text into the key and the chain that follows it.
    fn split(pem: &[u8]) -> Option<Self> {
        let pem = str::from_utf8(pem).ok()?;
        let (key, chain) = pem.split_at(pem.find("-----BEGIN CERTIFICATE-----")?);
        Some(Self {
            chain: chain.to_owned(),
            key: key.trim_end().to_owned() + "\n",
        })
    }
}

/// An order of one certificate for all names, each proven by the same method.
#[derive(Clone, Copy, Debug)]
pub struct CertificateOrder<'a> {
    /// The host names, in lower case.
    pub names: &'a [String],
    /// The contact address for the authority.
    pub email: Option<&'a str>,
    /// The method of proof.
    pub proof: Proof,
}

impl CertificateOrder<'_> {
    /// Places the order, after opening an account unless `accounts` has one.
    pub async fn place<A>(
        self,
        authority: &Authority,
        challenges: &Arc<Challenges>,
        accounts: &A,
    ) -> Result<Issued, OrderError>
    where
        A: AccountCache<EA = Infallible> + Clone + 'static,
    {
        let mut tries = 1;
        loop {
            match self.attempt(authority, challenges, accounts.clone()).await {
                Err(error) if error.is_bad_nonce() && tries < NONCE_TRIES => tries += 1,
                result => return result,
            }
        }
    }

    async fn attempt(
        self,
        authority: &Authority,
        challenges: &Arc<Challenges>,
        accounts: impl AccountCache<EA = Infallible> + 'static,
    ) -> Result<Issued, OrderError> {
        let handover = Handover::default();
        let contact = self.email.map(|email| format!("mailto:{email}"));
        let config = AcmeConfig::new_with_client_config(self.names, Arc::clone(&authority.tls))
            .directory(&authority.directory)
            .contact(contact)
            .challenge_type(match self.proof {
                Proof::TlsAlpn01 => UseChallenge::TlsAlpn01,
                Proof::Http01 => UseChallenge::Http01,
            })
            .cache_compose(handover.clone(), accounts);
        let mut state = config.state();
        let _answering = challenges.answer(&state);
        loop {
            match state.next().await {
                Some(Ok(EventOk::CertCacheStore)) => {
                    return handover.take().ok_or(OrderError::Unreadable);
                }
                Some(Ok(_)) => {}
                Some(Err(EventError::Order(error))) => {
                    return Err(OrderError::new(error, self.proof));
                }
                Some(Err(_)) => return Err(OrderError::Unreadable),
                None => return Err(OrderError::GivenUp),
            }
        }
    }
}

/// Passes on the certificate of an order. It does not store certificates or know an
/// earlier one: an order is placed because one is due.
#[derive(Clone, Default)]
struct Handover(Arc<Mutex<Option<Issued>>>);

impl Handover {
    fn take(&self) -> Option<Issued> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl CertCache for Handover {
    type EC = Infallible;

    async fn load_cert(&self, _: &[String], _: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(None)
    }

    async fn store_cert(&self, _: &[String], _: &str, pem: &[u8]) -> Result<(), Infallible> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Issued::split(pem);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_comes_before_the_chain() {
        let (key, chain) = (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\
             -----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n",
        );
        let issued = Issued::split(format!("{key}\n{chain}").as_bytes());
        let expected = Issued {
            chain: chain.to_owned(),
            key: key.to_owned(),
        };
        assert_eq!(issued, Some(expected));
        assert_eq!(Issued::split(key.as_bytes()), None);
    }
}
