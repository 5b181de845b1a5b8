# What a developer does; every target says so in its line. `make help` lists them.
CARGO_PROFILE = quick
MVN = mvn -B -q -ntp
# Without it Maven writes terminal escapes to what is no terminal, -B or not.
export MAVEN_OPTS := $(MAVEN_OPTS) -Djansi.noreset=true
# Where `make install` puts things: below DESTDIR, to be found at PREFIX.
PREFIX = /usr/local
DESTDIR =
# Maven, Go and the tests look for libraries here.
export CARGO_TARGET_DIR := $(CURDIR)/target

.PHONY: help check-tools check-go build native install java go demo test test-istio test-full format header bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

check-tools:
	@tests/check-tools

check-go:
	@tests/check-tools go

build: check-tools native java go ## build everything: libraries, command, agent, examples

native:
	@echo "building the command and the libraries (Rust, profile $(CARGO_PROFILE))"
	@cargo build --locked --profile $(CARGO_PROFILE) -p proxyless-cli -p proxyless-ffi-c -p proxyless-ffi-jvm
	@ln -sf libproxyless.so $(CARGO_TARGET_DIR)/$(CARGO_PROFILE)/libproxyless.so.1

install: native ## install what C programs and shells need: PREFIX=/usr/local, DESTDIR=, CARGO_PROFILE=release for the best code
	@ffi-c/install $(CARGO_TARGET_DIR)/$(CARGO_PROFILE) '$(PREFIX)' '$(DESTDIR)'

java: native
	@echo "building the agent and the Spring applications (Maven)"
	@cd java-shim && $(MVN) package -DskipTests
	@cd examples/spring-cloud-mesh/spring && $(MVN) package -DskipTests
	@cd tests/jvm-lab && $(MVN) package -DskipTests

go: native
	@if command -v go >/dev/null; then echo "building the Go services"; \
	cd examples/spring-cloud-mesh && go build -o target/ ./go-sc-a ./go-mesh-app; fi

demo: check-go build ## run the Spring Cloud and Go demo; KEEP=1 leaves it up, CONTROL_PLANE=istiod runs it on the real one
	@python3 examples/spring-cloud-mesh/demo.py $(if $(KEEP),--keep) $(if $(CONTROL_PLANE),--control-plane $(CONTROL_PLANE))

test: check-tools ## run all tests and the format and lint checks
	@python3 tests/run.py

test-istio: check-go build ## run the tests against the real istiod, which is built from source the first time (minutes)
	@python3 tests/run.py --istio

test-full: check-tools ## run the heavier lanes too
	@python3 tests/run.py --full

format: ## format all sources
	cargo fmt --all
	gofmt -w examples/spring-cloud-mesh
	cd java-shim && $(MVN) spotless:apply

header: ## write ffi-c/include/proxyless.h and tests/golden anew from the sources
	PROXYLESS_WRITE_HEADER=1 cargo test -q -p proxyless-ffi-c --test header
	PROXYLESS_WRITE_GOLDEN=1 cargo test -q -p proxyless-core golden

bench: build ## run the benchmarks of benches/
	cargo bench -p proxyless-benches
	cargo run -q --profile $(CARGO_PROFILE) -p proxyless-benches --bin push-latency

clean: ## remove what was built
	cargo clean
	rm -rf java-shim/*/target examples/spring-cloud-mesh/target examples/spring-cloud-mesh/spring/*/target tests/jvm-lab/target
