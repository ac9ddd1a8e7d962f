# Everything a developer runs. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build test test-rust test-api test-dhcp test-routeros test-firmware check demo bench bench-assets clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the Debian packages that the scripts need (root)
	scripts/setup

build: ## Build moxxie (debug)
	cargo build --workspace

check: ## Format, lints, and the dependency rules where cargo-deny is installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check bans licenses sources; \
	else echo "check: cargo-deny is not installed, dependency rules were not checked"; fi

test: ## Everything: Rust tests, SQLite and PostgreSQL conformance, DHCP and firmware matrix
	@if [ "$$(id -u)" = 0 ]; then scripts/setup; else scripts/setup --check || true; fi
	$(MAKE) test-rust
	$(MAKE) test-dhcp
	$(MAKE) test-firmware

test-rust: ## Unit, property, conformance, HTTP, CLI and doc tests
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace --locked; \
	else cargo test --workspace --locked --lib --bins --tests; fi
	cargo test --workspace --locked --doc

test-api: ## Requests drawn from the API's description, for a minute (fetches schemathesis from PyPI)
	scripts/schemathesis

test-routeros: ## The MikroTik scripts through a checker (fetches routeros-lsp from PyPI)
	scripts/check-routeros

test-dhcp: ## Real DHCP servers, asked as twelve kinds of firmware would (root): scripts/dhcp-matrix
	scripts/dhcp-matrix

test-firmware: ## Real firmware boots (root): scripts/firmware-matrix names the cells
	scripts/firmware-matrix

demo: ## Boot a virtual machine from Moxxie, twice; FW=uefi|http for UEFI firmware, SWITCH=kea|dhcpd for another DHCP server
	@scripts/demo

bench: ## Requests per second beside nginx, cold start, memory
	@scripts/bench

bench-assets: ## Downloads beside nginx with sendfile (root): GB/s, CPU a GB, memory; a cold S3 store
	@scripts/bench-assets

clean: ## Remove what cargo built
	cargo clean
