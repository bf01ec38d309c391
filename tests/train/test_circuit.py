"""The circuit's solver against ngspice, against the small-signal transfer function, and its resampling."""
import unittest

import common  # noqa: F401
import numpy as np

import circuit
import metrics
import spice

RATE = circuit.SAMPLE_RATE * circuit.OVERSAMPLING


def decibels(error, reference):
    return 10 * np.log10(np.sum(error**2) / np.sum(reference**2))


def transfer(hertz, drive, tone):
    """Nodal analysis of the whole netlist with the diodes as their conductance at rest; written without the solver's
    state equations.
    """
    k, s = circuit.COMPONENTS, 2j * np.pi * hertz
    c_in = (k["r_bias_in"]) / (1 / (s * k["c_in"]) + k["r_in"] + k["r_bias_in"])
    c_buffer = k["r_bias_clip"] / (1 / (s * k["c_buffer"]) + k["r_bias_clip"])
    diode = 2 * circuit.DIODE_SATURATION / (circuit.DIODE_EMISSION * circuit.THERMAL_VOLTS)
    feedback = 1 / (1 / circuit.drive_resistance(drive) + s * k["c_feedback"] + diode)
    clip = 1 + feedback / (k["r_series"] + 1 / (s * k["c_series"]))
    track, end = circuit.tone_track(tone), k["r_pot_end"]
    plus, minus = 1 / (end + track * k["r_tone_pot"]), 1 / (end + (1 - track) * k["r_tone_pot"])
    shunt = 1 / (k["r_tone_wiper"] + 1 / (s * k["c_tone_wiper"]))
    # unknowns: op-amp input, wiper, op-amp output, level pot, output follower's input
    g_in, g_fb, g_out = 1 / k["r_tone_in"], 1 / k["r_tone_feedback"], 1 / (k["r_out"] + 1 / (s * k["c_out"]))
    g_follower = s * k["c_follower"]
    matrix = np.array(
        [
            [g_in + s * k["c_tone_in"] + 1 / k["r_bias_tone"] + plus, -plus, 0, 0, 0],
            [-plus - minus, plus + minus + shunt, 0, 0, 0],
            [g_fb + minus, -minus, -g_fb, 0, 0],
            [0, 0, -g_out, g_out + 1 / k["r_level_pot"] + g_follower, -g_follower],
            [0, 0, 0, -g_follower, g_follower + 1 / k["r_bias_out"]],
        ]
    )
    follower = np.linalg.solve(matrix, [g_in, 0, 0, 0, 0])[4]
    return c_in * c_buffer * clip * follower * k["r_load"] / (k["r_load"] + k["r_follower_out"] + 1 / (s * k["c_load"]))


class Circuit(unittest.TestCase):
    @unittest.skipUnless(spice.available(), "ngspice is not installed")
    def test_against_ngspice(self):
        seconds = 0.006
        t = np.arange(int(seconds * RATE)) / RATE
        for hertz, volts, damping, drive, tone in (
            (220, 0.3, 20, 0.0, 0.5),
            (440, 0.3, 20, 1.0, 1.0),
            (1000, 0.1, 50, 0.6, 0.0),
            (3000, 0.5, 50, 1.0, 0.7),
            (700, 0.004, 10, 1.0, 0.3),
        ):
            with self.subTest(hertz=hertz, volts=volts, drive=drive, tone=tone):
                feedback, track = circuit.drive_resistance(drive), circuit.tone_track(tone)
                times, expected = spice.solve(
                    f"SIN(0 {volts} {hertz} 0 {damping})", feedback, track, seconds, 0.5 / RATE
                )
                ours = circuit.simulate(
                    volts * np.exp(-damping * t) * np.sin(2 * np.pi * hertz * t), RATE, feedback, track
                )
                expected = np.interp(t, times, expected)
                agreement = decibels(ours - expected, expected)
                print(f"ngspice, {hertz} Hz, {volts} V, drive {drive}, tone {tone}: {agreement:.1f} dB")
                self.assertLess(agreement, -85)

    def test_small_signal_response(self):
        frames = circuit.SAMPLE_RATE
        for drive, tone in ((0.0, 0.0), (0.3, 0.6), (1.0, 1.0)):
            for hertz in (100, 1000, 5000, 15000):
                with self.subTest(drive=drive, tone=tone, hertz=hertz):
                    n = np.arange(frames)
                    wave = np.exp(2j * np.pi * hertz * n / frames)
                    gain = 1e-5
                    wet = circuit.process(gain * wave.imag, drive, tone)[-4800 - 100 : -100]
                    basis = wave[-4800 - 100 : -100]
                    measured = 2j * np.mean(wet * basis.conj()) / gain
                    expected = transfer(hertz, drive, tone) * circuit.INPUT_PEAK_VOLTS / circuit.OUTPUT_PEAK_VOLTS
                    # amplitude and phase alike: the resampling filters add neither
                    self.assertLess(abs(measured / expected - 1), 2e-3)

    def test_bounded_and_odd(self):
        x = np.random.default_rng(3).standard_normal(4000)
        y = circuit.process(x, 1.0, 1.0)
        self.assertTrue(np.all(np.abs(y) < 5))
        np.testing.assert_allclose(circuit.process(-x, 1.0, 1.0), -y, atol=1e-9)

    def test_resampling_is_transparent(self):
        n = np.arange(6000)
        x = sum(np.sin(2 * np.pi * f * n / 48000 + f) for f in (50, 997, 8001, 19000)) * np.hanning(6000)
        back = circuit.decimated(circuit.resampled(x), len(x))
        self.assertLess(decibels(back - x, x), -90)

    def test_targets_are_free_of_aliasing(self):
        self.assertLess(metrics.aliasing_db(circuit.process(metrics.sine(5000, 48000), 1.0, 0.5), 5000, 48000), -100)


if __name__ == "__main__":
    unittest.main()
