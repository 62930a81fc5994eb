"""Calls the administration at the address of the first argument, knowing
nothing of it but its name. Ends with a traceback if anything is not as it
should be."""

import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ADMIN = "snowflake.broker.admin.v1.Admin"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
STRING, MESSAGE, BYTES = 9, 11, 12


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        admin = Admin(channel)
        calls(admin)
        streams(admin)
        gives_up(admin)
        errors_have_details(admin)


def calls(admin):
    status = admin.call("GetStatus", timeout=20)
    assert status.version and status.state == 1, status
    assert [pool.interval.seconds for pool in status.poll_intervals] == [20, 20, 20]
    intervals = {"poll_intervals": {"open": {"seconds": 3}}}
    assert admin.call("SetPollIntervals", timeout=20, **intervals).open.seconds == 3
    status = admin.call("GetStatus", timeout=20)
    assert [pool.interval.seconds for pool in status.poll_intervals] == [3, 20, 20]


def streams(admin):
    statuses = admin.stream("WatchStatus", timeout=20, interval={"nanos": 100_000_000})
    times = [next(statuses).observe_time.ToNanoseconds() for _ in range(5)]
    assert times == sorted(set(times)), times
    # From another thread, as who watches usually waits.
    threading.Timer(0.2, statuses.cancel).start()
    try:
        for _ in statuses:
            pass
        raise AssertionError("the stream has an end")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.CANCELLED, error


def gives_up(admin):
    started = time.monotonic()
    try:
        for _ in admin.stream("WatchStatus", timeout=0.5):
            pass
        raise AssertionError("the stream has an end")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - started < 15
    # The connection is as good as before.
    admin.call("GetStats", timeout=20)


def errors_have_details(admin):
    wrong = {"bridges": [{"fingerprint": "12", "relay_url": "wss://a.example/"}]}
    try:
        admin.call("ReplaceBridges", timeout=20, **wrong)
        raise AssertionError("a wrong bridge is taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = admin.message("google.rpc.Status").FromString(details)
    assert status.code == 3, status
    assert status.details[0].type_url.endswith("/google.rpc.BadRequest"), status
    bad_request = admin.message("google.rpc.BadRequest").FromString(status.details[0].value)
    fields = [violation.field for violation in bad_request.field_violations]
    assert fields == ["bridges[0].fingerprint"], bad_request


def message_class(descriptor):
    """The class of a message, by whichever name the release has for that."""
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(descriptor.file.pool).GetPrototype(descriptor)


def add(pool, file):
    """Adds a file to a pool; so that releases old and new take it, as bytes."""
    pool.AddSerializedFile(file.SerializeToString())


class Admin:
    def __init__(self, channel):
        self._channel = channel
        self._pool = descriptor_pool.DescriptorPool()
        self._files = set()
        reflection = Reflection(channel)
        for symbol in (ADMIN, "google.rpc.Status", "google.rpc.BadRequest"):
            for file in reflection.files_of(symbol):
                self._add(reflection, file)
        self._service = self._pool.FindServiceByName(ADMIN)

    def _add(self, reflection, file):
        """Adds a file after all that it imports."""
        if file.name in self._files:
            return
        self._files.add(file.name)
        for name in file.dependency:
            for imported in reflection.files_named(name):
                if imported.name == name:
                    self._add(reflection, imported)
        add(self._pool, file)

    def message(self, name):
        descriptor = self._pool.FindMessageTypeByName(name)
        return message_class(descriptor)

    def call(self, method, timeout, **fields):
        return self._start(method, self._channel.unary_unary, timeout, fields)

    def stream(self, method, timeout, **fields):
        return self._start(method, self._channel.unary_stream, timeout, fields)

    def _start(self, name, kind, timeout, fields):
        method = self._service.methods_by_name[name]
        request = self.message(method.input_type.full_name)
        response = self.message(method.output_type.full_name)
        stub = kind(
            f"/{ADMIN}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return stub(request(**fields), timeout=timeout)


class Reflection:
    """As much of the reflection protocol as it takes to ask for files."""

    def __init__(self, channel):
        file = descriptor_pb2.FileDescriptorProto(name="reflection.proto", package="reflection")
        request = file.message_type.add(name="Request")
        request.field.add(name="by_name", number=3, type=STRING, label=1)
        request.field.add(name="by_symbol", number=4, type=STRING, label=1)
        files = file.message_type.add(name="Files")
        files.field.add(name="files", number=1, type=BYTES, label=3)
        response = file.message_type.add(name="Response")
        response.field.add(
            name="files", number=4, type=MESSAGE, label=1, type_name=".reflection.Files"
        )
        pool = descriptor_pool.DescriptorPool()
        add(pool, file)
        self._request, response = (
            message_class(pool.FindMessageTypeByName(f"reflection.{name}"))
            for name in ("Request", "Response")
        )
        self._ask = channel.stream_stream(
            REFLECTION,
            request_serializer=self._request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def files_of(self, symbol):
        return self._files(by_symbol=symbol)

    def files_named(self, name):
        return self._files(by_name=name)

    def _files(self, **asked):
        response = next(self._ask(iter([self._request(**asked)]), timeout=20))
        assert response.files.files, f"reflection knows nothing of {asked}"
        return [
            descriptor_pb2.FileDescriptorProto.FromString(file) for file in response.files.files
        ]


main()
