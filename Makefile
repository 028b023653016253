# make build   the two programs, in bin/
# make test    everything, with real servers; MAILROW_LONG=1 for the long forms
# make lint    gofmt, go vet, staticcheck, manual pages
# make bench   figures for docs/performance.md, as ratios taken in one run
# make bench-growth  the same of an account that grows; GROWTH=10000,100000 mails
# make bench-peers   the same beside what others use; installs it, and writes the file
# make fuzz    each fuzz target for FUZZTIME
# make demo    real mail through mailrow-deliver into a private PostgreSQL

GO       ?= go
FUZZTIME ?= 60s
OTHERFUZZTIME ?= 10s
export CGO_ENABLED ?= 0

# The supervisor that turns every crash into "try again" is the entry point of
# mailrow-deliver, on the processors that it is written for.
ENTRY_amd64 := -E mailrow_entry
ENTRY       := $(if $(filter linux,$(shell $(GO) env GOOS)),$(ENTRY_$(shell $(GO) env GOARCH)))

.PHONY: build test lint bench bench-growth bench-peers fuzz demo man clean

build: man
	$(GO) build -trimpath -ldflags '-s -w $(ENTRY)' -o bin/mailrow-deliver ./cmd/mailrow-deliver
	$(GO) build -trimpath -ldflags '-s -w' -o bin/mailrow ./cmd/mailrow

man:
	@mkdir -p bin/man
	$(GO) run ./docs/man bin/man

test: build
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 20m ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Two at a time, one processor each: those of the parser for FUZZTIME, the others for
# a part of it, or not at all where OTHERFUZZTIME is empty.
fuzz:
	@grep -rHo '^func Fuzz[A-Za-z]*' --include='*_test.go' . | sed 's|/[^/]*:func | |' | sort | xargs -P 2 -n 2 sh -c \
		'time=$(FUZZTIME); test $$0 = ./message || time=$(OTHERFUZZTIME); \
		test -z "$$time" || $(GO) test -run "^$$" -fuzz "^$$1$$" -fuzztime $$time -parallel 1 $$0'

bench: build
	$(GO) run ./bench

GROWTH ?= 10000,100000
bench-growth: build
	$(GO) run ./bench/growth -sizes $(GROWTH)

bench-peers:
	./scripts/install-peers
	$(GO) run ./bench/peers -write docs/performance.md

demo: build
	./scripts/demo

clean:
	rm -rf bin
