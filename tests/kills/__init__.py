"""Ends runs at any moment and at each write, resumes them, and compares bytes."""
