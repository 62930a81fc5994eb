//! The ways in which NATS servers let nodes in, and what both sides need for that.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// The file that operators include.
const PERMISSIONS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/contrib/nats/snowflake-broker.conf"
));
/// The name in the nodes' certificate, which is that of their user.
const NODE: &str = "node.example";

/// The way in which the servers let nodes in.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    /// Everybody may do everything.
    Open,
    /// By nkeys and TLS, with permissions.
    Nkeys,
    /// By certificates of the nodes, with permissions.
    Certificates,
    /// By JWT of an account of the operator, and TLS.
    Jwt,
}

impl Access {
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Open => "nats",
            _ => "tls",
        }
    }

    /// Writes the secrets of servers and nodes.
    pub(crate) fn write_secrets(self, folder: &Path) {
        if self == Self::Open {
            return;
        }
        write(folder, "permissions.conf", PERMISSIONS);
        write_certificates(folder);
        match self {
            Self::Open | Self::Certificates => {}
            Self::Nkeys => {
                let user = KeyPair::new_user();
                write(folder, "node.nk", &user.seed().unwrap());
                write(folder, "node.pub", &user.public_key());
            }
            Self::Jwt => write_jwts(folder),
        }
    }

    /// The part of a server's configuration.
    pub(crate) fn of_server(self, folder: &Path) -> String {
        let file = |name: &str| folder.join(name).display().to_string();
        let tls = |more: &str| {
            let (cert, key) = (file("nats.pem"), file("nats.key"));
            format!("tls {{ cert_file: {cert:?}, key_file: {key:?} {more} }}\n")
        };
        let user = |who: &str| {
            format!(
                "authorization {{ users: [ {{ {who}, permissions: {{\n\
                 include \"permissions.conf\"\n}} }} ] }}\n"
            )
        };
        match self {
            Self::Open => String::new(),
            Self::Nkeys => {
                let public = fs::read_to_string(folder.join("node.pub")).unwrap();
                tls("") + &user(&format!("nkey: {public}"))
            }
            Self::Certificates => {
                let asks = format!(", ca_file: {:?}, verify_and_map: true", file("ca.pem"));
                tls(&asks) + &user(&format!("user: {NODE:?}"))
            }
            Self::Jwt => tls("") + &fs::read_to_string(folder.join("operator.conf")).unwrap(),
        }
    }

    /// The part of a node's section `[cluster]`.
    pub(crate) fn of_node(self, folder: &Path) -> String {
        let file = |name: &str| folder.join(name).display().to_string();
        let ca = file("ca.pem");
        match self {
            Self::Open => String::new(),
            Self::Nkeys => format!(
                "nkey_file = {:?}\ntls = {{ ca = {ca:?} }}\n",
                file("node.nk")
            ),
            Self::Certificates => {
                let (cert, key) = (file("node.pem"), file("node.key"));
                format!("tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}\n")
            }
            Self::Jwt => format!(
                "credentials_file = {:?}\ntls = {{ ca = {ca:?} }}\n",
                file("node.creds")
            ),
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// Writes an authority, and what it has issued for servers and nodes.
fn write_certificates(folder: &Path) {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&authority).unwrap();
    write(folder, "ca.pem", &ca.pem());
    let issuer = rcgen::Issuer::from_params(&params, &authority);
    for (name, subject) in [("nats", "127.0.0.1"), ("node", NODE)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![subject.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        write(folder, &format!("{name}.pem"), &certificate.pem());
        write(folder, &format!("{name}.key"), &key.serialize_pem());
    }
}

/// Writes the JWTs of an operator with an account for the nodes and one for the servers, and
/// the credentials of the nodes.
fn write_jwts(folder: &Path) {
    let operator = KeyPair::new_operator();
    let [nodes, servers] = [KeyPair::new_account(), KeyPair::new_account()];
    let user = KeyPair::new_user();
    let is_operator = json!({"type": "operator", "version": 2});
    let operator_jwt = jwt(&operator, &operator.public_key(), "operator", &is_operator);
    let account = |account: &KeyPair, name: &str, storage: i64| {
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": storage, "disk_storage": storage, "streams": -1, "consumer": -1,
        });
        let claims = json!({"type": "account", "version": 2, "limits": limits});
        jwt(&operator, &account.public_key(), name, &claims)
    };
    // The account of the servers themselves has no JetStream.
    let accounts = [
        (nodes.public_key(), account(&nodes, "nodes", -1)),
        (servers.public_key(), account(&servers, "servers", 0)),
    ];
    let preloaded = accounts
        .map(|(key, jwt)| format!("{key}: {jwt}\n"))
        .concat();
    let config = format!(
        "operator: {operator_jwt}\nsystem_account: {}\nresolver: MEMORY\n\
         resolver_preload: {{\n{preloaded}}}\n",
        servers.public_key()
    );
    write(folder, "operator.conf", &config);
    let claims = json!({
        "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
    });
    let user_jwt = jwt(&nodes, &user.public_key(), "node", &claims);
    let seed = user.seed().unwrap();
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    write(folder, "node.creds", &credentials);
}

/// A JWT as NATS has them, signed by an nkey.
fn jwt(issuer: &KeyPair, subject: &str, name: &str, nats: &Value) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let claims = encode(json!({
        "jti": subject, "iat": 1_700_000_000, "iss": issuer.public_key(),
        "name": name, "sub": subject, "nats": nats,
    }));
    let signed = format!("{head}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}
