//! HTTPS to the certificate authority, and the account there.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{
    Account, AccountCredentials, BodyWrapper, BytesResponse, Error, HttpClient, NewAccount,
};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use tokio::time::timeout;

use crate::causes::with_causes;
use crate::tls::mutual::{InvalidMutualTls, roots};

/// How long the authority may take over one reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest reply that is read, in bytes: a chain has some 10,000.
const REPLY_MAX: usize = 1024 * 1024;

/// Why there is no way to the authority.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthority {
    /// The file.
    #[error(transparent)]
    File(#[from] InvalidMutualTls),
    /// The system trusts nobody, or does not say whom.
    #[error("not set, and the system has no certificate authorities")]
    System,
    /// TLS itself.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority.
#[derive(Clone, Debug)]
pub struct Authority {
    directory: String,
    tls: ClientConfig,
}

impl Authority {
    /// The one with this directory, whose own certificate is one of those in
    /// the PEM text or vouched for by them; by whom the system trusts where
    /// there is no such text.
    pub fn new(directory: &str, vouchers: Option<&[u8]>) -> Result<Self, InvalidAuthority> {
        let provider = aws_lc_rs::default_provider().into();
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = match vouchers {
            Some(pem) => tls.with_root_certificates(roots(pem)?),
            None => tls
                .with_native_roots()
                .map_err(|_| InvalidAuthority::System)?,
        };
        Ok(Self {
            directory: directory.to_owned(),
            tls: tls.with_no_client_auth(),
        })
    }

    /// Goes on with an account.
    pub async fn account(&self, credentials: &AccountCredentials) -> Result<Account, Error> {
        // They cannot be cloned.
        let credentials = serde_json::from_value(serde_json::to_value(credentials)?)?;
        Account::builder_with_http(self.client())
            .from_credentials(credentials)
            .await
    }

    /// Opens an account, which says that one agrees to the terms of service.
    pub async fn open_account(
        &self,
        email: Option<&str>,
    ) -> Result<(Account, AccountCredentials), Error> {
        let contact = email.map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        Account::builder_with_http(self.client())
            .create(&account, self.directory.clone(), None)
            .await
    }

    /// Of its own for each order: a connection kept for months is of no use.
    fn client(&self) -> Box<dyn HttpClient> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_only()
            .enable_http1()
            .build();
        Box::new(Https(
            Client::builder(TokioExecutor::new()).build(connector),
        ))
    }
}

/// What is wrong with the URL of a directory.
pub fn check_directory(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    if uri.scheme_str() != Some("https") || uri.host().is_none_or(str::is_empty) {
        return Err("has to be a URL that begins with https://");
    }
    Ok(())
}

type Body = BodyWrapper<Bytes>;

#[derive(Clone)]
struct Https(Client<HttpsConnector<HttpConnector>, Body>);

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let reply = timeout(REPLY_TIMEOUT, reply(&client, request)).await;
            let reply = reply.unwrap_or_else(|_| Err("the authority does not reply".into()));
            reply.map(BytesResponse::from).map_err(Error::Other)
        })
    }
}

async fn reply(
    client: &Client<HttpsConnector<HttpConnector>, Body>,
    request: Request<Body>,
) -> Result<Response<Full<Bytes>>, Box<dyn StdError + Send + Sync>> {
    let reply = client.request(request).await;
    let (head, body) = reply.map_err(|error| with_causes(&error))?.into_parts();
    let body = Limited::new(body, REPLY_MAX).collect().await?.to_bytes();
    let is_problem = |kind: &[u8]| kind.starts_with(b"application/problem+json");
    let kind = head.headers.get(CONTENT_TYPE);
    if !head.status.is_success() && !kind.is_some_and(|kind| is_problem(kind.as_bytes())) {
        // What is in front of the authority speaks, and not by RFC 8555.
        return Err(format!("the authority replies {}", head.status).into());
    }
    Ok(Response::from_parts(head, Full::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(vouchers: &str) -> String {
        let authority = Authority::new("https://ca.example/", Some(vouchers.as_bytes()));
        authority.unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_vouches_for_nobody_is_refused() {
        assert_eq!(error("a note"), "there is no certificate in it");
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let culprit = "certificate 1 in it is damaged";
        assert!(error(rubbish).starts_with(culprit), "{}", error(rubbish));
    }

    #[test]
    fn directories_are_https_urls() {
        assert_eq!(check_directory("https://ca.example:14000/dir"), Ok(()));
        for wrong in ["http://ca.example/dir", "ca.example", "https://", "", "a b"] {
            assert!(check_directory(wrong).is_err(), "{wrong}");
        }
    }
}
