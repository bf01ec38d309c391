"""examples/embed, built with an installed Coil, gives the same sound as `coil process`; as a subproject, Coil only
builds its libraries.

"""

import os
import pathlib
import subprocess
import tempfile
import unittest
import wave

import numpy

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ["COIL_BUILD"]
PRESET = SOURCE / "presets/green_overdrive.safetensors"


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, **options)
    if done.returncode:
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}")
    return done.stdout.decode()


class Install(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def processed(self, samples):
        """The samples (int16) after `coil process`, as float32."""
        with wave.open(str(self.folder / "in.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(48000)
            file.writeframes(samples.astype("<i2").tobytes())
        run(
            os.environ["COIL"],
            "process",
            "-q",
            self.folder / "in.wav",
            "-o",
            self.folder / "out.wav",
            "-m",
            PRESET,
            "--bits",
            "32f",
        )
        data = (self.folder / "out.wav").read_bytes()
        return numpy.frombuffer(data[data.index(b"data") + 8 :][: 4 * len(samples)], "<f4")

    def test_example_against_the_installed_package(self):
        run("cmake", "--install", BUILD, "--prefix", self.folder / "usr", "--component", "development")
        run(
            "cmake",
            "-S",
            SOURCE / "examples/embed",
            "-B",
            self.folder / "embed",
            f"-DCMAKE_PREFIX_PATH={self.folder}/usr",
            "-DCMAKE_BUILD_TYPE=Release",
        )
        run("cmake", "--build", self.folder / "embed")

        samples = (numpy.random.default_rng(1).normal(0, 0.1, 20000) * 32768).astype(numpy.int16)
        expected = self.processed(samples)
        program = self.folder / "embed/embed"
        raw = (samples / numpy.float32(32768)).astype("<f4").tobytes()
        live = subprocess.run([program, PRESET], input=raw, capture_output=True, check=True).stdout
        numpy.testing.assert_allclose(numpy.frombuffer(live, "<f4"), expected, atol=1e-6)

        gpu = subprocess.run([program, PRESET, "gpu"], input=raw, capture_output=True)
        if gpu.returncode == 4:
            self.assertIn(b"embed: no GPU: ", gpu.stderr)
        else:
            self.assertEqual(gpu.returncode, 0, gpu.stderr)
            numpy.testing.assert_allclose(numpy.frombuffer(gpu.stdout, "<f4"), expected, atol=1e-5)

        missing = subprocess.run([program, self.folder / "none.safetensors"], input=b"", capture_output=True)
        self.assertEqual(missing.returncode, 3)
        self.assertIn(b"none.safetensors", missing.stderr)

    def test_component_that_does_not_exist(self):
        run("cmake", "--install", BUILD, "--prefix", self.folder / "usr", "--component", "development")
        (self.folder / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(other LANGUAGES CXX)\nfind_package(coil REQUIRED "
            "COMPONENTS ssm teapot)\n"
        )
        done = subprocess.run(
            ["cmake", "-S", self.folder, "-B", self.folder / "b", f"-DCMAKE_PREFIX_PATH={self.folder}/usr"],
            capture_output=True,
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"teapot", done.stderr)

    def test_subproject_has_libraries_alone(self):
        (self.folder / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(other LANGUAGES CXX)\n"
            f"add_subdirectory({SOURCE} coil)\nadd_executable(other main.cpp)\ntarget_link_libraries(other "
            "PRIVATE coil::ssm)\n"
        )
        (self.folder / "main.cpp").write_text('#include "ssm/run/stream.h"\nint main() {}\n')
        run("cmake", "-G", "Ninja", "-S", self.folder, "-B", self.folder / "b", "-DCOIL_CUDA=OFF")
        targets = run("ninja", "-C", self.folder / "b", "-t", "targets", "all")
        self.assertIn("libcoil_ssm.a", targets)
        for name in ("libcoil_dsp.a", "unit_tests", "coil_plugin", "cli/coil"):
            self.assertNotIn(name, targets)


if __name__ == "__main__":
    unittest.main()
