"""The models, the trainer and the exported file."""
import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import common  # noqa: F401
import numpy as np

try:
    import torch
except ImportError:
    torch = None

import export
import reference

if torch is not None:
    import checkpoint
    import dataset
    import models
    import train

    torch.set_num_threads(2)


def randomized(model, seed):
    """initial weights leave FiLM and the direct path near nothing; a check of the export must see all of them"""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.split(".")[-1] not in models.SLOW_PARAMETERS:
                p.add_(0.1 * torch.randn_like(p))
    return model


@unittest.skipIf(torch is None, "torch is not installed")
class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        parts = {name: dataset.make(name, None, 1, 8192, 0.05) for name in dataset.PARTS}
        cls.data = train.Data(parts, "cpu")

    def job(self, name="s4d_8x6@0.01"):
        return train.Job(name, self.data, seed=3, segment=(2, 4096, 1024))

    def steps(self, job, count, total=8):
        for _ in range(count):
            job.launch(job.steps / total)

    def test_costs(self):
        macs = {name: make().macs for name, make in models.MODELS.items()}
        self.assertEqual(
            macs,
            {
                "s4d_8x6": 1985,
                "s4d_9x5": 1954,
                "s4d_10x5p3": 1971,
                "s4d_8x8p2": 1873,
                "wavenet_standard": 13320,
                "wavenet_feather": 2808,
                "wavenet_nano": 732,
                "lstm_16": 1152,
            },
        )

    def test_models_are_causal_and_follow_the_knobs(self):
        torch.manual_seed(0)
        x, knobs = 0.3 * torch.randn(1, 1, 600), torch.tensor([[0.3, 0.8]])
        later = x.clone()
        later[..., 400:] += 1
        for name, make in models.MODELS.items():
            with self.subTest(model=name), torch.no_grad():
                model = make()
                if isinstance(model, models.S4DStack):
                    randomized(model, 1)
                y = model(x, knobs)
                self.assertLess((model(later, knobs) - y)[..., :400].abs().max().item(), 2e-5)
                self.assertGreater((model(later, knobs) - y)[..., 400:].abs().max().item(), 1e-3)
                self.assertGreater((model(x, 1 - knobs) - y).abs().max().item(), 1e-4)

    def test_exported_file_steps_as_the_model_convolves(self):
        for shape in ({}, {"d_model": 9, "layers": 5}):
            model = randomized(models.S4DStack(**shape), 2)
            x_scale, y_scale = 0.3, 1.7
            x = np.random.default_rng(1).standard_normal(1500).astype(np.float32) * np.linspace(
                0, 0.4, 1500, dtype=np.float32
            )
            knobs = [0.2, 0.9]
            with torch.no_grad():
                expected = (
                    y_scale
                    * model(torch.from_numpy(x / np.float32(x_scale))[None, None], torch.tensor([knobs]))[0, 0].numpy()
                )
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "m.safetensors"
                export.export(
                    path,
                    {k: v.numpy() for k, v in model.state_dict().items()},
                    model.shape,
                    x_scale,
                    y_scale,
                    {"esr": 0.5},
                    {"steps": 7},
                )
                tensors, metadata = export.read_safetensors(path)
                got = reference.run(path, x, knobs)
            self.assertLess(np.abs(got - expected).max() / np.abs(expected).max(), 1e-5)
            self.assertEqual(set(tensors), set(dict(model.named_parameters())))
            card = json.loads(metadata["card"])
            self.assertEqual([c["name"] for c in card["controls"]], ["drive", "tone", "level"])
            self.assertEqual(
                sum(c["to"] == "network" for c in card["controls"]), json.loads(metadata["config"])["controls"]["count"]
            )

    def test_slow_modes_keep_their_gain_in_float32(self):
        torch.manual_seed(0)
        kernel = models.Kernel(8, 4)
        with torch.no_grad():
            kernel.log_dt.fill_(np.log(8e-5))
            got = kernel(20000).double().sum(1).numpy()
        A = -np.exp(kernel.log_A_real.detach().double().numpy()) + 1j * kernel.A_imag.detach().double().numpy()
        z = 8e-5 * A
        C = kernel.C.detach().double().numpy() @ np.array([1, 1j])
        expected = (2 * C / A * (np.exp(20000 * z) - 1)).sum(1).real
        np.testing.assert_allclose(got, expected, rtol=1e-4)

    def test_continued_run_equals_one_run(self):
        for name in ("s4d_8x6@0.01", "wavenet_nano@0.01", "lstm_16@0.01"):
            with self.subTest(job=name):
                whole = self.job(name)
                self.steps(whole, 6)
                half = self.job(name)
                self.steps(half, 3)
                half.mark()
                with tempfile.TemporaryDirectory() as folder:
                    checkpoint.Checkpoint(self.data.scales, {name: half.state()}).write(f"{folder}/c.npz")
                    stored = checkpoint.Checkpoint.read(f"{folder}/c.npz")
                rest = self.job(name)
                rest.load(stored.jobs[name])
                self.steps(rest, 3)
                self.assertEqual(rest.steps, whole.steps)
                self.assertTrue(torch.equal(rest.weights, whole.weights))
                self.assertTrue(torch.equal(rest.average, whole.average))

    def test_segments_from_rest_are_scored_from_their_first_frame(self):
        job = train.Job("wavenet_nano@0.01", self.data, seed=3, segment=(2, 4096, 1024), rest_share=1.0)
        job.prepare()
        self.assertEqual(job.index[:, 1].abs().max().item(), 0)
        plain = self.job("wavenet_nano@0.01")
        plain.prepare()
        self.assertGreater(plain.index[:, 1].float().mean().item(), 1000)
        # an error in the unscored frames alone: seen from rest, not seen elsewhere
        for offset, seen in ((0, True), (5, False)):
            losses = []
            for size in (0.0, 1.0):
                j = self.job("wavenet_nano@0.01")
                j.prepare()
                j.index[:, 1] = offset
                j.model.forward = lambda x, knobs, j=j, size=size: next(j.model.parameters()).sum() * 0 + size * (
                    j.frames < 500
                ).float()[None, None].expand(x.shape)
                j.step()
                losses.append(j.loss.item())
            self.assertEqual(losses[1] > losses[0], seen, losses)

    def test_update_is_adamw(self):
        job = self.job("wavenet_nano@0.01")
        other = torch.nn.Parameter(job.weights.clone())
        adam = torch.optim.AdamW(
            [other], lr=0.003, betas=train.BETAS, eps=train.EPSILON, weight_decay=train.WEIGHT_DECAY
        )
        job.step_lr.fill_(0.003)
        generator = torch.Generator().manual_seed(0)
        for size in (0.001, 3.0, 0.01):
            g = size * torch.randn(len(other), generator=generator)
            job.gradient.copy_(g)
            other.grad = g.clone()
            torch.nn.utils.clip_grad_norm_([other], train.CLIP)
            job.update()
            adam.step()
        self.assertLess((job.weights - other).abs().max().item(), 1e-6)
        before = job.weights.clone()
        job.gradient.fill_(float("nan"))
        job.update()
        self.assertTrue(torch.isfinite(job.weights).all() and (job.weights - before).abs().max() < 0.01)
        self.assertEqual(job.skipped.item(), 1)

    def test_training_lowers_the_error(self):
        job = self.job("s4d_8x6@0.01")
        job.mark()
        for _ in range(60):
            job.launch(0.0)
        job.mark()
        first, last = (h["validation_esr"] for h in job.history)
        self.assertLess(last, 0.5 * first)

    def test_command_line_trains_exports_and_continues(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
            common_options = [
                "--synthetic-only",
                "--device",
                "cpu",
                "--scale",
                "0.02",
                "--length",
                "8192",
                "--segment",
                "2",
                "4096",
                "1024",
                "--seconds",
                "300",
                "--max-steps",
                "2",
            ]
            train.main(
                [
                    "--out",
                    f"{folder}/a",
                    "--jobs",
                    "s4d_8x6@0.01",
                    "s4d_8x6@0.001",
                    "wavenet_nano@0.01",
                    *common_options,
                ]
            )
            train.main(
                [
                    "--out",
                    f"{folder}/b",
                    "--checkpoint-in",
                    f"{folder}/a/checkpoint.npz",
                    "--best",
                    "--progress",
                    "0.5",
                    "1",
                    *common_options,
                ]
            )
            first = checkpoint.Checkpoint.read(f"{folder}/a/checkpoint.npz")
            second = checkpoint.Checkpoint.read(f"{folder}/b/checkpoint.npz")
            results = json.loads(pathlib.Path(folder, "b", "metrics.json").read_text())
            preset = pathlib.Path(folder, "b", "green_overdrive.safetensors")
            wet = reference.run(preset, np.ones(50), [0.5, 0.5])
            card = json.loads(export.read_safetensors(preset)[1]["card"])
        self.assertEqual(len(first.jobs), 3)
        self.assertEqual(list(second.jobs), [first.best("s4d_8x6"), "wavenet_nano@0.01"])
        self.assertTrue(all(j["record"]["steps"] == 4 for j in second.jobs.values()))
        self.assertEqual(first.scales, second.scales)
        self.assertEqual(card["metrics"]["esr"], results["jobs"][second.best("s4d_")]["metrics"]["esr"])
        self.assertTrue(np.all(np.isfinite(wet)))
        self.assertIn("wavenet_nano@0.01", said.getvalue())


if __name__ == "__main__":
    unittest.main()
