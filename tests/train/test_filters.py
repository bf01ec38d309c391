"""Filters of a netlist's values: against the solver, in the engine between networks, and made again to the bit."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import common
import numpy as np
import safetensors_file

from preset import chain, chain_file, netlist_filter, sound

COIL, CIRCUIT = os.environ["COIL"], os.environ["COIL_CIRCUIT"]
DEVICES = common.ROOT / "train/circuits/devices"
PULSE_FRAMES, PULSE = 16384, 1e-3
NOISE, LOW = 0.1 * np.random.default_rng(1).standard_normal(8192), ["distortion=2"]


def decibels(error, reference):
    return 10 * np.log10((np.abs(error) ** 2).sum() / (np.abs(reference) ** 2).sum())


class AgainstTheSolver(unittest.TestCase):
    def spectrum(self, netlist, settings, stage):
        """Small-signal response of the simulated circuit: pulses of both signs take even distortion away."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            dry = np.zeros(2 * PULSE_FRAMES)
            dry[[64, PULSE_FRAMES + 64]] = PULSE, -PULSE
            sound.write(folder / "dry.wav", dry)
            names = ",".join(["wet", "dry", *settings])
            values = ",".join(["wet.wav", "dry.wav", *(str(value) for value in settings.values())])
            (folder / "table.csv").write_text(f"{names}\n{values}\n")
            command = [CIRCUIT, "render", netlist, folder / "table.csv", *(["--stage", stage] if stage else [])]
            subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
            wet = sound.read(folder / "wet.wav")
        return np.fft.rfft((wet[:PULSE_FRAMES] - wet[PULSE_FRAMES:]) / 2)

    def test_the_response_is_that_of_the_small_signal(self):
        hz = np.fft.rfftfreq(PULSE_FRAMES, 1 / sound.RATE_HZ)
        bins = np.searchsorted(hz, np.geomspace(40, 8000, 40))
        cases = (
            ("crunch_preamp", {"bass": 9, "mid": 2, "treble": 7}, -40),
            ("hard_distortion", {"filter": 8}, -50),
            ("bass_preamp", {"bass": 8, "treble": 2}, -35),
        )
        for name, settings, bound_db in cases:
            with self.subTest(device=name):
                netlist = DEVICES / f"{name}.net"
                network, about = netlist_filter.Network(netlist), chain.settings_of(netlist)
                end = network.stages[about["to"]] if "to" in about else "out"
                start = network.stages[about["from"]]
                at = np.array([[settings[knob] for knob in about["knobs"]]], float)
                ohm = about.get("source_ohm", netlist_filter.NO_SOURCE_OHM)
                wanted = network.filter_response(at, about["knobs"], hz[bins], start, end, ohm)[0]
                found = self.spectrum(netlist, settings, about.get("to")) * network.volts[end]
                found /= self.spectrum(netlist, {}, about["from"]) * network.volts[start]
                self.assertLess(decibels(found[bins] - wanted, wanted), bound_db)

    def test_steep_units_follow_knobs_that_are_steep_at_their_ends(self):
        about = chain.settings_of(DEVICES / "bass_preamp.net")
        network = netlist_filter.Network(DEVICES / "bass_preamp.net")
        ends = network.stages[about["from"]], network.stages[about["to"]]
        fitted = netlist_filter.Filter(network, about, *ends)
        without = netlist_filter.Filter(network, {k: v for k, v in about.items() if k != "steepest"}, *ends)
        self.assertLess(fitted.error.mean(), 2e-4)
        self.assertLess(fitted.error.max(), 1e-3)
        self.assertGreater(without.error.mean(), 2 * fitted.error.mean())


class InTheEngine(unittest.TestCase):
    def make(self, folder, network="plain", steps=("tables", "render_train", "train")):
        """A preset with little of everything; the steps that measure it are left out unless asked for."""
        command = [
            *(common.ROOT / "train/make_preset", "hard_distortion", "--recordings", folder, "--work", folder),
            *("--takes", 2, "--take-seconds", 0.7, "--million-frames", 1, "--threads", 1, "--quality", "lite"),
            *("--network", network),
            *("--coil", COIL, "--circuit", CIRCUIT, "--output", f"{folder}/preset.safetensors"),
            *("--test-takes", 2, "--test-seconds", 0.7, "--steps", *steps),
        ]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)

    def fitted(self):
        network = netlist_filter.Network(DEVICES / "hard_distortion.net")
        settings = chain.settings_of(DEVICES / "hard_distortion.net")
        return network, netlist_filter.Filter(network, settings, network.stages["clipper"], "out")

    def test_a_chain_is_its_parts_one_by_one_and_is_made_again_to_the_bit(self):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            folder = pathlib.Path(first)
            for each in (first, second):
                self.make(each, steps=("tables", "render_train", "train", "render_test", "finish", "page"))
            for name in ("preset.safetensors", "preset.md"):
                self.assertEqual((folder / name).read_bytes(), pathlib.Path(second, name).read_bytes())
            network, fitted = self.fitted()
            self.assertLess(fitted.error.max(), 1e-3)
            self.check_back(folder, network, fitted, self.check_front(folder, network, fitted))

    def test_a_slow_path_in_front_of_a_filter_stays_what_it_was(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.make(folder, "slow-path")
            tensors, metadata = safetensors_file.read_safetensors(folder / "front.safetensors")
            for part in ("weight", "bias"):  # after a short training it says little
                tensors[f"slow.out_proj.{part}"] = 40 * tensors[f"slow.out_proj.{part}"]
            safetensors_file.write_safetensors(folder / "front.safetensors", tensors, metadata)
            still = tensors | {f"slow.out_proj.{p}": 0 * tensors[f"slow.out_proj.{p}"] for p in ("weight", "bias")}
            safetensors_file.write_safetensors(folder / "still.safetensors", still, metadata)
            front, without = (
                sound.process_samples(COIL, folder / f"{n}.safetensors", NOISE) for n in ("front", "still")
            )
            self.assertGreater(decibels(front - without, without), -40)
            network, fitted = self.fitted()
            part, scale = chain_file.Network(folder / "front.safetensors"), network.volts["d"] / network.volts["out"]
            card = chain.card_of(network)
            chain_file.write(folder / "model.safetensors", part, fitted, scale, None, network.knobs, card)
            self.check_front(folder, network, fitted)

    def check_front(self, folder, network, fitted):
        """Returns what the filter gives for the network's output, by the filter's setting."""
        filtered = {}
        for turned in (0.0, 3.0, 10.0):
            played = sound.process_samples(COIL, folder / "front.safetensors", NOISE, LOW)
            k = np.array([[2 * turned / 10 - 1]])
            zeros = np.zeros(7 * len(NOISE))  # the slowest pole's response is shorter
            hz = np.fft.rfftfreq(8 * len(NOISE), 1 / sound.RATE_HZ)
            spectrum = np.fft.rfft(np.concatenate([played, zeros])) * fitted.response(k, hz)[0]
            filtered[turned] = np.fft.irfft(spectrum)[: len(NOISE)]
            wanted = network.volts["d"] / network.volts["out"] * filtered[turned]
            found = sound.process_samples(COIL, folder / "model.safetensors", NOISE, [*LOW, f"filter={turned}"])
            self.assertLess(decibels(found - wanted, wanted), -60)
        return filtered

    def check_back(self, folder, network, fitted, filtered):
        front = chain_file.Network(folder / "front.safetensors")
        card = chain.card_of(network)
        chain_file.write(folder / "both.safetensors", front, fitted, 0.25, front, network.knobs, card)
        for turned, heard in filtered.items():
            wanted = sound.process_samples(COIL, folder / "front.safetensors", 0.25 * heard, LOW)
            found = sound.process_samples(COIL, folder / "both.safetensors", NOISE, [*LOW, f"filter={turned}"])
            self.assertLess(decibels(found - wanted, wanted), -60)
        rest = sound.process_samples(COIL, folder / "both.safetensors", np.zeros(4800))
        self.assertEqual(np.abs(rest).max(), 0)
