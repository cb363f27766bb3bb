##@ AWS
# What `make` does with AWS. Included by the Makefile, which makes the .venv-* folders.

export UV
export SAM_CLI_TELEMETRY := 0
ifdef AWS_REGION # `sam` knows the older name only
export AWS_DEFAULT_REGION := $(AWS_REGION)
endif
SAM := .venv-sam/bin/sam
ENV ?= dev

.PHONY: validate build bundle-size e2e deploy destroy
validate: .venv-sam/.ready .venv-lint/.ready ## Check template.yaml and infra/ for what is known to go wrong
	$(SAM) validate --region us-east-1
	.venv-lint/bin/cfn-lint
	.venv-lint/bin/checkov --file template.yaml infra/*.yaml

build: .venv-sam/.ready ## Build the layers and functions into .aws-sam (sam build)
	$(SAM) build

bundle-size: build ## Say how large the layers are, and why [OUT=file.json]
	@$(UV) run --quiet --no-project --python $(PYTHON_VERSION) scripts/bundle.py size \
		$(addprefix .aws-sam/build/,LayerArm64 LayerX86 ParsersArm64 ParsersX86) $(if $(OUT),--out "$(OUT)")

e2e: .venv/.dev .venv-sam/.ready .venv-cloud/.ready .venv-runtime/.ready ## Deploy into a local AWS and ask it questions over HTTP
	$(BIN)/pytest tests/e2e --tb=short --maxfail=5 -q $(ARGS)

deploy: .venv-sam/.ready ## Deploy into your AWS account: ENV=dev or prod, as samconfig.toml says
	@grep -Eq '^ *"PineconeIndexHost=' samconfig.toml || { \
		echo 'Put "PineconeIndexHost=..." into samconfig.toml; `steadyrag index create` prints it.'; exit 2; }
	$(SAM) build
	$(SAM) deploy --config-env $(ENV)
	@.venv-sam/bin/python scripts/deployed.py $(ENV)

destroy: .venv-sam/.ready ## Delete it again and say what stays: ENV=dev [DATA=1 removes the documents, too] [YES=1]
	@.venv-sam/bin/python scripts/destroy.py $(ENV) $(if $(DATA),--data) $(if $(YES),--yes)
