//! The implementation of [`Queue`] for Amazon SQS.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    Message as SqsMessage, MessageSystemAttributeName as SystemAttribute, QueueAttributeName,
};
use tokio::time::timeout;

use crate::broker::clock;
use crate::causes::short_line;
use crate::metrics::labels::QueueCall;

use super::{
    CallError, Cause, ClientId, LONG_POLL, Queue, QueueMessage, REPLY_QUEUES, Receipt, ReplyQueue,
    ReplyQueues,
};

/// The time-out of a call including retries, in addition to the time that it waits for
/// messages.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The time, in seconds, for which SQS keeps an undelivered message.
const RETENTION: &str = "300";
/// The maximum page size for lists of queues.
const PAGE: i32 = 1000;
const CLIENT_ID: &str = "ClientID";

/// A queue in the account and region of an SQS client.
#[derive(Debug)]
pub struct AwsQueue {
    client: Client,
    name: String,
    /// The URL of the queue, once known.
    url: Mutex<String>,
}

impl AwsQueue {
    /// A queue with this name, which need not exist yet.
    pub fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            url: Mutex::default(),
        }
    }

    fn url(&self) -> String {
        let url = self.url.lock().unwrap_or_else(PoisonError::into_inner);
        url.clone()
    }

    async fn find(&self) -> Result<String, CallError> {
        let call = self.client.get_queue_url().queue_name(&self.name).send();
        let found = ended(QueueCall::GetQueueUrl, CALL_TIMEOUT, call).await?;
        url(QueueCall::GetQueueUrl, found.queue_url)
    }

    async fn create(&self, name: impl Into<String>) -> Result<String, CallError> {
        let call = self
            .client
            .create_queue()
            .queue_name(name)
            .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION)
            .send();
        let created = ended(QueueCall::CreateQueue, CALL_TIMEOUT, call).await?;
        url(QueueCall::CreateQueue, created.queue_url)
    }
}

impl Queue for AwsQueue {
    async fn open(&self) -> Result<(), CallError> {
        // A queue created by the operator may have other attributes, and creating it
        // again would fail.
        let found = match self.find().await {
            Err(error) if error.cause == Cause::NoSuchQueue => self.create(&self.name).await,
            found => found,
        };
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = found?;
        Ok(())
    }

    async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<QueueMessage>, CallError> {
        let call = self
            .client
            .receive_message()
            .queue_url(self.url())
            .max_number_of_messages(i32::try_from(most).unwrap_or(i32::MAX))
            .visibility_timeout(whole_seconds(hidden))
            .wait_time_seconds(whole_seconds(LONG_POLL))
            .message_attribute_names(CLIENT_ID)
            .message_system_attribute_names(SystemAttribute::SentTimestamp)
            .message_system_attribute_names(SystemAttribute::ApproximateFirstReceiveTimestamp)
            .message_system_attribute_names(SystemAttribute::ApproximateReceiveCount)
            .send();
        let within = LONG_POLL + CALL_TIMEOUT;
        let received = ended(QueueCall::ReceiveMessage, within, call).await?;
        let now = clock::wall_clock();
        let messages = received.messages.unwrap_or_default().into_iter();
        Ok(messages.map(|message| read(message, now)).collect())
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), CallError> {
        let call = self
            .client
            .delete_message()
            .queue_url(self.url())
            .receipt_handle(&receipt.0)
            .send();
        ended(QueueCall::DeleteMessage, CALL_TIMEOUT, call).await?;
        Ok(())
    }

    async fn create_reply_queue(&self, client: &ClientId) -> Result<ReplyQueue, CallError> {
        Ok(ReplyQueue(self.create(client.reply_queue()).await?))
    }

    async fn reply(&self, to: &ReplyQueue, response: String) -> Result<(), CallError> {
        let call = self
            .client
            .send_message()
            .queue_url(&to.0)
            .message_body(response)
            .send();
        ended(QueueCall::SendMessage, CALL_TIMEOUT, call).await?;
        Ok(())
    }

    async fn reply_queues(&self, after: Option<String>) -> Result<ReplyQueues, CallError> {
        let call = self
            .client
            .list_queues()
            .queue_name_prefix(REPLY_QUEUES)
            .max_results(PAGE)
            .set_next_token(after)
            .send();
        let listed = ended(QueueCall::ListQueues, CALL_TIMEOUT, call).await?;
        let queues = listed.queue_urls.unwrap_or_default();
        Ok(ReplyQueues {
            queues: queues.into_iter().map(ReplyQueue).collect(),
            next: listed.next_token,
        })
    }

    async fn age(&self, queue: &ReplyQueue) -> Result<Duration, CallError> {
        const MODIFIED: QueueAttributeName = QueueAttributeName::LastModifiedTimestamp;
        let call = self
            .client
            .get_queue_attributes()
            .queue_url(&queue.0)
            .attribute_names(MODIFIED)
            .send();
        let found = ended(QueueCall::GetQueueAttributes, CALL_TIMEOUT, call).await?;
        let modified = found
            .attributes
            .as_ref()
            .and_then(|all| time(all.get(&MODIFIED)?))
            .ok_or(CallError {
                call: QueueCall::GetQueueAttributes,
                cause: Cause::BadReply,
            })?;
        Ok(since(modified, clock::wall_clock()))
    }

    async fn delete_reply_queue(&self, queue: &ReplyQueue) -> Result<(), CallError> {
        let call = self.client.delete_queue().queue_url(&queue.0).send();
        ended(QueueCall::DeleteQueue, CALL_TIMEOUT, call).await?;
        Ok(())
    }
}

/// The result of a call, limited to a time.
fn ended<T, E>(
    call: QueueCall,
    within: Duration,
    reply: impl Future<Output = Result<T, SdkError<E>>> + Send,
) -> impl Future<Output = Result<T, CallError>> + Send
where
    E: ProvideErrorMetadata + Error + 'static,
{
    // The future takes about 10 kB, too much for tasks that merely wait for it.
    let reply = Box::pin(reply);
    async move {
        let cause = match timeout(within, reply).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => cause(&error),
            Err(_) => Cause::TimedOut,
        };
        Err(CallError { call, cause })
    }
}

fn cause<E>(error: &SdkError<E>) -> Cause
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(missing) = credentials_error(error) {
        return Cause::NoCredentials(missing);
    }
    match error {
        SdkError::ServiceError(refused) => {
            refusal(refused.err().code(), refused.raw().status().as_u16())
        }
        SdkError::TimeoutError(_) => Cause::TimedOut,
        SdkError::ResponseError(_) => Cause::BadReply,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Cause::TimedOut,
        _ => Cause::Unreachable(innermost(error)),
    }
}

/// The innermost cause, from the operating system or TLS. The outer ones may name the
/// request.
fn innermost(error: &(dyn Error + 'static)) -> String {
    sources(error).last().unwrap_or(error).to_string()
}

fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The cause that an error code stands for or, without a code, the HTTP status.
fn refusal(code: Option<&str>, status: u16) -> Cause {
    const NOT_PERMITTED: [&str; 10] = [
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    ];
    const NO_SUCH_QUEUE: [&str; 2] = [
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    ];
    match code.filter(|code| is_word(code)) {
        Some(code) if NO_SUCH_QUEUE.contains(&code) => Cause::NoSuchQueue,
        Some(code) if NOT_PERMITTED.contains(&code) => Cause::NotPermitted(code.to_owned()),
        Some(code) => Cause::Refused(code.to_owned()),
        None if [401, 403].contains(&status) => Cause::NotPermitted(format!("HTTP {status}")),
        None => Cause::Refused(format!("HTTP {status}")),
    }
}

/// Returns true if a text looks like an error code. Any other text could be anything.
fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
    (1..=60).contains(&text.len()) && text.bytes().all(fits)
}

/// The reason why there are no credentials, if that is the cause. No request was made in
/// that case, so the text contains nothing from a client.
fn credentials_error(error: &(dyn Error + 'static)) -> Option<String> {
    let error = sources(error).find(|error| error.is::<CredentialsError>())?;
    let texts: Vec<String> = sources(error).map(ToString::to_string).collect();
    let text = texts.join(": ");
    // A program that makes credentials may print them.
    let before_output = text.split("Stderr").next().unwrap_or_default();
    Some(short_line(before_output))
}

fn url(call: QueueCall, url: Option<String>) -> Result<String, CallError> {
    let cause = Cause::BadReply;
    url.ok_or(CallError { call, cause })
}

fn read(message: SqsMessage, now: SystemTime) -> QueueMessage {
    let age = age_of(&message, now);
    let mut attributes = message.message_attributes.unwrap_or_default();
    let client_id = attributes.remove(CLIENT_ID);
    QueueMessage {
        body: message.body.unwrap_or_default(),
        client_id: client_id.and_then(|id| id.string_value),
        age,
        receipt: Receipt(message.receipt_handle.unwrap_or_default()),
    }
}

/// The age of a message. For a message never received before, SQS reports both the
/// sending and the receiving time, so that a clock of ours that is off by seconds does no
/// harm.
fn age_of(message: &SqsMessage, now: SystemTime) -> Duration {
    let attribute = |name| {
        let attributes = message.attributes.as_ref()?;
        attributes.get(&name)?.parse::<u64>().ok()
    };
    let moment = |name| {
        let since_epoch = Duration::from_millis(attribute(name)?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    };
    let Some(sent) = moment(SystemAttribute::SentTimestamp) else {
        return Duration::ZERO;
    };
    let is_first = attribute(SystemAttribute::ApproximateReceiveCount) == Some(1);
    let first = moment(SystemAttribute::ApproximateFirstReceiveTimestamp);
    since(sent, first.filter(|_| is_first).unwrap_or(now))
}

/// The time from seconds since the epoch: whole seconds from Amazon, but not from
/// compatible services.
fn time(seconds: &str) -> Option<SystemTime> {
    let since_epoch = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

fn since(past: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(past).unwrap_or_default()
}

/// A duration in SQS's units: whole seconds, rounded up, and at most twelve hours.
fn whole_seconds(span: Duration) -> i32 {
    const MOST: u64 = 12 * 3600;
    let seconds = span
        .as_secs()
        .saturating_add(u64::from(span.subsec_nanos() > 0));
    i32::try_from(seconds.min(MOST)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::builders::MessageBuilder;

    use super::*;

    fn message(attributes: &[(SystemAttribute, &str)]) -> SqsMessage {
        let add = |message: MessageBuilder, (name, value): &(SystemAttribute, &str)| {
            message.attributes(name.clone(), *value)
        };
        let message = SqsMessage::builder();
        attributes.iter().fold(message, add).build()
    }

    #[test]
    fn the_age_of_a_new_message_is_told_by_sqs_alone() {
        let sent = (SystemAttribute::SentTimestamp, "100000");
        let first = (SystemAttribute::ApproximateFirstReceiveTimestamp, "101500");
        let count = |count| (SystemAttribute::ApproximateReceiveCount, count);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(110);
        let age = |attributes: &[_]| age_of(&message(attributes), now).as_millis();
        assert_eq!(age(&[sent.clone(), first.clone(), count("1")]), 1_500);
        assert_eq!(age(&[sent.clone(), first, count("2")]), 10_000);
        assert_eq!(age(&[sent, count("1")]), 10_000);
        // With a slow clock of ours.
        assert_eq!(age(&[(SystemAttribute::SentTimestamp, "200000")]), 0);
        assert_eq!(age(&[]), 0);
    }

    #[test]
    fn refusals_are_told_by_their_code_and_nothing_else() {
        assert_eq!(refusal(Some("QueueDoesNotExist"), 400), Cause::NoSuchQueue);
        let denied = Cause::NotPermitted("AccessDenied".to_owned());
        assert_eq!(refusal(Some("AccessDenied"), 403), denied);
        let other = Cause::Refused("RequestThrottled".to_owned());
        assert_eq!(refusal(Some("RequestThrottled"), 400), other);
        let unsaid = Cause::Refused("HTTP 500".to_owned());
        assert_eq!(refusal(Some("from 192.0.2.1"), 500), unsaid);
        assert_eq!(
            refusal(None, 403),
            Cause::NotPermitted("HTTP 403".to_owned())
        );
    }

    #[test]
    fn times_are_whole_seconds_or_parts_of_them() {
        let millis = |seconds| Some(since(SystemTime::UNIX_EPOCH, time(seconds)?).as_millis());
        assert_eq!(millis("1764000000"), Some(1_764_000_000_000));
        assert_eq!(millis("1764000000.25"), Some(1_764_000_000_250));
        for wrong in ["", "-1", "NaN", "1e300", "soon"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn seconds_are_whole_and_never_too_few() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([0, 1, 1_000, 1_001].map(seconds), [0, 1, 1, 2]);
        assert_eq!(whole_seconds(Duration::MAX), 43_200);
    }
}
