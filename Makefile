# The two commands that matter: `make run` and `make test`. Neither needs a third.

GO     ?= go
NPM    ?= npm
TOOL   := $(GO) tool -modfile=tools.mod
BIN    := bin/hongyan
GOMAIN := $(shell find . -name '*.go' -not -path './node_modules/*' 2>/dev/null)

# Soak length: rounds of kill -9 for each database, seconds of load per round,
# seconds that the vendor stands still.
ROUNDS  ?= 50
SECONDS ?= 10
FREEZE  ?= 40
# Messages of the mixed run over all channels, on each database.
MESSAGES ?= 100000
# Requests of the run through all bridges, on each database.
REQUESTS ?= 200000

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run build assets generate fmt lint check test test-deps verify soak bench clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build and start the console on :8080 with SQLite in ./data
	./$(BIN) serve

build: assets $(BIN) ## build bin/hongyan

# VERSION is the tag in a clone, "dev" in an archive of the sources.
$(BIN): go.mod go.sum $(GOMAIN) $(wildcard views/locale/* static/css/* static/js/* static/img/* static/vendor/* models/migrations/*/*)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X main.release=$$(git describe --tags --always --dirty 2>/dev/null || echo dev)" -o $@ .

assets: static/vendor/sprite.svg ## fetch the third-party browser files (only when the lock file changed)

node_modules/.package-lock.json: package.json package-lock.json
	$(NPM) ci --ignore-scripts --no-audit --no-fund
	@touch $@

static/vendor/sprite.svg: node_modules/.package-lock.json static/icons.txt static/build/main.go
	$(GO) run ./static/build
	@touch $@

generate: ## regenerate Go code from templ pages and the README's tables
	$(TOOL) templ generate -path views -log-level warn
	$(GO) test -run 'TestReadmeConfiguration' . -update

fmt: ## format everything
	gofmt -w $(GOMAIN)
	$(TOOL) templ fmt -log-level warn views

lint: ## run golangci-lint (its first build takes minutes)
	$(TOOL) golangci-lint run ./...

verify: ## formatting, generated files, vet: seconds
	./scripts/verify.sh

check: assets verify lint ## before every commit: verify, lint, the quick tests
	$(GO) test -short ./...

test-deps:
	./scripts/test-deps.sh

# The whole proof. What the race detector makes many times slower, or memory is measured
# of, runs without it (internal/race). The race run is last, so that its closing lines
# close the output.
test: test-deps assets verify lint ## everything: verify, lint, Docker's steps, all tests on both databases with the race detector, browser, kill -9
	./scripts/docker-steps.sh
	$(GO) test -run '^(TestHostile|TestEveryVendorCode|TestRecordManyWith|TestDeleteAccountOfMany)' . ./handlers ./models
	CGO_ENABLED=1 $(GO) test -race -timeout 18m ./...

soak: build ## kill -9 under load, and mixed runs over all channels and all bridges, at any length: make soak ROUNDS=50 SECONDS=10 MESSAGES=100000 REQUESTS=200000
	HONGYAN_MESSAGES=$(MESSAGES) $(GO) test -count=1 -timeout 0 -v -run '^TestAllChannels|^TestSharedCredential' .
	HONGYAN_REQUESTS=$(REQUESTS) $(GO) test -count=1 -timeout 0 -v -run '^TestAllBridges' .
	HONGYAN_ROUNDS=$(ROUNDS) HONGYAN_SECONDS=$(SECONDS) HONGYAN_FREEZE=$(FREEZE) HONGYAN_TEST_BINARY=$(CURDIR)/$(BIN) $(GO) test -count=1 -timeout 0 -v -run '^TestKill|^TestTwoProcesses' .

bench: ## print the pipeline's speed as ratios against a bare apns2 loop
	$(GO) run ./bench

clean: ## remove what was built and fetched, not ./data
	rm -rf bin node_modules
	find static/vendor -type f -not -name .keep -delete
