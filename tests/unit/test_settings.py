import pytest
from pydantic import ValidationError

from steadyrag.domain.errors import ConfigError
from steadyrag.settings import MODEL_NAME, VARIABLES, Settings, load
from steadyrag.telemetry import catalogue


def test_nothing_set_means_the_embedded_default():
    settings = load({})
    assert (settings.embedder, settings.index, settings.reranker, settings.generator) == (
        "local",
        "local",
        "local",
        "local",
    )
    assert (settings.host, settings.port, str(settings.data_dir)) == (
        "127.0.0.1",
        8080,
        ".steadyrag",
    )


def test_an_empty_variable_counts_as_unset():
    assert load({"STEADYRAG_PORT": " "}).port == 8080


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("STEADYRAG_PORT", "70000", "a whole number from 1 to 65535"),
        ("STEADYRAG_PORT", "eighty", "a whole number from 1 to 65535"),
        ("STEADYRAG_DEADLINE_S", "0", "a number from 0.5 to 29"),
        ("STEADYRAG_DEADLINE_S", "nan", "a number from 0.5 to 29"),
        ("STEADYRAG_DENSE_WEIGHT", "1.5", "a number from 0 to 1"),
        ("STEADYRAG_INDEX", "chroma", "local, pinecone"),
        ("OPENAI_BASE_URL", "localhost:80", "http"),
        ("STEADYRAG_RERANK_CALIBRATION", "-0.4,0.9,1", "model:intercept,best,below"),
        ("STEADYRAG_RERANK_CALIBRATION", "bge:-0.4,0,1", "must be above 0"),
        *(
            (f"STEADYRAG_{name}_MODEL", value, "at most 128 letters, digits and . _ : / @ -")
            for name in ("CHAT", "CHAT_FALLBACK", "EMBEDDING", "RERANK")
            for value in ("gpt 6", "-gpt", "m" * 129)
        ),
        ("STEADYRAG_LIVE_CONFIG", "app/profile", "application/environment/profile"),
        ("STEADYRAG_LIVE_CONFIG", "app/env/live/1", "application/environment/profile"),
    ],
)
def test_a_bad_value_stops_the_start_naming_variable_value_and_range(name, value, named):
    with pytest.raises(ConfigError) as caught:
        load({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}: {value!r}")
    assert named in message


@pytest.mark.parametrize(
    "name",
    [
        "ft:gpt-6-luna-2026-08-07:an-organisation:support-answers-v12:9f2KQx7b",
        "a/b@c_d.e",
        "m" * 128,
    ],
)
def test_a_model_whose_name_the_settings_take_can_be_counted(name):
    settings = load({"STEADYRAG_CHAT_MODEL": name})
    assert catalogue.problem(catalogue.PROMPT_TOKENS, {"model": settings.chat_model}) is None
    assert catalogue.MODEL.pattern == MODEL_NAME


def test_every_bad_value_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        load({"STEADYRAG_PORT": "x", "STEADYRAG_FUSION": "y"})
    assert len(str(caught.value).splitlines()) == 2


def test_a_bad_secret_reference_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        load({"STEADYRAG_OPENAI_API_KEY_FROM": "sk-pasted-by-mistake"})
    assert "sk-pasted" not in str(caught.value)
    assert "STEADYRAG_OPENAI_API_KEY_FROM" in str(caught.value)


def test_a_key_that_was_taken_for_its_id_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        load({"STEADYRAG_KEY_NAMESPACES": "q3Zr8vTpYx0Lk7Nw/Hs2=hr"})
    assert "q3Zr8vTp" not in str(caught.value)
    assert "STEADYRAG_KEY_NAMESPACES" in str(caught.value)


def test_secrets_never_print():
    settings = load({"OPENAI_API_KEY": "sk-very-secret", "STEADYRAG_EMBEDDER": "openai"})
    assert "sk-very-secret" not in repr(settings)
    assert "sk-very-secret" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("chosen", "missing"),
    [
        ({"STEADYRAG_GENERATOR": "openai"}, "OPENAI_API_KEY"),
        ({"STEADYRAG_EMBEDDER": "openai"}, "STEADYRAG_OPENAI_API_KEY_FROM"),
        ({"STEADYRAG_RERANKER": "pinecone"}, "PINECONE_API_KEY"),
    ],
)
def test_an_adapter_without_what_it_needs_stops_the_start(chosen, missing):
    with pytest.raises(ConfigError, match=missing):
        load(chosen)


def test_a_misspelt_variable_warns_and_suggests():
    with pytest.warns(UserWarning, match="did you mean STEADYRAG_PORT"):
        load({"STEADYRAG_PORTT": "9000"})


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        load({}).port = 1


def test_every_setting_has_a_variable_and_a_line_of_help():
    assert len(VARIABLES) == len(Settings.model_fields)
    assert all(field.description for field in VARIABLES.values())


IAM = {
    "STEADYRAG_CACHE_URL": "rediss://cache.example.com:6379",
    "STEADYRAG_CACHE_USER": "search-user",
    "STEADYRAG_CACHE_NAME": "docs-cache",
}


def test_a_cache_may_be_signed_in_to_with_aws_credentials():
    settings = load(IAM)
    assert (settings.cache_user, settings.cache_name) == ("search-user", "docs-cache")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"STEADYRAG_CACHE_USER": ""}, "need each other"),
        ({"STEADYRAG_CACHE_NAME": ""}, "need each other"),
        ({"STEADYRAG_CACHE_URL": ""}, "rediss://"),
        ({"STEADYRAG_CACHE_URL": "redis://cache.example.com:6379"}, "rediss://"),
        ({"STEADYRAG_CACHE_URL": "rediss://user:sesame@cache.example.com"}, "without a user"),
        ({"STEADYRAG_CACHE_USER": "search user"}, "STEADYRAG_CACHE_USER"),
    ],
)
def test_signing_in_needs_a_user_a_cache_and_tls(changes, named):
    with pytest.raises(ConfigError, match=named) as caught:
        load(IAM | changes)
    assert "sesame" not in str(caught.value)


def test_the_key_of_a_deployed_service_never_prints():
    assert "gateway-key" not in repr(load({"STEADYRAG_API_KEY": "gateway-key"}))
