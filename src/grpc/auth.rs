//! Callers of the administration, and their roles.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use tonic::{Request, Status};

use super::role::AdminRole;
use super::settings::Settings;
use crate::listener::PeerIdentity;

/// A known caller; an extension of each request. Displayed as in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    name: String,
    role: AdminRole,
}

/// The known callers and their roles.
#[derive(Debug)]
pub struct Access {
    /// Roles by the DNS or URI name of a certificate.
    certificates: BTreeMap<String, AdminRole>,
    tokens: Vec<TokenDigest>,
    trusts_loopback: bool,
}

/// A bearer token. Only its digest is kept, so that all comparisons have the same length.
#[derive(Debug)]
struct TokenDigest {
    owner: String,
    role: AdminRole,
    digest: Digest,
}

impl Access {
    /// The callers in the settings. `secrets` holds the tokens in the order of the
    /// settings.
    pub fn new(settings: &Settings, secrets: &[String]) -> Self {
        let viewers = settings.tls.viewers.iter();
        let operators = settings.tls.operators.iter();
        let viewers = viewers.map(|name| (name.clone(), AdminRole::Viewer));
        // A name in both lists is an operator.
        let operators = operators.map(|name| (name.clone(), AdminRole::Operator));
        let tokens = settings.tokens.iter().zip(secrets);
        let certificates: BTreeMap<_, _> = viewers.chain(operators).collect();
        Self {
            trusts_loopback: !settings.authenticates() && certificates.is_empty(),
            certificates,
            tokens: tokens
                .map(|(token, secret)| TokenDigest {
                    owner: token.name.clone(),
                    role: token.role,
                    digest: digest(&SHA256, secret.as_bytes()),
                })
                .collect(),
        }
    }

    /// Identifies the caller of a request with this `authorization` over this connection.
    pub fn identify(
        &self,
        peer: &PeerIdentity,
        authorization: Option<&[u8]>,
    ) -> Result<Principal, Status> {
        if let PeerIdentity::Unix { uid } = peer {
            let name = uid.map_or_else(|| "a local user".to_owned(), |uid| format!("uid {uid}"));
            return Ok(Principal::new(name, AdminRole::Operator));
        }
        if let Some(principal) = self.by_certificate(peer.certificate_names()) {
            return Ok(principal);
        }
        if let Some(authorization) = authorization {
            return self.by_token(authorization);
        }
        if self.trusts_loopback && peer.is_loopback() {
            return Ok(Principal::new(
                "a local user".to_owned(),
                AdminRole::Operator,
            ));
        }
        Err(match peer.certificate_names() {
            [] => Status::unauthenticated("send a bearer token or a client certificate"),
            _ => Status::unauthenticated("no role is given to the names of the client certificate"),
        })
    }

    /// Returns true if one of these certificate names has a role.
    pub(super) fn knows_certificate(&self, names: &[String]) -> bool {
        self.by_certificate(names).is_some()
    }

    fn by_certificate(&self, names: &[String]) -> Option<Principal> {
        let roles = names.iter().filter_map(|name| {
            let role = self.certificates.get(name)?;
            Some((role, name))
        });
        let (role, name) = roles.max_by_key(|(role, _)| **role)?;
        Some(Principal::new(format!("certificate {name}"), *role))
    }

    fn by_token(&self, authorization: &[u8]) -> Result<Principal, Status> {
        let Some(secret) = bearer(authorization) else {
            return Err(Status::unauthenticated(
                "authorization must be a bearer token",
            ));
        };
        let sent = digest(&SHA256, secret);
        let is_sent = |token: &&TokenDigest| {
            verify_slices_are_equal(token.digest.as_ref(), sent.as_ref()).is_ok()
        };
        match self.tokens.iter().find(is_sent) {
            Some(token) => Ok(Principal::new(format!("token {}", token.owner), token.role)),
            None => Err(Status::unauthenticated("the bearer token is not known")),
        }
    }
}

/// The token in `Bearer TOKEN`; the scheme is case-insensitive (RFC 9110, section 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = authorization.split_at_checked(SCHEME.len())?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| token.trim_ascii())
}

impl Principal {
    fn new(name: String, role: AdminRole) -> Self {
        Self { name, role }
    }

    /// The caller of a request, if it is an operator.
    pub fn operator<T>(request: &Request<T>) -> Result<Self, Status> {
        let principal = request.extensions().get::<Self>();
        match principal {
            Some(principal) if principal.role >= AdminRole::Operator => Ok(principal.clone()),
            Some(_) => Err(Status::permission_denied("this needs the role operator")),
            None => Err(Status::unauthenticated("nobody known calls")),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::grpc::settings::{AdminTlsSettings, TokenSettings};

    const SECRET: &str = "a token that nobody guesses";

    fn access() -> Access {
        let settings = Settings {
            tls: AdminTlsSettings {
                client_ca: Some("ca.pem".into()),
                operators: vec!["alice.example".to_owned(), "both.example".to_owned()],
                viewers: vec!["bob.example".to_owned(), "both.example".to_owned()],
                ..AdminTlsSettings::default()
            },
            tokens: vec![TokenSettings {
                name: "prometheus".to_owned(),
                role: AdminRole::Viewer,
                file: "token".into(),
            }],
            ..Settings::default()
        };
        Access::new(&settings, &[SECRET.to_owned()])
    }

    fn over_tcp(names: &[&str]) -> PeerIdentity {
        PeerIdentity::Tcp {
            is_loopback: true,
            certificate_names: names.iter().map(|&name| name.to_owned()).collect(),
            holder: None,
        }
    }

    fn role(names: &[&str], authorization: Option<&str>) -> Result<AdminRole, Code> {
        let authorization = authorization.map(str::as_bytes);
        let principal = access().identify(&over_tcp(names), authorization);
        principal
            .map(|known| known.role)
            .map_err(|status| status.code())
    }

    #[test]
    fn certificates_name_roles() {
        assert_eq!(role(&["alice.example"], None), Ok(AdminRole::Operator));
        assert_eq!(role(&["bob.example"], None), Ok(AdminRole::Viewer));
        assert_eq!(role(&["both.example"], None), Ok(AdminRole::Operator));
        let both = ["bob.example", "alice.example"];
        assert_eq!(role(&both, None), Ok(AdminRole::Operator));
        for nobody in [&["Alice.example"][..], &["x.alice.example"], &[]] {
            assert_eq!(role(nobody, None), Err(Code::Unauthenticated));
        }
    }

    #[test]
    fn tokens_are_compared_whole() {
        let bearer = |token: &str| role(&[], Some(&format!("Bearer {token}")));
        assert_eq!(bearer(SECRET), Ok(AdminRole::Viewer));
        assert_eq!(
            role(&[], Some(&format!("bearer  {SECRET}"))),
            Ok(AdminRole::Viewer)
        );
        for wrong in ["", "a", &SECRET[1..], &SECRET[..26], &format!("{SECRET}x")] {
            assert_eq!(bearer(wrong), Err(Code::Unauthenticated), "{wrong}");
        }
        assert_eq!(role(&[], Some(SECRET)), Err(Code::Unauthenticated));
        assert_eq!(role(&[], Some("Basic YTpi")), Err(Code::Unauthenticated));
    }

    #[test]
    fn this_machine_is_trusted_where_nobody_else_can_be_told() {
        let open = Access::new(&Settings::default(), &[]);
        let local = open.identify(&over_tcp(&[]), None).unwrap();
        assert_eq!(local.role, AdminRole::Operator);
        let far = PeerIdentity::Tcp {
            is_loopback: false,
            certificate_names: Vec::new().into(),
            holder: None,
        };
        let far = open.identify(&far, None).unwrap_err();
        assert_eq!(far.code(), Code::Unauthenticated);
        assert_eq!(role(&[], None), Err(Code::Unauthenticated));
    }

    #[test]
    fn whoever_opens_the_socket_is_an_operator() {
        let unix = PeerIdentity::Unix { uid: Some(1000) };
        let local = access().identify(&unix, None).unwrap();
        assert_eq!(
            (local.to_string().as_str(), local.role),
            ("uid 1000", AdminRole::Operator)
        );
    }
}
