"""The Slurm example on a real Slurm: two tasks of an array on one machine."""

import json
import pathlib
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "cli"))

import one_machine_slurm
from support import COIL, CoilTest, noise, write_filter_model, write_wav

EXAMPLE = ROOT / "examples" / "slurm" / "process_archive.sbatch"
FILES = 8


class Slurm(CoilTest):
    def setUp(self):
        if one_machine_slurm.missing():
            self.skipTest(
                "not installed: "
                + ", ".join(one_machine_slurm.missing())
                + " (Debian: slurmctld slurmd slurm-client munge)"
            )
        super().setUp()
        write_filter_model(self.path("model.safetensors"))
        for i in range(FILES):
            write_wav(self.path(f"in/{i}.wav"), [noise(20000, seed=i)])
        lines = [{"input": f"in/{i}.wav", "output": f"out/{i}.wav"} for i in range(FILES)]
        self.path("list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def reports(self):
        return [
            [json.loads(line) for line in self.path(f"report_{task}.jsonl").read_text().splitlines()]
            for task in range(2)
        ]

    def test_an_array_of_two_tasks_and_the_same_again(self):
        self.process("in", "expected", model="model.safetensors")
        with one_machine_slurm.OneMachineSlurm(self.path("slurm/x").parent) as slurm:
            submit = ["--array=0-1", "--export=ALL,COIL=" + COIL, EXAMPLE, "list.jsonl", "model.safetensors"]
            job = slurm.submit(*submit, cwd=self.folder)
            slurm.wait(job)
            first = self.reports()
            logs = [self.path(f"coil_{job}_{task}.log").read_text() for task in range(2)]
            print("\n".join(logs))
            self.assertEqual([len(report) for report in first], [FILES // 2] * 2)
            self.assertEqual(
                sorted(line["out"] for report in first for line in report), [f"out/{i}.wav" for i in range(FILES)]
            )
            for i in range(FILES):
                self.assertEqual(self.path(f"out/{i}.wav").read_bytes(), self.path(f"expected/{i}.wav").read_bytes())
            for log in logs:
                self.assertIn(f"{FILES // 2} files: {FILES // 2} processed, 0 done before, 0 failed", log)

            self.path("out/3.wav").unlink()
            job = slurm.submit(*submit, cwd=self.folder)
            slurm.wait(job)
            print("\n".join(self.path(f"coil_{job}_{task}.log").read_text() for task in range(2)))
            anew = [line["out"] for report in self.reports() for line in report if "resumed" not in line]
            self.assertEqual(anew, ["out/3.wav"])
            self.assertEqual(self.path("out/3.wav").read_bytes(), self.path("expected/3.wav").read_bytes())


if __name__ == "__main__":
    unittest.main()
