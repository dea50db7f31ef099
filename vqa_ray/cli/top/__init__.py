"""`vqa top`: the streams of the running fleet, live, as htop shows processes."""
