//! Taking the steps of a case.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Request};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::amp;
use super::case::{Case, Expected, Message, Step};
use super::check::differs;
use super::texts::Texts;

/// The time in which a request gets to where it waits.
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

/// Those who wait for a response. Dropped, they wait no longer.
#[derive(Default)]
struct Waiting {
    by_name: BTreeMap<String, JoinSet<Result<Answered, String>>>,
}

/// Takes the steps of a case with a mark of its own. The error says what is not as it must be.
pub(crate) async fn run<E: Exchange>(exchange: &E, case: &Case, mark: &str) -> Result<(), String> {
    let texts = Texts::new(mark);
    let mut waiting = Waiting::default();
    for step in &case.steps {
        take(exchange, step, &texts, &mut waiting).await?;
    }
    Ok(())
}

async fn take<E: Exchange>(
    exchange: &E,
    step: &Step,
    texts: &Texts,
    waiting: &mut Waiting,
) -> Result<(), String> {
    let request = step.send.as_ref().map(|message| request(message, texts));
    match (&step.who, request.transpose()?, &step.get) {
        (None, Some(request), Some(expected)) => {
            compare(within(exchange.send(request)).await?, expected, texts)
        }
        (Some(who), Some(request), None) => {
            let exchange = exchange.clone();
            let mut task = JoinSet::new();
            task.spawn(async move { exchange.send(request).await });
            waiting.by_name.insert(who.clone(), task);
            sleep(ON_ITS_WAY).await;
            Ok(())
        }
        (Some(who), None, Some(expected)) => {
            let named = |problem: String| format!("{who}: {problem}");
            let task = waiting.by_name.remove(who);
            let mut task = task.ok_or_else(|| named("has sent nothing".to_owned()))?;
            let joined = async {
                let joined = task.join_next().await;
                joined.map_or_else(
                    || Err("is gone".to_owned()),
                    |it| it.unwrap_or_else(|error| Err(error.to_string())),
                )
            };
            let answered = within(joined).await.map_err(named)?;
            compare(answered, expected, texts).map_err(named)
        }
        _ => Err("the case is wrong: a step sends, gets, or does both at once".to_owned()),
    }
}

async fn within(
    answered: impl Future<Output = Result<Answered, String>>,
) -> Result<Answered, String> {
    timeout(PATIENCE, answered)
        .await
        .unwrap_or_else(|_| Err(format!("there is no response within {PATIENCE:?}")))
}

#[expect(clippy::needless_pass_by_value, reason = "nobody needs it any more")]
fn compare(answered: Answered, expected: &Expected, texts: &Texts) -> Result<(), String> {
    differs(expected, &answered, texts).map_or(Ok(()), Err)
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
    body.extend(std::iter::repeat_n('x', message.filler));
    let mut request = Request::builder().method(&*message.method).uri(path);
    for (name, value) in &message.headers {
        request = request.header(name, value);
    }
    request
        .body(body)
        .map_err(|error| format!("the case is wrong: {error}"))
}
