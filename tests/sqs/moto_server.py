"""moto, as a server of SQS and nothing else: finding out which of its hundred
services a call is for takes longer than the call. With so many reply queues from
the start that were last modified ten minutes ago.

Arguments: host, port, how many."""

import sys

from moto.moto_server.werkzeug_app import create_backend_app
from moto.sqs.models import sqs_backends
from werkzeug.serving import WSGIRequestHandler, run_simple


class Handler(WSGIRequestHandler):
    # Connections are kept, as with AWS.
    protocol_version = "HTTP/1.1"

    def log_request(self, *arguments):
        pass


host, port, count = sys.argv[1:]
backend = sqs_backends["123456789012"]["us-east-1"]
for number in range(int(count)):
    queue = backend.create_queue(f"snowflake-client-secretid{number}", None)
    queue.last_modified_timestamp -= 600
run_simple(host, int(port), create_backend_app("sqs"), threaded=True, request_handler=Handler)
