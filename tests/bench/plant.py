"""Four weeks of made-up plants: how many false alarms `coil stream` gives a day and sensor, and which faults it finds.

    python3 tests/bench/plant.py build/cli/coil --model watch_small --plants 3

Each plant has ten sensors that come once in five minutes, two shifts on weekdays with breaks, weekends without work,
and eight faults in the third and fourth week. An episode that begins within a fault's time, or up to two hours after
it, finds it; any other is a false alarm. With `--more="--group '*'"` all sensors are judged together: an episode finds
a fault if its cause names the faulty sensor, or one of the two that its value was expected from.
"""

import argparse
import collections
import json
import pathlib
import shlex
import subprocess
import tempfile

import numpy as np

START = 1_704_067_200  # 2024-01-01, a Monday
STEP_S = 300
STEPS = 28 * 86_400 // STEP_S
HOUR = 3600 // STEP_S
DAY = 24 * HOUR
AFTER = 2 * HOUR  # an episode may begin so long after its fault


def smooth(values, steps):
    """A first-order lag."""
    out, state = np.empty_like(values), values[0]
    for i, value in enumerate(values):
        state += (value - state) / steps
        out[i] = state
    return out


def wander(rng, steps, spread):
    """An autoregression that keeps its value for about so many steps."""
    return smooth(rng.normal(0, spread * np.sqrt(2 * steps), STEPS), steps)


def work(rng):
    """Share of the line that runs: shifts from 6 to 14 and 14 to 22 o'clock with breaks, not at weekends."""
    t = np.arange(STEPS)
    hour, day = t % DAY / HOUR, t // DAY % 7
    runs = ((hour >= 6) & (hour < 22) & (day < 5)).astype(float)
    for begin, length in ((10, 0.5), (14, 0.25), (18, 0.5)):
        runs[(hour >= begin) & (hour < begin + length)] *= 0.15
    shift = (t // (8 * HOUR)).astype(int)
    return smooth(runs * (0.9 + 0.1 * rng.random(shift.max() + 1)[shift]), 1.5)


def sensors(rng):
    """Name -> values, without a fault."""
    load, t = work(rng), np.arange(STEPS)
    outside = 8 + 5 * np.sin(2 * np.pi * (t / DAY - 0.4)) + wander(rng, 3 * DAY, 2)
    cycle = t % int(rng.integers(18, 30))
    return {
        "power": 12 + 90 * load + rng.normal(0, 1.5, STEPS) * (0.3 + load),
        "flow": np.maximum(0, 40 * load + wander(rng, DAY, 1) * (load > 0.1) + rng.normal(0, 0.4, STEPS)),
        "bearing": 25 + smooth(35 * load, 10) + 0.4 * outside + rng.normal(0, 0.3, STEPS),
        "vibration": (0.4 + 2.2 * load) * np.exp(rng.normal(0, 0.08, STEPS)),
        "tank": 60 + 25 * np.sin(2 * np.pi * t / (7 * HOUR)) + wander(rng, DAY, 3) + rng.normal(0, 0.3, STEPS),
        "pressure": 6 + wander(rng, 2 * HOUR, 0.03) - 0.2 * load + rng.normal(0, 0.03, STEPS),
        "hall": 18 + 0.3 * outside + smooth(4 * load, 2 * HOUR) + rng.normal(0, 0.15, STEPS),
        "parts": rng.poisson(30 * load).astype(float),
        "compressor": np.where(cycle < 8, 22.0, 4.0) + 6 * load + rng.normal(0, 0.5, STEPS),
        "humidity": 45 + wander(rng, DAY, 5) - 3 * load + rng.normal(0, 0.4, STEPS),
    }


def add_faults(rng, values):
    """Puts one fault each into eight sensors; name -> (first step, end)."""

    def place(hours):
        begin = int(rng.integers(14, 26)) * DAY + int(rng.integers(0, 24 * HOUR))
        return begin, begin + int(hours * HOUR)

    def at_night(hours):
        begin = int(rng.integers(15, 18)) * DAY + 2 * HOUR  # of a working day
        return begin, begin + int(hours * HOUR)

    def at_work(hours):
        begin = int(rng.choice([14, 15, 16, 17, 18, 21, 22, 23, 24, 25])) * DAY + int(rng.integers(7, 13) * HOUR)
        return begin, begin + int(hours * HOUR)

    faults = {
        "power": at_night(2),
        "flow": at_work(6),
        "bearing": at_work(6),
        "vibration": at_work(3),
        "tank": place(5),
        "pressure": place(1),
        "hall": place(8),
        "humidity": place(6),
    }
    spans = {name: slice(*fault) for name, fault in faults.items()}
    values["power"][spans["power"]] += 80  # runs where nothing should
    values["flow"][spans["flow"]] *= np.linspace(1, 0.4, 6 * HOUR)  # a leak
    values["bearing"][spans["bearing"]] += np.linspace(0, 30, 6 * HOUR)  # runs hot
    values["vibration"][spans["vibration"]] *= 2.2
    values["tank"][spans["tank"]] = values["tank"][faults["tank"][0]]  # stuck
    values["pressure"][spans["pressure"]] += np.where(np.arange(HOUR) % 2, 1.2, -1.2)
    values["hall"][spans["hall"]] += 9  # the heating does not stop
    values["humidity"][spans["humidity"]] = np.nan  # does not come
    return faults


def make(seed):
    """Records as NDJSON, and the faults."""
    rng = np.random.default_rng(seed)
    values = sensors(rng)
    faults = add_faults(rng, values)
    lines = []
    for step in range(STEPS):
        time_s = START + step * STEP_S
        for name, series in values.items():
            if not np.isnan(series[step]):
                lines.append(json.dumps({"sensor": name, "time": time_s, "value": round(float(series[step]), 3)}))
    return "\n".join(lines) + "\n", faults, list(values)


def begins(executable, arguments, text):
    """(sensor, step, cause) of every episode that begins, and of every silence."""
    with tempfile.TemporaryDirectory() as folder:
        path, events = pathlib.Path(folder) / "in.ndjson", pathlib.Path(folder) / "events"
        path.write_text(text)
        command = [executable, "stream", "--key", "sensor", "--only", "anomaly", "--exec", f"cat >> {events}"]
        subprocess.run([*command, *arguments, path], check=True, stdout=subprocess.DEVNULL)
        lines = events.read_text().splitlines() if events.exists() else []
    found = []
    for event in map(json.loads, lines):
        if event["episode"] == "begin":
            time_s = np.datetime64(event["time"].rstrip("Z")).astype("datetime64[s]").astype(int)
            found.append((event["sensor"], (int(time_s) - START) // STEP_S, event["cause"]))
    return found


def found_by(name, step, cause, faults):
    """the faults that an episode finds"""
    in_time = {fault for fault, (begin, end) in faults.items() if begin <= step <= end + AFTER}
    named = {word for word in cause.replace(":", "").split() if word in faults} if " relation: " in cause else set()
    return in_time & (named | {name})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("executable")
    parser.add_argument("--model", default="watch_small")
    parser.add_argument("--plants", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="print every false alarm")
    parser.add_argument("--more", default="", help="further options of coil stream, for example --more=\"--group '*'\"")
    options = parser.parse_args()
    more = ["-m", options.model, *shlex.split(options.more)]

    false_alarms, by_week, by_sensor, found_faults, all_faults = 0, collections.Counter(), collections.Counter(), 0, 0
    for seed in range(options.seed, options.seed + options.plants):
        text, faults, names = make(seed)
        found = set()
        for name, step, cause in begins(options.executable, more, text):
            if finds := found_by(name, step, cause, faults):
                found |= finds
                continue
            false_alarms += 1
            by_week[step // (7 * DAY) + 1] += 1
            by_sensor[name] += 1
            if options.list:
                day = f"day {step // DAY + 1} ({'MTWTFSS'[step // DAY % 7]}) {step % DAY / HOUR:5.2f} h"
                print(f"plant {seed}: {day} {name}: {cause}")
        missed = sorted(set(faults) - found)
        found_faults, all_faults = found_faults + len(found), all_faults + len(faults)
        print(f"plant {seed}: {len(found)} of {len(faults)} faults found" + (f", not {missed}" if missed else ""))
    days = options.plants * 28 * len(names)
    weeks = ", ".join(f"week {week}: {by_week[week] / (days / 4):.3f}" for week in range(1, 5))
    print(f"{found_faults} of {all_faults} faults; false alarms a day and sensor: {false_alarms / days:.3f} ({weeks})")
    print("false alarms: " + ", ".join(f"{name} {count}" for name, count in by_sensor.most_common()))


if __name__ == "__main__":
    main()
