"""Where figures show: in windows, in notebooks once, and nowhere else."""

import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import vae

# A backend with windows: it tells which figures it shows.
STAND_IN = """
from matplotlib.backend_bases import FigureManagerBase, _Backend
from matplotlib.backends.backend_agg import FigureCanvasAgg

SHOWN, DESTROYED = [], []

class FigureManager(FigureManagerBase):
    def show(self):
        SHOWN.append(self.canvas.figure)

    def destroy(self):
        DESTROYED.append(self.canvas.figure)

    @classmethod
    def start_main_loop(cls):
        pass

class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager

@_Backend.export
class _BackendStandIn(_Backend):
    FigureCanvas = FigureCanvas
    FigureManager = FigureManager
    mainloop = staticmethod(lambda: None)
"""
SCRIPT = """
import matplotlib.pyplot as plt, numpy as np, vae
loss = {"loss": [2.0, 1.0]}
"""


def run(tmp_path, code, backend="module://stand_in"):
    """Run a script on a backend; return what it prints."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    (tmp_path / "script.py").write_text(SCRIPT + code)
    environment = {"MPLBACKEND": backend, "PYTHONPATH": str(pathlib.Path(vae.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_script_shows_figures_in_windows(tmp_path):
    code = """
import stand_in
figure = vae.plot_loss(loss)
assert not stand_in.SHOWN  # not by itself
plt.show()
assert stand_in.SHOWN == [figure]
figure.show()
assert stand_in.SHOWN == [figure, figure]
static = vae.plot_latent_space(np.eye(2), static=True)
static.show()
assert stand_in.SHOWN[-1] is static
vae.show(vae.plot_latent_space, np.eye(2))
assert len(plt.get_fignums()) == 2  # its twin is not among them
"""
    assert run(tmp_path, code)[:2] == ["Interactive", "figure:"]


def test_pyplot_keeps_twenty_and_the_oldest_can_still_be_used(tmp_path):
    code = """
import warnings; warnings.simplefilter("error")
import stand_in
mine = plt.figure()
figures = [vae.plot_loss(loss) for _ in range(30)]
assert len(plt.get_fignums()) == 20 and plt.gcf() is mine
assert not stand_in.DESTROYED
figures[0].savefig("first.png")
figures[0].show()
assert stand_in.SHOWN == figures[:1]
plt.show()
assert set(stand_in.SHOWN[1:]) == {mine, *figures[11:]}
plt.close("all")
figures[-1].savefig("last.png")
"""
    run(tmp_path, code)


def test_threads_make_figures_without_windows(tmp_path):
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as threads:
    figures = list(threads.map(lambda _: vae.plot_loss(loss), range(40)))
assert plt.get_fignums() == []
figures[0].savefig("first.png")
"""
    run(tmp_path, code)


@pytest.mark.parametrize("backend", ["agg", "svg", "tkagg"])
def test_without_windows_a_figure_is_made_all_the_same(backend, tmp_path):
    code = """
figure = vae.plot_loss(loss)
figure.savefig("loss.png")
print(open("loss.png", "rb").read(4)[1:].decode())
try:
    figure.show()
except RuntimeError as error:
    print("savefig" in str(error))
"""
    assert run(tmp_path, code, backend)[:2] == ["PNG", "True"]


def test_on_agg_nothing_piles_up():
    figures = [vae.plot_loss({"loss": [1.0]}) for _ in range(3)]
    assert plt.get_fignums() == []
    with pytest.raises(RuntimeError, match=r"figure\.savefig"):
        figures[0].show()
    with ThreadPoolExecutor(8) as threads:
        made = threads.map(lambda _: vae.plot_digits(np.zeros((3, 4, 4))), range(16))
        assert len(list(made)) == 16


# In a notebook

LOSS = "vae.plot_loss({'loss': [2.0, 1.0]})"
CELLS = {
    "last expression": LOSS,
    "assigned": f"figure = {LOSS}",
    "shown by pyplot": f"import matplotlib.pyplot as plt\n{LOSS}; plt.show()",
    "assigned and shown by pyplot": f"figure = {LOSS}\nplt.show()",
    "figure.show": f"figure = {LOSS}\nfigure.show()",
    "named last": f"figure = {LOSS}\nfigure",
    "displayed": f"display({LOSS})",
    "once more": "figure",
    "static twin": "vae.plot_latent_space(np.eye(2), static=True)",
    "bundle": "vae.show(vae.plot_latent_space, np.eye(2))",
}
PYPLOT = {"a plot of the user's": "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"}


@pytest.mark.parametrize("inline", ["", "%matplotlib inline\n"])
@pytest.mark.parametrize("first", [{}, PYPLOT], ids=["", "pyplot was used"])
def test_a_notebook_shows_each_figure_once(first, inline):
    cells = {"": f"{inline}import numpy as np, vae", **first, **CELLS}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells.values()])
    NotebookClient(notebook, kernel_name="python3").execute()
    counts = {
        name: sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for name, cell in zip(cells, notebook.cells, strict=True)
    }
    assert counts == {"": 0, **dict.fromkeys([*first, *CELLS], 1)}
    for cell in notebook.cells:
        assert all(output.get("name") != "stderr" for output in cell.outputs)
