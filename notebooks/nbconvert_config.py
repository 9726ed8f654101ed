"""Settings for `jupyter nbconvert --to html`: a page that needs nothing from the network.

nbconvert leaves formulas to MathJax, which the page would load from elsewhere; here they become
MathML, which browsers draw by themselves.
"""

import re

from latex2mathml.converter import convert
from nbconvert.preprocessors import Preprocessor


class FormulasToMathML(Preprocessor):
    """Replace $...$ and $$...$$ in the text cells; the notebook itself keeps its LaTeX."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"(\$\$?)(.+?)\1", self._to_mathml, cell.source, flags=re.DOTALL)
        return cell, resources

    @staticmethod
    def _to_mathml(match):
        return convert(match[2], display="block" if match[1] == "$$" else "inline")


c = get_config()  # noqa: F821  (nbconvert provides it)
c.HTMLExporter.preprocessors = [FormulasToMathML]
c.HTMLExporter.mathjax_url = ""
c.HTMLExporter.require_js_url = ""
