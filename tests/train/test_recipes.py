"""Recipes: every preset has one, --all follows them and makes the same files again; bent knobs in the engine."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import tomllib
import unittest

import common
import numpy as np
import safetensors_file

from preset import bends, chain, envelope, model_file, netlist_filter, sound

COIL, CIRCUIT = os.environ["COIL"], os.environ["COIL_CIRCUIT"]
DEVICES = common.ROOT / "train/circuits/devices"
RECIPES = tomllib.loads((common.ROOT / "train/presets.toml").read_text())
SMALL = 'takes = 3\ntake_seconds = 0.7\nmillion_frames = 1\ntest_takes = 1\ntest_seconds = 0.7\nthreads = 1\n'


def make_preset(*words, root=common.ROOT):
    command = [root / "train/make_preset", *words, "--coil", COIL, "--circuit", CIRCUIT]
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def cards():
    found = {path.stem: model_file.read_card(path) for path in (common.ROOT / "presets").glob("*.safetensors")}
    return {name: card for name, card in found.items() if "category" in card}


class Recipes(unittest.TestCase):
    def test_every_preset_has_one_and_its_card_says_the_same(self):
        self.assertEqual(set(RECIPES), set(cards()))
        for name, card in cards().items():
            words = shlex.split(card["training"]["command"])
            said = dict(zip(words, words[1:]))
            for key, value in RECIPES[name].items():
                option = "--" + key.replace("_", "-")
                if "--recordings" in words and key != "cpu_seconds":  # an older card has no complete command
                    with self.subTest(preset=name, option=option):
                        self.assertEqual(said[option], f"{value:g}" if isinstance(value, (int, float)) else value)

    def test_all_are_made_and_made_again_to_the_bit(self):
        recipes = {"optical_compressor": SMALL, "optical_compressor_lite": SMALL + 'quality = "lite"\n'}
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)

            def make(names):
                text = "".join(f"[{name}]\n{recipes[name]}" for name in names)
                (folder / "recipes.toml").write_text(text)
                words = ["--recipes", folder / "recipes.toml", "--recordings", folder, "--work", folder / "work"]
                return make_preset("--all", *words, "--into", folder / "made")

            self.assertEqual(
                [line for line in make(recipes).splitlines() if line.endswith("new")], [f"{p}: new" for p in recipes]
            )
            cards = [model_file.read_card(folder / f"made/{preset}.safetensors") for preset in recipes]
            self.assertEqual([card["training"]["quality"] for card in cards], ["standard", "lite"])
            self.assertIn("optical_compressor_lite: the same bytes as before", make(["optical_compressor_lite"]))


class Bends(unittest.TestCase):
    def test_a_model_with_bent_knobs_is_the_network_with_further_columns(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            shutil.copytree(common.ROOT / "train", folder / "train")
            netlist = folder / "train/circuits/devices/treble_booster.net"
            with open(netlist.with_suffix(".toml"), "a") as text:
                text.write("[bends]\nboost = 100\nrange = 15000\n")
            words = ["--work", folder, "--recordings", folder, "--takes", 8, "--take-seconds", 0.5, "--threads", 1]
            words += ["--million-frames", 1, "--quality", "lite", "--network", "plain"]
            make_preset("treble_booster", *words, "--steps", "tables", "render_train", "train", root=folder)
            tensors, metadata = safetensors_file.read_safetensors(folder / "network.safetensors")
            noise = np.random.default_rng(2).standard_normal(tensors["controls.weight"].shape)
            tensors["controls.weight"] = tensors["controls.weight"] + 0.2 * noise  # short training learned little of it
            safetensors_file.write_safetensors(folder / "network.safetensors", tensors, metadata)
            texts = tomllib.loads(netlist.with_suffix(".toml").read_text())
            network = netlist_filter.Network(netlist)
            bent = bends.Bends(texts, netlist, list(network.knobs))
            bent.write(folder / "network.safetensors", folder / "model.safetensors", chain.card_of(network))
            samples = 0.1 * np.random.default_rng(1).standard_normal(4800)
            outputs = []
            for setting in ({"boost": 1.0, "range": 9.0}, {"boost": 9.9, "range": 5.0}, {"boost": 10, "range": 10}):
                words = lambda values: [f"{name}={value}" for name, value in values.items()]
                wanted = sound.process_samples(
                    COIL, folder / "network.safetensors", samples, words(setting | bent.columns(setting))
                )
                found = sound.process_samples(COIL, folder / "model.safetensors", samples, words(setting))
                self.assertLess(((found - wanted) ** 2).sum() / (wanted**2).sum(), 1e-5)
                outputs.append(found)
            self.assertGreater(((outputs[0] - outputs[2]) ** 2).sum() / (outputs[2] ** 2).sum(), 1e-2)

    def test_the_netlists_curves_are_steep_where_the_track_ends(self):
        netlist = DEVICES / "power_amp.net"
        texts = tomllib.loads(netlist.with_suffix(".toml").read_text())
        bent = bends.Bends(texts, netlist, ["drive", "presence"])
        at = lambda position: float(bent.columns({"presence": position})["presence_bent"])
        # 4.7k beside 25k of an audio track, of which 15 % are passed at half turn
        share = lambda passed: 4700 / (4700 + 25000 * (netlist_filter.TRACK_END + 1 - passed))
        self.assertAlmostEqual(at(5), 10 * (share(0.15) - share(0)) / (share(1) - share(0)), places=3)
        self.assertEqual((at(0), at(10)), (0, 10))
        settings = bent.spread([["5", "5"], ["5", "5"]], ["drive", "presence"])
        self.assertEqual(settings[0], ["5", "5"])
        self.assertAlmostEqual(at(float(settings[1][1])), 5, places=2)


class Envelope(unittest.TestCase):
    def test_it_is_the_difference_of_the_gains(self):
        samples = envelope.bursts()
        self.assertAlmostEqual(envelope.error_db(0.5 * samples, samples), 20 * np.log10(2), places=6)
        late = samples.copy()
        late[len(samples) // 2 :] *= 0.5
        self.assertAlmostEqual(envelope.error_db(late, samples), 20 * np.log10(2) / np.sqrt(2), places=1)

    def test_of_a_preset_against_its_circuit(self):
        netlist = DEVICES / "optical_compressor.net"
        knobs = json.loads(subprocess.run([CIRCUIT, "info", netlist], check=True, capture_output=True).stdout)["knobs"]
        preset = common.ROOT / "presets/optical_compressor.safetensors"
        errors = envelope.errors_db(COIL, CIRCUIT, preset, netlist, knobs)
        card = model_file.read_card(preset)["metrics"]
        self.assertAlmostEqual(np.mean(errors), card["envelope_error_db"], delta=0.01)


if __name__ == "__main__":
    unittest.main()
