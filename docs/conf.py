"""The site: these pages, the API from docstrings, and notebooks that are run as it is built."""

from qiskit_gateway import __version__

project = "qiskit-gateway"
author = "the qiskit-gateway maintainers"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"qiskit-gateway {release}"
# Nothing that tells when or by whom it was built: the same sources give the same pages.
html_show_copyright = html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
# Bars and remarks go to stderr; pages show what cells return.
nb_output_stderr = "remove"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
# Fields of data classes are described where their class is.
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Subclassing", "notes"), ("Implementing", "notes")]
