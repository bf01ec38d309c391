"""`coil capture amp.nam`: captures of other programs become models with their metadata on the card; unusable ones
cause errors.

"""

import json
import pathlib
import signal
import subprocess

from support import COIL, CoilTest, Wav, noise, sine, write_wav

FOLDER = pathlib.Path(__file__).parent.parent / "capture" / "teachers"


class Teachers(CoilTest):
    def convert(self, name, *arguments, **options):
        return self.coil(
            "capture", name, "-o", "amp.safetensors", "--quality", "lite", "--threads", "1", *arguments, **options
        )

    def given(self, name, change=lambda file: None, new_name=None):
        file = json.loads((FOLDER / name).read_text())
        change(file)
        path = self.path(new_name or name)
        path.write_text(json.dumps(file))
        return path.name

    def info(self):
        return json.loads(self.coil("info", "./amp.safetensors", "--json"))

    def test_nam_becomes_a_model_with_a_card(self):
        self.given("a1_wavenet.nam")
        result = json.loads(self.convert("a1_wavenet.nam", "--million-frames", "8", "--json", "-q"))
        self.assertLess(result["esr_held_out"], 0.2)
        self.assertIn("a1_wavenet.nam", self.path("amp.html").read_text())
        self.assertIn("names no licence", self.stderr)
        self.assertRegex(self.stderr, r"gives a constant of -?0\.\d+ \(-\d+ dBFS\) in silence")
        card = self.info()["card"]
        self.assertEqual(card["name"], "Test amp")
        self.assertEqual(card["licence"], "none given in a1_wavenet.nam")
        source = card["source"]
        report = self.path("amp.html").read_text()
        cost = source["estimated_ns_per_sample"]
        self.assertRegex(report, rf"a1_wavenet.nam, estimated</t[dh]><td[^>]*>{cost:.0f}</td>")
        self.assertIn("<strong>no limit</strong>", report)
        self.assertEqual(
            (source["file"], source["program"], source["architecture"], source["version"]),
            ("a1_wavenet.nam", "Neural Amp Modeler", "WaveNet", "0.5.4"),
        )
        self.assertEqual((source["input_level_dbu"], source["output_level_dbu"]), (18.3, 12.3))
        self.assertEqual(source["metadata"]["modeled_by"], "make_teachers.py")
        self.assertEqual(source["metadata"]["loudness"], -20)
        write_wav(self.path("silence.wav"), [[0.0] * 4800])
        self.coil("process", "silence.wav", "-o", "out.wav", "-m", "./amp.safetensors")
        self.assertEqual(set(Wav(self.path("out.wav")).channels[0]), {0.0})

    def test_model_plays_what_the_capture_plays(self):
        # A plain filter with known output: minus half the mean of the last two frames, plus a constant.
        def filter_of_two(file):
            file["config"]["receptive_field"] = 2
            file["weights"] = [-0.25, -0.25, 0.25]

        self.given("linear.nam", filter_of_two, "filter.nam")
        dry = [a + b for a, b in zip(noise(9600, 1, 0.1), sine(9600, 440, 48000, 0.3))]
        write_wav(self.path("dry.wav"), [dry])
        result = json.loads(
            self.convert("filter.nam", "--million-frames", "8", "-q", "--no-report", "--json", "--test-dry", "dry.wav")
        )
        self.assertIn("a constant of 0.25 (-12 dBFS) in silence", self.stderr)
        dry = [a + b for a, b in zip(noise(9600, 1, 0.1), sine(9600, 440, 48000, 0.3))]
        write_wav(self.path("dry.wav"), [dry])
        self.coil("process", "dry.wav", "-o", "wet.wav", "-m", "./amp.safetensors")
        wanted = [-(a + b) / 4 for a, b in zip(dry, [0.0] + dry)]
        error = sum((a - b) ** 2 for a, b in zip(Wav(self.path("wet.wav")).channels[0], wanted))
        self.assertLess(error / sum(x * x for x in wanted), 0.05)
        self.assertAlmostEqual(error / sum(x * x for x in wanted), result["esr_test"][0], delta=1e-5)

    def test_aida_keeps_rate_and_licence_and_plays_further_sound(self):
        self.given("aida_lstm.json")
        write_wav(self.path("more.wav"), [noise(24000, 2)], rate=24000)
        self.convert(
            "aida_lstm.json", "--million-frames", "0.5", "-q", "--no-report", "--dry", "more.wav", "--name", "Mine"
        )
        self.assertIn("its licence is CC0; see that it allows", self.stderr)
        info = self.info()
        self.assertEqual(info["card"]["sample_rate"], 44100)
        self.assertEqual(info["card"]["licence"], "CC0")
        self.assertEqual(info["card"]["name"], "Mine")

    def test_knob_becomes_a_knob(self):
        self.given("proteus_knob.json")
        self.convert("proteus_knob.json", "--million-frames", "1", "-q", "--no-report")
        self.assertEqual([control["name"] for control in self.info()["card"]["controls"]], ["gain"])
        write_wav(self.path("dry.wav"), [sine(4800, 200, 44100)], rate=44100)
        for gain in (0, 1):
            self.coil("process", "dry.wav", "-o", f"out{gain}.wav", "-m", "./amp.safetensors", "--set", f"gain={gain}")
        self.assertNotEqual(Wav(self.path("out0.wav")).channels, Wav(self.path("out1.wav")).channels)

    def test_short_trainings_choose_the_size_unless_it_is_named(self):
        self.given("lstm.nam")
        arguments = ("capture", "lstm.nam", "-o", "amp.safetensors", "--threads", "1", "--no-report")
        self.coil(*arguments, "--million-frames", "400", "--target-esr", "0.5")
        self.assertRegex(self.stderr, r"size 8 x \d x \d; held-out ESR of short trainings: 8 x 1 x 1 [0-9.e-]+")
        said = self.stderr
        info = self.info()
        size = info["card"]["training"]["size"]
        self.assertIn(f"size {size}; held-out", said)
        self.assertIn(size, ("8 x 1 x 1", "8 x 1 x 4", "8 x 4 x 6"))
        self.assertIn("8 x 1 x 1 ", info["card"]["training"]["sizes_tried"])
        share = info["card"]["source"]["estimated_cost_share"]
        self.assertAlmostEqual(share, {"8 x 1 x 1": 0.251, "8 x 1 x 4": 0.522, "8 x 4 x 6": 1.128}[size], delta=0.01)
        for more in (("--quality", "lite", "--million-frames", "400"), ("--million-frames", "3")):
            self.coil(*arguments, *more, "--target-esr", "0.9")
            self.assertNotIn("short trainings", self.stderr)
            self.assertNotIn("sizes_tried", self.info()["card"]["training"])
        self.assertEqual(self.info()["card"]["training"]["size"], "8 x 4 x 6")

    def test_a_stopped_conversion_goes_on_with_another_length(self):
        self.given("lstm.nam")
        arguments = ["capture", "lstm.nam", "-o", "amp.safetensors", "--threads", "1", "--no-report"]
        process = subprocess.Popen(
            [COIL, *arguments, "--million-frames", "100"], cwd=self.path("."), stderr=subprocess.PIPE
        )
        for line in process.stderr:
            if b"held-out ESR" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        # Of this length, the training would begin with trials, which choose a smaller size.
        self.coil(*arguments, "--million-frames", "400", "--resume", "--target-esr", "0.9")
        self.assertNotIn("short trainings", self.stderr)
        self.assertNotIn("beginning anew", self.stderr)
        self.assertEqual(self.info()["card"]["training"]["size"], "8 x 4 x 6")

    def test_check_describes_a_capture(self):
        self.given("container.nam")
        out = self.coil("capture", "--check", "container.nam").decode()
        self.assertIn("a capture for Neural Amp Modeler: SlimmableContainer, version 0.7.0, 48000 Hz, 0 knobs", out)
        self.assertIn("it holds 2 sizes of a network; the largest is played", out)

    def test_what_cannot_be_converted(self):
        self.given("lstm.nam")
        write_wav(self.path("wet.wav"), [[0.1] * 100])
        self.path("text.nam").write_text("not json")
        self.path("other.json").write_text("{}")
        for name, change in (
            ("architecture.nam", lambda file: file.update(architecture="CatWaveNet")),
            ("version.nam", lambda file: file.update(version="2.0.0")),
            ("cut.nam", lambda file: file["weights"].pop()),
            ("longer.nam", lambda file: file["weights"].append(1)),
            ("huge.nam", lambda file: file.update(weights=[1e30] * len(file["weights"]))),
        ):
            self.given("lstm.nam", change, name)
        for arguments, code, words in (
            (["gone.nam"], 1, "'gone.nam' cannot be opened"),
            (["text.nam"], 1, "'text.nam' is not valid JSON"),
            (["other.json"], 1, "'other.json' is not a capture that Coil knows"),
            (["architecture.nam"], 1, "'architecture.nam'.architecture 'CatWaveNet' is not known; WaveNet, LSTM"),
            (["version.nam"], 1, "must be from 0.5.0 to 0.7.x, found '2.0.0'"),
            (["cut.nam"], 1, "has 108 weights; its layers need more"),
            (["longer.nam"], 1, "has 110 weights; its layers need 109"),
            (["huge.nam"], 1, "gives values beyond any sound"),
            (["lstm.nam", "wet.wav"], 2, "plays by itself; further sound to play is given by --dry"),
            (["wet.wav", "wet.wav", "--dry", "wet.wav"], 2, "--dry is for a capture of another program"),
            (["wet.wav", "wet.wav", "--test-dry", "wet.wav"], 2, "--test-dry is for a capture of another program"),
            (["lstm.nam", "--table", "knobs.csv"], 2, "either a dry and a wet recording are needed, or a capture"),
            (["lstm.nam", "--dry", "gone.wav"], 1, "gone.wav"),
        ):
            with self.subTest(arguments):
                self.convert(*arguments, "-q", code=code)
                self.assertIn(words, self.stderr)
                self.assertFalse(self.path("amp.safetensors").exists())
