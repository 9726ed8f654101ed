"""show_code: what it shows is what runs."""

import ast
import inspect
import textwrap

import pytest

import vae

SHOWN = [
    *(vae.layers.sample_z, vae.layers.clip_log_sigma, vae.Sampling, vae.build_encoder, vae.build_decoder),
    *(vae.build_autoencoder, vae.kl_divergence, vae.reconstruction_loss, vae.vae_loss),
    *(vae.Autoencoder.loss_terms, vae.VAE.loss_terms, vae.VAE.term_weights),
]


def without_docstrings(text):
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.dump(tree)


@pytest.mark.parametrize("function", SHOWN, ids=lambda function: function.__qualname__)
def test_what_is_shown_is_the_source_without_its_docstring(function):
    wanted = ast.parse(textwrap.dedent(inspect.getsource(function)))
    shown = vae.show_code(function).text
    assert '"""' not in shown
    first = ast.parse(shown)
    first.body = first.body[:1]
    assert ast.dump(first) == without_docstrings(ast.unparse(wanted))
    assert len(shown.splitlines()) < 50
    own = [line for line in inspect.getsource(function).splitlines() if "#" in line]
    assert all(textwrap.dedent(line) in shown for line in own)  # comments are part of the lesson


def test_helpers_of_the_same_module_come_with_it_once():
    shown = vae.show_code(vae.build_encoder, vae.build_decoder).text
    for name in ("build_encoder", "build_decoder", "hidden_layers", "gaussian_heads"):
        assert shown.count(f"def {name}(") == 1
    assert shown.startswith("# vae/builders.py\n")
    assert shown.count("# vae/builders.py") == 1
    assert "def check_units" not in shown
    assert vae.show_code(vae.VAE.loss_terms).text.startswith("# vae/model.py, in class VAE\ndef loss_terms(")


def test_a_notebook_gets_a_fenced_block_and_plain_text():
    code = vae.show_code(vae.kl_divergence)
    bundle = code._repr_mimebundle_()
    assert bundle == {"text/markdown": f"```python\n{code.text}\n```", "text/plain": code.text}
    assert str(code) == repr(code) == code.text


@pytest.mark.parametrize("given", [(), (len,), (7,)])
def test_what_has_no_source_is_refused(given):
    with pytest.raises(TypeError, match="show_code must be given"):
        vae.show_code(*given)
