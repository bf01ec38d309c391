"""`coil stream --mqtt` with a real mosquitto broker on the loopback interface."""

import json
import os
import pathlib
import signal
import subprocess
import time

from brokers import Mosquitto, metric_of, metrics_port, needs_mosquitto, received, records, stream, wait_until
from support import COIL, CoilTest, write_forecaster


@needs_mosquitto
class Mqtt(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model)

    def worker(self, broker, topic, *arguments, **options):
        before = broker.subscriptions()
        worker = stream(
            self, "--mqtt", f"127.0.0.1:{broker.port}/{topic}", "--mqtt-client-id", "worker", *arguments, **options
        )
        wait_until(lambda: broker.subscriptions() > before or worker.process.poll() is not None, lambda: worker.err)
        self.assertIsNone(worker.process.poll(), worker.err)
        return worker

    def over_a_pipe(self, lines):
        return (
            self.coil("stream", "-m", self.model, input="".join(f"{line}\n" for line in lines).encode())
            .decode()
            .splitlines()
        )

    def results(self, subscriber, topic, count, seconds=30):
        def texts():
            return [text for t, text in received(subscriber) if t == topic]

        wait_until(
            lambda: len(texts()) >= count,
            lambda: f"{len(texts())} of {count} of {topic}: {received(subscriber)[-3:]}",
            seconds,
        )
        return texts()

    def test_records_in_results_out(self):
        broker = Mosquitto(self)
        subscriber = broker.subscribe("coil/#", "coil-status")
        worker = self.worker(broker, "sensors/+", "--mqtt-out", "coil")
        sent = {name: records(name, 200) for name in ("kitchen", "cellar")}
        for name, lines in sent.items():
            broker.publish(f"sensors/{name}", lines)
        for name, lines in sent.items():
            self.assertEqual(self.results(subscriber, f"coil/sensors/{name}", 200), self.over_a_pipe(lines))
        self.assertEqual(worker.stop(), 130)
        self.assertEqual(self.results(subscriber, "coil-status", 2), ["online", "offline"])

    def test_a_number_is_a_record(self):
        broker = Mosquitto(self)
        subscriber = broker.subscribe("coil/#")
        worker = self.worker(broker, "t", "--mqtt-out", "coil")
        sent = {
            "21.5": 21.5,
            "ON": "ON",
            "22": 22,
            "nan": None,
            ".5": 0.5,
            "5.": 5,
            "007": 7,
            "+21.5": 21.5,
            '"21.5"': 21.5,
            "unavailable": "unavailable",
            "true": True,
            '{"value": 3}': 3,
            " 4 ": 4,
        }
        broker.publish("t", [*sent, "{"])
        rows = [json.loads(text) for text in self.results(subscriber, "coil/t", len(sent))]
        self.assertEqual([row["value"] for row in rows], list(sent.values()))
        self.assertEqual(
            [
                row["status"]
                for row, value in zip(rows, sent.values())
                if not isinstance(value, (int, float)) or value is True
            ],
            ["missing"] * 4,
        )
        worker.wait_for("topic t: invalid JSON")

    def test_results_on_standard_output(self):
        broker = Mosquitto(self)
        worker = self.worker(broker, "t", "--mqtt-qos", "0")
        lines = records("a", 50)
        broker.publish("t", lines, qos=0)
        wait_until(lambda: len(worker.out) == 50, lambda: len(worker.out))
        self.assertEqual(worker.out, self.over_a_pipe(lines))

    def test_tls_and_password(self):
        broker = Mosquitto(self, tls=True, password="s3cret word")
        self.path("password").write_text("s3cret word\n")
        folder = broker.folder
        tls = [
            "--mqtt-ca",
            folder / "ca.crt",
            "--mqtt-cert",
            folder / "client.crt",
            "--mqtt-key",
            folder / "client.key",
        ]
        subscriber = broker.subscribe("coil/#")
        worker = self.worker(
            broker,
            "t",
            "--mqtt-out",
            "coil",
            *tls,
            "--mqtt-user",
            "coil",
            "--mqtt-password-file",
            self.path("password"),
        )
        broker.publish("t", records("a", 5))
        self.results(subscriber, "coil/t", 5)
        worker.stop()
        self.worker(broker, "t", *tls, "--mqtt-user", "coil", env={"COIL_MQTT_PASSWORD": "s3cret word"}).stop()

        address = f"127.0.0.1:{broker.port}/t"
        with self.subTest("wrong password"):
            failed = stream(self, "--mqtt", address, *tls, "--mqtt-user", "coil", env={"COIL_MQTT_PASSWORD": "wrong"})
            self.assertEqual(failed.wait(), 1)
            self.assertRegex(failed.err[-1], "coil: error: mqtt: broker .* refuses the connection: Not authorized")
        with self.subTest("unknown authority"):
            failed = stream(self, "--mqtt", address, "--mqtt-ca", folder / "other_ca.crt", *tls[2:])
            self.assertEqual(failed.wait(), 1)
            self.assertRegex(failed.err[-1], "coil: error: mqtt: broker 127.0.0.1:.*(TLS|certificate)")
        with self.subTest("name that the certificate does not hold"):
            failed = stream(self, "--mqtt", f"127.0.0.2:{broker.port}/t", *tls)  # the listener has only one address
            failed.wait_for("cannot be reached")
            failed.kill()

    def test_broker_dies_and_returns(self):
        broker = Mosquitto(self)
        worker = self.worker(broker, "t", "--mqtt-out", "coil")
        subscriber = broker.subscribe("coil/#")
        lines = records("a", 120)
        broker.publish("t", lines[:50])
        texts = self.results(subscriber, "coil/t", 50)
        subscriber.kill()
        broker.kill()
        worker.wait_for("is lost")
        broker.start()
        worker.wait_for("connected to", count=4)
        subscriber = broker.subscribe("coil/#")
        wait_until(lambda: broker.subscriptions() == 2, "the worker has subscribed again")
        broker.publish("t", lines[50:])
        texts += self.results(subscriber, "coil/t", 70)
        self.assertEqual(texts, self.over_a_pipe(lines))

    def test_waits_for_a_broker_that_is_not_there_yet(self):
        broker = Mosquitto(self)
        broker.stop()
        worker = stream(self, "--mqtt", f"127.0.0.1:{broker.port}/t", "--mqtt-client-id", "worker")
        worker.wait_for("cannot be reached: Connection refused; trying again")
        broker.start()
        worker.wait_for("connected to")
        broker.publish("t", ["1", "2"])
        wait_until(lambda: len(worker.out) == 2, lambda: worker.err)

    def test_unanswered_records_come_again(self):
        """A worker is killed while it cannot write results. Nothing was acknowledged, so the next worker answers
        everything."""
        broker = Mosquitto(self)
        worker = self.worker(broker, "t", "--mqtt-out", "coil", "--state", "state", "--checkpoint-every", "1000s")
        worker.process.send_signal(signal.SIGSTOP)
        broker.publish("t", records("a", 40))
        worker.kill()
        subscriber = broker.subscribe("coil/#")
        self.worker(broker, "t", "--mqtt-out", "coil", "--state", "state")
        self.assertEqual(self.results(subscriber, "coil/t", 40), self.over_a_pipe(records("a", 40)))

    def blocked_worker(self, broker, *arguments):
        """A worker that cannot write results until the returned pipe is read."""
        read_end, write_end = os.pipe()
        before = broker.subscriptions()
        command = [
            COIL,
            "stream",
            "-m",
            str(self.model),
            "--mqtt",
            f"127.0.0.1:{broker.port}/t",
            "--mqtt-client-id",
            "worker",
            *arguments,
        ]
        worker = subprocess.Popen(command, cwd=self.folder, stdout=write_end, stderr=subprocess.PIPE)
        os.close(write_end)
        results = open(read_end)
        for cleanup in (results.close, worker.stderr.close, worker.wait, worker.kill):
            self.addCleanup(cleanup)
        wait_until(lambda: broker.subscriptions() > before, "subscription")
        return worker, results

    PADDED = [
        json.dumps({"value": i % 7, "number": i, "padding": "x" * 20000}) for i in range(40)
    ]  # 800 kB; a pipe holds 64 kB

    def test_acknowledged_once_written(self):
        broker = Mosquitto(self)
        worker, results = self.blocked_worker(broker)
        broker.publish("t", self.PADDED)
        time.sleep(1)
        self.assertLess(self.acknowledged(broker), 10)
        self.assertEqual([json.loads(results.readline())["number"] for _ in self.PADDED], list(range(40)))
        wait_until(lambda: self.acknowledged(broker) == 40, lambda: self.acknowledged(broker))
        self.assertIsNone(worker.poll())

    def test_records_that_come_again_are_known(self):
        """The connection breaks while the engine has unacknowledged records. The broker sends them again, and each
        is answered once.

        """
        broker = Mosquitto(self)
        worker, results = self.blocked_worker(broker, "--metrics", "0")
        port = metrics_port(line.decode() for line in worker.stderr)
        broker.publish("t", self.PADDED)
        time.sleep(1)
        broker.stop()
        broker.start()
        wait_until(lambda: metric_of(port, "coil_stream_mqtt_redelivered_total") >= 5, lambda: broker.broker.err[-5:])
        self.assertEqual([json.loads(results.readline())["number"] for _ in self.PADDED], list(range(40)))
        wait_until(lambda: metric_of(port, "coil_stream_lag") == 0, "all read")
        self.assertEqual(metric_of(port, "coil_stream_records_total"), 40)
        self.assertEqual(metric_of(port, "coil_stream_mqtt_reconnects_total"), 1)

    def acknowledged(self, broker):
        return sum(
            "Received PUBACK from worker" in line and "worker-results" not in line for line in list(broker.broker.err)
        )

    def test_last_will(self):
        broker = Mosquitto(self)
        subscriber = broker.subscribe("plant/watch")
        worker = self.worker(broker, "t", "--mqtt-out", "coil", "--mqtt-status", "plant/watch")
        self.assertEqual(self.results(subscriber, "plant/watch", 1), ["online"])
        worker.kill()
        self.assertEqual(self.results(subscriber, "plant/watch", 2), ["online", "offline"])
        late = broker.subscribe("plant/watch")  # retained
        self.assertEqual(self.results(late, "plant/watch", 1), ["offline"])

    def test_home_assistant(self):
        broker = Mosquitto(self)
        subscriber = broker.subscribe("homeassistant/#", "coil/#")
        self.worker(broker, "house/#", "--mqtt-out", "coil", "--home-assistant", "--forecast", "1,6", "--key", "sensor")
        broker.publish("house/a", records("a", 3))
        broker.publish("house/a", records("b+ö", 1))
        wait_until(
            lambda: len([t for t, _ in received(subscriber) if t.startswith("homeassistant/")]) == 6,
            lambda: received(subscriber),
        )
        configs = [
            (topic, json.loads(text)) for topic, text in received(subscriber) if topic.startswith("homeassistant/")
        ]
        self.assertEqual({topic.split("/")[1] for topic, _ in configs}, {"sensor", "binary_sensor"})
        self.assertEqual(len({config["unique_id"] for _, config in configs}), 6)
        state_topics = {topic for topic, _ in received(subscriber) if topic.startswith("coil/")}
        self.assertEqual({config["state_topic"] for _, config in configs}, state_topics)
        self.assertIn("coil/house/a/a", state_topics)
        rows = {topic: json.loads(text) for topic, text in received(subscriber) if topic.startswith("coil/")}
        for topic, config in configs:
            # https://www.home-assistant.io/integrations/mqtt: characters that a discovery topic may hold
            self.assertRegex(topic, r"^homeassistant/(sensor|binary_sensor)/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/config$")
            self.assertEqual(config["availability_topic"], "coil-status")
            self.assertLessEqual({"name", "unique_id", "state_topic", "value_template", "device"}, set(config))
            self.assertIn(config["device"]["name"], ("house/a/a", "house/a/b+ö"))
            field = config["value_template"].split('value_json["')[1].split('"]')[0]
            self.assertIn(field, rows[config["state_topic"]])
            self.assertEqual(
                field, {"score": "score", "forecast": "value_forecast_1", "problem": "episode"}[config["name"]]
            )
            self.assertEqual(config.get("device_class"), "problem" if config["name"] == "problem" else None)
        late = broker.subscribe("homeassistant/#")  # retained: Home Assistant may start later
        wait_until(lambda: len(received(late)) == 6, lambda: received(late))

    def test_home_assistant_expiry_and_settings(self):
        broker = Mosquitto(self)
        subscriber = broker.subscribe("homeassistant/#")
        self.path("sensors.toml").write_text(
            '[[sensor]]\nmatch = "house/*"\nname = "Pump"\nvalues.value.unit = "l/s"\n\n'
            '[[sensor]]\nmatch = "house/told"\ninterval = "10min"\n'
        )
        self.worker(
            broker, "house/#", "--mqtt-out", "coil", "--home-assistant", "--config", "sensors.toml", "--silence", "4"
        )
        broker.publish("house/learnt", records("a", 12))
        broker.publish("house/told", records("b", 1))

        def configs():
            found = [(topic, json.loads(text)) for topic, text in received(subscriber)]
            return [
                (topic.split("/")[2], config["name"], config.get("expire_after"), config) for topic, config in found
            ]

        wait_until(lambda: len(configs()) == 9, configs)
        expiry = {}
        for sensor, name, expire_s, config in configs():
            expiry.setdefault((sensor.split("_")[2], name), []).append(expire_s)
            self.assertEqual(config["device"]["name"], "Pump")
            self.assertEqual(config.get("unit_of_measurement"), "l/s" if name == "forecast" else None)
        for name in ("forecast", "score", "problem"):
            self.assertEqual(expiry["learnt", name], [None, 240])
            self.assertEqual(expiry["told", name], [2400])

    def test_queue_of_qos_0_drops_and_counts(self):
        """If nobody reads the results, memory stays bounded, and dropped messages are counted."""
        broker = Mosquitto(self)
        worker, _ = self.blocked_worker(broker, "--mqtt-qos", "0", "--mqtt-queue", "100", "--metrics", "0")
        port = metrics_port(line.decode() for line in worker.stderr)

        def metric(name):
            return metric_of(port, name)

        def resident_kb():
            return int(pathlib.Path(f"/proc/{worker.pid}/status").read_text().split("VmRSS:")[1].split()[0])

        padding = "x" * 5000
        for _ in range(4):
            broker.publish("t", [json.dumps({"value": i, "padding": padding}) for i in range(1000)], qos=0)
        wait_until(
            lambda: metric("coil_stream_mqtt_dropped_records_total") > 1000,
            lambda: metric("coil_stream_mqtt_dropped_records_total"),
        )
        before = resident_kb()
        for _ in range(8):
            broker.publish("t", [json.dumps({"value": i, "padding": padding}) for i in range(1000)], qos=0)
        wait_until(
            lambda: metric("coil_stream_mqtt_dropped_records_total") > 9000,
            lambda: metric("coil_stream_mqtt_dropped_records_total"),
        )
        self.assertLessEqual(metric("coil_stream_lag"), 100)
        self.assertLess(resident_kb() - before, 8000, "8000 records of 5 kB are 40 MB")

    def test_options(self):
        cases = [
            (["--mqtt", "localhost/$share/g/t"], "half of its past"),
            (["--mqtt", "localhost"], "expected broker/topic"),
            (["--mqtt", "localhost:x/t"], "expected broker/topic"),
            (["--mqtt", "localhost/t#"], "is not a topic filter"),
            (["--mqtt", "localhost/#", "--mqtt-out", "coil"], "results would be read as records"),
            (["--mqtt", "localhost/t", "--mqtt-out", "coil/+"], "is not a topic"),
            (["--mqtt", "localhost/t", "--home-assistant"], "needs --mqtt-out"),
            (
                ["--mqtt", "localhost/t", "--mqtt-out", "c", "--home-assistant", "--output-format", "csv"],
                "--home-assistant",
            ),
            (["--mqtt", "localhost/t", "--mqtt-cert", "c"], "go together"),
            (["--mqtt", "localhost/t", "--mqtt-password-file", "nowhere"], "no password can be read"),
            (["--mqtt", "localhost/t", "--kafka", "localhost/t", "--state", "s"], "one source at a time"),
            (["--mqtt", "localhost/t", "--state", "s", "--resume"], "--resume"),
            (["--mqtt-out", "t"], "--mqtt-out needs --mqtt"),
            (["--mqtt", "localhost/t", "--mqtt-qos", "2"], "--mqtt-qos"),
        ]
        for arguments, expected in cases:
            with self.subTest(arguments):
                self.coil("stream", "-m", self.model, *arguments, code=2, input=b"")
                self.assertIn(expected, self.stderr)
