"""Where results and alerts go. The only package that imports pyarrow."""
