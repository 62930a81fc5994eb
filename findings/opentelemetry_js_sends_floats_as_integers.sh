#!/usr/bin/env bash
# Numbers sent by OpenTelemetry's JavaScript exporter, parsed by protobuf's own JSON parser.
#
# Guess: a JavaScript number is a double, so attributes arrive as `doubleValue`, and NaN as
# "NaN", as in protobuf's JSON mapping. Only the IDs are known to differ (hexadecimal in
# OTLP, base64 in that mapping).
#
# Seen with @opentelemetry/exporter-trace-otlp-http 0.223.1 (the newest for Node 20) and, as
# the parser, protobuf 7.36.2 for Python with opentelemetry-proto 1.45.2: a whole number
# becomes `intValue`, so the type of an attribute changes from span to span (0.5 s is a
# double, 1.0 s an integer). This holds even beyond 64 bits, and then a parser that follows
# the mapping refuses the *whole request*: every span of the batch is lost. NaN becomes
# `null`, which reads as no value at all.
#
# So a collector or broker that accepts OTLP/JSON needs its own parser that reads such
# numbers as doubles; and code that compares or stores attributes by type must treat
# integers and doubles of one name alike.
#
# Needs npm with node, python3 with venv, and pip; listens only on the loopback.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --prefix . @opentelemetry/api@1.9.1 \
    @opentelemetry/exporter-trace-otlp-http@0.223.1 @opentelemetry/sdk-trace-base@2.12.1
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check \
    opentelemetry-proto==1.45.2 protobuf==7.36.2

cat >export.js <<'JAVASCRIPT'
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { BasicTracerProvider } = require("@opentelemetry/sdk-trace-base");

// Prints what the exporter sends for a span with this attribute.
const collector = require("http").createServer((request, response) => {
  request.setEncoding("utf8").on("data", (text) => process.stdout.write(text));
  request.on("end", () => response.end("{}"));
});
collector.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${collector.address().port}/v1/traces`;
  const span = new BasicTracerProvider().getTracer("broker").startSpan("poll", {
    attributes: { seconds: Number(process.argv[2]) },
  });
  span.end();
  new OTLPTraceExporter({ url }).export([span], () => process.exit());
});
JAVASCRIPT

cat >read.py <<'PYTHON'
import sys
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

try:
    request = json_format.Parse(sys.stdin.read(), ExportTraceServiceRequest())
    value = request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value
    kind = value.WhichOneof("value")
    print(kind, getattr(value, kind)) if kind else print("no value")
except json_format.ParseError:
    print("the whole request is refused")
PYTHON

package=./node_modules/@opentelemetry/exporter-trace-otlp-http/package.json
version=$(node -p "require('$package').version")
echo "@opentelemetry/exporter-trace-otlp-http $version"
[[ $version == 0.223.1 ]] || { echo "another version than the one looked at" >&2; exit 1; }

seen=$(for number in 0.5 1.0 1e21 NaN; do
    echo "$number: $(node export.js "$number" | python/bin/python read.py)"
done)
echo "$seen"
[[ $seen == "0.5: double_value 0.5
1.0: int_value 1
1e21: the whole request is refused
NaN: no value" ]] || { echo "this has changed" >&2; exit 1; }
