#!/usr/bin/env bash
# Python's OTLP exporter over HTTP, with a collector that redirects or accepts only a part.
#
# Guess: a redirect (such as 308, because the collector has moved to HTTPS) is followed, or
# the export fails and an error is logged. If the collector rejects some spans (200 with a
# partial success), a warning is logged, as the OTLP specification demands.
#
# Seen with opentelemetry-exporter-otlp-proto-http 1.45.2: the redirect is not followed, and
# every status under 400 counts as exported: SUCCESS, nothing logged, the spans are lost.
# The body of a 200 response is not read, so rejected spans are lost silently, too. 400 and
# 503 are reported.
#
# So a silent exporter proves nothing. After moving a collector, do not leave a redirect
# behind: refuse (404) at the old place, so that somebody notices. A service that uses HTTP
# for a collector on HTTPS loses all of its telemetry in this way.
#
# Needs python3 with venv, and pip; listens only on the loopback.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check \
    opentelemetry-exporter-otlp-proto-http==1.45.2 opentelemetry-sdk==1.45.2

cat >export.py <<'PYTHON'
import http.server, importlib.metadata, logging, threading
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess, ExportTraceServiceResponse)
from opentelemetry.sdk.trace import TracerProvider

package = "opentelemetry-exporter-otlp-proto-http"
print(package, importlib.metadata.version(package))

class Collector(http.server.BaseHTTPRequestHandler):
    elsewhere = False

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.path[1:]
        if answer == "elsewhere":
            Collector.elsewhere = True
        body = b""
        if answer == "partial":
            answer = "200"
            partial = ExportTracePartialSuccess(rejected_spans=1, error_message="too late")
            body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
        self.send_response(int(answer) if answer.isdigit() else 200)
        if answer.startswith("3"):
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_):
        pass

class Logged(logging.Handler):
    count = 0

    def emit(self, record):
        Logged.count += 1

logging.getLogger("opentelemetry").addHandler(Logged(logging.WARNING))
collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=collector.serve_forever, daemon=True).start()
span = TracerProvider().get_tracer("broker").start_span("poll")
span.end()
for answer in ("400", "503", "301", "307", "308", "partial"):
    Logged.count = 0
    url = f"http://127.0.0.1:{collector.server_port}/{answer}"
    result = OTLPSpanExporter(url, timeout=2).export([span])
    print(f"{answer}: {result.name}, {'logged' if Logged.count else 'nothing logged'}")
print("followed" if Collector.elsewhere else "no redirect followed")
PYTHON

seen=$(python/bin/python export.py 2>/dev/null)
echo "$seen"
[[ $seen == "opentelemetry-exporter-otlp-proto-http 1.45.2
400: FAILURE, logged
503: FAILURE, logged
301: SUCCESS, nothing logged
307: SUCCESS, nothing logged
308: SUCCESS, nothing logged
partial: SUCCESS, nothing logged
no redirect followed" ]] || { echo "this has changed" >&2; exit 1; }
