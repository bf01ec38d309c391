"""The forecaster's training: normaliser, synthetic series, network compared with the engine's definition, resuming,
export.

"""
import json
import math
import pathlib
import tempfile
import unittest

import common  # noqa: F401
import numpy as np
import torch

from forecast import baselines, checkpoint, evaluate, export, golden, model, normaliser, series, train
from forecast.benchmarks import Task
from forecast.draws import Draws

REFERENCE = pathlib.Path(__file__).resolve().parents[1] / "sensor" / "normaliser_reference.json"
TINY = golden.SHAPE


def parameters(shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    made = {n: model.initial(n, s, len(shape["layers"]), generator) for n, s in model.parameter_shapes(shape).items()}
    return {n: (p + 0.1 * torch.randn(p.shape, generator=generator)).double() for n, p in made.items()}


class Normaliser(unittest.TestCase):
    def setUp(self):
        x, self.observed, self.intervals, _ = series.Pool._draw(Draws(5, "cpu"), 48, 200)
        self.x = x.double() * 1e4 + 7e5

    def test_vectorised_is_the_plain_loop(self):
        frames, x_ref, D = normaliser.normalise(self.x, self.observed, self.intervals)
        self.assertTrue((~self.observed).any() and (frames[..., 3] != 0).any())
        for i in range(len(self.x)):
            plain = normaliser.Reference()
            for t in range(self.x.shape[1]):
                frame = plain.step(self.x[i, t].item() if self.observed[i, t] else None, self.intervals[i, t].item())
                np.testing.assert_allclose(frames[i, t].numpy(), frame, rtol=1e-5, atol=1e-6)
            self.assertAlmostEqual(D[i, -1].item() / plain.scale(), 1, 9)
            self.assertEqual(x_ref[i, -1].item(), plain.x_ref)

    def test_causal(self):
        frames = normaliser.normalise(self.x, self.observed, self.intervals)[0]
        shorter = normaliser.normalise(self.x[:, :90], self.observed[:, :90], self.intervals[:, :90])[0]
        torch.testing.assert_close(frames[:, :90], shorter, rtol=0, atol=0)

    def test_scale_and_shift_do_not_matter(self):
        frames, _, D = normaliser.normalise(self.x, self.observed, self.intervals)
        scaled = normaliser.normalise(self.x * 64, self.observed, self.intervals)[0]
        torch.testing.assert_close(scaled, frames, rtol=0, atol=0)
        moved = normaliser.normalise(self.x + 1e6, self.observed, self.intervals)[0]
        # never so constant that the minimum step size for its level applies
        moving = D[:, 50:].amin(1) > 0.1
        self.assertGreater(moving.sum(), 15)
        torch.testing.assert_close(moved[moving, 50:], frames[moving, 50:], rtol=1e-3, atol=1e-3)

    def test_targets_come_back_as_values(self):
        _, x_ref, D = normaliser.normalise(self.x[:, :-64], self.observed[:, :-64], self.intervals[:, :-64])
        y = normaliser.targets(self.x, x_ref, D)
        h, t = 11, 70
        back = normaliser.to_values(y[:, t, h - 1, None], x_ref[:, t], D[:, t])[:, 0]
        near = y[:, t, h - 1].abs() < 19
        torch.testing.assert_close(back[near], self.x[near, t + h], rtol=1e-6, atol=1e-6)

    def test_reference_file(self):
        cases = json.loads(REFERENCE.read_text())["cases"]
        self.assertGreater(len(cases), 5)
        for case in cases:
            plain = normaliser.Reference()
            for value, interval, frame in zip(case["values"], case["intervals"], case["frames"]):
                np.testing.assert_allclose(plain.step(value, interval), frame, rtol=1e-6, atol=1e-7)


class Series(unittest.TestCase):
    def test_seeded_finite_and_various(self):
        first, again, other = (series.Pool(seed, 96, 256, "cpu") for seed in (1, 1, 2))
        torch.testing.assert_close(first.frames, again.frames, rtol=0, atol=0)
        self.assertFalse(torch.equal(first.x, other.x))
        for part in (first.frames, first.x, first.x_ref, first.D):
            self.assertTrue(torch.isfinite(part).all())
        self.assertGreater(first.valid.float().mean(), 0.9)
        self.assertTrue((~first.seen).any())
        # no two series are alike
        alike = torch.corrcoef(first.x) - torch.eye(96)
        self.assertLess(torch.nan_to_num(alike).abs().median(), 0.5)

    def test_a_season_is_there(self):
        draws = Draws(3, "cpu")
        from forecast import seasons

        x = seasons.cycle(draws, 64, 480, torch.full((64, 1), 24.0))
        away, one = [(x[:, 24:] - torch.roll(x, s, 1)[:, 24:]).square().mean(1) for s in (11, 24)]
        self.assertGreater((one < 0.5 * away).float().mean(), 0.7)


class Network(unittest.TestCase):
    def test_chunks_are_the_recurrence(self):
        generator = torch.Generator().manual_seed(0)
        draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)
        x, dt, A, B, C = draw(2, 96, 3, 4), draw(2, 96, 3).abs(), -draw(3).abs(), draw(2, 96, 5), draw(2, 96, 5)
        state, expected = torch.zeros(2, 3, 4, 5, dtype=torch.float64), []
        for t in range(96):
            state = (
                state * torch.exp(dt[:, t] * A)[..., None, None]
                + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, None, None]
            )
            expected.append((state * C[:, t, None, None]).sum(-1))
        torch.testing.assert_close(model.ssd(x, dt, A, B, C, 16), torch.stack(expected, 1))

    def test_s4d_is_the_recurrence(self):
        p = parameters(TINY)
        kernel = [p[f"backbone.layers.0.mixer.kernel.{n}"] for n in ("log_dt", "log_A_real", "A_imag", "C")]
        A = torch.complex(-torch.exp(kernel[1]), kernel[2])
        z = torch.exp(torch.exp(kernel[0])[:, None] * A)
        weight = 2 * torch.complex(kernel[3][..., 0], kernel[3][..., 1]) * (z - 1) / A
        expected = [(weight * z**l).sum(1).real for l in range(150)]
        torch.testing.assert_close(model.s4d_kernel(*kernel, 150), torch.stack(expected, 1))

    def test_parallel_form_is_the_frame_by_frame_one(self):
        p = parameters(golden.SHAPE)
        x = torch.randn(1, 64, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        stepper = golden.Stepper(golden.SHAPE, p)
        expected = np.array([stepper.step(frame) for frame in x[0].numpy()])
        np.testing.assert_allclose(
            model.Forecaster(golden.SHAPE, p, chunk=16, dtype=torch.float64)(x)[0].numpy(),
            expected,
            rtol=1e-9,
            atol=1e-9,
        )

    def test_causal(self):
        network = model.Forecaster(TINY, parameters(TINY), chunk=16)
        x = torch.randn(1, 64, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        changed = x.clone()
        changed[:, 40:] += 1
        y, z = network(x), network(changed)
        torch.testing.assert_close(y[:, :40], z[:, :40])
        self.assertGreater((y - z)[:, 40:].abs().max(), 1e-3)

    def test_card_and_config_of_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tiny.safetensors"
            p = parameters(TINY)
            export.export(path, "tiny", TINY, {n: t.float().numpy() for n, t in p.items()}, {"steps": 1}, {})
            tensors, metadata = export.read_safetensors(path)
        self.assertEqual(set(tensors), set(model.parameter_shapes(TINY)))
        self.assertEqual(json.loads(metadata["card"])["forecast"]["horizons"], 64)
        self.assertEqual([len(layer["parts"]) for layer in json.loads(metadata["config"])["layers"]], [4, 2, 2])


class Training(unittest.TestCase):
    def setUp(self):
        model.SHAPES["tiny"], train.RATES["tiny"] = TINY, 5e-3
        for name, value in (("VALIDATION_SERIES", 8), ("WARM_UP_STEPS", 5)):
            self.addCleanup(setattr, train, name, getattr(train, name))
            setattr(train, name, value)
        self.addCleanup(model.SHAPES.pop, "tiny")
        self.addCleanup(train.RATES.pop, "tiny")

    def run_train(self, folder, *more):
        train.main(
            [
                "--out",
                str(folder),
                "--jobs",
                "tiny",
                "--device",
                "cpu",
                "--steps",
                "64",
                "--batch",
                "8",
                "--pool",
                "64",
                "--chunk",
                "32",
                "--seconds",
                "600",
                *more,
            ]
        )
        return checkpoint.read_record(folder)["jobs"]["tiny"]

    def test_learns_and_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            first, second = pathlib.Path(folder) / "1", pathlib.Path(folder) / "2"
            before = self.run_train(first, "--max-steps", "1")["history"][-1]["validation_loss"]
            record = self.run_train(first, "--max-steps", "60")
            self.assertLess(record["history"][-1]["validation_loss"], 0.9 * before)
            self.assertEqual(record["resume"]["steps"], 60)
            again = self.run_train(second, "--checkpoint-in", str(first), "--max-steps", "5")
            self.assertEqual((again["resume"]["steps"], again["records"]), (65, 65 * 8 * 64))
            self.assertLess(again["history"][-1]["validation_loss"], 0.9 * before)
            result, _ = checkpoint.read_result(second, "tiny")
            self.assertEqual({n: list(v.shape) for n, v in result.items()}, dict(again["tensors"]))

    def test_bfloat16_rounds_to_nearest(self):
        x = np.concatenate((np.random.default_rng(1).normal(size=1000), [0, 1, -1e-30])).astype(np.float32)
        stored = checkpoint.from_bfloat16(checkpoint.to_bfloat16(x))
        np.testing.assert_allclose(stored, x, rtol=2**-8)
        np.testing.assert_array_equal(stored[-3:-1], [0, 1])


class Evaluation(unittest.TestCase):
    def test_scores(self):
        values = np.arange(30.0)
        task = Task("g", "n", values, [20], 4, 1)
        exact = np.repeat(values[20:24, None], 9, 1)
        self.assertEqual(evaluate.scores(task, [exact]), (0.0, 0.0))
        mase, loss = evaluate.scores(task, [exact + 2])
        self.assertAlmostEqual(mase, 2.0)
        self.assertAlmostEqual(
            loss, 2 * 2 * 0.5 * 4 / values[20:24].sum()
        )  # all quantiles at one value: half the absolute error on average

    def test_coverage(self):
        values = np.arange(40.0)
        values[24] = math.nan
        task = Task("g", "n", values, [20, 30], 5, 1)
        wide = np.tile(np.linspace(20, 32, 9), (5, 1))  # within: 20 to 23 of the first origin, 30 to 32 of the second
        below, within, above = evaluate.coverages([task], {"m": [[wide, wide]]})["m"]["g"]
        self.assertAlmostEqual(below, 0)
        self.assertAlmostEqual(within, 7 / 9)
        self.assertAlmostEqual(above, 2 / 9)

    def test_baselines_follow_a_season(self):
        values = np.tile([1.0, 5.0, 2.0, 9.0, 4.0], 40)
        naive = baselines.seasonal_naive(values[:100], 7, 5)
        np.testing.assert_allclose(naive[:, 4], values[100:107])
        regression = baselines.online_autoregression(values, [190], 7, 5)[0]
        np.testing.assert_allclose(regression[:, 4], values[190:197], atol=0.05)

    def test_gaps_are_filled(self):
        np.testing.assert_array_equal(baselines.filled(np.array([math.nan, 1, math.nan, 3])), [1, 1, 1, 3])


if __name__ == "__main__":
    unittest.main()
