#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance catalogue: which scenario is tested where, and whether those tests have passed.

`--write` writes docs/conformance.md from the sources. `--check PASSED` compares it, and looks in the file PASSED (names of passed
tests, one a line) for every scenario.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "conformance.md"

# What each scenario is about, in a few words. C: from the suites of gRPC's clients; E: from Envoy, delta and real servers.
ROWS = """
C-001 a watch is requested, its response acknowledged
C-002 a NACK carries the old version and every error
C-003 the first response is bad
C-004 a good resource beside a bad one
C-005 entries that cannot be read, listed by index
C-006 wrapped resources
C-007 a type that was not asked for
C-008 a decoder that panics
C-009 every request lists all names
C-010 the second watch of a name
C-011 the last name is taken back
C-012 a new name after the last one went
C-013 a resource nobody wants any more
C-014 cancel and watch before the request is written
C-015 an identical resend
C-016 a known absence
C-017 data and a standing error, for who asks later
C-018 only an error, for who asks later
C-019 the same error again
C-020 a watch from within a wake-up
C-021 no answer in time
C-022 a response without the name
C-023 the timer starts when the request is written
C-024 the timer and the end of a stream
C-025 the timer as a passing failure
C-026 bad content for a resource in use
C-027 deletion by absence
C-028 deletion ignored
C-029 absence that means nothing
C-030 errors instead of resources
C-031 a socket listener where an API listener is expected
C-032 the end of a stream after a response
C-033 the end of a stream without a response
C-034 back-off
C-035 a reconnect states everything again
C-036 changes without a stream
C-037 a server that does not send again
C-038 a server that cannot be reached
C-039 a stalled reader and updates
C-040 a stalled reader and errors
C-041 a stalled reader and messages of no interest
C-042 fallback at the start, and back
C-043 no fallback with everything answered
C-044 fallback for a new name
C-045 fallback half way
C-046 all servers down
C-047 three servers
C-048 context parameters in another order
C-049 names that nobody can answer for
C-050 authorities that share a server
C-051 authorities apart
C-052 listener name templates
C-053 the two variables of the bootstrap
C-054 servers and credentials of the bootstrap
C-055 authorities of the bootstrap
C-056 call credentials
C-057 TLS credentials, and files that change
C-090 one stream for many users
C-091 what is in use, asked for, absent and wrong, for people
C-092 counters and gauges of A78
C-093 a caller's deadline
C-094 the cost of a large update
C-095 children of what is gone
C-096 bad content leaves what is in use
C-097 several bad resources
C-098 shutdown
C-099 lazy start
C-100 large unsigned numbers
E-01 delta: first and later requests
E-02 delta: answers and subscriptions apart
E-03 delta: removal, return, never there
E-04 delta: unsubscribe and subscribe before a send
E-05 delta: wildcard and names
E-06 delta: names twice, in both lists, of a wrong type
E-07 times to live and heartbeats
E-08 delta: deleted while disconnected
E-09 a list that changed between a push and its NACK
E-10 a list that changed between a push and its ACK
E-11 everything istiod sends to sidecars
E-12 a server that withholds until all names are asked for
E-13 a GOAWAY every half hour
E-14 a socket that serves one stream
E-15 very large responses
E-16 headers that wait for the first request
"""

# Where this client does otherwise than the row says, and why.
NOTES = {
    "C-016": "A watcher event is a state here: who asks later reads it, and nothing is called back.",
    "C-017": "As C-016: data and error are read together, in any order.",
    "C-018": "As C-016.",
    "C-020": "There are no callbacks; a thread that a wait has just woken starts a watch.",
    "C-025": "The wait is twice the configured one, 30 s by default.",
    "C-030": "There is no mode without this feature: a server that sends such errors means them.",
    "C-038": "An address that is no address is an error of the configuration, with its field, before anything is tried.",
    "C-039": "Reading does not wait for readers: a stalled one delays nothing and finds the newest state.",
    "C-040": "As C-039.",
    "C-041": "As C-039.",
    "C-043": "The failure is told to those who wait for something; who has an answer keeps it.",
    "C-046": "A server with a malformed address is an error of the configuration, not a server that is down.",
    "C-056": "A token that is no JWT is sent as it is, because istiod's other token kinds are none; it is read for every stream and never kept.",
    "C-057": "The files are read for every connection, so that `refresh_interval` is checked and otherwise not needed.",
    "C-091": "On the data that `describe` and `proxyless status` show; CSDS is not served yet.",
    "C-092": "As numbers in `describe`; they are not exported as metrics yet.",
    "C-094": "Counted in decodes, not in time.",
    "C-100": "In the flat format that Java reads: weights and ports.",
}


def rows():
    for line in ROWS.strip().splitlines():
        yield line.split(" ", 1)


def ids_of(name):
    """`c_017_c_018_data_…` → C-017, C-018."""
    return [found.upper().replace("_", "-") for found in re.findall(r"(?:^|_)((?:c_\d{3}|e_\d{2}))(?=_)", name)]


def tests():
    """Scenario → (file, test)."""
    files = subprocess.run(["git", "ls-files", "*.rs"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    found = {}
    for file in files:
        for name in re.findall(r"#\[(?:tokio::)?test[^\n]*\n\s*(?:async )?fn (\w+)\(", (ROOT / file).read_text()):
            for scenario in ids_of(name):
                found.setdefault(scenario, []).append((file, name))
    return found


def document():
    found = tests()
    lines = [
        "# Conformance",
        "",
        "Scenarios on which xDS clients are judged: C from the test suites of gRPC's C++, Java and Go clients, E from Envoy, the delta",
        "variant and the behaviour of real servers. Each is a test with its number in its name; the test run fails when a scenario has",
        "none that passed. This page is written by `tests/conformance.py --write`. [cases.md](cases.md) has what public reports and reviews",
        "found to be wrong.",
        "",
        "| scenario | about | tests |",
        "|---|---|---|",
    ]
    for scenario, about in rows():
        places = [f"[`{name}`](../{file})" for file, name in sorted(found.get(scenario, []))]
        note = f"<br>{NOTES[scenario]}" if scenario in NOTES else ""
        lines.append(f"| {scenario} | {about}{note} | {'<br>'.join(places)} |")
    return "\n".join(lines) + "\n"


def check(passed_file):
    wrong = []
    if not DOCUMENT.exists() or DOCUMENT.read_text() != document():
        wrong.append("docs/conformance.md is not what the sources say: run tests/conformance.py --write")
    passed = {scenario for name in pathlib.Path(passed_file).read_text().split() for scenario in ids_of(name.rsplit("::", 1)[-1])}
    wrong += [f"{scenario} ({about}): no test of it has passed" for scenario, about in rows() if scenario not in passed]
    for text in wrong:
        print(text)
    total = sum(1 for _ in rows())
    missing = len(wrong)
    print(f"{total - missing} passed, {missing} failed")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md")
    parser.add_argument("--check", metavar="PASSED", help="check the document and the names of passed tests in this file")
    arguments = parser.parse_args()
    if arguments.write:
        DOCUMENT.write_text(document())
    return check(arguments.check) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
