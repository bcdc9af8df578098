"""A disk so small that it is soon full: a tmpfs, where this user may mount one."""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def can_mount():
    """Return True if this user may mount a file system."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as place:
        made = subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True)
        if made.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return made.returncode == 0


class SmallDisk:
    """Puts a small disk under a folder inside the block, with what is in it, and back after."""

    def __init__(self, folder, size):
        self.folder, self.size = Path(folder), size

    def __enter__(self):
        self.aside = self.folder.with_name("aside")
        self.folder.rename(self.aside)
        self.folder.mkdir()
        held = sum(-(-p.stat().st_size // 4096) * 4096 for p in self.aside.rglob("*"))
        options = f"size={held + self.size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(self.folder)]
        subprocess.run(command, check=True)
        shutil.copytree(self.aside, self.folder, dirs_exist_ok=True)

    def __exit__(self, *details):
        shutil.rmtree(self.aside)
        shutil.copytree(self.folder, self.aside)
        subprocess.run(["umount", str(self.folder)], check=True)
        self.folder.rmdir()
        self.aside.rename(self.folder)
