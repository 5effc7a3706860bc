# Every target is `python3 -m tools <command>`, which makes its own environment on first use and
# works where there is no make. `make` prints this list.
PYTHON ?= python3
TOOLS = $(PYTHON) -m tools

.DEFAULT_GOAL := help
.PHONY: help demo start send query rules check operate test lint types generated fix template ci bench package lock

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | while IFS='	' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: ## three vendors' events into local tables, shown (KEEP=1 leaves it all running)
	@$(TOOLS) demo $(if $(KEEP),--keep)

start: ## run the app here on its real schedules, with local.settings.json
	@$(TOOLS) start

send: ## post sample events to the local webhook, or FILE=events.json (FILE=- reads the input)
	@$(TOOLS) send "$(FILE)"

export Q
query: ## ask the local workspace in KQL: make query Q='SentinelOne | count'
	@printf '%s' "$$Q" | $(TOOLS) query -

rules: ## run every analytics rule over the demo's week
	@$(TOOLS) rules

check: ## test the connections in local.settings.json
	@$(TOOLS) check

operate: ## pause, resume, replay, dead letters: make operate DO='pause SentinelOne' (docs/operate.md)
	@$(TOOLS) $(or $(DO),help)

test: ## run the tests
	@$(TOOLS) test

lint: ## check style and format
	@$(TOOLS) lint

types: ## check types
	@$(TOOLS) types

generated: ## check that generated files are what their sources say
	@$(TOOLS) generated

fix: ## mend style, format and generated files
	@$(TOOLS) lint --fix
	@$(TOOLS) generated --fix

template: ## write azuredeploy.json from sentinel/
	@$(TOOLS) template

ci: ## everything that must hold before a change lands
	@$(TOOLS) ci

bench: ## measure speed, memory and cost
	@$(TOOLS) bench

package: ## build released-package.zip
	@$(TOOLS) package

lock: ## renew the locks from the requirements
	@$(TOOLS) lock
