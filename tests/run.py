#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every lane of tests, over all languages, and adds up what they say.

The last line is "N passed, N failed, N skipped". A lane that fails shows its output; all lanes run all the same. Processes that a
lane leaves behind are found by a marker in their environment; they are a failure.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARKER = "PXL_TEST_RUN"
MVN = ["mvn", "-B", "-ntp"]
# Names of the tests that have passed so far.
PASSED = ROOT / "target" / "passed-tests.txt"


class Lane:
    def __init__(self, name, command, folder=".", counts=None, full=False, limit=900, needs=None):
        self.name, self.command, self.folder, self.counts, self.full, self.limit = name, command, folder, counts, full, limit
        self.needs = needs


def istiod(name, test, limit=900):
    """A lane against the real istiod, which is built when it is not there."""
    command = f'PXL_ISTIOD=$(tests/istio/build) exec cargo test --locked --no-fail-fast -p proxyless-tests --features istiod --test {test}'
    return Lane(name, ["bash", "-c", command], counts=cargo, limit=limit)


def jdk(version, full=False):
    """A lane with the quick set of the agent's tests on another JDK, where one can be had."""
    command = (f'java=$(tests/jdk {version} 2>&1) || {{ echo "SKIPPED: $java"; exit 0; }}\n'
               'PXL_JAVA=$java exec cargo test --locked --no-fail-fast -p proxyless-tests --test jvm every_jdk::')
    return Lane(f"the agent on Java {version}", ["bash", "-c", command], counts=cargo, full=full)


def cargo(text):
    """Counts of `cargo test`; a skipped test, or a lane that is skipped whole, says so on a line of its own."""
    found = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.M)
    passed, failed, ignored = (sum(int(row[i]) for row in found) for i in range(3))
    skipped = len(re.findall(r"^SKIPPED: ", text, re.M))
    return max(passed - skipped, 0), failed, ignored + skipped


def surefire(text):
    found = re.findall(r"^\[(?:INFO|WARNING|ERROR)\] Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)$", text, re.M)
    run, failures, errors, skipped = (sum(int(row[i]) for row in found) for i in range(4))
    return run - failures - errors - skipped, failures + errors, skipped


def go(text):
    """Counts of `go test -v`."""
    return tuple(len(re.findall(f"^--- {verdict}: ", text, re.M)) for verdict in ("PASS", "FAIL", "SKIP"))


def plain(text):
    """The closing line of our own scripts."""
    passed, failed = (int(number) for number in re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M)[-1])
    return passed, failed, 0


LANES = [
    Lane("format: Rust", ["cargo", "fmt", "--all", "--check"]),
    Lane("format: Rust with flags of its own", ["cargo", "fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]),
    Lane("format: Rust under loom", ["cargo", "fmt", "--check", "--manifest-path", "tests/loom/Cargo.toml"]),
    Lane("format: Go", ["sh", "-c", 'test -z "$(gofmt -l .)" || { gofmt -d .; exit 1; }'], "examples/spring-cloud-mesh", needs="go"),
    Lane("build", ["make", "--no-print-directory", "build"], limit=1500),
    Lane("format: Java", MVN + ["-q", "spotless:check"], "java-shim"),
    Lane("lint: Rust", ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Lane("lint: Go", ["go", "vet", "./..."], "examples/spring-cloud-mesh", needs="go"),
    Lane("unit: Rust", ["cargo", "test", "--locked", "--no-fail-fast"], counts=cargo),
    Lane("unit: engine without a network", ["cargo", "test", "--locked", "-p", "proxyless-core", "--no-default-features"], counts=cargo),
    Lane("unit: the store in every order of steps (loom)", ["cargo", "test", "--locked"], "tests/loom", counts=cargo),
    Lane("unit: panics stay inside the C ABI", ["tests/panic-guard"]),
    Lane("unit: Go", ["go", "test", "-race", "-v", "./..."], "examples/spring-cloud-mesh", counts=go, needs="go"),
    Lane("unit: Java", MVN + ["test"], "java-shim", counts=surefire),
    Lane("end to end", ["cargo", "test", "--locked", "--no-fail-fast", "-p", "proxyless-tests"], counts=cargo),
    jdk(8),
    jdk(25),
    jdk(11, full=True),
    jdk(21, full=True),
    Lane("mutants of the engine, some", ["tests/mutants", "--quick"], counts=plain, limit=1200),
    Lane("mutants of the engine, all", ["tests/mutants"], counts=plain, full=True, limit=5400),
    Lane("fuzzing", ["tests/fuzz"], counts=plain, full=True, limit=2400),
    Lane("chaos, some minutes",
         ["env", "PXL_CHAOS_STEPS=900", "cargo", "test", "--locked", "-p", "proxyless-tests", "--test", "chaos"],
         counts=cargo, full=True, limit=1800),
    Lane("engine against a model, 100,000 histories",
         ["env", "PROPTEST_CASES=100000", "cargo", "test", "--locked", "--release", "-p", "proxyless-core", "--no-default-features", "model_tests"],
         counts=cargo, full=True),
    Lane("everything that reads bytes, 100,000 damaged messages",
         ["env", "PROPTEST_CASES=100000", "cargo", "test", "--locked", "--release", "-p", "proxyless-core", "--test", "fuzz"],
         counts=cargo, full=True),
    Lane("demo", [sys.executable, "examples/spring-cloud-mesh/demo.py"], full=True, needs="go"),
]


ISTIO_LANES = [
    Lane("format: Go", ["sh", "-c", 'test -z "$(gofmt -l .)" || { gofmt -d .; exit 1; }'], "tests/istio"),
    Lane("lint: Go", ["go", "vet", "./..."], "tests/istio"),
    Lane("lint: Rust", ["cargo", "clippy", "--locked", "-p", "proxyless-tests", "--features", "istiod", "--all-targets", "--", "-D", "warnings"]),
    Lane("build: istiod", ["tests/istio/build"], limit=1200),
    istiod("clients of both profiles on istiod", "istiod"),
    istiod("routes and policies from istiod", "traffic"),
    istiod("the embedded control plane beside istiod", "embedded"),
    istiod("through a real istio-agent", "agent"),
    Lane("demo on istiod", [sys.executable, "examples/spring-cloud-mesh/demo.py", "--control-plane", "istiod"]),
]


def run(lane, environment):
    """Output and exit code; a lane that takes too long is ended with everything it started."""
    process = subprocess.Popen(
        lane.command, cwd=ROOT / lane.folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        return process.communicate(timeout=lane.limit)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + f"\nended after {lane.limit} s", 124


def left_behind(run_id):
    wanted = f"{MARKER}={run_id}".encode()
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append((int(entry.name), command.strip()))
        except OSError:
            continue  # It has just ended, or is not ours to look at.
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the heavier lanes too")
    parser.add_argument("--istio", action="store_true", help="the lanes against the real istiod, and only those")
    parser.add_argument("--only", metavar="TEXT", help="only lanes with this in their name")
    parser.add_argument("--verbose", action="store_true", help="show the output of lanes that pass")
    arguments = parser.parse_args()
    lanes = [lane for lane in (ISTIO_LANES if arguments.istio else LANES) if (arguments.full or not lane.full) and (arguments.only or "") in lane.name]
    run_id = uuid.uuid4().hex
    environment = dict(os.environ, **{MARKER: run_id, "RUST_BACKTRACE": "0", "CARGO_TERM_COLOR": "never",
                                        "CARGO_TARGET_DIR": str(ROOT / "target")})
    totals = [0, 0, 0]
    names = set()
    if not arguments.istio and not arguments.only:
        lanes.append(Lane("conformance: every scenario has a test that passed",
                          [sys.executable, "tests/conformance.py", "--check", str(PASSED)], counts=plain))
        lanes.append(Lane("cases: every one has a test, and those of this run have passed",
                          [sys.executable, "tests/cases.py", "--check", str(PASSED)], counts=plain))
    for number, lane in enumerate(lanes, 1):
        print(f"[{number}/{len(lanes)}] {lane.name} ...", flush=True)
        if lane.needs and not shutil.which(lane.needs):
            print(f"      SKIPPED: {lane.needs} is not installed", flush=True)
            totals[2] += 1
            continue
        PASSED.parent.mkdir(exist_ok=True)
        PASSED.write_text("\n".join(sorted(names)))
        started = time.monotonic()
        output, code = run(lane, environment)
        names.update(re.findall(r"^test (\S+) \.\.\. ok$", output, re.M))
        counts = list(lane.counts(output)) if lane.counts else [int(code == 0), int(code != 0), 0]
        if code != 0 and counts[1] == 0:
            counts[1] = 1  # It did not even get to its tests.
        if "\x1b" in output and lane.name.startswith(("build", "demo")):
            output += "\nterminal escapes, and this is no terminal"
            counts[1] += 1
        behind = left_behind(run_id)
        for pid, command in behind:
            output += f"\nleft behind: {pid} {command}"
            os.kill(pid, signal.SIGKILL)
        counts[1] += len(behind)
        totals = [total + count for total, count in zip(totals, counts)]
        verdict = "ok" if counts[1] == 0 else "FAILED"
        print(f"      {verdict}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped in {time.monotonic() - started:.0f} s", flush=True)
        if counts[1] or arguments.verbose:
            print(output, flush=True)
        for line in re.findall(r"^(?:SKIPPED|MEASURED): .*$", output, re.M):
            print("      " + line, flush=True)
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main())
