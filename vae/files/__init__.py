"""Files: written whole or not at all (`atomic`); strangers' ones checked before use (`model_file`)."""


class ModelFileError(ValueError):
    """A model file is damaged, asks for something dangerous, or holds no model of this package.

    Example:
        >>> import tempfile, vae
        >>> with tempfile.NamedTemporaryFile(suffix=".keras") as file:
        ...     try:
        ...         vae.load_model(file.name)
        ...     except vae.ModelFileError as error:
        ...         print(str(error).rpartition(": ")[2])
        not a .keras archive
    """
