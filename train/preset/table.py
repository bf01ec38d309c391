"""Rows of the tables of presets: in docs/play.md, and in train/MEASUREMENTS.md with everything that was measured."""

from preset import page

HEAD = (
    "| preset | guitar and bass: mean, worst | synthetic: mean, worst | spectra | bursts | aliasing at 5, 2.5, 1.2 kHz "
    "| circuit's own | at rest | multiply-adds | headroom |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)
BLOCK = 64  # frames


def tones(metrics, prefix):
    return ", ".join(f"{metrics[f'{prefix}aliasing_{hz}hz_db']:.0f}" for hz in (5000, 2500, 1200)) + " dB"


def row(name, info):
    metrics = info["card"]["metrics"]
    cells = [f"`{name}`"]
    for part in ("recorded", "synthetic"):
        cells.append(", ".join(page.percent(metrics[part][key]) for key in ("esr_mean", "esr_worst")))
    distance_db = metrics["recorded"].get("spectral_distance_db")  # an older card has none
    cells.append("" if distance_db is None else f"{distance_db:.2f} dB")
    bursts_db = metrics.get("envelope_error_db")
    cells.append("" if bursts_db is None else f"{bursts_db:.2f} dB")
    cells += [tones(metrics, ""), tones(metrics, "circuit_")]
    cells.append("silent" if metrics["peak_of_silence"] == 0 else f"{metrics['peak_of_silence']:.1g}")
    cells += [f"{info['macs_per_step']:,.0f}", f"{metrics['headroom_db_at_default']:.1f} dB"]
    return f"| {' | '.join(cells)} |"


def times_head(targets):
    names = ["preset", "multiply-adds", "tanh and the like", *(f"ns a sample, {t}" for t in targets), "training, CPU s"]
    return f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"


def times_row(name, info, times_ns, cpu_seconds):
    """Without `cpu_seconds` if they were not recorded."""
    cells = [f"`{name}`", f"{info['macs_per_step']:,.0f}", f"{info['exps_per_step']:,.0f}"]
    cells += [f"{ns:.0f}" for ns in times_ns] + ["" if cpu_seconds is None else f"{cpu_seconds:,.0f}"]
    return f"| {' | '.join(cells)} |"


def short_row(name, card):
    """As docs/play.md has it."""
    recorded = card["metrics"]["recorded"]
    knobs = ", ".join(control["name"] for control in card["controls"])
    figures = " | ".join(page.percent(recorded[key]) for key in ("esr_median", "esr_mean", "esr_worst"))
    return f"| [`{name}`](../presets/{name}.md) | {card['category']} | {knobs} | {figures} |"
