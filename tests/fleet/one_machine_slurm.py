"""A Slurm cluster on one machine in its own folder: the distribution's munged, slurmctld and slurmd, on free ports,
without changes to /etc.

"""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def missing():
    """The programs that are not installed."""
    return [program for program in PROGRAMS if find(program) is None]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OneMachineSlurm:
    def __init__(self, folder, cpus=2):
        self.folder = pathlib.Path(folder)
        self.daemons = []
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
        }
        host, user = socket.gethostname().split(".")[0], pwd.getpwuid(os.getuid()).pw_name
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        (self.folder / "slurm.conf").write_text(
            f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge.socket
CredType=cred/munge
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
"""
        )

    def __enter__(self):
        (self.folder / "munge.key").parent.chmod(0o755)
        self.start(
            "munged",
            "--foreground",
            "--force",
            f"--socket={self.folder}/munge.socket",
            f"--key-file={self.folder}/munge.key",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )
        self.wait_until("munged answers", lambda: (self.folder / "munge.socket").exists())
        self.start("slurmctld", "-D", "-i")
        self.start("slurmd", "-D")
        self.wait_until("the node is idle", lambda: self.run("sinfo", "--noheader", "--format=%T").strip() == "idle")
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def start(self, program, *arguments):
        with open(self.folder / f"{program}.out", "wb") as log:
            self.daemons.append(
                subprocess.Popen([find(program), *arguments], env=self.environment, stdout=log, stderr=log)
            )

    def run(self, program, *arguments, **options):
        done = subprocess.run(
            [find(program), *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            **options,
        )
        return done.stdout if done.returncode == 0 else ""

    def wait_until(self, what, reached, seconds=60):
        end = time.monotonic() + seconds
        while not reached():
            ended = [daemon.args[0] for daemon in self.daemons if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                logs = "\n".join(
                    f"{log.name}:\n{log.read_text(errors='replace')[-1500:]}"
                    for log in sorted(self.folder.glob("*.out"))
                )
                raise RuntimeError(f"not reached: {what}; ended: {ended}\n{logs}")
            time.sleep(0.1)

    def submit(self, *arguments, cwd):
        """Returns the number of the job."""
        done = subprocess.run(
            [find("sbatch"), "--parsable", *map(str, arguments)],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip().split(";")[0]

    def wait(self, job, seconds=120):
        self.wait_until(
            f"job {job} has ended",
            lambda: not self.run("squeue", "--noheader", f"--jobs={job}", "--states=PD,R,CG,CF,S").strip(),
            seconds,
        )
