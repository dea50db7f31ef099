"""`python -m vqa_ray.media.synthetic`: the child process of a source; see child.py."""

from vqa_ray.media.synthetic.child import main

if __name__ == "__main__":
    raise SystemExit(main())
