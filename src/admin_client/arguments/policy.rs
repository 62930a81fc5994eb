//! The arguments of calls about the policy.

use std::path::PathBuf;

use clap::Args;

/// The rules to put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct PolicyArgs {
    /// File with a section [policy], as in a configuration; keys that it lacks have their
    /// defaults
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Check the rules, and change nothing
    #[arg(long, requires = "file")]
    pub dry_run: bool,
}

/// The client to explain the policy for.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ExplainArgs {
    /// Facts about the client: country, nat, rendezvous (http, ampcache, sqs) and asn,
    /// such as country=RU,nat=restricted
    #[arg(long, value_name = "FACTS", value_parser = client_facts)]
    pub client: ClientDescription,
}

/// Facts about a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientDescription {
    pub(in crate::admin_client) country: String,
    pub(in crate::admin_client) nat: String,
    pub(in crate::admin_client) rendezvous: String,
    pub(in crate::admin_client) asn: u32,
}

fn client_facts(text: &str) -> Result<ClientDescription, String> {
    let mut client = ClientDescription::default();
    for fact in text.split(',').filter(|fact| !fact.is_empty()) {
        let (name, value) = fact.split_once('=').unwrap_or((fact, ""));
        let value = value.to_owned();
        match name.trim() {
            "country" => client.country = value,
            "nat" => client.nat = value,
            "rendezvous" => client.rendezvous = value,
            "asn" => {
                let number = value.parse();
                client.asn = number.map_err(|_| format!("asn must be a number, not {value:?}"))?;
            }
            other => {
                let known = "country, nat, rendezvous, asn";
                return Err(format!("unknown fact {other:?}, there are: {known}"));
            }
        }
    }
    Ok(client)
}
