"""The same circuit as a SPICE netlist, solved by ngspice: an independent check of the solver."""
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from circuit import COMPONENTS, DIODE_EMISSION, DIODE_SATURATION

OP_AMP_GAIN = 1e7


def available():
    return shutil.which("ngspice") is not None


def netlist(source, feedback, track, seconds, step, output):
    """source: the text of the input source's waveform, such as SIN(0 0.1 440); output: file that gets time and
    volts.
    """
    k = dict(
        COMPONENTS,
        feedback=feedback,
        plus=COMPONENTS["r_pot_end"] + track * COMPONENTS["r_tone_pot"],
        minus=COMPONENTS["r_pot_end"] + (1 - track) * COMPONENTS["r_tone_pot"],
    )
    return f"""overdrive
Vin in 0 {source}
Cin in c {k['c_in']}
Rin c b {k['r_in']}
Rbias1 b 0 {k['r_bias_in']}
Efollow1 e1 0 b 0 1
Cbuf e1 p {k['c_buffer']}
Rbias2 p 0 {k['r_bias_clip']}
Eamp1 o1 0 p m {OP_AMP_GAIN}
Rser m s {k['r_series']}
Cser s 0 {k['c_series']}
Rfb m o1 {k['feedback']}
Cfb m o1 {k['c_feedback']}
D1 m o1 clip
D2 o1 m clip
Rti o1 tp {k['r_tone_in']}
Cti tp 0 {k['c_tone_in']}
Rbias3 tp 0 {k['r_bias_tone']}
Rplus tp w {k['plus']}
Rminus w tm {k['minus']}
Rwip w wc {k['r_tone_wiper']}
Cwip wc 0 {k['c_tone_wiper']}
Rtf o2 tm {k['r_tone_feedback']}
Eamp2 o2 0 tp tm {OP_AMP_GAIN}
Rout o2 lo {k['r_out']}
Cout lo lp {k['c_out']}
Rlevel lp 0 {k['r_level_pot']}
Cfol lp f {k['c_follower']}
Rbias4 f 0 {k['r_bias_out']}
Efollow2 e2 0 f 0 1
Rfo e2 fo {k['r_follower_out']}
Cload fo out {k['c_load']}
Rload out 0 {k['r_load']}
.model clip D(IS={DIODE_SATURATION} N={DIODE_EMISSION})
.options reltol=1e-6 abstol=1e-13 vntol=1e-8 gmin=1e-14 method=trap
.control
set wr_singlescale
set numdgt=14
tran {step} {seconds} 0 {step}
wrdata {output} v(out)
.endc
.end
"""


def solve(source, feedback, track, seconds, step):
    """times and output volts at ngspice's own time points"""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out.txt"
        deck = pathlib.Path(folder) / "deck.cir"
        deck.write_text(netlist(source, feedback, track, seconds, step, output))
        run = subprocess.run(["ngspice", "-b", str(deck)], cwd=folder, capture_output=True, text=True)
        if not output.exists():
            raise RuntimeError(f"ngspice gave no result:\n{run.stdout}\n{run.stderr}")
        table = np.loadtxt(output)
    if table[-1, 0] < seconds * (1 - 1e-9):
        raise RuntimeError(f"ngspice stopped at {table[-1, 0]} s:\n{run.stderr}")
    _, first = np.unique(table[:, 0], return_index=True)
    return table[first, 0], table[first, 1]
