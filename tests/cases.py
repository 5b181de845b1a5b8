#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Public reports and reviews, as cases: which test holds each, and what was taken out to see that test fail.

tests/cases.txt has the rows, `| id | tests | what was taken out |`; a test is a name that the sources define, and `open` stands where
there is none yet. `--write` writes docs/cases.md from it. `--check PASSED` compares the page, looks every test up in the sources, and looks in the file PASSED (names of
passed tests, one a line) for those of Rust that this run was to run. `--add FILE…` appends the rows of other files that are new.
"""

import argparse
import functools
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "cases.txt"
DOCUMENT = ROOT / "docs" / "cases.md"

# What was wrong, in a few words. L: lists and routes; Q: engine, cache, client; P: the embedded control plane; J: Java; U: a new user.
CASES = """
L1 the first virtual host counted, whatever its domains
L2 a route that answers itself (redirect, direct response) gave all endpoints
L6 hosts with capitals were not found, or lost their routes
L7 a match on the regular expression `.*` did not count as taking everything
L8 internalTrafficPolicy Local gave nothing, because the node had no NODE_NAME
L9 a rejected assignment was hidden behind an old error of the connection
L10 an address twice in one assignment had a double share
L11 nobody named the host that stands in another namespace
L12 a delta server that does not know `*` was asked in no other way
L13 a withheld snapshot was not told in profile grpc
L14 localities without a weight had one where weights count
L15 UNHEALTHY endpoints were left out without a test
Q1 an orderly shutdown emptied the saved lists
Q2 a run overwrote saved lists that it had not asked for yet
Q3 a panic in the driver left lists that looked alive
Q4 `open` in a forked child gave a dead client
Q5 SIGPIPE killed a C host
Q6 a full state that a server had split removed all else
Q7 a NACK could be larger than the server takes
Q8 one UNIMPLEMENTED meant state of the world for ever
Q9 a mute peer was not stale
Q10 localities took quadratic time
Q11 a change among many targets cost all of them (the encoder)
Q12 leaks, storms and panics of the review's list
P1 wildcard hosts in DestinationRule and VirtualService were ignored
P2 a DestinationRule of a third namespace was applied
P3 `resolution: DNS` without endpoints was empty
P4 a port without a protocol was TCP
P5 hosts short and in full, a WorkloadEntry by name, two DestinationRules for one host were refused
P6 routes behind a catch-all were listed
P7 other kinds, `kind: List` and null were refused with a misleading error
P8 Istio's own samples and a cluster's own YAML were refused
J1 the caller's https was sent as http
J2 rules that bring their own list found no instance
J3 the second spelling of a service was never answered
J4 a failure in the discovery thread ended discovery
J5 application code could hold up discovery for every service
J6 a push could undo a poll
J7 switched off, the agent still disabled class-data sharing
J8 a security manager aborted the JVM
J9 Ribbon 2.2.0 to 2.2.4 failed silently
J10 a class loader that hides the agent's classes broke the application
J11 what a registry has said was kept per balancer; failures and filters went unsaid
J12 every process picked the same endpoint first
J13 the pod of docs/istio.md did not switch the agent on under `sh`
J14 wrong settings and places ended in exceptions without a remedy
J15 a management port was taken for the service
J21 a service with conditional routes only was not flagged
U1 saving the served file emptied the mesh for a moment
U2 a forked child was told that its lists are in sync
U3 the wait between attempts was long, unsaid and not to be set
U4 the end of an old answer was unsaid
U5 `status` did not wait, and no command listed all services
U6 before the first connection nothing was stale
U7 the Go example dialled host names as 0.0.0.0
U8 a look-up right after `watch` found nothing
U9 C programs all picked the same endpoint first
U10 commands and build lines of the README did not work as they stand
U11 a wrong port, protocol or certificate was not named
U12 typos were taken, or answered with misleading errors
U13 `serve --check` saw no mistakes, and read one file only
U14 the raw header, `-V`, endpoint details in JSON, completions of settings
"""

# In place of tests: not mended yet, and the last column says why.
OPEN = "open"

TEST = re.compile(r"\b(?:fn|void|func|def) (\w+)\s*\(")


def cases():
    for line in CASES.strip().splitlines():
        yield line.split(" ", 1)


@functools.cache
def places():
    """Test name → files that define a function of this name; tests' own files first."""
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.rs", "*.java", "*.go", "*.py", "*.c"],
                           cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    found = {}
    for file in sorted(files, key=lambda file: (not re.search(r"test", file, re.I), file)):
        if (ROOT / file).exists():
            for name in TEST.findall((ROOT / file).read_text()):
                found.setdefault(name, []).append(file)
    return found


@functools.cache
def gated():
    """Files of Rust tests that only the lanes with a real istiod run."""
    manifest = (ROOT / "tests" / "Cargo.toml").read_text()
    names = re.findall(r'\[\[test\]\]\nname = "(\w+)"\nrequired-features', manifest)
    return tuple(f"tests/tests/{name}{end}" for name in names for end in (".rs", "/"))


def rows(file=DATA):
    """(id, tests, what was taken out), as they stand."""
    for line in file.read_text().splitlines():
        if line.startswith("| ") and line.count("|") >= 4 and not line.startswith("| id "):
            case, tests, taken = (cell.strip() for cell in line.strip().strip("|").split("|", 2))
            yield case, tests, taken


def ids_of(cell):
    return [case for case, _ in cases() if re.search(rf"\b{case}\b", cell)]


def names_of(cell):
    """The tests that a cell names: long words that are defined somewhere and are no part of a path."""
    words = re.findall(r"(?<![\w/.-])(\w+)(?![\w-]*[/.]\w)", cell)
    return [word for word in dict.fromkeys(words) if word in places() and len(word) > 12]


def unknown_in(cell):
    """Words in backticks that look like names of tests and are defined nowhere."""
    quoted = re.findall(r"`([\w:]+)`", cell)
    return [name for name in quoted if name.count("_") >= 3 and name.rsplit("::", 1)[-1] not in places()]


def document():
    tests, taken_out = {}, {}
    for cell, named, taken in rows():
        for case in ids_of(cell):
            tests.setdefault(case, {}).update(dict.fromkeys(names_of(named)))
            taken_out.setdefault(case, []).append(shown(taken))
    lines = [
        "# Cases",
        "",
        "What public reports on xDS clients and reviews of this one found to be wrong, and the tests that hold what is right. To see that",
        "a test can fail, the code that it is about was taken out or changed as the last column says. This page is written by",
        "`tests/cases.py --write` from `tests/cases.txt`; the test run fails when a test named here does not exist or has not passed.",
        "[conformance.md](conformance.md) has the scenarios on which xDS clients are judged.",
        "",
        "| case | what was wrong | tests | taken out to see them fail |",
        "|---|---|---|---|",
    ]
    for case, about in cases():
        links = [link(name) for name in tests.get(case, {})] or [OPEN] * (case in taken_out)
        lines.append(f"| {case} | {about} | {'<br>'.join(links)} | {'<br>'.join(filter(None, taken_out.get(case, [])))} |")
    others = [row for row in rows() if not ids_of(row[0])]
    if others:
        lines += ["", "Behaviour that could once be broken with every test green:", "", "| what | tests | taken out to see them fail |", "|---|---|---|"]
    lines += [f"| {about} | {'<br>'.join(map(link, names_of(named)))} | {shown(taken)} |" for about, named, taken in others]
    return "\n".join(lines) + "\n"


def link(name):
    return f"[`{name}`](../{places()[name][0]})"


def shown(cell):
    return cell.replace("|", "\\|")


def check(passed_file):
    wrong = []
    if not DOCUMENT.exists() or DOCUMENT.read_text() != document():
        wrong.append("docs/cases.md is not what tests/cases.txt and the sources say: run tests/cases.py --write")
    passed = {part for name in pathlib.Path(passed_file).read_text().split() for part in name.split("::")}
    held = set()
    for cell, named, _ in rows():
        names = names_of(named)
        wrong += [f"{cell}: no test is called {name}" for name in unknown_in(named)]
        for name in names:
            file = places()[name][0]
            if file.endswith(".rs") and not file.startswith(gated()) and name not in passed:
                wrong.append(f"{cell}: {name} ({file}) has not passed")
        held.update(ids_of(cell) if names or named == OPEN else [])
    wrong += [f"{case} ({about}): no test" for case, about in cases() if case not in held]
    for text in wrong:
        print(text)
    print(f"{len(held)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


def add(files):
    """Rows are told apart by their tests and what was taken out; the first cell may have been worded anew."""
    known = {row[1:] for row in rows()}
    fresh = {row[1:]: row for file in files for row in rows(pathlib.Path(file)) if row[1:] not in known}
    with DATA.open("a") as data:
        data.writelines(f"| {' | '.join(row)} |\n" for row in fresh.values())
    print(f"{len(fresh)} rows added")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", metavar="FILE", nargs="+", help="append the rows of these files that are not there yet")
    parser.add_argument("--write", action="store_true", help="write docs/cases.md")
    parser.add_argument("--check", metavar="PASSED", help="check the page, and the names of passed tests in this file")
    arguments = parser.parse_args()
    if arguments.add:
        add(arguments.add)
    if arguments.write:
        DOCUMENT.write_text(document())
    return check(arguments.check) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
