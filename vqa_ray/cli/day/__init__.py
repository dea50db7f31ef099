"""`vqa report`: a day of the result store as a page."""
