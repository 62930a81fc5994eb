"""moto with so many reply queues from the start that were last modified ten
minutes ago. Arguments: host, port, how many."""

import sys

from moto.server import main
from moto.sqs.models import sqs_backends

host, port, count = sys.argv[1:]
backend = sqs_backends["123456789012"]["us-east-1"]
for number in range(int(count)):
    queue = backend.create_queue(f"snowflake-client-secretid{number}", None)
    queue.last_modified_timestamp -= 600
main(["-H", host, "-p", port])
