import io
import zipfile


def zip_bytes(members, compression=zipfile.ZIP_DEFLATED):
    """Return a zip archive of members, name: content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()
