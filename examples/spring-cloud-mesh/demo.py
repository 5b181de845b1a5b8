#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the demo: two Go instances, a Spring Cloud consumer, two Spring providers, a Go program that links libproxyless, and one
file of Istio YAML. Prints what happens; ends with 0 only if every step held. Needs `make build` (which `make demo` runs)."""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
AGENT = ROOT / "java-shim/dist/target/proxyless-agent.jar"
SWITCH = "profile.micro.service.envoy.xds.enable"
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def head(text):
    print("\n" + paint("1", text), flush=True)


def note(text):
    print("  " + text, flush=True)


class Failed(Exception):
    pass


class Demo:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="proxyless-demo-"))
        self.mesh = self.folder / "mesh.yaml"
        shutil.copy(HERE / "mesh.yaml", self.mesh)
        self.running = []

    # --- processes

    def start(self, name, command, **environment):
        log = open(self.folder / f"{name}.log", "ab")
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment})
        self.running.append((name, process))
        return process

    def stop(self, process):
        self.running = [(name, other) for name, other in self.running if other is not process]
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self):
        for _, process in list(self.running):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def control_plane(self):
        if self.options.control_plane == "istiod":
            istiod = subprocess.run([ROOT / "tests/istio/build"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            # How long istiod collects changes; its own default is 100 ms.
            return self.start("control-plane", [istiod, "-grpc", self.options.listen, "-file", self.mesh], PILOT_DEBOUNCE_AFTER="10ms",
                              PILOT_DEBOUNCE_MAX="200ms", POD_NAMESPACE="istio-system", POD_NAME="istiod-demo")
        return self.start("control-plane", [ROOT / "target/quick/proxyless", "serve", self.mesh, "--listen", self.options.listen])

    def java(self, name, jar, *arguments, agent=True, properties=(), **environment):
        command = ["java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        if agent:
            command.append(f"-javaagent:{AGENT}")
        command += [*properties, "-jar", HERE / f"spring/{jar}/target/spring-{jar}.jar", *arguments]
        return self.start(name, command, **environment)

    # --- looking

    def get(self, url):
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code}"
        except OSError:
            return None

    def wait_for(self, what, probe, seconds=90, pause=0.02):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = probe()
            if found:
                return found
            for name, process in self.running:
                if process.poll() is not None:
                    raise Failed(f"{name} has ended\n{self.tail(name)}")
            time.sleep(pause)
        raise Failed(f"not within {seconds} s: {what}")

    def tail(self, name):
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def answers(self, url, calls=8):
        """Distinct answers of several calls, sorted."""
        return sorted({self.get(url) or "no answer" for _ in range(calls)})

    def show(self, url, expected, why):
        answers = self.answers(url)
        for answer in answers:
            note(f"{url}  {answer}")
        if len(answers) != len(expected) or not all(part in answer for part, answer in zip(expected, answers)):
            raise Failed(f"{why}: expected {expected}, got {answers}")

    def edit(self, change, url, expected, what):
        """Edits mesh.yaml and measures until the answers are the expected ones, and only those."""
        text = change(self.mesh.read_text())
        fresh = self.mesh.with_suffix(".new")
        fresh.write_text(text)
        edited = time.monotonic()
        fresh.rename(self.mesh)
        first = []

        def reached():
            answer = self.get(url)
            if answer and expected in answer:
                first.append(first[0] if first else time.monotonic())
                return len(first) >= 4
            first.clear()
            return False

        self.wait_for(what, reached, 20, 0.001)
        note(paint("32", f"{what} after {1000 * (first[0] - edited):.0f} ms"))

    # --- the story

    def run(self):
        options = self.options
        go, java = f"http://localhost:{options.consumer_port}/go", f"http://localhost:{options.app_port}/java"
        head("Starting: two Go instances, two Spring providers, a Spring Cloud consumer, a Go program, one control plane")
        control_plane = self.control_plane()
        for ip, version in [("127.0.0.11", "v1"), ("127.0.0.12", "v2")]:
            self.start(f"go-sc-a-{version}", [HERE / "target/go-sc-a", "-listen", f"{ip}:8081", "-version", version])
        for ip, version in [("127.0.0.21", "v1"), ("127.0.0.22", "v2")]:
            name = f"spring-provider-{version}"
            self.java(name, "provider", f"--server.address={ip}", "--server.port=20004", f"--version={version}", agent=False)
        server = f"http://{options.listen}"
        # The switch as an environment variable with its dots; nothing else but the control plane's address.
        self.java("spring-consumer", "consumer", f"--server.port={options.consumer_port}", **{SWITCH: "true", "PROXYLESS_SERVER": server})
        self.start("go-mesh-app", [HERE / "target/go-mesh-app", "-listen", f"127.0.0.1:{options.app_port}"], PROXYLESS_SERVER=server)
        self.wait_for("the consumer answers", lambda: (self.get(go) or "").startswith("[Java Spring Cloud]"))
        self.wait_for("both providers answer", lambda: all(self.get(f"http://127.0.0.{n}:20004/hello") for n in (21, 22)))
        note("all up")

        head("Spring Cloud calls Go by the name go-sc-a: no registry, no sidecar, not one line that knows the mesh")
        self.show(go, ["127.0.0.11] go-sc-a v1", "127.0.0.12] go-sc-a v2"], "RestTemplate reaches both versions")
        self.show(go.replace("/go", "/feign"), ["go-sc-a v1", "go-sc-a v2"], "Feign reaches both versions")

        head("Go calls Spring by the name spring-provider, through libproxyless")
        self.show(java, ["[Java Spring Cloud 127.0.0.21] v1", "[Java Spring Cloud 127.0.0.22] v2"], "Go reaches both providers")

        head("The VirtualService is edited: 50/50 becomes v2 only")
        only_v2 = lambda text: text.replace(
            "subset: v1}\n      weight: 50", "subset: v1}\n      weight: 0").replace("subset: v2}\n      weight: 50", "subset: v2}\n      weight: 100")
        self.edit(only_v2, go, "go-sc-a v2", "all calls land on v2")
        self.show(go, ["go-sc-a v2"], "only v2")

        head("An endpoint is removed: the provider at 127.0.0.21 leaves the mesh")
        without = lambda text: text.replace("  - {address: 127.0.0.21, labels: {version: v1}}\n", "")
        self.edit(without, java, "127.0.0.22] v2", "all calls land on the other one")
        self.show(java, ["127.0.0.22] v2"], "only the endpoint that is left")

        head("The control plane is stopped")
        self.stop(control_plane)
        self.show(go, ["go-sc-a v2"], "calls go on from the last known good")
        self.show(java, ["127.0.0.22] v2"], "calls go on from the last known good")

        head("It is started again, with the VirtualService turned to v1 only")
        only_v1 = lambda text: text.replace(
            "subset: v1}\n      weight: 0", "subset: v1}\n      weight: 100").replace("subset: v2}\n      weight: 100", "subset: v2}\n      weight: 0")
        self.mesh.write_text(only_v1(self.mesh.read_text()))
        restarted = time.monotonic()
        self.control_plane()
        self.wait_for("the consumer recovers", lambda: "go-sc-a v1" in (self.get(go) or ""), 30)
        note(paint("32", f"recovered after {time.monotonic() - restarted:.1f} s"))
        self.show(go, ["go-sc-a v1"], "only v1")

        head("The same application without the switch")
        bare_port = options.consumer_port + 1000
        bare = self.java("without-switch", "consumer", f"--server.port={bare_port}", PROXYLESS_SERVER=server)
        answer = self.wait_for("it starts", lambda: self.get(f"http://localhost:{bare_port}/go"))
        note(f"http://localhost:{bare_port}/go  {answer}")
        if answer != "HTTP 500" or "No instances available for go-sc-a" not in (self.folder / "without-switch.log").read_text():
            raise Failed("without the switch the name must not resolve")
        note("No instances available for go-sc-a: nothing else made it work")
        self.stop(bare)

        if "suppressed" in (self.folder / "spring-consumer.log").read_text():
            raise Failed("the agent has suppressed a failure of its own\n" + self.tail("spring-consumer"))
        print("\n" + paint("1;32", "Every step held."), flush=True)
        if options.keep:
            head("Left running (Ctrl-C ends it). Try:")
            note(f"curl {go}")
            note(f"curl {go.replace('/go', '/feign')}")
            note(f"curl {java}")
            note(f"edit {self.mesh}")
            note(f"{ROOT / 'target/quick/proxyless'} watch --server {server} go-sc-a spring-provider")
            signal.pause()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    parser.add_argument("--consumer-port", type=int, default=20003, help="port of the Spring consumer (default 20003)")
    parser.add_argument("--app-port", type=int, default=8085, help="port of go-mesh-app (default 8085)")
    parser.add_argument("--listen", default="127.0.0.1:15010", help="address of the control plane (default 127.0.0.1:15010)")
    parser.add_argument("--control-plane", choices=["embedded", "istiod"], default="embedded",
                        help="proxyless serve, or the real istiod, which is built from source the first time (default embedded)")
    demo = Demo(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        demo.run()
    except Failed as failure:
        print("\n" + paint("1;31", f"FAILED: {failure}"), flush=True)
        return 1
    except KeyboardInterrupt:
        print()
    finally:
        demo.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
