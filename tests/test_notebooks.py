"""The notebooks as they are committed, as they run, and what the README takes from the first."""

import base64
import io
import pathlib
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from PIL import Image

import vae

ROOT = pathlib.Path(__file__).parents[1]
TUTORIAL = ROOT / "notebooks" / "vae_tutorial.ipynb"
OWN_IMAGES = ROOT / "notebooks" / "own_images.ipynb"
SOLUTIONS = ROOT / "notebooks" / "solutions.ipynb"
LEAST_PICTURES = {TUTORIAL: 25, OWN_IMAGES: 5, SOLUTIONS: 5}
NOTEBOOKS = pytest.mark.parametrize("path", LEAST_PICTURES, ids=lambda path: path.stem)
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def read(path=TUTORIAL):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def text_of(notebook):
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def pictures(notebook):
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            yield base64.b64decode(output.data["image/png"])


def check_outputs(notebook):
    """Raise where an output would not show, or shows what no reader should see."""
    for output in outputs(notebook):
        assert output.output_type != "error", output
        assert output.get("name") != "stderr", output.text
        data = output.get("data", {})
        if any(kind.startswith(("application/vnd.plotly", "image/")) for kind in data):
            assert "image/png" in data, "a figure without a static picture"
        assert not any("widget" in kind or "javascript" in kind for kind in data)
        texts = [output.get("text", ""), *(data.get(kind, "") for kind in ("text/plain", "text/html"))]
        assert not any(CONTROL.search(text) for text in texts), texts
        assert "<Figure" not in data.get("text/plain", "") or "image/png" in data
    for png in pictures(notebook):
        assert np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float).var() > 10, "a blank picture"


@pytest.fixture(scope="module")
def committed():
    return read()


@NOTEBOOKS
def test_the_committed_outputs_all_show(path):
    check_outputs(read(path))
    assert len(list(pictures(read(path)))) >= LEAST_PICTURES[path]


@NOTEBOOKS
def test_the_committed_notebook_ran_once_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(read(path))]
    assert counts == list(range(1, len(counts) + 1))
    nbformat.validate(read(path))


@NOTEBOOKS
def test_the_committed_notebook_is_light_and_carries_no_state(path):
    assert path.stat().st_size < 8e6
    assert "widgets" not in read(path).metadata
    # In what was typed and printed; a picture's bytes may spell anything.
    texts = "".join(cell.source for cell in read(path).cells) + text_of(read(path))
    assert not re.search(r"(/home|/root|/tmp|/work|/Users|site-packages)\b", texts)


@NOTEBOOKS
def test_every_picture_has_an_alternative_text(path):
    for output in outputs(read(path)):
        if "image/png" in output.get("data", {}):
            alt = output.metadata["image/png"]["alt"]
            assert len(alt.split()) >= 5
            assert output.data["text/plain"] == alt
            assert "<Picture" not in alt


def test_the_committed_run_is_mnist_with_the_settings_shown(committed):
    assert "60,000 training and 10,000 test images" in text_of(committed)
    assert "EPOCHS = 25" in parameters(committed).source
    loss = float(re.search(r"test loss (\d+\.\d+)", text_of(committed))[1])
    assert loss < 38


def test_plain_matplotlib_and_plotly_state_is_not_needed(committed):
    source = "\n".join(cell.source for cell in code_cells(committed))
    assert not re.search(r"%matplotlib|plt\.show|pyplot|kaleido|pip install", source)


def test_the_interactive_figures_are_linked_and_have_twins(committed):
    interactive = [
        output for output in outputs(committed) if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    links = [
        markdown
        for markdown in (output.get("data", {}).get("text/markdown", "") for output in outputs(committed))
        if markdown.startswith("[")
    ]
    assert len(interactive) == len(links) == 4
    assert all("image/png" in output.data and "text/html" not in output.data for output in interactive)


def markdown_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_the_code_in_sight_is_the_code_that_runs(committed):
    shown = [
        output.data["text/plain"]
        for output in outputs(committed)
        if output.get("data", {}).get("text/markdown", "").startswith("```python")
    ]
    calls = re.findall(
        r"^vae\.show_code\((.*)\)$", "\n".join(cell.source for cell in code_cells(committed)), re.M
    )
    functions = [[eval(name, {"vae": vae}) for name in call.split(", ")] for call in calls]
    assert shown == [vae.show_code(*each).text for each in functions]
    assert {function for each in functions for function in each} >= {
        *(vae.layers.sample_z, vae.layers.clip_log_sigma, vae.build_encoder, vae.build_decoder),
        *(vae.kl_divergence, vae.reconstruction_loss, vae.losses.vae_loss_terms),
        *(vae.Autoencoder.loss_terms, vae.VAE.loss_terms, vae.VAE.term_weights),
    }


def test_the_contents_lead_to_every_section(committed):
    text = markdown_of(committed)
    links = re.findall(r"^- \[([^\]]+)\]\(#([^)]+)\), \d+ min$", text, re.M)
    assert [title for title, _ in links] == re.findall(r"^## (.+)$", text, re.M)
    assert all(anchor == title.replace(" ", "-") for title, anchor in links)


def test_every_exercise_has_a_start_an_answer_and_a_solution(committed):
    cells = committed.cells
    exercises = [i for i, cell in enumerate(cells) if re.match(r"\*\*\d\. ", cell.source)]
    assert [int(cells[i].source[2]) for i in exercises] == [1, 2, 3, 4, 5, 6, 7]
    assert all("<details>\n<summary>" in cells[i].source for i in exercises)
    assert all(cells[i + 1].cell_type == "code" for i in exercises)
    solved = re.findall(r"^## (\d)\.", markdown_of(read(SOLUTIONS)), re.M)
    assert solved == ["1", "2", "3", "4", "5", "6", "7"]


def test_the_questions_have_folded_answers(committed):
    text = markdown_of(committed)
    for section in ("4", "5", "6", "8", "13"):
        part = re.search(rf"^## {section}\. .*?(?=^## |\Z)", text, re.M | re.S)[0]
        assert "<summary>Check yourself" in part
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>")


# What the text says of the stored run, and of others


def number(pattern, text):
    return [float(value) for value in re.search(pattern, text).groups()]


def test_the_errors_of_both_networks_are_as_the_text_says(committed):
    run, text = text_of(committed), markdown_of(committed)
    table = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf-8")
    by_seed = {
        name: sorted(
            float(value) for value in re.search(rf"^\| `{name}` \| (\d.*?) \|$", table, re.M)[1].split(" | ")
        )
        for name in ("Autoencoder", "VAE")
    }
    told = number(r"error on MNIST was (\S+) to (\S+) and the VAE's (\S+) to (\S+):", text)
    assert told == [by_seed[name][end] for name in ("Autoencoder", "VAE") for end in (0, -1)]
    assert by_seed["Autoencoder"][-1] < by_seed["VAE"][0]
    assert number(r"autoencoder  recon.* (\S+)\n", run) < number(r"VAE  +recon.* (\S+)\n", run)


def test_loss_constant_and_elbo_add_up(committed):
    run = text_of(committed)
    loss, constant, elbo = number(r"loss +(\S+)\nconstant +(\S+)\nELBO +(\S+) =", run)
    assert abs(elbo + loss + constant) < 0.02
    assert abs(constant - 392 * np.log(np.pi)) < 0.01
    assert "448.73" in markdown_of(committed)
    assert "-483.73" in markdown_of(committed)


def test_the_vae_by_hand_is_the_librarys(committed):
    run = text_of(committed)
    by_hand, library = number(r"by hand     (\S+)\nthe library (\S+)\n", run)
    assert abs(by_hand / library - 1) < 1e-4
    assert number(r"largest difference of a weight after it: (\S+)\n", run)[0] < 1e-5
    first, second = number(r"loss by epoch: (\S+), (\S+)\n", run)
    assert second < first < 100


def test_beta_does_what_the_text_says(committed):
    rows = re.findall(r"beta (\d+) +reconstruction +(\S+) +KL +(\S+)\n", text_of(committed))
    (_, error_0, kl_0), (_, error_1, kl_1), (_, error_20, kl_20) = (map(float, row) for row in rows)
    assert error_0 < error_1 < error_20
    assert kl_0 > 5 * kl_1
    assert kl_1 > 1
    assert kl_20 < 0.05


def test_the_bounds_rise_to_the_likelihood_and_few_images_make_the_gap(committed):
    run = text_of(committed)
    elbo, *bounds, exact = number(
        r"ELBO +(\S+) nats an image\n"
        r"bound of +1 draws (\S+)\nbound of +10 draws (\S+)\nbound of +100 draws (\S+)\n"
        r"bound of +1000 draws (\S+)\n(?:.*\n)*?log p\(x\), summed +(\S+)\n",
        run,
    )
    assert elbo - 0.5 < bounds[0] < bounds[1] < bounds[2] < bounds[3] < exact
    mean, median, largest = number(r"gap of 1,000 draws: mean (\S+), median (\S+), largest (\S+) nats", run)
    assert abs(mean - (exact - bounds[3])) < 0.011
    assert median < 0.1 * mean
    assert largest > 0.1 * 200 * mean


def test_training_went_as_the_text_says(committed):
    run = text_of(committed).split("trained for")[0]
    epochs = re.findall(
        r"loss (\S+) \(val (\S+)\) +reconstruction_loss \S+ \(val \S+\) +kl_loss (\S+) \(", run
    )
    losses, validation, kl = np.array(epochs, float).T
    assert losses[0] > validation[0]
    assert losses[-1] < losses[0]
    assert kl[-1] > kl[0]


def parameters(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


def executed(path, settings, tmp_path, monkeypatch):
    """Run a notebook with other settings, in an empty home; return it as it then is."""
    papermill = pytest.importorskip("papermill")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VAE_DATA_DIR", raising=False)
    assert all(f"{name} =" in parameters(read(path)).source for name in settings)
    result = tmp_path / "run.ipynb"
    papermill.execute_notebook(path, result, settings, cwd=tmp_path, progress_bar=False)
    check_outputs(read(result))
    return read(result)


def test_the_notebook_runs_without_network_on_the_embedded_digits(tmp_path, monkeypatch):
    notebook = executed(TUTORIAL, {"DATASET": "digits", "EPOCHS": 1}, tmp_path, monkeypatch)
    assert "from scikit-learn, as asked" in text_of(notebook)
    pages = sorted(path.name for path in (tmp_path / "interactive").glob("*.html"))
    assert pages == [
        *("algorithms.html", "autoencoder_latent_space.html", "latent.html"),
        *("training_film.html", "vae_latent_space.html"),
    ]


def test_the_second_notebook_runs_on_a_folder_of_ones_own(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(40):
        noise = np.random.default_rng(i).integers(0, 256, (30, 20 + i, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    settings = {"FOLDER": str(folder), "SIZE": [18, 12], "COLOR": "rgb", "EPOCHS": 1}
    notebook = executed(OWN_IMAGES, settings, tmp_path, monkeypatch)
    assert "32 training and 8 test images of 18 x 12 x 3" in text_of(notebook)
    assert (tmp_path / "interactive" / "own_images.html").stat().st_size > 10_000


def test_the_solutions_run_without_network_on_the_embedded_digits(tmp_path, monkeypatch):
    notebook = executed(SOLUTIONS, {"DATASET": "digits", "EPOCHS": 1}, tmp_path, monkeypatch)
    compiled, eager = re.findall(r"NumPyNoise, .*: the same noise twice: (\w+)", text_of(notebook))
    assert (compiled, eager) == ("True", "False")


def test_the_page_made_from_the_notebook_needs_no_network(tmp_path):
    command = re.search(r"jupyter nbconvert (--config \S+ --to html)", README)[1].split()
    subprocess.run(
        [sys.executable, "-m", "nbconvert", *command, "--output-dir", str(tmp_path), str(TUTORIAL)],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    page = (tmp_path / "vae_tutorial.html").read_text(encoding="utf-8")
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="(https?:)?//', page)
    assert page.count("<math") > 20
    assert "\\mathcal" not in page
    assert page.count("data:image/png;base64,") >= 20


# The README


def block(heading, language):
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1].strip()


def test_run_it_and_test_it_are_one_line_each():
    for heading in ("Run it", "Test it"):
        assert "\n" not in block(heading, "bash")
    assert block("Run it", "bash").endswith("--execute notebooks/vae_tutorial.ipynb")
    assert block("Test it", "bash").endswith("pytest -n 2")


def test_the_script_in_the_readme_runs(tmp_path):
    script = block("In your own script", "python")
    for shown, small in (('load_dataset("auto")', 'load_dataset("digits")'), ("else 300", "else 1")):
        assert shown in script
        script = script.replace(shown, small)
    assert len([line for line in script.splitlines() if line and not line.startswith("import")]) <= 15
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert result.stdout.strip().endswith("True")
    assert (tmp_path / "digits.png").stat().st_size > 10_000


def test_the_loss_of_ones_own_in_the_readme_trains(tmp_path):
    section = README.split("\n## In your own script\n")[1].split("\n## ")[0]
    script = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[1]
    script += """
import numpy as np
model = PulledVAE(vae.build_encoder(36, (4,)), vae.build_decoder(2, (4,), 36))
model.compile()
print(sorted(model.fit(np.zeros((8, 36)), verbose=0).history))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "'length_loss'" in result.stdout


def test_the_readme_is_short_and_its_links_lead_somewhere():
    before, _, rest = README.partition("\n## The public names\n")
    assert len((before + rest.partition("\n## ")[2]).split()) <= 1400
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_the_readme_names_every_public_name():
    table = README.split("\n## The public names\n")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(vae.__all__)


def test_the_numbers_and_the_picture_in_the_readme_are_those_of_the_committed_run(committed):
    text = text_of(committed)
    section = README.split("\n## Run it\n")[0]
    loss = re.search(r"test loss (\S+) = reconstruction (\S+) \+ KL (\S+) nats", text)
    for number in loss.groups():
        assert number in section
    seconds = re.search(r"trained for (\d+) s", text)[1]
    assert f"{seconds} seconds" in section
    assert (ROOT / "notebooks" / "digit_grid.png").read_bytes() in list(pictures(committed))
