"""What a container, the machine and ``ulimit`` leave of memory and cores."""

import os
import resource
import subprocess
import sys

import pytest

from sparsecpu.errors import DataError
from sparsecpu.kernels.machine.cores import allowed_cores
from sparsecpu.reading import memory
from sparsecpu.reading.control_groups import control_groups
from sparsecpu.reading.memory import Bound, check_memory, memory_bounds

MB = 10**6
V1 = "31 23 0:28 {top} /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{controllers}\n"
V2 = "31 23 0:28 {top} /sys/fs/cgroup rw shared:9 - cgroup2 cgroup rw,nsdelegate\n"


@pytest.fixture
def machine(tmp_path):
    """Return a function that writes files of a made-up system; its root is ``machine.root``."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if isinstance(text, str) else f"{text}\n")

    write.root = tmp_path
    write({"proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n"})
    return write


def version_2(path="/", top="/"):
    return {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": V2.format(top=top)}


def version_1(name, path, top="/"):
    return {
        "proc/self/cgroup": f"9:name=systemd:/\n4:{name},other:{path}\n",
        "proc/self/mountinfo": V1.format(top=top, name=name, controllers=f"{name},other"),
    }


def least(machine):
    bound = memory_bounds(machine.root)[0]
    return bound.free, bound.rule


def test_without_control_groups_the_machine_has_what_others_leave(machine):
    free, rule = least(machine)
    assert free == 4_000_000 * 1024
    assert "machine" in rule
    machine({"proc/sys/vm/overcommit_memory": 2,
             "proc/meminfo": "MemAvailable: 4000000 kB\nCommitLimit: 3000000 kB\n"
                             "Committed_AS: 2999000 kB\n"})  # fmt: skip
    assert least(machine)[0] == 1000 * 1024


def test_the_least_of_all_groups_around_counts(machine):
    machine(version_2("/slice/service/run"))
    at = "sys/fs/cgroup/slice"
    machine({
        f"{at}/memory.max": 400 * MB, f"{at}/memory.current": 300 * MB,
        f"{at}/service/memory.max": "max", f"{at}/service/memory.current": 200 * MB,
        f"{at}/service/run/memory.max": 350 * MB, f"{at}/service/run/memory.current": 100 * MB,
    })  # fmt: skip
    free, rule = least(machine)
    assert free == 100 * MB
    assert "/slice," in rule
    assert "400 MB" in rule
    machine({f"{at}/service/memory.high": 210 * MB})  # a group that is slowed down above this
    assert least(machine)[0] == 10 * MB


@pytest.mark.parametrize("version", [1, 2])
def test_files_that_are_kept_for_later_are_free_memory(machine, version):
    prefix, at = ("total_", "sys/fs/cgroup/memory") if version == 1 else ("", "sys/fs/cgroup")
    machine(version_1("memory", "/") if version == 1 else version_2())
    limit, now = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        2: ("memory.max", "memory.current"),
    }[version]
    stat = f"{prefix}inactive_file {50 * MB}\n{prefix}active_file {60 * MB}\n"
    mapped = "total_mapped_file" if version == 1 else "file_mapped"
    machine({f"{at}/{limit}": 400 * MB, f"{at}/{now}": 300 * MB,
             f"{at}/memory.stat": f"{stat}{mapped} {20 * MB}\nslab 7\n"})  # fmt: skip
    assert least(machine)[0] == (100 + 50 + 60 - 20) * MB


def test_swap_counts_where_a_limit_counts_it(machine):
    machine(version_1("memory", "/a"))
    at = "sys/fs/cgroup/memory/a"
    machine({f"{at}/memory.limit_in_bytes": 400 * MB, f"{at}/memory.usage_in_bytes": 100 * MB,
             f"{at}/memory.memsw.limit_in_bytes": 400 * MB,
             f"{at}/memory.memsw.usage_in_bytes": 250 * MB})  # fmt: skip
    assert least(machine)[0] == 150 * MB
    machine({f"{at}/memory.limit_in_bytes": 9223372036854771712,
             f"{at}/memory.memsw.limit_in_bytes": 9223372036854771712})  # fmt: skip
    assert "machine" in least(machine)[1]


@pytest.mark.parametrize(("path", "top"), [("/docker/ab", "/docker/ab"), ("/", "/"), ("/../x", "/"),
                                       ("/docker/ab", "/other")])  # fmt: skip
def test_a_container_sees_its_own_group_whatever_it_is_told(machine, path, top):
    machine(version_2(path, top))
    machine({"sys/fs/cgroup/memory.max": 70 * MB, "sys/fs/cgroup/memory.current": 60 * MB})
    assert least(machine)[0] == 10 * MB


def test_a_group_in_use_beyond_its_limit_leaves_nothing(machine):
    machine(version_2())
    machine({"sys/fs/cgroup/memory.max": 50 * MB, "sys/fs/cgroup/memory.current": 60 * MB})
    assert least(machine)[0] == 0


def test_a_system_that_tells_nothing_limits_nothing(tmp_path):
    assert memory_bounds(tmp_path) == []
    assert list(control_groups("memory", tmp_path)) == []


def test_a_refusal_of_a_file_says_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "memory_bounds", lambda: [Bound(300 * MB, "the limit of x")])
    check_memory(299 * MB, "a.npy", DataError)
    with pytest.raises(DataError, match="400 MB of memory; 300 MB are free"):
        check_memory(400 * MB, "a.npy", DataError)


@pytest.mark.parametrize(("quota", "cores"), [(100_000, 1), (150_000, 2), (10_000, 1), (-1, None)])
def test_a_quota_counts_as_the_cores_that_it_fills(machine, quota, cores):
    machine(version_1("cpu", "/a/b"))
    machine({"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": quota,
             "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": 100_000,
             "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": -1,
             "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": 100_000})  # fmt: skip
    mask = len(os.sched_getaffinity(0))
    found = allowed_cores(machine.root)
    assert found.count == min(mask, cores or mask)
    if cores == 1 and mask > 1:
        assert "/a," in found.rule
    machine(version_2("/a"))
    machine({"sys/fs/cgroup/a/cpu.max": f"{quota if quota > 0 else 'max'} 100000"})
    assert allowed_cores(machine.root).count == min(mask, cores or mask)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks")
def test_threads_are_as_many_as_there_are_cores_for_them():
    code = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import sparsecpu.kernels.machine.cores as cores
cores.control_groups = lambda name, root: []
from sparsecpu.kernels.machine.threads import available_threads
print(available_threads(), cores.allowed_cores().rule)
"""
    for told, wanted in ((None, "1"), ("3", "3")):
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_NUM_THREADS"}
        if told is not None:
            environment["NUMBA_NUM_THREADS"] = told
        done = subprocess.run([sys.executable, "-c", code], env=environment, text=True,
                              capture_output=True, check=True)  # fmt: skip
        assert done.stdout.split()[0] == wanted


def test_doctor_says_which_limit_counts():
    limit = 3_000_000_000
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.skip("ulimit -v is set")
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
from sparsecpu.cli.doctor import _memory
found = _memory()
assert found["memory_free_bytes"] < {limit}, found
print(found["memory_limit"])
"""
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert "ulimit -v" in done.stdout
