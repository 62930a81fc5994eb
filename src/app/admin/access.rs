//! The callers of the administration, from the settings and the files named there.

use anyhow::{Context as _, ensure};
use rustls::ServerConfig;

use crate::app::files::{read_file, read_pair, read_text};
use crate::grpc::auth::Access;
use crate::grpc::settings::Settings;
use crate::tls::mutual::{self, Clients};

/// Shorter tokens could be guessed.
const TOKEN_MIN: usize = 16;

/// Reads the permitted callers from the settings and the files named there. The error
/// names the setting.
pub(in crate::app) fn read(settings: &Settings) -> anyhow::Result<(Access, Option<ServerConfig>)> {
    let secrets: Vec<String> = settings
        .tokens
        .iter()
        .map(|token| {
            let setting = format!("admin.tokens: the token of {:?}", token.name);
            let secret = read_text(&setting, &token.file)?.trim().to_owned();
            let is_long = secret.len() >= TOKEN_MIN;
            ensure!(
                is_long,
                "{setting}: must have at least {TOKEN_MIN} characters"
            );
            Ok(secret)
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((Access::new(settings, &secrets), server_config(settings)?))
}

fn server_config(settings: &Settings) -> anyhow::Result<Option<ServerConfig>> {
    let tls = &settings.tls;
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else {
        return Ok(None);
    };
    let certificate = read_pair("admin.tls", cert, key)?;
    let Some(client_ca) = &tls.client_ca else {
        let config = mutual::server_config(certificate, Clients::Any);
        return config.map(Some).context("admin.tls");
    };
    let authorities = read_file("admin.tls.client_ca", client_ca)?;
    let clients = if settings.tokens.is_empty() {
        Clients::OnlyKnown(&authorities)
    } else {
        // Callers with a token need no certificate.
        Clients::Known(&authorities)
    };
    let config = mutual::server_config(certificate, clients);
    let culprit = || format!("admin.tls.client_ca: {}", client_ca.display());
    config.map(Some).with_context(culprit)
}
