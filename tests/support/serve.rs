//! A front behind a real socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::listener::{
    self, ChooseTls, Closing, DropCause, Observer, Serve, Server, Settings,
};

/// Serves it on its own port until the test ends.
pub(crate) async fn serve(
    service: impl Serve,
    settings: Settings,
    tls: Option<Arc<ChooseTls>>,
) -> SocketAddr {
    let accounts = Accounts::new(Bounds::default());
    serve_in(accounts, service, settings, tls).await
}

/// Serves it with the test's accounts.
pub(crate) async fn serve_in(
    accounts: Arc<Accounts>,
    service: impl Serve,
    settings: Settings,
    tls: Option<Arc<ChooseTls>>,
) -> SocketAddr {
    let listener = listener::bind("127.0.0.1:0").await.unwrap().remove(0);
    let addr = listener.local_addr().unwrap();
    let (observer, closing) = (Arc::new(Unobserved), Closing::default());
    let server = Server::new(settings, tls, service, observer, accounts, closing);
    tokio::spawn(Arc::new(server).run(listener));
    addr
}

/// An observer that ignores everything.
pub(crate) struct Unobserved;

impl Observer for Unobserved {
    fn opened(&self) {}
    fn closed(&self) {}
    fn dropped(&self, _reason: DropCause) {}
    fn accept_failed(&self, _error: &io::Error) {}
    fn handshake_failed(&self, _error: Option<&io::Error>) {}
    fn tls_in_the_clear(&self) {}
}
