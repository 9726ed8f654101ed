"""Every picture: each function returns its figure and shows nothing by itself."""
