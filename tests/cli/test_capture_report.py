"""The report beside a captured model: one self-contained page, with the figures of `coil process`."""

import base64
import html.parser
import json
import os
import struct

import numpy as np

from support import CoilTest, Wav, write_wav
from test_capture import device

RATE = 48000
VOID = {"meta", "br", "hr", "img", "input", "link"}
SHAPES = {"rect", "circle", "polyline", "polygon"}


class Page(html.parser.HTMLParser):
    """Collects text by the id of its element, and all elements; raises if tags are not closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.elements, self.texts = [], {}, [], {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if "id" in attributes:
            assert attributes["id"] not in self.ids, f"two elements have the id {attributes['id']}"
            self.ids[attributes["id"]] = tag
        if tag not in VOID:
            self.open.append((tag, attributes.get("id")))

    def handle_startendtag(self, tag, attributes):
        assert tag in SHAPES, f"<{tag}/> does not close in HTML"
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        for _, name in self.open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def number(text):
    return float(text.replace("\u2212", "-").removesuffix(" dB"))


class CaptureReport(CoilTest):
    def write_pair(self, dry_name, wet_name, seed=1, frames=96000, drive=4.0, pad=0):
        dry, wet = device(seed, frames, drive)
        write_wav(self.path(dry_name), [dry + [0.0] * pad])
        write_wav(self.path(wet_name), [wet + [0.0] * pad])

    def capture(self, *arguments, code=0):
        return self.coil("capture", *arguments, "--quality", "lite", "--threads", "1", "-q", code=code)

    def page(self, name):
        text = self.path(name).read_text()
        self.assertLess(len(text), 3_000_000)
        for word in ("http", "url(", "@import", "src=\"/", "<link"):
            self.assertNotIn(word, text)
        page = Page(text)
        page.figures = json.loads(page.texts["figures"])
        return page

    def run_model(self, dry, *arguments):
        self.coil("process", dry, "-o", "out.wav", "-m", "./amp.safetensors", *arguments)
        return np.array(Wav(self.path("out.wav")).channels[0])

    def assert_printed(self, text, value):
        """Checks that `text` shows `value` with three significant digits; the last may be rounded either way."""
        self.assertLess(abs(float(text) - value), 0.6 * 10.0 ** (np.floor(np.log10(value)) - 2))

    def test_figures_are_those_of_the_program(self):
        self.write_pair("dry.wav", "wet.wav", frames=144000)
        self.capture("dry.wav", "wet.wav", "-o", "amp.safetensors", "--million-frames", "6")
        page = self.page("amp.html")
        wet, dry = np.array(Wav(self.path("wet.wav")).channels[0]), np.array(Wav(self.path("dry.wav")).channels[0])
        model = self.run_model("dry.wav")
        error, figures = model - wet, page.figures
        parts = [slice(part["begin"], part["end"]) for part in figures["held_out"]]
        self.assertTrue(parts)
        esr = sum((error[p] ** 2).sum() for p in parts) / sum((wet[p] ** 2).sum() for p in parts)
        self.assert_printed(page.texts["esr"], esr)
        self.assertAlmostEqual(number(page.texts["esr-db"]), 10 * np.log10(esr), delta=0.051)
        self.assert_printed(page.texts["esr-all"], (error**2).sum() / (wet**2).sum())
        self.assertIn(f"ESR {page.texts['esr']}", page.texts["verdict"])
        for part, span in zip(figures["held_out"], parts):
            self.assertAlmostEqual(part["esr"] / ((error[span] ** 2).sum() / (wet[span] ** 2).sum()), 1, delta=1e-3)
        self.check_levels(figures, dry, wet, error)
        self.check_bands(figures, wet, error, parts)
        self.check_aliasing(figures)
        info = json.loads(self.coil("info", "amp.safetensors", "--json"))
        self.assertEqual(figures["multiply_adds"], info["macs_per_step"])
        self.assertGreater(figures["ns_per_sample"], 1)
        self.assertIn("508", page.texts["cost"])

    def check_levels(self, figures, dry, wet, error):
        count = len(dry) // 960
        pieces = [x[: 960 * count].reshape(count, 960) for x in (dry, wet, error)]
        db = 10 * np.log10((pieces[0] ** 2).mean(1) + 1e-30)
        for level in figures["levels"]:
            here = (db >= level["low_dbfs"]) & (db < level["high_dbfs"])
            self.assertAlmostEqual(
                level["esr_all"] / ((pieces[2][here] ** 2).sum() / (pieces[1][here] ** 2).sum()), 1, delta=1e-3
            )
        self.assertGreater(len(figures["levels"]), 2)

    def check_bands(self, figures, wet, error, parts):
        size = 8192
        window = np.hanning(size + 1)[:size]
        power = {}
        for name, sound in (("wet", wet), ("error", error)):
            power[name] = sum(
                np.abs(np.fft.rfft(window * sound[at : at + size])) ** 2
                for p in parts
                for at in range(p.start, p.stop - size + 1, size // 2)
            )
        hz = np.arange(size // 2 + 1) * RATE / size
        self.assertGreater(len(figures["bands"]), 20)
        for band in figures["bands"]:
            here = (hz >= band["hz"] * 2 ** (-1 / 6)) & (hz < band["hz"] * 2 ** (1 / 6))
            for name in power:
                self.assertAlmostEqual(
                    band[name + "_db"], 10 * np.log10(power[name][here].sum() / power["wet"].sum()), delta=0.02
                )

    def check_aliasing(self, figures):
        self.assertEqual([round(a["hz"], -2) for a in figures["aliasing"]], [1200, 2500, 5000])
        for aliasing in figures["aliasing"]:
            size, settle = 16384, RATE // 2
            gain = 10 ** (aliasing["level_dbfs"] / 20)
            write_wav(
                self.path("sine.wav"),
                [list(gain * np.sin(2 * np.pi * aliasing["hz"] / RATE * np.arange(settle + size)))],
            )
            power = np.abs(np.fft.rfft(np.hanning(size + 1)[:size] * self.run_model("sine.wav")[settle:])) ** 2
            power[:2] = 0  # a constant
            on = (np.arange(len(power)) + 1) % round(aliasing["hz"] * size / RATE) <= 2
            self.assertAlmostEqual(
                aliasing["off_harmonics_db"], 10 * np.log10(power[~on].sum() / power.sum()), delta=0.3
            )

    def test_page_stands_by_itself_and_can_be_read_without_eyes(self):
        self.write_pair("dry.wav", "wet.wav", pad=48000)
        self.capture("dry.wav", "wet.wav", "-o", "amp.safetensors", "--million-frames", "1")
        page = self.page("amp.html")
        drawings = page.all("svg")
        self.assertGreaterEqual(len(drawings), 7)
        for drawing in drawings:
            self.assertEqual(drawing["role"], "img")
            for name in drawing["aria-labelledby"].split():
                self.assertIn(page.ids[name], ("title", "desc"))
                self.assertTrue(page.texts[name].strip())
        for section in ("listen", "error", "harmonics", "recordings", "training", "cost"):
            self.assertEqual(page.ids[section], "section")
        self.assertNotIn("knobs", page.ids)
        self.assertIn("standard", page.texts["cost"])
        players = page.all("audio")
        self.assertIn(len(players), (3, 6))
        for player in players:
            self.assertIn(player["aria-label"], ("Dry", "Device", "Model"))
            sound = Wav(base64.b64decode(player["src"].removeprefix("data:audio/wav;base64,"), validate=True))
            self.assertEqual((sound.rate, sound.bits, sound.frames, sound.is_float), (RATE, 16, 120000, False))
            self.assertLess(max(map(abs, sound.channels[0])), 0.71 * 32768)
            if player["aria-label"] != "Model":
                self.assertGreater(max(map(abs, sound.channels[0])), 300)

    def test_names_of_any_kind_are_shown_as_text(self):
        wet = b"wet <b>&'\"\xff.wav"
        self.write_pair("dry <script>.wav", "wet.wav")
        os.rename(self.path("wet.wav"), os.path.join(os.fsencode(self.folder), wet))
        self.coil(
            "capture",
            "dry <script>.wav",
            os.fsdecode(wet),
            "-o",
            "amp <i>.safetensors",
            "--quality",
            "lite",
            "--million-frames",
            "1",
            "--licence",
            "</style><u>",
        )
        page = self.page("amp <i>.html")
        self.assertIn("wet <b>&'\"\ufffd.wav", page.texts["recordings"])
        self.assertIn("amp <i>", page.texts["verdict"] + "".join(page.texts.values()))
        self.assertFalse({"b", "i", "u"} & {tag for tag, attributes in page.elements if "class" not in attributes})
        self.assertEqual(len(page.all("script")), 2)
        self.coil("info", "./amp <i>.safetensors")

    def test_knobs_have_a_map_and_their_gaps(self):
        rows = ["wet,dry,drive,tone"]
        for i, (drive, tone) in enumerate(((1, 0), (2, 1), (4, 0), (3, 1))):
            self.write_pair(f"dry{i}.wav", f"wet{i}.wav", i, 50000, drive)
            rows.append(f"wet{i}.wav,dry{i}.wav,{drive},{tone}")
        self.path("knobs.csv").write_text("\n".join(rows) + "\n")
        self.capture("--table", "knobs.csv", "-o", "amp.safetensors", "--million-frames", "1")
        page = self.page("amp.html")
        self.assertEqual(page.ids["knob-map"], "svg")
        self.assertIn("drive 4, tone 0", page.texts["knobs"])
        self.assertIn("tone was not recorded between 0 and 1", page.texts["knobs"])
        for i, (drive, tone) in enumerate(((1, 0), (2, 1), (4, 0), (3, 1))):
            self.assertEqual(page.figures["takes"][i]["controls"], [drive, tone])
            model = self.run_model(f"dry{i}.wav", "--set", f"drive={drive}", "--set", f"tone={tone}")
            wet = np.array(Wav(self.path(f"wet{i}.wav")).channels[0])
            found = ((model - wet) ** 2).sum() / (wet**2).sum()
            self.assertAlmostEqual(page.figures["takes"][i]["esr_all"] / found, 1, delta=1e-3)

    def test_findings_and_the_best_that_can_be_reached(self):
        dry, wet = device(1, 96000)
        rng = np.random.default_rng(1)
        wet = -np.clip(np.concatenate([np.zeros(960), wet, np.zeros(96000)]), -0.2, 0.2) + 1e-3 * rng.standard_normal(
            96000 * 2 + 960
        )
        write_wav(self.path("dry.wav"), [dry + [0.0] * 96000])
        write_wav(self.path("wet.wav"), [list(wet)])
        self.capture("dry.wav", "wet.wav", "-o", "amp.safetensors", "--million-frames", "1")
        page = self.page("amp.html")
        self.assertIn("inverted, turned", page.texts["recordings"])
        self.assertRegex(page.texts["recordings"], r"(19\.9|20\.0)\d ms")
        self.assertIn("noise is", page.texts["recordings"])
        self.assertAlmostEqual(
            page.figures["reachable_esr"], 1e-6 / (wet**2).mean(), delta=0.3e-6 / (wet**2).mean()
        )

    def test_where_the_report_goes(self):
        self.write_pair("dry.wav", "wet.wav", frames=60000)
        train = ("dry.wav", "wet.wav", "-o", "amp.safetensors", "--million-frames", "0.5")
        self.assertIn(b"Report: amp.html", self.capture(*train))
        self.assertIn(b"Report: amp.html", self.capture(*train))  # a report may be replaced
        self.path("amp.html").write_text("<p>mine</p>")
        out = self.capture(*train)
        self.assertNotIn(b"Report", out)
        self.assertIn(b"held-out ESR", out)
        self.assertIn("'amp.html' exists and is not a report", self.stderr)
        self.assertEqual(self.path("amp.html").read_text(), "<p>mine</p>")
        result = json.loads(self.capture(*train, "--report", "other.html", "--json"))
        self.assertEqual(result["report"], "other.html")
        self.assertIn(result["verdict"], self.page("other.html").texts["verdict"])
        self.path("other.html").unlink()
        self.assertIsNone(json.loads(self.capture(*train, "--no-report", "--json"))["report"])
        self.assertFalse(self.path("other.html").exists())
        for arguments, words in (
            (("--report", "a.html", "--no-report"), "exclude each other"),
            (("--report", "no/a.html"), "there is no folder"),
            (("--report", "amp.safetensors"), "cannot both be"),
        ):
            self.capture(*train, *arguments, code=2)
            self.assertIn(words, self.stderr)
        self.assertEqual([p.name for p in self.path(".").iterdir() if p.name.startswith(".")], [])

    def test_curve_goes_on_after_a_training_that_ended_early(self):
        self.write_pair("dry.wav", "wet.wav", frames=60000)
        self.capture("dry.wav", "wet.wav", "-o", "amp.safetensors", "--million-frames", "2", "--no-report")
        whole = json.loads(
            self.capture("dry.wav", "wet.wav", "-o", "whole.safetensors", "--million-frames", "4", "--json")
        )
        frames = [point["frames"] for point in self.page("whole.html").figures["curve"]]
        self.assertEqual(frames, sorted(frames))
        self.assertEqual(frames[-1], whole["million_frames"] * 1e6)
        self.assertEqual(min(point["esr"] for point in self.page("whole.html").figures["curve"]), whole["esr_held_out"])
