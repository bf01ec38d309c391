"""A real DAW plays and exports a session with the plugin on a real recording, with the same sound as `coil process`."""

import array
import math
import os
import pathlib
import subprocess
import tempfile
import unittest

from session_file import coil_state, put_in

COIL, BUNDLE = os.environ["COIL"], pathlib.Path(os.environ["VST3_BUNDLE"]).resolve()
PROJECT = pathlib.Path(__file__).resolve().parents[3]
RECORDING = PROJECT / "assets" / "guitar_slide_lead.flac"
MODEL = PROJECT / "presets" / "green_overdrive.safetensors"
ARDOUR = pathlib.Path("/usr/lib/ardour7")
# Ardour 7.3 mixes with AVX-512 where the CPU has it, and writes up to 8 samples beyond the end of a buffer (upstream
# commit d023ea0d77, in Ardour 8.5, mends it). Its own switch restricts it to SSE2: flush to zero, denormals are zero,
# SSE, SSE2 are bits 0 to 3.
SSE2_ONLY = "15"


def floats(wav):
    """The samples of a float WAV file."""
    data = wav.read_bytes()
    at = data.index(b"data")
    samples = array.array("f")
    samples.frombytes(data[at + 8 : at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")])
    return samples


def difference_db(found, expected):
    """The energy of the difference, relative to the energy of the expected signal."""
    error = math.fsum((a - b) ** 2 for a, b in zip(found, expected))
    return 10 * math.log10(max(error, 1e-30) / math.fsum(b * b for b in expected))


class Ardour(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / ".vst3").mkdir()
        (self.folder / ".vst3" / BUNDLE.name).symlink_to(BUNDLE)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LD_LIBRARY_PATH": str(ARDOUR),
            "ARDOUR_DLL_PATH": str(ARDOUR),
            "ARDOUR_DATA_PATH": "/usr/share/ardour7",
            "ARDOUR_CONFIG_PATH": "/etc/ardour7",
            "ARDOUR_FPU_FLAGS": SSE2_ONLY,
        }

    def run_program(self, *arguments, seconds=120):
        result = subprocess.run(
            [str(a) for a in arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def export(self, wav, rate, frames, state):
        """Ardour's export of a session with `wav` on its track."""
        self.run_program(ARDOUR / "ardour-vst3-scanner", "-f", "-q", self.folder / ".vst3" / BUNDLE.name)
        session = self.folder / str(rate) / "take"
        session.parent.mkdir()
        log = self.run_program(
            "ardour7-lua", pathlib.Path(__file__).with_name("make_session.lua"), session, "take", rate
        )
        self.assertTrue((session / "take.ardour").exists(), log)
        put_in(session, "take", wav, rate, frames, state)
        exported = self.folder / f"exported_{rate}.wav"
        self.run_export(exported, session)
        return floats(exported)

    def run_export(self, exported, session):
        """Ardour sometimes locks up before the first sample (its butler thread and its main thread wait for each other
        in Session::start_audio_export, in 5 of 180 exports on a busy machine). Only that is tried again."""
        for _ in range(3):
            try:
                self.run_program("ardour7-export", "-b", "float", "-o", exported, session, "take", seconds=60)
                return
            except subprocess.TimeoutExpired:
                if exported.exists():
                    self.assertLess(exported.stat().st_size, 1000, "the export stopped in the middle")
                    exported.unlink()
                print("Ardour locked up before the export began")
        self.fail("Ardour locked up before the export began, three times")

    def compare(self, rate, most_db):
        knobs = {"drive": 7, "tone": 6, "level": -3}
        wav, processed = self.folder / f"in_{rate}.wav", self.folder / f"out_{rate}.wav"
        self.run_program(
            "sox", RECORDING, "-c", "2", "-e", "float", "-b", "32", "-r", rate, wav, "remix", "1", "1v0.3", "gain", "-1"
        )
        self.run_program(
            COIL,
            "process",
            wav,
            "-o",
            processed,
            "-m",
            MODEL,
            *[f"--set={name}={value}" for name, value in knobs.items()],
        )
        expected = floats(processed)
        found = self.export(wav, rate, len(expected) // 2, coil_state(MODEL, knobs, {"normalise": 0}))
        self.assertEqual(len(found), len(expected))
        difference = difference_db(found, expected)
        print(f"Ardour at {rate} Hz against coil process: {difference:.1f} dB")
        self.assertLess(difference, most_db)

    def test_at_the_models_rate(self):
        self.compare(48000, -100)

    def test_at_another_rate_with_the_plugins_latency_made_up_for(self):
        self.compare(44100, -60)
