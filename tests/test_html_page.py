"""The page that nbconvert makes with the project's settings: what it says, links to and looks like."""

import base64
import html
import io
import pathlib
import re
import subprocess
import sys

import nbformat.v4 as v4
import pytest
from bs4 import BeautifulSoup
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = ROOT / "notebooks" / "nbconvert_config.py"
COMMITTED = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ["small", "listed", *(path.stem for path in COMMITTED)]
ALT = 'Ten "digits" in a row, 0 < 1 & so on'
TEXT = r"""## 1. Costs & formulas: what?

`$HOME` is `$$x$$`, 5\$ is a price, $\mathcal{L}_a * b_c$ is $\log p(x \mid z)$.

<details>
<summary>Why $\beta$? Not <code>$code$</code>.</summary>

**Because** $a^2$, and

$$\begin{aligned} \mathcal{L} &= \underbrace{\sum_{i=1}^D (x_i - \hat x_i)^2 + x_1 + x_2}_{\text{long}} \\
- y &= x_1 + x_2 + x_3 + x_4 + x_5 + x_6 + x_7 + x_8 + x_9 + x_{10} + x_{11} + x_{12} + x_{13} \end{aligned}$$

```bash
echo $HOME $PATH
```

</details>

| a | b | c | d | e | f |
|---|---|---|---|---|---|
| $\mu$ | `vae.build_conv_encoder()` | `vae.build_conv_decoder()` | x | y | z |

![A red square](attachment:red.png)
"""
LISTED = "# Listed\n\n- [First](#1.-What-is-it?)\n- [Second](#2.-The-loss,-by-hand)"


def png(width=900, height=120):
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def shown(data, **metadata):
    return v4.new_output("display_data", data, metadata=metadata)


def notebook(*cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def small():
    picture = {"image/png": png(), "application/vnd.plotly.v1+json": {}, "text/plain": "<Picture 9>"}
    code = "```python\nclass A:\n    price = '$a$ and $b$'  # of code\n```"
    outputs = [
        shown(picture, **{"image/png": {"alt": ALT, "width": 450, "height": 60}}),
        shown(picture),
        shown({"text/markdown": code, "text/plain": "code"}),
        v4.new_output("stream", name="stdout", text="wide " * 100),
    ]
    source = (
        "@cached  # a comment\ndef f(x: int) -> str:\n    return f'{x:>3}' + str(not None, 1e-3)"
        + " + 1" * 60
    )
    return notebook(
        v4.new_markdown_cell("# A *small* notebook"),
        v4.new_markdown_cell(TEXT, attachments={"red.png": {"image/png": png(40, 40)}}),
        v4.new_code_cell(source, outputs=outputs, execution_count=1),
        v4.new_markdown_cell("## 2. The end\n\nText."),
    )


def nbconvert(*arguments):
    """Run it as the README says; return what it wrote to stderr."""
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--config",
        str(CONFIG),
        "--to",
        "html",
        *map(str, arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    titles = ("## 1. What is it?", "## 2. The loss, by hand")
    listed = notebook(*map(v4.new_markdown_cell, (LISTED, *titles)))
    for name, made in (("small", small()), ("listed", listed)):
        (folder / f"{name}.ipynb").write_text(v4.writes(made), encoding="utf-8")
    said = nbconvert("--output-dir", folder, folder / "small.ipynb", folder / "listed.ipynb", *COMMITTED)
    assert "WARNING" not in said, said
    return folder


@pytest.fixture
def soup(pages, request):
    return BeautifulSoup((pages / f"{request.param}.html").read_text(encoding="utf-8"), "html.parser")


each = pytest.mark.parametrize("soup", NAMES, indirect=True)
the_small = pytest.mark.parametrize("soup", ["small"], indirect=True)


@each
def test_every_picture_is_described_and_every_link_in_the_page_leads_somewhere(soup):
    for picture in soup.find_all("img"):
        assert picture["alt"].strip()
        assert "No description" not in picture["alt"]
    for link in soup.select('a[href^="#"]'):
        assert soup.find(id=html.unescape(link["href"][1:])), link


@each
def test_the_page_has_a_title_a_language_and_one_list_of_its_sections(soup):
    heading = soup.h1.get_text().removesuffix("¶")
    assert soup.title.get_text() == heading
    assert soup.html["lang"] == "en"
    assert "width=device-width" in soup.find("meta", {"name": "viewport"})["content"]
    sections = [tag["id"] for tag in soup.find_all("h2")]
    links = [a["href"][1:] for a in soup.select('a[href^="#"]:not(.anchor-link)')]
    assert [link for link in links if link in sections] == sections


@the_small
def test_pictures_keep_their_description_and_size(soup):
    own, described, plain = soup.find_all("img")
    assert own["alt"] == "A red square"
    assert (described["alt"], described["width"], described["height"]) == (ALT, "450", "60")
    assert plain["alt"] == "<Picture 9>"


@the_small
def test_formulas_are_typeset_and_a_dollar_in_code_is_left_alone(soup):
    codes = [code.get_text() for code in soup.find_all("code")]
    assert codes[:3] == ["$HOME", "$$x$$", "$code$"]
    assert [pre.get_text() for pre in soup.select(".jp-RenderedMarkdown .highlight pre")] == [
        "echo $HOME $PATH\n",
        "class A:\n    price = '$a$ and $b$'  # of code\n",
    ]
    assert soup.select_one(".jp-OutputArea .highlight .k").get_text() == "class"
    assert "5$ is a price" in soup.get_text()
    assert soup.select_one("details summary math").get_text() == "β"
    assert soup.select_one("details p strong").get_text() == "Because"
    assert soup.select_one("details .formula mtable")
    assert not re.search(r"\\(mathcal|mid|sum)", soup.main.get_text())


def test_a_run_says_which_section_it_is_in_and_nothing_else(tmp_path):
    path = tmp_path / "run.ipynb"
    cells = ("# Title", "## Settings", "## 1. One: first", "## 2. Two $x$", "### 3. Not a section")
    path.write_text(v4.writes(notebook(*map(v4.new_markdown_cell, cells), v4.new_code_cell("1 + 1"))))
    lines = nbconvert("--execute", path).splitlines()
    assert [line for line in lines if "[NbConvertApp] " not in line] == [
        "1 of 2: One: first",
        "2 of 2: Two x",
    ]
    assert "WARNING" not in "".join(lines)
    assert ">2</pre>" in path.with_suffix(".html").read_text(encoding="utf-8").replace("\n", "")


# The least contrast of each kind of text with what lies behind it, where it is too little.
FAINT = """() => {
  const paint = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const over = (...colors) => {
    for (const color of colors) { paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); }
    const parts = [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255);
    const [r, g, b] = parts.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const faint = {}, kinds = ".highlight *, main :is(p, li, td, h2, a, pre, code, mi), nav a, summary";
  for (const e of document.querySelectorAll(kinds)) {
    if (!e.textContent.trim() || !e.getClientRects().length) continue;
    const behind = [];
    for (let up = e; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
    const a = over("white", ...behind), b = over("white", ...behind, getComputedStyle(e).color);
    const contrast = Math.max(a, b) / Math.min(a, b);
    if (contrast < 4.5) faint[e.tagName + "." + e.className] = contrast;
  }
  return faint;
}"""

SIDEWAYS = "s => [...document.querySelectorAll(s)].filter(e => e.scrollWidth > e.clientWidth).length"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(browser, pages, name, width, scheme):
    troubles = []
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    tab.on("console", lambda message: troubles.append(message.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("request", lambda r: r.url.startswith(("file:", "data:")) or troubles.append(r.url))
    tab.goto((pages / f"{name}.html").as_uri())
    tab.evaluate("document.querySelectorAll('main details').forEach(e => e.open = true)")
    sizes = tab.evaluate(
        "(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])(document.documentElement)"
    )
    assert sizes == [width, width]
    assert tab.evaluate(SIDEWAYS, "html, body, main, details, .jp-MarkdownOutput, .jp-InputArea-editor") == 0
    if name == "small" and width == 390:
        assert tab.evaluate(SIDEWAYS, ".formula, .wide:has(table), main pre") == 4
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 27)")
    assert tab.evaluate(FAINT) == {}
    folded = tab.locator("nav details:not([open])").count()
    assert folded == (width == 390 and name != "listed" and tab.locator("nav.contents").count())
    for link in tab.locator('main a[href^="#"]:not(.anchor-link)').all():
        link.click()
        assert tab.evaluate("document.querySelector(':target') !== null")
    context.close()
    assert troubles == []
