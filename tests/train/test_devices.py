"""The circuit solver compared with ngspice on every device, and with nodal analysis; its operating point, and its
resampling."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import common  # noqa: F401
import numpy as np

from preset import sound

CIRCUIT = os.environ["COIL_CIRCUIT"]
DEVICES = sorted((common.ROOT / "train/circuits/devices").glob("*.net"))
BOUND_DB = -80
FINE_HZ = 3.072e6
# The errors of both solvers accumulate over the lead preamp's stages; the tape's bias has 96 kHz.
FINER_HZ = {"lead_preamp": 6.144e6, "tape": 12.288e6}


def decibels(error, reference):
    return 10 * np.log10((error**2).sum() / (reference**2).sum())


def against_ngspice(netlist, volts, hertz, seconds, rate, settings=()):
    with tempfile.TemporaryDirectory() as folder:
        deck, ours = pathlib.Path(folder, "deck.cir"), pathlib.Path(folder, "ours.f64")
        options = [part for setting in settings for part in ("--set", setting)]
        command = [
            CIRCUIT,
            "wave",
            netlist,
            ours,
            "--deck",
            deck,
            "--volts",
            volts,
            "--hz",
            hertz,
            "--seconds",
            seconds,
            "--rate",
            rate,
        ]
        subprocess.run([str(word) for word in command + options], check=True)
        run = subprocess.run(["ngspice", "-b", deck], cwd=folder, capture_output=True, text=True, timeout=120)
        result = pathlib.Path(f"{deck}.out")
        if not result.exists():
            raise RuntimeError(f"ngspice gave no result:\n{run.stdout}\n{run.stderr}")
        table = np.loadtxt(result)
        found = np.fromfile(ours)
    times, first = np.unique(table[:, 0], return_index=True)
    assert times[-1] > seconds * (1 - 1e-9), "ngspice stopped early"
    wanted = np.interp((np.arange(len(found)) + 1) / rate, times, table[first, 1])
    return decibels(found - wanted, wanted)


def overdrive_transfer(hertz, feedback, track):
    """Nodal analysis of the overdrive, with its diodes as conductances at the operating point; independent of the
    solver."""
    s = 2j * np.pi * hertz
    c_in = 510e3 / (1 / (s * 20e-9) + 1e3 + 510e3)
    c_buffer = 10e3 / (1 / (s * 1e-6) + 10e3)
    diode = 2 * 2.52e-9 / (1.752 * 1.380649e-23 * 300.15 / 1.602176634e-19)
    clip = 1 + 1 / (1 / feedback + s * 51e-12 + diode) / (4.7e3 + 1 / (s * 47e-9))
    plus, minus = 1 / (10 + track * 20e3), 1 / (10 + (1 - track) * 20e3)
    shunt = 1 / (220 + 1 / (s * 220e-9))
    # unknowns: op-amp input, wiper, op-amp output, level pot, output follower's input
    out, follower = 1 / (1e3 + 1 / (s * 1e-6)), s * 100e-9
    matrix = np.array(
        [
            [1e-3 + s * 220e-9 + 1 / 10e3 + plus, -plus, 0, 0, 0],
            [-plus - minus, plus + minus + shunt, 0, 0, 0],
            [1e-3 + minus, -minus, -1e-3, 0, 0],
            [0, 0, -out, out + 1 / 100e3 + follower, -follower],
            [0, 0, 0, -follower, follower + 1 / 510e3],
        ]
    )
    load = 10e3 / (10e3 + 100 + 1 / (s * 10e-6))
    return c_in * c_buffer * clip * np.linalg.solve(matrix, [1e-3, 0, 0, 0, 0])[4] * load


class Devices(unittest.TestCase):
    @unittest.skipUnless(shutil.which("ngspice"), "ngspice is not installed")
    def test_against_ngspice(self):
        self.assertGreater(len(DEVICES), 3)
        for netlist in DEVICES:
            with self.subTest(device=netlist.stem):
                agreement = against_ngspice(netlist, 0.3, 1000, 0.003, FINER_HZ.get(netlist.stem, FINE_HZ))
                print(f"ngspice, {netlist.stem}: {agreement:.1f} dB")
                self.assertLess(agreement, BOUND_DB)

    def test_rests(self):
        for netlist in DEVICES:
            with self.subTest(device=netlist.stem):
                info = json.loads(subprocess.run([CIRCUIT, "info", netlist], check=True, capture_output=True).stdout)
                self.assertLess(abs(info["rest_volts"]), 1e-4 * info["output_volts"])

    def test_knobs_and_small_signals(self):
        """The overdrive's pots and filters, including resampling: amplitude and phase within 0.4 %. Of these, 0.13 %
        at 15 kHz are the error of the trapezoidal rule at 16 x 48 kHz."""
        audio = lambda turn: ((1 / 0.15 - 1) ** (2 * turn) - 1) / ((1 / 0.15 - 1) ** 2 - 1)
        netlist = common.ROOT / "train/circuits/devices/green_overdrive.net"
        frames = np.arange(2 * sound.RATE_HZ)
        with tempfile.TemporaryDirectory() as folder:
            rows, wanted = ["wet,dry,drive,tone"], []
            for drive, tone in ((0, 0), (3, 6), (10, 10)):
                for hertz in (100, 1000, 5000, 15000):
                    name = f"{drive}_{hertz}"
                    wave = 2e-5 * np.sin(2 * np.pi * hertz * frames / sound.RATE_HZ)
                    sound.write(pathlib.Path(folder, f"dry_{name}.wav"), wave)
                    rows.append(f"wet_{name}.wav,dry_{name}.wav,{drive},{tone}")
                    turn = tone / 10
                    wanted.append(
                        overdrive_transfer(
                            hertz, 51e3 + 500e3 * (0.0005 + audio(drive / 10)), turn * turn * (3 - 2 * turn)
                        )
                        / 2
                    )
            table = pathlib.Path(folder, "table.csv")
            table.write_text("\n".join(rows) + "\n")
            subprocess.run([CIRCUIT, "render", netlist, table, "--threads", "2"], check=True, stdout=subprocess.DEVNULL)
            for row, transfer in zip(rows[1:], wanted):
                with self.subTest(row=row):
                    wet = sound.read(pathlib.Path(folder, row.split(",")[0]))[sound.RATE_HZ :][: sound.RATE_HZ // 10]
                    hertz = int(row.split(".")[0].split("_")[-1])
                    at = sound.RATE_HZ + np.arange(len(wet))
                    found = 2 * (wet * np.exp(-2j * np.pi * hertz * at / sound.RATE_HZ)).mean() / 2e-5 * 1j
                    self.assertLess(abs(found / transfer - 1), 0.004)

    def test_the_tape_s_bias(self):
        """Of 1 kHz: bias takes distortion away; a take begins and ends in silence."""
        netlist = common.ROOT / "train/circuits/devices/tape.net"
        frames, share = np.arange(sound.RATE_HZ // 5), {}
        wave = np.where(frames < 0.9 * len(frames), 0.5, 0) * np.sin(2 * np.pi * 1000 * frames / sound.RATE_HZ)
        with tempfile.TemporaryDirectory() as folder:
            sound.write(pathlib.Path(folder, "dry.wav"), np.concatenate([np.zeros(480), wave]))
            rows = [f"wet_{bias}.wav,dry.wav,5,{bias}" for bias in (0, 5, 10)]
            table = pathlib.Path(folder, "table.csv")
            table.write_text("\n".join(["wet,dry,drive,bias", *rows]) + "\n")
            subprocess.run([CIRCUIT, "render", netlist, table], check=True, stdout=subprocess.DEVNULL)
            for bias in (0, 5, 10):
                wet = sound.read(pathlib.Path(folder, f"wet_{bias}.wav"))
                self.assertLess(np.abs(wet[:400]).max(), 1e-6)
                self.assertLess(np.abs(wet[-100:]).max(), 2e-3)
                power = np.abs(np.fft.rfft(wet[2880:7680])) ** 2
                share[bias] = power[300] / power[100]
                self.assertLess(power[200] / power[100], 1e-8)
        print("tape, third harmonic by bias:", share)
        self.assertGreater(share[0], 1.5 * share[5])
        self.assertGreater(share[5], 1.5 * share[10])

    def test_dry_sound_at_half_speed(self):
        """A tone of 300 Hz becomes one of 150 Hz; without the option nothing changes."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            sound.write(folder / "tone.wav", 0.5 * np.sin(2 * np.pi * 300 * np.arange(sound.RATE_HZ) / sound.RATE_HZ))
            command = [CIRCUIT, "dry", folder, "--recordings", folder / "tone.wav", "--recorded-share", 1]
            for share, hertz in ((0, 300), (1, 150)):
                options = [*command, "--seconds", 0.5, "--half-speed-share", share]
                subprocess.run([str(word) for word in options], check=True)
                spectrum = np.abs(np.fft.rfft(sound.read(folder / "dry_001.wav")))
                self.assertEqual(spectrum.argmax(), hertz // 2)

    def test_a_netlist_that_is_wrong(self):
        for text, word in (
            ("R one in 0 4.7q\n", "4.7q"),
            ("pot p in out 0 10k linear volume\n", "volume"),
            ("triode t out in 0 el84\n", "el84"),
            ("valve v in out\n", "valve"), ("R one in a 1k\n", "'out'"),
        ):  # fmt: skip
            with self.subTest(text=text), tempfile.TemporaryDirectory() as folder:
                netlist = pathlib.Path(folder, "device.net")
                netlist.write_text(text)
                run = subprocess.run([CIRCUIT, "info", netlist], capture_output=True, text=True)
                self.assertEqual(run.returncode, 1)
                self.assertIn(word, run.stderr)
