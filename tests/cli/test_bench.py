"""`coil bench` and `coil bench live`: the form of their reports, not the speed of this machine."""

import json
import pathlib
import signal
import struct
import subprocess

from support import COIL, CoilTest, write_filter_model, write_forecaster, write_matrix_model, write_wav

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
TASKS = pathlib.Path(__file__).resolve().parents[2] / "presets" / "tasks"


def write_with_task(path, task):
    """The model of induction heads with another task in its card."""
    data = (TASKS / "induction_mamba2.safetensors").read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    card = json.loads(header["__metadata__"]["card"])
    card["task"] = task
    header["__metadata__"]["card"] = json.dumps(card)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[end:])


class Bench(CoilTest):
    def fails(self, code, words, *arguments):
        self.coil("bench", *arguments, code=code)
        self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
        for word in words:
            self.assertIn(word, self.stderr)

    def test_parity_lasts_in_mamba3_and_not_in_mamba2(self):
        models = [TASKS / "parity_mamba3.safetensors", TASKS / "parity_mamba2.safetensors"]
        report = json.loads(self.coil("bench", "tasks", *models, "--steps", 65536, "--json"))
        lasting, short = (model["lengths"] for model in report)
        self.assertEqual(sum(row["steps"] for row in lasting), 65536)
        self.assertEqual([row["until"] for row in lasting], [64, 256, 1024, 4096, 16384, 65536])
        self.assertEqual([row["right"] for row in lasting], [1.0] * len(lasting))
        for row in short[2:]:
            self.assertLess(row["right"], 0.6)  # half is chance; of 768 answers and more

    def test_induction_lasts(self):
        report = self.coil("bench", "tasks", TASKS / "induction_mamba2.safetensors", "--steps", 65536, "--json")
        rows = json.loads(report)[0]["lengths"]
        self.assertEqual([row["until"] for row in rows], [2**i for i in range(6, 17)])
        self.assertEqual([row["right"] for row in rows], [1.0] * len(rows))

    def test_tasks_take_models_of_tasks(self):
        write_filter_model(self.path("filter.safetensors"))
        self.fails(3, ["filter.safetensors", '"task": "parity"', '"copying"'], "tasks", "filter.safetensors")

    def test_an_answer_to_another_task_is_wrong(self):
        write_with_task(self.path("other.safetensors"), "copying")
        rows = json.loads(self.coil("bench", "tasks", "other.safetensors", "--steps", 1024, "--json"))[0]["lengths"]
        self.assertEqual(rows[-1]["steps"], 16 * 32)
        self.assertLess(rows[-1]["right"], 0.3)  # 1 of 14 is chance

    def test_tasks_need_the_vocabulary_of_the_task(self):
        write_with_task(self.path("other.safetensors"), "parity")
        self.fails(3, ["other.safetensors", "parity", "3 tokens"], "tasks", "other.safetensors")

    def test_threads_change_speed_only(self):
        model = str(GOLDEN / "mamba2_lm_v97.safetensors")
        command = ["bench", model, "--blocks", "1,64", "--seconds", "0.01", "--threads", "3", "--json"]
        rows = json.loads(self.coil(*command))["models"][0]["blocks"]
        self.assertEqual([row["block"] for row in rows], [1, 64])
        tokens = ["generate", model, "--tokens", "1,2,3", "-n", "8"]
        self.assertEqual(self.coil(*tokens, "--threads", "3"), self.coil(*tokens))
        self.coil(*tokens, "--threads", "0", code=2)
        self.assertIn("--threads", self.stderr)

    def test_json(self):
        write_filter_model(self.path("filter.safetensors"))
        command = [
            "bench",
            "filter.safetensors",
            str(GOLDEN / "mamba2_lm_v97.safetensors"),
            "--target",
            "scalar",
            "--seconds",
            "0.01",
            "--json",
        ]
        report = json.loads(self.coil(*command))
        self.assertEqual(report["command"], " ".join(["coil", *command]))
        self.assertTrue(report["cpu"])
        self.assertGreater(report["cores"], 0)
        self.assertRegex(report["date"], r"^\d{4}-\d\d-\d\d$")
        (target,) = report["targets"]
        self.assertEqual(target["target"], "SCALAR")
        filter_model, token_model = report["models"]
        self.assertEqual((filter_model["input"], token_model["input"]), ("frames", "token ids"))
        self.assertEqual([block["block"] for block in filter_model["blocks"]], [1, 16, 64, 256, 1000])
        self.assertEqual([block["block"] for block in token_model["blocks"]], [1, 64])
        for model in report["models"]:
            floor = model["macs_per_step"] * target["mac_ns"] + model["exps_per_step"] * target["exp_ns"]
            self.assertAlmostEqual(model["blocks"][0]["floor_ns"], floor)
            for block in model["blocks"]:
                self.assertGreater(block["best_ns_per_frame"], 0)
                self.assertLessEqual(block["best_ns_per_frame"], block["ns_per_frame"])
                self.assertGreater(block["of_floor"], 0)
                self.assertAlmostEqual(block["of_floor"] * block["ns_per_frame"], block["floor_ns"])
                self.assertEqual((block["arithmetic_floor_ns"], block["memory_floor_ns"]), (block["floor_ns"], 0))
        one, prefill = token_model["blocks"]
        self.assertLess(prefill["floor_ns"], one["floor_ns"])
        for block in filter_model["blocks"]:
            self.assertAlmostEqual(block["x_realtime"] * 48000, block["frames_per_s"], places=3)
            self.assertEqual(block["instances_per_core"], int(block["x_realtime"]))
        self.assertIsNone(token_model["blocks"][0]["x_realtime"])

    def test_text(self):
        text = self.coil(
            "bench",
            "--blocks",
            "7,1",
            "identity.safetensors",
            GOLDEN / "mamba1_lm_v97_tied.safetensors",
            "--seconds",
            "0.01",
            "--target",
            "all",
        ).decode()
        for words in ("identity", "mamba1_lm_v97_tied", "tokens/s", "x real time", "GMAC/s", "SCALAR"):
            self.assertIn(words, text)
        rows = [line.split("|") for line in text.splitlines() if line.startswith("| identity")]
        self.assertEqual([int(row[3]) for row in rows[:2]], [7, 1])

    def test_live_json(self):
        report = json.loads(
            self.coil("bench", "live", "identity.safetensors", "--seconds", "0.3", "--block", "64", "--json")
        )
        self.assertEqual((report["sample_rate_hz"], report["channels"], report["load_threads"]), (48000, 1, 0))
        for name in ("real_time_priority", "memory_locked"):
            self.assertIsInstance(report[name], bool)
        (block,) = report["blocks"]
        self.assertEqual((block["block_frames"], block["busy_wait"]), (64, False))
        self.assertAlmostEqual(block["deadline_us"], 64 / 0.048)
        self.assertLessEqual(block["blocks"], 0.3 * 48000 / 64 + 1)
        self.assertGreater(block["blocks"], 100)  # a busy machine drops some
        times = [block[name] for name in ("median_us", "p99_us", "p99_99_us", "worst_us")]
        self.assertGreater(times[0], 0)
        self.assertEqual(times, sorted(times))
        self.assertLessEqual(block["own_worst_us"], block["worst_us"])

    def test_live_as_another_host(self):
        write_matrix_model(self.path("stereo.safetensors"), [[1, 0], [0, 1]])
        write_wav(self.path("in.wav"), [[0.5] * 10])
        text = self.coil(
            "bench",
            "live",
            "stereo.safetensors",
            "--seconds",
            "0.05",
            "--block",
            "300",
            "--rate",
            "44100",
            "--input",
            "in.wav",
            "--load",
            "1",
        ).decode()
        for words in ("2 channels at 44100 Hz", "1 busy thread", "\n| 300 "):
            self.assertIn(words, text)

    def test_interrupted_live_reports_what_it_has(self):
        blocks = ["--block", "64", "--block", "256"] * 4
        process = subprocess.Popen(
            [COIL, "bench", "live", self.path("identity.safetensors"), "--seconds", "0.05", *blocks],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while not (line := process.stdout.readline()).startswith(b"| 64 "):
            self.assertTrue(line)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (130, b"coil: error: interrupted\n"))
        self.assertLess(len(rest.splitlines()), 7)

    def test_stream_json(self):
        write_forecaster(self.path("forecaster.safetensors"))
        report = json.loads(
            self.coil(
                "bench",
                "stream",
                "forecaster.safetensors",
                "--series",
                "30",
                "--threads",
                "1,2",
                "--burst",
                "1,8",
                "--forecast",
                "3",
                "--seconds",
                "0.02",
                "--json",
            )
        )
        self.assertEqual([(run["threads"], run["burst"]) for run in report["runs"]], [(1, 1), (1, 8), (2, 1), (2, 8)])
        for run in report["runs"]:
            for name in (
                "records_per_s",
                "cpu_us",
                "parse_us",
                "macs_per_s",
                "peak_macs_per_s",
                "state_bytes_per_s",
                "most_state_bytes_per_s",
            ):
                self.assertGreater(run[name], 0, name)
            self.assertLess(run["macs_per_s"], run["peak_macs_per_s"])
            self.assertLessEqual(run["p50_us"], run["p99_us"])
            own = ("own_p99_us", "longest_without_core_us", "longest_call_cpu_us", "longest_call_records")
            for name in (*own, "page_faults", "preemptions"):
                self.assertEqual(name in run, run["threads"] == 1, name)
            if run["threads"] == 1:
                self.assertGreater(run["longest_call_cpu_us"], 0)
                self.assertGreater(run["longest_call_records"], 0)
                self.assertGreaterEqual(run["page_faults"], 0)
            self.assertLessEqual(run["p99_us"], run["p99_9_us"])

    def test_errors(self):
        self.fails(2, ["MODEL", "bench --help"])
        self.fails(3, ["'missing'"], "missing")
        self.fails(3, ["'missing'"], "identity.safetensors", "missing")
        self.fails(2, ["'mmx'", "scalar"], "identity.safetensors", "--target", "mmx")
        self.fails(2, ["--blocks"], "identity.safetensors", "--blocks", "1,0")
        self.fails(2, ["model", "bench live --help"], "live")
        self.fails(3, ["'./live'"], "./live")
        self.fails(3, ["'missing'"], "live", "missing")
        self.fails(2, ["--block"], "live", "identity.safetensors", "--block", "0")
        self.fails(2, ["models"], "identity.safetensors", "live", "identity.safetensors")
        self.fails(2, ["--seconds"], "--seconds", "1", "live", "identity.safetensors")
        self.fails(2, ["--rate"], "live", "identity.safetensors", "--rate", "0")
        self.fails(1, ["missing.wav"], "live", "identity.safetensors", "--input", "missing.wav")
        self.fails(3, ["token"], "live", GOLDEN / "mamba2_lm_v97.safetensors")
        write_matrix_model(self.path("stereo.safetensors"), [[1, 0], [0, 1]])
        self.fails(2, ["2 channels", "has 1"], "live", "stereo.safetensors", "--channels", "1")

    def test_help(self):
        self.assertIn(b"live", self.coil("bench", "--help"))
        self.assertIn(b"--load", self.coil("bench", "live", "--help"))
