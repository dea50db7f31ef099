"""Analyzers and their supervisor. The only package that imports ray and kubernetes."""
