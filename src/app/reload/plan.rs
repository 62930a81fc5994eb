//! Everything that a reload replaces: first all of it is read and checked, then all of it
//! is applied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::anyhow;
use ipnet::IpNet;
use rustls::{ClientConfig, ServerConfig};

use crate::app::accounts;
use crate::app::admin::access;
use crate::app::bridge_prober::{self, BridgeProber};
use crate::app::certificates::{self, CertificatePair, Certificates};
use crate::app::countries;
use crate::app::exposed;
use crate::app::federation::{self, FederationHandle, Tls};
use crate::app::files;
use crate::app::private_pools;
use crate::bridges::BridgeList;
use crate::broker::private_pools::PoolPlan;
use crate::broker::{Broker, Directory, clock};
use crate::cluster::Cluster;
use crate::config::{self, Config, Inputs, Loaded};
use crate::geoip::GeoIp;
use crate::grpc::AdminAuth;
use crate::grpc::auth::Access;
use crate::http::Endpoints;
use crate::listener::Server;
use crate::listener::accounts::Bounds;
use crate::telemetry::{LogControl, LogLevel};

use super::changes::FileContents;
use super::known::directory;
use super::problem::{Problem, ReloadRefused, Section};

/// The loopback networks (RFC 6890).
const LOOPBACK: [IpNet; 2] = [
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

/// Valid values for everything, not yet in force.
pub(super) struct ReloadPlan {
    pub(super) loaded: Loaded,
    /// The warnings about the files.
    pub(super) warnings: Vec<String>,
    directory: Directory,
    certificate: Option<CertificatePair>,
    /// True if the current certificate is better than the new one.
    pub(super) keeps_certificate: bool,
    log_level: LogLevel,
    access: (Access, Option<ServerConfig>),
    peer_tls: Option<Tls>,
    probe_tls: Option<ClientConfig>,
    pools: Vec<PoolPlan>,
    bounds: Bounds,
    pub(super) files: FileContents,
    pub(super) has_other_countries: bool,
}

/// The components that a reload changes.
pub(in crate::app) struct ReloadTargets {
    pub(in crate::app) broker: Arc<Broker>,
    pub(in crate::app) certificates: Certificates,
    pub(in crate::app) server: Arc<Server<Endpoints>>,
    pub(in crate::app) endpoints: Endpoints,
    pub(in crate::app) log: LogControl,
    pub(in crate::app) admin_auth: Arc<AdminAuth>,
    pub(in crate::app) peers: FederationHandle,
    pub(in crate::app) prober: BridgeProber,
    /// The cluster whose nodes have the administration's changes in common.
    pub(in crate::app) cluster: Option<Arc<Cluster>>,
}

impl ReloadTargets {
    /// Applies country databases, and nothing else.
    pub(super) fn set_countries(&self, geoip: GeoIp) {
        let geoip = Arc::new(geoip);
        let change = |directory: &mut Directory| directory.geoip = geoip;
        self.broker.control().update_directory(change);
    }
}

impl ReloadPlan {
    /// Reads and checks all sections; `known` is the broker's current knowledge of
    /// countries. The databases have about 700,000 lines, so this takes a while.
    pub(super) fn read(
        inputs: &Inputs,
        known: &GeoIp,
        certificates: &Certificates,
    ) -> Result<Self, ReloadRefused> {
        let loaded = config::load(inputs)
            .map_err(|errors| ReloadRefused::because(Section::Configuration, &errors.into()))?;
        let config = &loaded.config;
        let mut wrong = Vec::new();
        let log_level = LogLevel::parse(&config.telemetry.log_level).map_err(Into::into);
        let log_level = checked(Section::LogLevel, log_level, &mut wrong);
        let access = access::read(&config.admin);
        let access = checked(Section::Administration, access, &mut wrong);
        let peer_tls = federation::tls(&config.federation);
        let peer_tls = checked(Section::Federation, peer_tls, &mut wrong);
        let probe_tls = bridge_prober::tls(&config.bridges);
        let probe_tls = checked(Section::Bridges, probe_tls, &mut wrong);
        let pools = private_pools::read(config);
        let pools = checked(Section::PrivatePools, pools, &mut wrong);
        let certificate = certificates.read(config);
        let certificate = checked(Section::Certificate, certificate, &mut wrong);
        let read = directory(config)
            .map_err(|refused| wrong.extend(refused.0))
            .ok();
        let (geoip, problems) = countries::read(&config.geoip, known);
        let problems = problems.iter();
        wrong.extend(problems.map(|error| Problem::new(Section::Countries, error)));
        let (
            Some(read),
            Some(certificate),
            Some(log_level),
            Some(access),
            Some(peer_tls),
            Some(probe_tls),
            Some(pools),
        ) = (
            read,
            certificate,
            log_level,
            access,
            peer_tls,
            probe_tls,
            pools,
        )
        else {
            return Err(ReloadRefused(wrong));
        };
        wrong.extend(read.tolerated);
        if !wrong.is_empty() {
            return Err(ReloadRefused(wrong));
        }
        let mut warnings = read.warnings;
        let objection = certificates.objection(certificate.as_ref());
        warnings.extend(certificate_warnings(objection.as_deref(), config));
        warnings.extend(exposed::warnings(&loaded));
        warnings.extend(private_pools::warnings(&config.pools, clock::wall_clock()));
        Ok(Self {
            bounds: accounts::bounds(config),
            files: FileContents::read(config),
            has_other_countries: geoip != *known,
            loaded,
            directory: Directory {
                geoip: Arc::new(geoip),
                ..read.directory
            },
            warnings,
            certificate,
            keeps_certificate: objection.is_some(),
            log_level,
            access,
            peer_tls,
            probe_tls,
            pools,
        })
    }

    /// The bridges to come.
    pub(super) fn bridges(&self) -> &BridgeList {
        &self.directory.bridges
    }

    /// The sections that [`Self::apply`] replaces.
    pub(super) fn sections(&self) -> Vec<Section> {
        let is_kept =
            |section: &Section| *section == Section::Certificate && self.keeps_certificate;
        let sections = Section::REPLACED.into_iter();
        sections.filter(|section| !is_kept(section)).collect()
    }

    /// Fails if the file of the administration's private pools is gone while there are some.
    pub(super) fn loses_no_pools(&self, has_kept_pools: bool) -> Result<(), ReloadRefused> {
        let path = &self.loaded.config.admin.pools_file;
        match path.as_ref().filter(|path| !path.exists()) {
            Some(path) if has_kept_pools => {
                let file = files::named("admin.pools_file", path);
                let error = anyhow!("{file}: no such file, though there are private pools of it");
                Err(ReloadRefused::because(Section::PrivatePools, &error))
            }
            _ => Ok(()),
        }
    }

    /// Applies everything. Cannot fail.
    pub(super) fn apply(self, targets: &ReloadTargets) {
        targets.broker.control().set_directory(self.directory);
        if let Some(pools) = targets.broker.private_pools() {
            for pool in pools.set(self.pools) {
                tracing::warn!(%pool, "a private pool is no more, and its tokens are unknown");
            }
        }
        targets.certificates.apply(self.certificate);
        targets.server.accounts().set_bounds(self.bounds);
        set_limits(&self.loaded.config, &targets.broker, &targets.server);
        let operators = self.loaded.config.operator.networks.clone();
        targets.endpoints.set_operator_networks(operators);
        let federation = &self.loaded.config.federation;
        targets
            .peers
            .set(&targets.broker, federation, self.peer_tls);
        targets
            .prober
            .set(&self.loaded.config.bridges, self.probe_tls);
        targets
            .broker
            .control()
            .set_matching(self.loaded.config.matching);
        targets
            .broker
            .control()
            .set_supply(self.loaded.config.supply);
        targets
            .broker
            .control()
            .set_outcomes(self.loaded.config.outcomes);
        targets.log.set_level(self.log_level);
        let (access, tls) = self.access;
        targets.admin_auth.set(access, tls);
    }
}

fn certificate_warnings(objection: Option<&str>, config: &Config) -> Vec<String> {
    let mut warnings = certificates::warnings(config, clock::wall_clock());
    if let Some(reason) = objection {
        warnings.retain(|warning| *warning != reason);
        warnings.push(format!("keeping the previous certificate: {reason}"));
    }
    warnings
}

/// Applies limits: at once for requests, and to the next connections. Our reverse proxies
/// and this machine may have any number of connections.
pub(in crate::app) fn set_limits(config: &Config, broker: &Broker, server: &Server<Endpoints>) {
    broker.control().set_limits(&config.limits);
    let mut exempt = [&config.limits.exempt[..], &config.http.trusted_proxies].concat();
    exempt.extend(LOOPBACK);
    server.accounts().set_exempt(exempt);
    let trusted = config.http.trusted_proxies.clone();
    server.set(accounts::listener(config), trusted);
}

/// The value, or else a problem added to `wrong`.
fn checked<T>(section: Section, value: anyhow::Result<T>, wrong: &mut Vec<Problem>) -> Option<T> {
    value
        .map_err(|error| wrong.push(Problem::new(section, &error)))
        .ok()
}
