"""Makes the page beside a preset from its card and its texts."""

import math
import textwrap

WIDTH = 120


def wrapped(text):
    return "\n".join(textwrap.fill(paragraph, WIDTH) for paragraph in text.strip().split("\n\n"))


def percent(ratio):
    return f"{100 * ratio:.2g} %"


def knob_rows(controls):
    rows = ["| knob | range | default | |", "| --- | --- | --- | --- |"]
    for c in controls:
        unit = f" {c['unit']}" if c["unit"] else ""
        rows.append(
            f"| {c['name']} | {c['min']:g} to {c['max']:g}{unit} | {c['default']:g}{unit} | {c['description']} |"
        )
    return "\n".join(rows)


def tone_rows(metrics):
    tones = (5000, 2500, 1200)
    rows = ["| energy off the harmonics of a sine | 5 kHz | 2.5 kHz | 1.2 kHz |", "| --- | --- | --- | --- |"]
    for label, prefix in (("this preset", ""), ("the circuit as simulated", "circuit_")):
        cells = [f"{metrics[f'{prefix}aliasing_{hz}hz_db']:.0f} dB" for hz in tones]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(rows)


def error_rows(metrics):
    rows = ["| takes | mean | median | worst | settings of the worst |", "| --- | --- | --- | --- | --- |"]
    for part, label in (("recorded", "guitar and bass"), ("synthetic", "synthetic: strings, sweeps, noise, steps")):
        m = metrics[part]
        at = ", ".join(f"{name} {value:.1f}" for name, value in m["worst_at"].items())
        figures = " | ".join(percent(m[key]) for key in ("esr_mean", "esr_median", "esr_worst"))
        rows.append(f"| {m['takes']} of {label} | {figures} | {at} |")
    return "\n".join(rows)


def following(m):
    """How its levels and spectra follow the circuit's; an older card lacks such figures."""
    text = ""
    if "envelope_error_db" in m:
        text += (
            f"For bursts of a sine of 1 kHz, at eight settings, the output's level differs from the circuit's by "
            f"{m['envelope_error_db']:.2f} dB (rms over time, mean), by {m['envelope_error_db_worst']:.2f} dB at the "
            "worst setting. "
        )
    if "spectral_distance_db" in m["recorded"]:
        text += f"Spectra of guitar and bass differ by {m['recorded']['spectral_distance_db']:.2f} dB."
    return text.strip()


def levels(card):
    m = card["metrics"]
    return (
        f"Digital full scale is {card['input_peak_volts']:g} V peak ({card['input_full_scale_dbu']:.1f} dBu) at the "
        f"input and {card['output_peak_volts']:g} V ({card['output_full_scale_dbu']:.1f} dBu) at the output with the "
        f"level at 0 dB. At the default positions the guitar in assets/, whose peaks reach -2.3 dBFS, has an output "
        f"loudness of {m['loudness_lufs_at_default']:.1f} LUFS, with {m['headroom_db_at_default']:.1f} dB of headroom."
    )


def stability(m):
    return (
        f"Silence gives exact silence. For white noise at half of full scale the output peak is "
        f"{m['peak_of_noise']:.2g}, for noise that is 24 dB louder {m['peak_of_noise_24_db_hotter']:.2g}. "
        f"For a constant input of half of full "
        f"scale the output settles at {m['dc_left_after_9_s']:.2g}."
    )


def learned(card):
    """Which knobs the network learned, and which are exact."""
    filtered = card.get("filter", {}).get("knobs", [])
    names = lambda chosen: ", ".join(f"`{name}`" for name in chosen)
    network = [c["name"] for c in card["controls"] if c["to"] == "network" and c["name"] not in filtered]
    text = f"The network learned {names(network)}; `level` is an exact gain after it." if network else ""
    if not filtered:
        return text
    mean_db, worst_db = (10 * math.log10(card["filter"][f"error_{key}"]) for key in ("mean", "worst"))
    return (
        f"{text} {names(filtered)}: a filter computed from the circuit's values, without training. Its error against "
        f"the circuit is {mean_db:.0f} dB, at worst {worst_db:.0f} dB."
    ).strip()


def cost(info):
    slow = " A slow path runs beside the network." if "slow_path" in info else ""
    return (
        f"{info['macs_per_step']:,.0f} multiply-adds and {info['exps_per_step']:.0f} tanh, exp or similar per sample "
        f"at 48 kHz, {info['parameters']:,} parameters, no latency.{slow}"
    )


def training(t):
    return (
        f"{t['data'][0].upper() + t['data'][1:]}. {t['million_frames']:.0f} million frames, seed {t['seed']}. "
        f"Command: `{t['command']}` ([train/README.md](../train/README.md)). The circuit and the sources of its "
        "values: `train/circuits/devices`."
    )


def render(card, info, texts):
    bad = "\n".join(textwrap.fill(f"- {line}", WIDTH, subsequent_indent="  ") for line in texts["bad"])
    parts = [
        f"# {card['name']}",
        wrapped(card["description"] + " No device was recorded: the network learned from a simulation of the circuit."),
        knob_rows(card["controls"]),
        wrapped(learned(card)),
        wrapped(
            f"Category: {card['category']}. Tags: {', '.join(card['tags'])}. Licence of the weights: {card['licence']}."
        ),
        "## Levels",
        wrapped(levels(card)),
        "## Accuracy",
        wrapped(
            "Error-to-signal ratio, measured with the engine at random settings over the whole range, on sound and "
            "settings that were not used in training:"
        ),
        error_rows(card["metrics"]),
        *([wrapped(following(card["metrics"]))] if following(card["metrics"]) else []),
        tone_rows(card["metrics"]),
        wrapped(stability(card["metrics"])),
        "## Cost",
        wrapped(cost(info)),
        "## Training",
        wrapped(training(card["training"])),
        "## Weaknesses",
        bad,
    ]
    return "\n\n".join(parts) + "\n"
