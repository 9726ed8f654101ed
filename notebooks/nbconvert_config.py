"""Settings for `jupyter nbconvert --to html`: one page that needs nothing from the network.

The page has a title, a contents list, a description on every picture, formulas that the browser
draws itself, and a light and a dark look. With `--execute`, each section is named as its turn comes.
"""

import html
import re
import sys

from bs4 import BeautifulSoup
from jinja2 import pass_context
from jupyter_client import KernelManager
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor

SPACED = r'<mi>\1</mi><mspace width="0.167em" />'


class Renderer(IPythonRenderer):
    """Write formulas as MathML, and let wide formulas and tables scroll in a box of their own."""

    def inline_math(self, body, display="inline"):
        # Of the environments, the converter knows align* but not aligned.
        formula = convert(body.replace("{aligned}", "{align*}"), display=display)
        # Else "log p" would read "logp". Within <msub>, a space would be taken for the index.
        formula = re.sub(r"(?<!<msub>)(?<!<msup>)<mi>(log|ln|exp)</mi>(?=<m(?!o[ >]))", SPACED, formula)
        # With xmlns, headings would be written as <ns0:math>.
        return formula.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")

    def block_math(self, body):
        return f'<span class="wide formula">{self.inline_math(body, "block")}</span>'

    def latex_environment(self, name, body):
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def table(self, text):
        return f'<div class="wide"><table>{text}</table></div>'

    def block_html(self, text):
        """Typeset the formulas in raw HTML, such as a <summary>, but not those in code."""
        parts = re.split(r"(<(?:code|pre|script|style)\b.*?</|<[^>]*>)", text, flags=re.DOTALL)
        for i in range(0, len(parts), 2):
            parts[i] = re.sub(r"\$([^$]+)\$", lambda m: self.inline_math(html.unescape(m[1])), parts[i])
        return "".join(parts) + "\n"

    def inline_html(self, text):
        # To embed pictures, nbconvert would close the tags that a later piece closes.
        return text


def render(source, **options):
    renderer = Renderer(escape=False, embed_images=True, **options)
    return MarkdownWithMath(renderer).render(source)


@pass_context
def markdown2html(context, source):
    attachments = context.get("cell", {}).get("attachments", {})
    path = context["resources"].get("metadata", {}).get("path", "")
    return render(source, attachments=attachments, path=path)


def headings(notebook):
    """Give index of the cell, level, id and text of each heading."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            source = re.sub(r"\(attachment:", "(", cell.source)
            for tag in BeautifulSoup(render(source), "html.parser").select("h1, h2, h3, h4"):
                for link in tag.select(".anchor-link"):
                    link.extract()
                yield index, int(tag.name[1]), tag.get("id"), " ".join(tag.get_text().split())


def sections_of(notebook):
    return [(index, anchor, text) for index, level, anchor, text in headings(notebook) if level == 2]


class TitleAndContents(Preprocessor):
    """Find the title, and the sections unless the notebook lists them itself."""

    def preprocess(self, nb, resources):
        found = list(headings(nb))
        nb.metadata.setdefault("title", found[0][3] if found else resources["metadata"]["name"])
        sections = [(anchor, text) for _, level, anchor, text in found if level == 2 and anchor]
        texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
        links = max((text.count("](#") + text.count("](<#") for text in texts), default=0)
        resources["contents"] = sections if links < max(2, len(sections) / 2) else []
        return nb, resources


numbered = {}  # of the notebook that runs: index of the cell -> line to print


def name_the_sections(notebook):
    found = sections_of(notebook)
    # Numbered ones alone, so that "3 of 17" is what the heading calls 3.
    found = [section for section in found if re.match(r"\d+\. ", section[2])] or found
    numbered.clear()
    for k, (index, _, text) in enumerate(found, 1):
        numbered[index] = f"{k} of {len(found)}: " + re.sub(r"^\d+\. ", "", text)


def say_the_section(cell, cell_index):
    if cell_index in numbered:
        print(numbered[cell_index], file=sys.stderr, flush=True)


STYLE = """
:root { color-scheme: light dark; --jp-content-font-size1: 16px; --jp-notebook-padding: 16px;
  --jp-ui-font-size1: 14px; --jp-content-heading-line-height: 1.25;
  --jp-cell-prompt-not-active-opacity: 1; --jp-content-link-color: #0b63b8;
  --jp-mirror-editor-comment-color: #3a7070; --jp-mirror-editor-number-color: #007a00;
  --jp-mirror-editor-keyword-color: #007500; --jp-mirror-editor-operator-color: #9020e0; }
@media screen and (prefers-color-scheme: dark) { :root {
  --jp-layout-color0: #16181b; --jp-layout-color1: #1e2125; --jp-layout-color2: #2c3036;
  --jp-cell-editor-background: #1e2125; --jp-rendermime-table-row-background: #1e2125;
  --jp-cell-editor-border-color: #3c424a; --jp-content-link-color: #7ab8f5;
  --jp-content-font-color1: #e3e5e8; --jp-ui-font-color1: #e3e5e8;
  --jp-mirror-editor-comment-color: #7fb0b0; --jp-mirror-editor-number-color: #81c784;
  --jp-mirror-editor-keyword-color: #66bb6a; --jp-mirror-editor-operator-color: #c792ff;
  --jp-mirror-editor-string-color: #ff8a80; --jp-mirror-editor-punctuation-color: #64b5f6; } }
html { background: var(--jp-layout-color0); scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body.jp-Notebook { margin: 0; overflow: visible; }
main, .contents { max-width: 62rem; margin: 0 auto; min-width: 0; }
/* The template lays cells out as tables, which grow with what is in them. */
.jp-Cell .jp-InputArea, .jp-Cell .jp-OutputArea-child { display: flex; overflow: visible; }
.jp-Cell .jp-InputArea-prompt, .jp-Cell .jp-OutputArea-prompt { flex: none; display: block;
  box-sizing: border-box; width: 76px; overflow: visible; }
.jp-Cell .jp-InputArea-editor, .jp-Cell .jp-MarkdownOutput, .jp-Cell .jp-OutputArea-output {
  display: block; flex: 1; width: auto; min-width: 0; overflow-x: auto; overflow-y: hidden; }
.jp-Cell .jp-OutputArea-output { padding: 0 0 0 5px; }
.jp-Cell .jp-RenderedHTMLCommon { padding-right: 0; overflow-wrap: break-word; }
.jp-Cell pre, .jp-RenderedHTMLCommon .highlight pre { white-space: pre; overflow-x: auto; }
.jp-RenderedMarkdown > :is(p, ul, ol, blockquote, details, h1, h2, h3, h4) { max-width: 46rem; }
.jp-RenderedMarkdown :is(p, li) a:not(.anchor-link) { text-decoration: underline; }
.jp-RenderedHTMLCommon h2 { padding-top: .8em; }
.jp-RenderedHTMLCommon :not(pre) > code { font-size: .875em; border-radius: 3px; }
.jp-RenderedHTMLCommon > pre, .jp-RenderedHTMLCommon .highlight { margin: 0 0 1em; }
.jp-RenderedHTMLCommon :is(.highlight, details) { border: 1px solid var(--jp-border-color2);
  border-radius: 4px; }
.jp-RenderedHTMLCommon .highlight pre { background: none; padding: 8px 10px;
  font-family: var(--jp-code-font-family); font-size: var(--jp-code-font-size); }
.jp-RenderedHTMLCommon details { margin: 0 0 1em; padding: 0 1rem; }
summary { cursor: pointer; padding: .6rem 0; }
.wide { display: block; overflow-x: auto; overflow-y: hidden; margin-bottom: 1em; }
.jp-Cell .wide table { margin: 0; table-layout: auto; }
.jp-Cell .wide :is(th, td) { text-align: left; vertical-align: top; min-width: 7em; line-height: 1.45; }
math { font-size: 1.1em; font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math",
  "Libertinus Math", "DejaVu Math TeX Gyre", "Noto Sans Math", math, serif; }
mtd[columnalign="right"] { text-align: right; padding-right: 0; }
mtd[columnalign="left"] { text-align: left; }
mtd[columnalign="right"] + mtd { padding-left: 0; }
.formula { padding: .3em 0; }
.formula math { min-width: max-content; }
.jp-Cell img { max-width: 100%; height: auto; }
.jp-RenderedImage img { background: white; border-radius: 6px; display: block; }
.contents { font: 14px/1.4 var(--jp-content-font-family); color: var(--jp-content-font-color1); }
.contents summary { font-weight: 600; }
.contents ul { list-style: none; margin: 0; padding: 0; }
.contents a { display: block; padding: .3rem 0; color: var(--jp-content-link-color); }
.contents a:hover { text-decoration: underline; }
@media screen and (min-width: 1200px) {
  body:has(.contents) { display: grid; grid-template-columns: 15rem minmax(0, 62rem); gap: 2rem;
    justify-content: center; align-items: start; }
  .contents { position: sticky; top: 0; max-height: 100vh; overflow-y: auto; box-sizing: border-box;
    padding: 1rem 0; margin: 0; }
}
@media screen and (max-width: 760px) {
  .jp-Cell .jp-InputArea-prompt, .jp-Cell .jp-OutputArea-prompt { display: none; }
  .jp-Cell .jp-InputArea-editor, .jp-Cell .jp-MarkdownOutput, .jp-Cell .jp-OutputArea-output {
    margin: 0; padding: 0; }
  .jp-Cell.jp-Notebook-cell { padding: 5px 0; }
  .contents { border-bottom: 1px solid var(--jp-border-color2); }
  .contents a { padding: .6rem 0; }
  .jp-RenderedHTMLCommon :is(ul, ol):not(.list-inline) { padding-left: 1.5em; }
}
"""

PAGE = """
{%- extends "index.html.j2" -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
{{ resources.include_css("static/theme-dark.css")
   | replace("<style ", '<style media="screen and (prefers-color-scheme: dark)" ') }}
<style>STYLE</style>
{%- endblock -%}
{%- block body_header -%}
<body class="jp-Notebook" data-jp-theme-light="true" data-jp-theme-name="JupyterLab Light">
{% if resources.contents -%}
<nav class="contents" aria-label="Contents"><details open><summary>Contents</summary><ul>
{% for anchor, text in resources.contents -%}
<li><a href="#{{ anchor | escape_html }}">{{ text | escape_html }}</a></li>
{% endfor -%}
</ul></details></nav>
<script>{
  const list = document.querySelector(".contents details"), desk = matchMedia("(min-width: 1200px)");
  (desk.onchange = () => { list.open = desk.matches; })();
}</script>
{% endif -%}
<main>
{%- endblock -%}
{%- block data_png scoped -%}
{%- set size = output.metadata.get("image/png", {}) -%}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img alt="{{ (size.alt or output.data["text/plain"] or "Picture") | escape_html }}"
 src="data:image/png;base64,{{ output.data['image/png'] | replace("\\n", "") }}"
{%- for name in ("width", "height") if size[name] %} {{ name }}="{{ size[name] | int }}"{% endfor %}>
</div>
{%- endblock -%}
"""

# nbconvert has these two settings, but lets only programs set the first.
HTMLExporter.raw_template.tag(config=True)
c = get_config()  # noqa: F821  (nbconvert provides it)
c.HTMLExporter.raw_template = PAGE.replace("STYLE", STYLE)
c.HTMLExporter.filters = {"markdown2html": markdown2html}
c.HTMLExporter.preprocessors = [TitleAndContents]
c.ExecutePreprocessor.on_notebook_start = name_the_sections
c.ExecutePreprocessor.on_cell_start = say_the_section
if hasattr(KernelManager, "transport_encryption"):
    # Without it, the kernel warns that it can be eavesdropped on.
    c.KernelManager.transport_encryption = "auto"
