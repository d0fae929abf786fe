"""Checks against the reference implementations' numbers, a module a method."""
