"""What vqa_ray costs, holds, takes and finds, each as a command that prints a table: `python -m benchmarks`."""
