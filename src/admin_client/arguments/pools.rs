//! The arguments about private pools.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};

/// A call about private pools.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum PoolsCall {
    /// List the private pools
    List,
    /// Create a private pool, and print how clients and proxies reach it
    Create(PoolArgs),
    /// Remove a private pool that was created so
    Revoke {
        /// Name of the pool
        name: String,
    },
}

/// A private pool to create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct PoolArgs {
    /// Name of the pool: small letters, digits and -
    pub name: String,
    /// URL at which clients and proxies reach the broker
    #[arg(
        long,
        value_name = "URL",
        value_parser = url,
        default_value = "https://broker.example.org/"
    )]
    pub url: String,
    /// STUN server for the printed commands
    #[arg(
        long,
        value_name = "URL",
        default_value = "stun:stun.l.google.com:19302"
    )]
    pub stun: String,
    /// End of the pool, such as 2030-01-31T00:00:00Z [default: none]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires: Option<prost_types::Timestamp>,
    /// Let its clients have everybody's proxies when none of the pool is idle
    #[arg(long)]
    pub overflow: bool,
    /// Let everybody have its idle proxies beyond the reserve
    #[arg(long)]
    pub spare: bool,
    /// Proxies of each NAT class that are not spared [default: 4]
    #[arg(long, value_name = "NUMBER")]
    pub reserve: Option<u32>,
    /// Maximum number of parked polls [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    pub max_parked_polls: Option<u32>,
    /// Maximum number of clients a minute, and at once [default: 600]
    #[arg(long, value_name = "NUMBER")]
    pub clients_per_minute: Option<NonZeroU32>,
    /// Check them, and create nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn url(text: &str) -> Result<String, String> {
    let has_host = |rest: &str| !rest.is_empty();
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    if rest.is_some_and(has_host) {
        Ok(text.to_owned())
    } else {
        Err("must be a URL such as https://broker.example.org/".to_owned())
    }
}

fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    let time = text.parse();
    time.map_err(|_| "must be a time such as 2030-01-31T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_its_scheme_and_host() {
        for right in ["https://broker.example.org", "http://127.0.0.1:8080/"] {
            assert_eq!(url(right), Ok(right.to_owned()));
        }
        for wrong in [
            "broker.example.org",
            "https://",
            "ftp://broker.example.org",
            "",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
