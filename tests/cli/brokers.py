"""Brokers that tests start on the loopback interface and stop again (mosquitto, librdkafka's mock cluster); `coil
stream` beside them, and its metrics.

"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from support import COIL

MOCK_KAFKA = os.environ.get("MOCK_KAFKA", "")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def needs_mosquitto(test):
    missing = [
        name for name in ("mosquitto_pub", "mosquitto_sub", "mosquitto_passwd", "openssl") if not shutil.which(name)
    ]
    if not MOSQUITTO:
        missing.insert(0, "mosquitto")
    return unittest.skipIf(missing, f"skipped: {', '.join(missing)} not installed")(test)


def needs_mock_kafka(test):
    return unittest.skipUnless(MOCK_KAFKA, "skipped: built without librdkafka")(test)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain: {what() if callable(what) else what}")
        time.sleep(0.02)


class Process:
    """A program whose standard output and standard error are collected while it runs."""

    def __init__(self, test, command, cwd, stdin=None, **options):
        command = [str(word) for word in command]
        self.process = subprocess.Popen(
            command, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
        self.out, self.err = [], []
        self.readers = [
            threading.Thread(target=self.collect, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self.readers:
            reader.start()
        test.addCleanup(self.end)

    @staticmethod
    def collect(stream, lines):
        for line in stream:
            lines.append(line.decode(errors="replace").rstrip("\n"))

    def wait_for(self, text, count=1, seconds=30):
        wait_until(
            lambda: sum(text in line for line in self.err) >= count, lambda: f"'{text}' in {self.err[-20:]}", seconds
        )

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=60):
        self.process.wait(seconds)
        for reader in self.readers:
            reader.join(10)
        return self.process.returncode

    def end(self):
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


class Mosquitto:
    """A broker on a free port. `tls`: with a temporary certificate authority; `password`: of the user `coil`."""

    def __init__(self, test, tls=False, password=None, extra=()):
        self.test, self.folder = test, test.path("mosquitto/x").parent
        self.port = free_port()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "log_type all",
            "max_queued_messages 100000",
            *extra,
        ]
        if os.getuid() == 0:
            lines.append("user root")
        self.client = ["-h", "127.0.0.1", "-p", str(self.port), "-V", "5"]
        if password is None:
            lines.append("allow_anonymous true")
        else:
            subprocess.run(["mosquitto_passwd", "-b", "-c", self.folder / "passwords", "coil", password], check=True)
            lines += ["allow_anonymous false", f"password_file {self.folder}/passwords"]
            self.client += ["-u", "coil", "-P", password]
        if tls:
            self.make_certificates()
            lines += [
                f"cafile {self.folder}/ca.crt",
                f"certfile {self.folder}/broker.crt",
                f"keyfile {self.folder}/broker.key",
                "require_certificate true",
            ]
            self.client += [
                "--cafile",
                self.folder / "ca.crt",
                "--cert",
                self.folder / "client.crt",
                "--key",
                self.folder / "client.key",
            ]
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.start()

    def make_certificates(self):
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

        for authority in ("ca", "other_ca"):
            openssl(
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN={authority}",
                "-keyout",
                f"{authority}.key",
                "-out",
                f"{authority}.crt",
            )
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        for name in ("broker", "client"):
            openssl(
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                f"/CN={name}",
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.csr",
            )
            openssl(
                "x509",
                "-req",
                "-in",
                f"{name}.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "names",
                "-out",
                f"{name}.crt",
            )

    def start(self):
        self.broker = Process(self.test, [MOSQUITTO, "-c", self.folder / "mosquitto.conf"], self.folder)
        self.broker.wait_for("running")

    def kill(self):
        self.broker.kill()

    def stop(self):
        self.broker.stop()

    def publish(self, topic, payloads, qos=1, retain=False):
        """One connection, one message per line."""
        command = ["mosquitto_pub", *self.client, "-q", str(qos), "-t", topic, "-l", *(["-r"] if retain else [])]
        subprocess.run(
            [str(word) for word in command],
            input="".join(f"{payload}\n" for payload in payloads).encode(),
            check=True,
            timeout=60,
        )

    def subscriptions(self):
        return sum("Sending SUBACK" in line for line in list(self.broker.err))

    def subscribe(self, *topics):
        """A process whose lines `received` reads."""
        filters = [word for topic in topics for word in ("-t", topic)]
        before = self.subscriptions()
        subscriber = Process(
            self.test, ["mosquitto_sub", *self.client, "-q", "1", "-F", "\t%t\t%p", *filters], self.folder
        )
        wait_until(lambda: self.subscriptions() > before, lambda: subscriber.err)
        return subscriber


def received(subscriber):
    """(topic, payload) of each message."""
    return [tuple(line[1:].split("\t", 1)) for line in list(subscriber.out) if line.startswith("\t")]


class MockKafka:
    def __init__(self, test):
        self.process = Process(test, [MOCK_KAFKA], test.folder, stdin=subprocess.PIPE)
        self.one_at_a_time = threading.Lock()
        wait_until(lambda: self.process.out, "the mock cluster's address")
        self.brokers = self.process.out[0]

    def command(self, text, seconds=60):
        with self.one_at_a_time:
            begin = len(self.process.out)
            self.process.process.stdin.write(text.encode())
            self.process.process.stdin.flush()
            wait_until(lambda: "done" in self.process.out[begin:], lambda: f"{text[:50]}: {self.process.err}", seconds)
            return self.process.out[begin:-1]

    def topic(self, name, partitions):
        self.command(f"topic {name} {partitions}\n")

    def produce(self, name, partition, messages):
        self.command(
            f"produce {name} {partition} {len(messages)}\n" + "".join(f"{key}\t{text}\n" for key, text in messages)
        )

    def dump(self, name):
        """(partition, offset, key, source, text) of every message."""
        rows = (line.split("\t", 4) for line in self.command(f"dump {name}\n"))
        return [(int(partition), int(offset), key, source, text) for partition, offset, key, source, text in rows]


def records(sensor, count, begin=0):
    """NDJSON records of one sensor, one a minute."""
    return [
        json.dumps({"sensor": sensor, "time": 1700000000 + 60 * i, "value": (i * i) % 17 + i % 5})
        for i in range(begin, begin + count)
    ]


def stream(test, *arguments, env=None, **options):
    return Process(
        test, [COIL, "stream", "-m", test.model, *arguments], test.folder, env={**os.environ, **(env or {})}, **options
    )


def metrics_port(lines):
    """Parses what `coil stream --metrics 0` writes to standard error."""
    return next(int(line.split("/metrics")[0].split(":")[-1]) for line in lines if "/metrics" in line)


def http_get(port, path, host="127.0.0.1"):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read().decode()
    finally:
        connection.close()


def metric_of(port, name):
    """The value of the sample with this name and labels."""
    lines = http_get(port, "/metrics")[2].splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.rsplit(" ", 1)[0] == name)
