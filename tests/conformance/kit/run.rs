//! Taking the steps of a case.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Request};
use snowflake_broker::broker::clock;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::amp;
use super::case::{Case, Expected, Message, Section, Step};
use super::check::Got;
use super::texts::Texts;

/// The time in which a request gets to where it waits, or somebody is gone.
const ON_ITS_WAY: Duration = Duration::from_millis(300);
/// Longer than any broker takes to respond.
const PATIENCE: Duration = Duration::from_secs(30);

/// A response.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The way to a broker.
pub(crate) trait Exchange: Clone + Send + Sync + 'static {
    /// Sends a request. The error says why there is no response.
    fn send(
        &self,
        request: Request<String>,
    ) -> impl Future<Output = Result<Answered, String>> + Send;
}

/// A case under way.
struct Run<'a, E> {
    exchange: &'a E,
    mark: &'a str,
    waiting: BTreeMap<String, Vec<Sent>>,
    /// The last body from each path.
    pages: BTreeMap<String, String>,
}

/// A request whose response has not been looked at. Dropped, it is broken off.
struct Sent {
    path: String,
    texts: Texts,
    response: JoinSet<Result<(Answered, Duration), String>>,
}

impl Section {
    /// Returns the path that the section needs and the broker does not have.
    pub(crate) async fn missing<E: Exchange>(&self, exchange: &E) -> Result<Option<&str>, String> {
        let Some(path) = &self.optional else {
            return Ok(None);
        };
        let request = Request::get(path).body(String::new());
        let request = request.map_err(|error| format!("the section is wrong: {error}"))?;
        let answered = within(exchange.send(request)).await?;
        Ok((answered.status == 404).then_some(path))
    }
}

/// Takes the steps of a case with a mark of its own. The error says what is not as it must be.
pub(crate) async fn run<E: Exchange>(exchange: &E, case: &Case, mark: &str) -> Result<(), String> {
    let mut run = Run {
        exchange,
        mark,
        waiting: BTreeMap::new(),
        pages: BTreeMap::new(),
    };
    for step in &case.steps {
        run.take(step).await?;
    }
    Ok(())
}

impl<E: Exchange> Run<'_, E> {
    async fn take(&mut self, step: &Step) -> Result<(), String> {
        sleep(Duration::from_millis(step.pause)).await;
        let named = |problem: String| match &step.who {
            Some(who) => format!("{who}: {problem}"),
            None => problem,
        };
        let sent = match (&step.send, &step.who) {
            (Some(message), _) => self.start(message, step.times)?,
            (None, Some(who)) => self.waiting.remove(who).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        if sent.is_empty() {
            return Err(named("the case is wrong: nothing was sent".to_owned()));
        }
        match (&step.get, &step.who) {
            (Some(expected), _) => self.finish(sent, expected).await.map_err(named),
            (None, Some(_)) if step.leaves => {
                drop(sent);
                sleep(ON_ITS_WAY).await;
                Ok(())
            }
            (None, Some(who)) => {
                self.waiting.insert(who.clone(), sent);
                sleep(ON_ITS_WAY).await;
                Ok(())
            }
            (None, None) => Err("the case is wrong: nobody waits for a response".to_owned()),
        }
    }

    /// Sends a request as often as that.
    fn start(&self, message: &Message, times: usize) -> Result<Vec<Sent>, String> {
        let sent = (0..times).map(|number| {
            let texts = match times {
                1 => Texts::new(self.mark),
                _ => Texts::new(&format!("{}-{number}", self.mark)),
            };
            let request = request(message, &texts)?;
            let exchange = self.exchange.clone();
            let mut response = JoinSet::new();
            response.spawn(async move {
                let begun = clock::now();
                let answered = exchange.send(request).await?;
                Ok((answered, clock::now() - begun))
            });
            let path = message.path.clone();
            Ok(Sent {
                path,
                texts,
                response,
            })
        });
        sent.collect()
    }

    async fn finish(&mut self, sent: Vec<Sent>, expected: &Expected) -> Result<(), String> {
        for mut sent in sent {
            let joined = async {
                let joined = sent.response.join_next().await;
                joined.map_or_else(
                    || Err("is gone".to_owned()),
                    |it| it.unwrap_or_else(|error| Err(error.to_string())),
                )
            };
            let (answered, took) = within(joined).await?;
            let got = Got {
                answered: &answered,
                took,
                before: self.pages.get(&sent.path).map(String::as_str),
                texts: &sent.texts,
            };
            if let Some(problem) = got.differs(expected) {
                return Err(problem);
            }
            self.pages.insert(sent.path, answered.body);
        }
        Ok(())
    }
}

async fn within<T>(answered: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(PATIENCE, answered)
        .await
        .unwrap_or_else(|_| Err(format!("there is no response within {PATIENCE:?}")))
}

fn request(message: &Message, texts: &Texts) -> Result<Request<String>, String> {
    let poll = |poll| format!("1.0\n{}", texts.fill_value(poll));
    let path = match &message.amp {
        Some(in_path) => amp::path(&in_path.between, &poll(&in_path.poll)),
        None => texts.fill(&message.path),
    };
    let mut body = match (&message.json, &message.poll) {
        (Some(json), _) => texts.fill_value(json).to_string(),
        (None, Some(object)) => poll(object),
        (None, None) => texts.fill(&message.body),
    };
    body.extend(std::iter::repeat_n(message.filler_byte, message.filler));
    let mut request = Request::builder().method(&*message.method).uri(path);
    for (name, value) in &message.headers {
        request = request.header(name, texts.fill(value));
    }
    request
        .body(body)
        .map_err(|error| format!("the case is wrong: {error}"))
}
