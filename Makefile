# Two commands do all the set-up:  make demo   and   make test
# A torch of your own (a CUDA build, say):  make demo TORCH="torch==2.14.0"   or a path to a wheel.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-$(shell printf '%s' '$(TORCH)' | cksum | cut -d' ' -f1)
PORT   ?= 8765

.PHONY: demo serve test lint clean

demo: $(STAMP)
	$(BIN)/espalier demo --port $(PORT) $(if $(ONCE),--once)

serve: $(STAMP)
	$(BIN)/espalier serve --port $(PORT)

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2

lint: $(VENV)/.installed-ci
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Torch comes first and from one setting; everything else follows under the same constraints.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(filter torch==2.13.0,$(TORCH)),cat,grep -v '^torch==') constraints.txt > $(VENV)/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt '$(TORCH)'
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[dev]'
	rm -f $(VENV)/.installed-*
	touch $@

$(VENV)/.installed-ci: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[ci]'
	touch $@

clean:
	rm -rf $(VENV) data
