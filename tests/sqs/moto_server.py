"""moto, as a server of SQS and nothing else. With so many reply queues from the start
that were last modified ten minutes ago.

What it answers is moto's; what it takes for that is not, as hundreds of calls at once
are more than it is made for: finding out which of its hundred services a call is for
takes longer than the call, its own web server twice as much CPU as gevent's, its first
calls load what they need once each, and for every message that is received it counts
all others three times. gevent has one thread, so that calls are answered in their
order; hundreds of threads leave it to chance, and some call waits for seconds.

Arguments: host, port, how many."""

from gevent import monkey

monkey.patch_all()

import sys

from gevent.pywsgi import WSGIServer
from moto.core.utils import get_service_model, unix_time
from moto.moto_server.werkzeug_app import create_backend_app
from moto.sqs.models import SQSBackend, sqs_backends


def is_retained(backend, queue_name, message):
    period = backend.get_queue(queue_name).message_retention_period
    return message.sent_timestamp / 1000 + period > unix_time()


host, port, count = sys.argv[1:]
backend = sqs_backends["123456789012"]["us-east-1"]
for number in range(int(count)):
    queue = backend.create_queue(f"snowflake-client-secretid{number}", None)
    queue.last_modified_timestamp -= 600
SQSBackend.is_message_valid_based_on_retention_period = is_retained
get_service_model("sqs")
app = create_backend_app("sqs")
WSGIServer((host, int(port)), app, backlog=1_000, log=None).serve_forever()
