"""`coil info`, as text and as JSON."""

import json

from support import CoilTest, write_filter_model


class Info(CoilTest):
    def test_json(self):
        write_filter_model(self.path("knobs.safetensors"), controls=True)
        info = json.loads(self.coil("info", "knobs.safetensors", "--json"))
        self.assertEqual(
            (info["model_type"], info["sample_rate_hz"], info["latency_frames"], info["layers"]), ("coil", 48000, 0, 2)
        )
        self.assertEqual((info["d_input"], info["d_model"], info["d_output"]), (1, 4, 1))
        self.assertEqual([control["name"] for control in info["controls"]], ["drive", "tone", "level"])
        self.assertEqual(
            info["controls"][2], {"name": "level", "min": -40, "max": 12, "default": 0, "unit": "dB", "description": ""}
        )
        self.assertEqual(info["card"]["licence"], "CC0")
        # in_proj 8, out_proj 5, direct 1; per layer: log_dt 4, log_A_real 8, A_imag 8, C 16, D 4, linear 20; controls 9
        # + 64.
        self.assertEqual(info["parameters"], 8 + 5 + 1 + 2 * (4 + 8 + 8 + 16 + 4 + 20) + 9 + 64)
        self.assertGreater(info["macs_per_step"], 0)
        self.assertGreater(info["exps_per_step"], 0)
        # Two layers of four channels with two complex numbers, and the memory of the controls.
        self.assertGreaterEqual(info["state_bytes"], 2 * 4 * 2 * 2 * 4)
        self.assertEqual(len(info["hash"]), 32)

    def test_model_without_card(self):
        info = json.loads(self.coil("info", "identity.safetensors", "--json"))
        self.assertEqual((info["card"], info["controls"]), (None, []))

    def test_text(self):
        write_filter_model(self.path("knobs.safetensors"), controls=True)
        text = self.coil("info", "knobs.safetensors").decode()
        for words in (
            "Test Filter",
            "Random weights.",
            "48000 Hz",
            "0 to 10, default 5",
            "-40 to 12 dB, default 0 dB",
            "2 x (s4d, linear, film, tanh)",
            "CC0",
            "MACs",
            "bytes",
        ):
            self.assertIn(words, text)

    def test_an_installed_cabinet(self):
        info = json.loads(self.coil("info", "british_4x12_edge", "--json"))
        self.assertEqual((info["kind"], info["sample_rate_hz"], info["channels"]), ("cabinet", 48000, 1))
        self.assertAlmostEqual(info["duration_ms"], 80, delta=0.1)
        self.assertTrue(info["file"].endswith("cabinets/british_4x12_edge.wav"))
        text = self.coil("info", "british_4x12_edge").decode()
        for words in ("not a model", "48000 Hz", "80 ms", '{"file": "british_4x12_edge"}'):
            self.assertIn(words, text)
        write_filter_model(self.path("british_4x12_edge"))  # a file here comes first
        self.assertIn("d_model 4", self.coil("info", "british_4x12_edge").decode())

    def test_what_has_no_effect_is_warned_of_once(self):
        write_filter_model(self.path("knobs.safetensors"), controls=True, fields={"norm_g": True})
        self.coil("info", "knobs.safetensors")
        warning = self.stderr.strip()
        self.assertEqual(warning.count("\n"), 0)
        self.assertTrue(warning.startswith("coil: warning: knobs.safetensors: config.norm_g is not known"), warning)
        self.coil("bench", "knobs.safetensors", "--seconds", "0.001", "--blocks", "1", "--target", "all")
        self.assertEqual(self.stderr.count("norm_g"), 1)
