"""`coil stream --kafka` with librdkafka's mock cluster: workers start, stop and crash, and every record is answered
once.

"""

import collections
import json
import random
import threading
import time

from brokers import MockKafka, metric_of, metrics_port, needs_mock_kafka, records, stream, wait_until
from support import CoilTest, write_forecaster

PARTITIONS = 4


@needs_mock_kafka
class Kafka(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model)
        self.path("kafka.conf").write_text(
            "# quick, for a test\nsession.timeout.ms = 6000\nheartbeat.interval.ms=200\n"
        )
        self.kafka = MockKafka(self)

    def worker(self, *arguments):
        return stream(
            self,
            "--kafka",
            f"{self.kafka.brokers}/sensors",
            "--kafka-out",
            "results",
            "--kafka-config",
            "kafka.conf",
            "--key",
            "sensor",
            "--state",
            "state",
            *arguments,
        )

    def topics(self, partitions=PARTITIONS):
        self.kafka.topic("sensors", partitions)
        self.kafka.topic("results", partitions)

    def sensor_messages(self, per_sensor, seed=1):
        """For each partition, the randomly interleaved messages of two sensors."""
        rng = random.Random(seed)
        messages = {}
        for partition in range(PARTITIONS):
            queues = {f"s{partition}{i}": records(f"s{partition}{i}", per_sensor) for i in range(2)}
            mixed = []
            while any(queues.values()):
                key = rng.choice([key for key, queue in queues.items() if queue])
                mixed.append((key, queues[key].pop(0)))
            messages[partition] = mixed
        return messages

    def expected(self, messages, *arguments):
        """The output of an uninterrupted run over a pipe: (sensor, time) -> text."""
        texts = {}
        for partition, mixed in messages.items():
            lines = "".join(f"{text}\n" for _, text in mixed).encode()
            options = [word.format(partition) for word in arguments]
            for text in (
                self.coil("stream", "-m", self.model, "--key", "sensor", *options, input=lines).decode().splitlines()
            ):
                row = json.loads(text)
                texts[row["sensor"], row["time"]] = text
        return texts

    def check_results(self, messages, expected=None):
        expected = expected or self.expected(messages)
        rows = self.kafka.dump("results")
        doubled = [source for source, count in collections.Counter(row[3] for row in rows).items() if count > 1]
        self.assertEqual(doubled, [], "answered more than once")
        self.assertEqual(len(rows), len(expected), "not every record is answered")
        for partition, _, key, source, text in rows:
            topic, source_partition, offset = source.split("/")
            self.assertEqual((topic, int(source_partition)), ("sensors", partition))
            sensor, record = messages[partition][int(offset)]
            self.assertEqual(key, f"sensors/{sensor}")
            self.assertEqual(text, expected[sensor, json.loads(record)["time"]])

    def produce_slowly(self, messages, hurry):
        """A few at a time, until `hurry` is set."""
        begin = 0
        while begin < max(map(len, messages.values())):
            for partition, mixed in messages.items():
                self.kafka.produce("sensors", partition, mixed[begin : begin + 4])
            begin += 4
            hurry.wait(0.3)

    def end_of_results(self):
        return len(self.kafka.dump("results"))

    def test_one_worker(self):
        self.topics()
        messages = self.sensor_messages(per_sensor=150)
        worker = self.worker()
        for partition, mixed in messages.items():
            self.kafka.produce("sensors", partition, mixed)
        wait_until(lambda: self.end_of_results() >= 8 * 150, lambda: (self.end_of_results(), worker.err), 60)
        self.assertEqual(worker.stop(), 130, worker.err)
        self.check_results(messages)

    def test_two_workers_one_killed(self):
        self.topics()
        messages = self.sensor_messages(per_sensor=400)
        expected = self.expected(messages)
        arguments = ("--checkpoint-every", "1.5s")
        first = self.worker(*arguments)
        first.wait_for("assigned", count=PARTITIONS)
        hurry = threading.Event()
        producer = threading.Thread(target=self.produce_slowly, args=(messages, hurry), daemon=True)
        producer.start()
        second = self.worker(*arguments)
        second.wait_for("assigned", count=2, seconds=60)
        time.sleep(2)
        first.kill()
        at_kill = self.end_of_results()
        taken_over = len(second.err)
        second.wait_for("assigned", count=2 + PARTITIONS, seconds=60)
        third = self.worker(*arguments)
        third.wait_for("assigned", count=2, seconds=60)
        at_third = self.end_of_results()
        hurry.set()
        producer.join()
        wait_until(
            lambda: self.end_of_results() >= len(expected), lambda: (self.end_of_results(), second.err, third.err), 90
        )
        self.assertEqual((second.stop(), third.stop()), (130, 130), second.err + third.err)
        self.check_results(messages, expected)
        log = [
            f"  {name}: {line}"
            for name, worker in (("first", first), ("second", second), ("third", third))
            for line in worker.err
        ]
        print("\n" + "\n".join(log))
        self.assertTrue(
            0 < at_kill < at_third < len(expected),
            f"{at_kill} and {at_third}: the workers came and went in the midst of the records",
        )
        for line in second.err[taken_over:] + third.err:
            if "assigned" in line:
                self.assertIn("continues from its checkpoint", line)

    def test_killed_again_and_again(self):
        """Killed at random moments between rare checkpoints. The reorder window delays results, so that they are not
        in the order of offsets.

        """
        self.topics()
        rng = random.Random(5)
        messages = self.sensor_messages(per_sensor=400)
        expected = self.expected(messages, "--reorder", "2", "--state", "pipe{}")
        self.assertEqual(len(expected), 8 * 398)
        found = 0
        for kill in range(4):
            worker = self.worker("--reorder", "2", "--checkpoint-every", str(rng.choice([150, 500])))
            worker.wait_for("assigned", count=PARTITIONS, seconds=60)
            before = self.end_of_results()
            for partition, mixed in messages.items():
                self.kafka.produce("sensors", partition, mixed[kill * 180 : (kill + 1) * 180])
            aim = before + rng.randrange(200, 600)
            wait_until(lambda: self.end_of_results() >= aim, lambda: worker.err, 60)
            worker.kill()
            found += sum(int(line.split(", ")[1].split()[0]) for line in worker.err if "assigned" in line)
        for partition, mixed in messages.items():
            self.kafka.produce("sensors", partition, mixed[4 * 180 :])
        worker = self.worker("--reorder", "2")
        wait_until(lambda: self.end_of_results() >= len(expected), lambda: (self.end_of_results(), worker.err), 90)
        self.assertEqual(worker.stop(), 130, worker.err)
        self.check_results(messages, expected)
        self.assertGreater(found, 0, "the kills came at moments that prove nothing")

    def test_restart_after_clean_stop(self):
        self.topics()
        messages = self.sensor_messages(per_sensor=60)
        for partition, mixed in messages.items():
            self.kafka.produce("sensors", partition, mixed[:50])
        worker = self.worker()
        wait_until(lambda: self.end_of_results() == 50 * PARTITIONS, lambda: worker.err, 60)
        worker.stop()
        for partition, mixed in messages.items():
            self.kafka.produce("sensors", partition, mixed[50:])
        worker = self.worker("--metrics", "0")
        wait_until(lambda: self.end_of_results() >= 120 * PARTITIONS, lambda: worker.err, 60)
        self.assertEqual(
            metric_of(metrics_port(worker.err), "coil_stream_skipped_total"), 0, "it went on where the checkpoint says"
        )
        worker.stop()
        self.check_results(messages)

    def test_malformed_messages(self):
        self.topics(1)
        self.kafka.produce("sensors", 0, [("a", "{"), ("a", '{"sensor": "a", "value": 1}'), ("a", "")])
        worker = self.worker()
        wait_until(lambda: self.end_of_results() == 1, lambda: worker.err, 60)
        worker.wait_for("coil: warning: sensors[0] offset 0: invalid JSON")

    def test_fewer_result_partitions(self):
        self.kafka.topic("sensors", 4)
        self.kafka.topic("results", 2)
        worker = self.worker()
        self.assertEqual(worker.wait(), 1)
        self.assertIn("--kafka-out results: has 2 partitions and sensors has 4", worker.err[-1])

    def test_options(self):
        cases = [
            (["--kafka", "localhost:9092/t"], "--kafka needs --state"),
            (["--kafka", "localhost:9092", "--state", "s"], "expected brokers/topic"),
            (["--kafka", "localhost:9092/^t", "--state", "s"], "one topic"),
            (["--kafka-out", "t"], "--kafka-out needs --kafka"),
            (["--kafka", "b/t", "--state", "s", "--input-format", "csv"], "no header"),
        ]
        for arguments, expected in cases:
            with self.subTest(arguments):
                self.coil("stream", "-m", self.model, *arguments, code=2, input=b"")
                self.assertIn(expected, self.stderr)

    def test_configuration_file(self):
        self.topics(1)
        for text, expected in (
            ("no.such.property=1\n", "No such configuration property"),
            ("nonsense\n", "line 1: expected name=value"),
        ):
            self.path("kafka.conf").write_text(text)
            worker = self.worker()
            self.assertEqual(worker.wait(), 1)
            self.assertIn(expected, worker.err[-1])
