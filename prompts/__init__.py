"""Prompts, one Markdown file each, and the loader that refuses a malformed one."""
