//! `/p/TOKEN/...`: the endpoints of clients and proxies once more, for whoever has the token of a
//! private pool. To everybody else these paths are like any that do not exist.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::Uri;
use http::uri::PathAndQuery;
use tracing::Level;

use crate::broker::clock;
use crate::broker::private_pools::PrivatePool;
use crate::telemetry::{Kind, LogLimit};

use super::front::{HttpFront, Sources};
use super::{error, paths};

/// The beginning of the paths.
const PREFIX: &str = "/p/";

/// The routes of private pools, made when a pool is first asked for.
pub(super) struct PrivateRoutes {
    front: Arc<HttpFront>,
    make: fn(&Arc<HttpFront>) -> Router,
    made: Mutex<HashMap<u64, Router>>,
}

impl PrivateRoutes {
    pub(super) fn new(front: &Arc<HttpFront>, make: fn(&Arc<HttpFront>) -> Router) -> Self {
        Self {
            front: Arc::clone(front),
            make,
            made: Mutex::default(),
        }
    }

    /// The routes of the pool that a path names, and the path below it; `None` if there is no
    /// such pool.
    pub(super) fn find(&self, uri: &Uri) -> Option<(Router, Uri)> {
        let pools = self.front.broker.private_pools()?;
        let mut uri = uri.clone();
        paths::normalize(&mut uri);
        let (token, below) = uri.path().strip_prefix(PREFIX)?.split_once('/')?;
        let pool = pools.find(token, clock::wall_clock())?;
        let below = match uri.query() {
            Some(query) => format!("/{below}?{query}"),
            None => format!("/{below}"),
        };
        let below = Uri::from(PathAndQuery::try_from(below).ok()?);
        Some((self.routes_of(&pool), below))
    }

    fn routes_of(&self, pool: &PrivatePool) -> Router {
        let made = self.made.lock();
        let mut made = made.unwrap_or_else(PoisonError::into_inner);
        if let Some(router) = made.get(&pool.id) {
            return router.clone();
        }
        if let Some(pools) = self.front.broker.private_pools() {
            made.retain(|&id, _| pools.has(id));
        }
        let router = (self.make)(&Arc::new(self.front_of(pool)));
        made.insert(pool.id, router.clone());
        router
    }

    fn front_of(&self, pool: &PrivatePool) -> HttpFront {
        let sources = Sources {
            metrics_log: None,
            accounts: Arc::clone(&self.front.accounts),
            process_figures: || None,
        };
        let (broker, settings) = (Arc::clone(&pool.broker), self.front.settings.clone());
        HttpFront::new(broker, settings, sources)
    }
}

/// The response to a request that the URL of a private pool without its last slash leads to.
pub(super) fn incomplete(front: &HttpFront) -> Response {
    static TOLD: LazyLock<LogLimit> = LazyLock::new(|| {
        let kind = Kind::new(Level::WARN, "requests with incomplete URLs");
        LogLimit::new(kind, 1, Duration::from_mins(10))
    });
    front.broker.metrics().incomplete_pool_url();
    if let Some(suppressed) = TOLD.admit(clock::now()) {
        tracing::warn!(
            suppressed,
            "a client or proxy asks for a path right below /p: if it is to reach a private pool, its \
             broker URL must end with a slash"
        );
    }
    error::not_found()
}
