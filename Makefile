# crewsnow_ops: see README.md. PG=15 (default), 16 or 18 chooses the PostgreSQL of run, test and
# bench.
.DEFAULT_GOAL := help
.PHONY: help run stop psql test prove fuzz bench install package

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

run: ## Build, start a private server with the demo, walk through the runbook (FRESH=1, LEAKS=1)
	@dev/run.sh

stop: ## Stop that server
	@dev/cluster.sh stop

psql: ## Open psql on it
	@dev/psql.sh

test: ## Run every check and every test (PART=style, server, suites or prove: only that)
	@dev/test.sh $(PART)

prove: ## Run each new or changed test on the library of the parent commit, where it must fail
	@dev/prove.sh $(PARENT)

fuzz: ## Call every function with hostile arguments, 100,000 times (CALLS=, SEED= repeats a run)
	@CREWSNOW_FUZZ_CALLS=$${CALLS:-100000} CREWSNOW_FUZZ_SEED=$${SEED:-$$(date +%s)} \
		dev/test.sh fuzz

bench: ## Measure against rivals (PART=flags, telemetry, retention, health, rls, maintenance …)
	@dev/bench.sh

install: ## Install into the PostgreSQL of PG_CONFIG=/path/to/pg_config
	@dev/install.sh "$(PG_CONFIG)"

package: ## Build the files to ship for the PostgreSQL of PG_CONFIG=/path/to/pg_config
	@dev/package.sh "$(PG_CONFIG)"
