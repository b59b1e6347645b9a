"""Declarations: text in, frozen values out, every refusal with its file, line, value and fix."""
